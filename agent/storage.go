package agent

import (
	"fmt"
	"slices"

	"sbarbiter/arbiter"
	"sbarbiter/drbd"
)

// disk returns what DRBD has last said of a resource; of one that it has said
// nothing of, that nothing is known. Nobody changes it.
func (m *Machine) disk(resource string) *Storage {
	for i := range m.disks {
		if m.disks[i].Resource == resource {
			return &m.disks[i]
		}
	}
	return &unseen
}

var unseen Storage

func (m *Machine) sees(s Storage) {
	i := slices.IndexFunc(m.disks, func(d Storage) bool { return d.Resource == s.Resource })
	if i < 0 {
		m.disks = append(m.disks, s)
		return
	}
	m.disks[i] = s
}

// Seen says what one look at a resource means to the machine.
func Seen(res drbd.Resource) Storage {
	s := Storage{
		Resource: res.Name, Known: true,
		Primary: !res.AllVolumes(drbd.RoleSecondary), Frozen: res.Frozen(),
		Alone: res.ConnState() == drbd.ConnStandAlone,
	}
	s.Recorded = s.Alone // DRBD 8.4 does not show then what it has recorded
	for _, v := range res.Volumes {
		d := arbiter.Disk{Volume: fmt.Sprintf("%s/%d", res.Name, v.Number), Own: arbiter.DiskState(v.Disk)}
		replicates := false
		if p, ok := peerVolume(res, v.Number); ok {
			d.Peer = arbiter.DiskState(p.PeerDisk)
			replicates = res.Connected() && runs(p.Replication)
		}
		d.Connected = replicates
		s.Recorded = s.Recorded || recorded(drbd.DiskState(d.Peer), replicates)
		s.Disks = append(s.Disks, d)
	}
	return s
}

func peerVolume(res drbd.Resource, number int) (drbd.PeerVolume, bool) {
	if res.Peer == nil {
		return drbd.PeerVolume{}, false
	}
	for _, p := range res.Peer.Volumes {
		if p.Number == number {
			return p, true
		}
	}
	return drbd.PeerVolume{}, false
}

// runs reports whether the handshake is over: before it, what is said of the
// peer's disk is what was recorded about it.
func runs(r drbd.ReplState) bool {
	return r != "" && r != drbd.ReplOff && r != drbd.ReplUnrecognised
}

// recorded reports whether DRBD takes the peer's copy for stale or missing, so
// that it goes on without it and calls no handler.
func recorded(peer drbd.DiskState, replicates bool) bool {
	if replicates {
		return peer != drbd.DiskUpToDate
	}
	switch peer {
	case drbd.DiskOutdated, drbd.DiskInconsistent, drbd.DiskDiskless, drbd.DiskFailed:
		return true
	}
	return false
}
