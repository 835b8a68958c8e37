package drbd

import (
	"encoding/json"
	"fmt"
)

// ParseStatusJSON reads the answer of "drbdsetup status --json", which only
// DRBD 9 gives. A resource with several peers is ErrManyPeers.
func ParseStatusJSON(text []byte) ([]Resource, error) {
	var raw []jsonResource
	if err := json.Unmarshal(text, &raw); err != nil {
		return nil, fmt.Errorf("read status as JSON: %w", err)
	}
	var out []Resource
	for _, j := range raw {
		r, err := j.resource()
		if err != nil {
			return nil, fmt.Errorf("read status as JSON: %w", err)
		}
		out = append(out, r)
	}
	return out, nil
}

type jsonResource struct {
	Name        string           `json:"name"`
	Role        string           `json:"role"`
	Suspended   bool             `json:"suspended"`
	User        bool             `json:"suspended-user"`
	NoData      bool             `json:"suspended-no-data"`
	Fencing     bool             `json:"suspended-fencing"`
	Quorum      bool             `json:"suspended-quorum"`
	Devices     []jsonDevice     `json:"devices"`
	Connections []jsonConnection `json:"connections"`
}

type jsonDevice struct {
	Volume       int    `json:"volume"`
	Minor        *int   `json:"minor"`
	Disk         string `json:"disk-state"`
	Size         uint64 `json:"size"`
	Read         uint64 `json:"read"`
	Written      uint64 `json:"written"`
	UpperPending uint64 `json:"upper-pending"`
	LowerPending uint64 `json:"lower-pending"`
}

type jsonConnection struct {
	NodeID   *int             `json:"peer-node-id"`
	Name     string           `json:"name"`
	State    string           `json:"connection-state"`
	PeerRole string           `json:"peer-role"`
	Devices  []jsonPeerDevice `json:"peer_devices"`
}

type jsonPeerDevice struct {
	Volume      int     `json:"volume"`
	Replication string  `json:"replication-state"`
	Disk        string  `json:"peer-disk-state"`
	Received    uint64  `json:"received"`
	Sent        uint64  `json:"sent"`
	OutOfSync   uint64  `json:"out-of-sync"`
	InSync      float64 `json:"percent-in-sync"`
}

func (j jsonResource) resource() (Resource, error) {
	if j.Name == "" {
		return Resource{}, fmt.Errorf("a resource has no name")
	}
	r := Resource{Name: j.Name, Role: ParseRole(j.Role)}
	r.Suspended = Suspended{User: j.User, NoData: j.NoData, Fencing: j.Fencing, Quorum: j.Quorum}
	if j.Suspended && !r.Suspended.Any() {
		r.Suspended.Unrecognised = true
	}
	for _, d := range j.Devices {
		if d.Volume < 0 || d.Volume > maxVolume {
			return Resource{}, fmt.Errorf("resource %s: volume number %d is out of range", j.Name, d.Volume)
		}
		if err := r.addVolume(d.volume()); err != nil {
			return Resource{}, err
		}
	}
	if len(j.Connections) > 1 {
		return Resource{}, fmt.Errorf("resource %s, %d peers: %w", j.Name, len(j.Connections), ErrManyPeers)
	}
	for _, c := range j.Connections {
		conn, err := c.connection()
		if err != nil {
			return Resource{}, err
		}
		r.Peer = &conn
	}
	return r, nil
}

func (j jsonDevice) volume() Volume {
	v := Volume{
		Number: j.Volume, Minor: NoMinor, Disk: ParseDiskState(j.Disk),
		SizeKiB: j.Size, ReadKiB: j.Read, WrittenKiB: j.Written,
		UpperPending: j.UpperPending, LowerPending: j.LowerPending,
	}
	if j.Minor != nil {
		v.Minor = Minor(*j.Minor)
	}
	return v
}

func (j jsonConnection) connection() (Connection, error) {
	c := Connection{Name: j.Name, NodeID: NoNodeID, State: ParseConnState(j.State), PeerRole: ParseRole(j.PeerRole)}
	if j.NodeID != nil {
		c.NodeID = NodeID(*j.NodeID)
	}
	for _, d := range j.Devices {
		v := PeerVolume{
			Number: d.Volume, Replication: ParseReplState(d.Replication), PeerDisk: ParseDiskState(d.Disk),
			OutOfSyncKiB: d.OutOfSync, ReceivedKiB: d.Received, SentKiB: d.Sent,
		}
		if v.Replication.ResyncRuns() {
			v.DonePercent = d.InSync
		}
		if err := c.addVolume(v); err != nil {
			return Connection{}, err
		}
	}
	return c, nil
}
