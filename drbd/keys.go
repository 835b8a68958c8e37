package drbd

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
)

// maxVolume is DRBD's highest volume number.
const maxVolume = 65534

// maxMinor is the kernel's highest minor number (20 bits).
const maxMinor = 1<<20 - 1

// field is one key:value token of status or events2.
type field struct{ key, value string }

// splitField cuts a token at its first colon; values may contain more
// (addresses do). Ok is false for a bare word.
func splitField(token string) (f field, ok bool) {
	f.key, f.value, ok = strings.Cut(token, ":")
	return f, ok && f.key != ""
}

// set takes over one key of a resource. Keys that it does not know mean
// nothing to it.
func (r *Resource) set(f field) error {
	switch f.key {
	case "role":
		r.Role = ParseRole(f.value)
	case "suspended":
		r.Suspended = parseSuspended(f.value)
	}
	return nil
}

// set takes over one key of a device.
func (v *Volume) set(f field) (err error) {
	switch f.key {
	case "minor":
		var n int
		n, err = parseNumber(f, maxMinor)
		v.Minor = Minor(n)
	case "disk":
		v.Disk = ParseDiskState(f.value)
	case "size":
		v.SizeKiB, err = parseCount(f)
	case "read":
		v.ReadKiB, err = parseCount(f)
	case "written":
		v.WrittenKiB, err = parseCount(f)
	case "upper-pending":
		v.UpperPending, err = parseCount(f)
	case "lower-pending":
		v.LowerPending, err = parseCount(f)
	case "blocked":
		v.Blocked = f.value
	}
	return err
}

// set takes over one key of a connection. The peer's number is called node-id
// in status and peer-node-id in events2.
func (c *Connection) set(f field) (err error) {
	switch f.key {
	case "connection":
		c.State = ParseConnState(f.value)
	case "role":
		c.PeerRole = ParseRole(f.value)
	case "conn-name":
		c.Name = f.value
	case "node-id", "peer-node-id":
		var n int
		n, err = parseNumber(f, maxNodeID)
		c.NodeID = NodeID(n)
	}
	return err
}

// maxNodeID is DRBD 9's highest node id.
const maxNodeID = 31

// set takes over one key of a peer device.
func (v *PeerVolume) set(f field) (err error) {
	switch f.key {
	case "replication":
		v.Replication = ParseReplState(f.value)
		if !v.Replication.ResyncRuns() {
			v.DonePercent = 0
		}
	case "peer-disk":
		v.PeerDisk = ParseDiskState(f.value)
	case "done":
		v.DonePercent, err = parsePercent(f)
	case "out-of-sync":
		v.OutOfSyncKiB, err = parseCount(f)
	case "received":
		v.ReceivedKiB, err = parseCount(f)
	case "sent":
		v.SentKiB, err = parseCount(f)
	}
	return err
}

func parseSuspended(value string) (s Suspended) {
	for _, word := range strings.Split(value, ",") {
		switch word {
		case "no":
		case "user":
			s.User = true
		case "no-data":
			s.NoData = true
		case "fencing":
			s.Fencing = true
		case "quorum":
			s.Quorum = true
		default:
			s.Unrecognised = true
		}
	}
	return s
}

func parseNumber(f field, highest int) (int, error) {
	n, err := strconv.Atoi(f.value)
	if err != nil || n < 0 || n > highest {
		return 0, fmt.Errorf("read %s:%q: not a number from 0 to %d", f.key, f.value, highest)
	}
	return n, nil
}

func parseCount(f field) (uint64, error) {
	n, err := strconv.ParseUint(f.value, 10, 64)
	if err != nil {
		return 0, fmt.Errorf("read %s:%q: not a count", f.key, f.value)
	}
	return n, nil
}

func parsePercent(f field) (float64, error) {
	p, err := strconv.ParseFloat(f.value, 64)
	if err != nil || !(p >= 0 && p <= 100) { // written so that NaN fails too
		return 0, fmt.Errorf("read %s:%q: not a percentage", f.key, f.value)
	}
	return p, nil
}

// addVolume puts v in its place; a number that is there already is an error.
func (r *Resource) addVolume(v Volume) error {
	i, found := slices.BinarySearchFunc(r.Volumes, v.Number, func(w Volume, n int) int { return w.Number - n })
	if found {
		return fmt.Errorf("read resource %s: volume %d appears twice", r.Name, v.Number)
	}
	r.Volumes = slices.Insert(r.Volumes, i, v)
	return nil
}

// addVolume puts v in its place; a number that is there already is an error.
func (c *Connection) addVolume(v PeerVolume) error {
	i, found := slices.BinarySearchFunc(c.Volumes, v.Number, func(w PeerVolume, n int) int { return w.Number - n })
	if found {
		return fmt.Errorf("read connection %s: volume %d appears twice", c.Name, v.Number)
	}
	c.Volumes = slices.Insert(c.Volumes, i, v)
	return nil
}
