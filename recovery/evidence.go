package recovery

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"sbarbiter/drbd"
	"sbarbiter/internal/mutant"
)

// Node names one of the two nodes.
type Node string

// Evidence is what both sides of a group know about their copies.
type Evidence struct {
	Group string  `json:"group"`
	Sides [2]Side `json:"sides"`
}

// Side is one node's copy of a group's volumes.
type Side struct {
	Node Node `json:"node"`
	// Missing says why nothing is known of this side; the rest is empty then.
	Missing string `json:"missing,omitempty"`
	// Taken is when a witness was told, on its clock; for people alone.
	Taken   time.Time   `json:"taken,omitzero"`
	Family  drbd.Family `json:"family,omitempty"`
	Role    drbd.Role   `json:"role,omitempty"`
	Mounted []string    `json:"mounted,omitempty"` // where the group's volumes are mounted
	Open    bool        `json:"open,omitempty"`    // something holds a volume open, a mount included
	Volumes []Volume    `json:"volumes,omitempty"` // both sides in the same order
	// Policies are the settings by which DRBD itself might decide whom to discard when this
	// side meets the other one, each with how to mend it; none where that was not asked.
	Policies []string `json:"drbd_policies,omitempty"`
	// Distrusted says that this copy is declared bad before it takes the other one's data,
	// for a disk of it has failed: then all of it is overwritten.
	Distrusted bool `json:"distrusted,omitempty"`
	// Tenures are the times for which this side was Primary, oldest first.
	Tenures []Tenure `json:"tenures,omitempty"`
	// Positions are what application probes printed; for people alone.
	Positions []Position `json:"positions,omitempty"`
}

// Volume is one side's copy of one volume.
type Volume struct {
	Resource string `json:"resource"`
	Number   int    `json:"number"`
	Size     uint64 `json:"size"` // bytes
	// Backing is the size of the device beneath, in bytes, DRBD's metadata included where
	// that is on it; 0: not known.
	Backing uint64         `json:"backing,omitempty"`
	Disk    drbd.DiskState `json:"disk"`
	// Generations is the line that "drbdadm get-gi" prints.
	Generations string `json:"gi"`
	// OutOfSync counts the bytes that this side has marked as differing from its
	// peer; nil: it could not be counted. It only grows while the side is Primary.
	OutOfSync *uint64 `json:"out_of_sync,omitempty"`
	// Written is when the file system on it was last written to, by its own
	// word; zero: not known. For people alone: clocks decide nothing.
	Written time.Time `json:"written,omitzero"`
	// SnapshotRoom is how many bytes of changes a snapshot of the backing device
	// could hold; 0: none can be made.
	SnapshotRoom uint64 `json:"snapshot_room,omitempty"`
	// ResyncLimit is how many bytes a second a resync copies at the most, by DRBD's own
	// settings; 0: not known. For people alone.
	ResyncLimit uint64 `json:"resync_limit,omitempty"`
}

// Name is the resource and the volume's number, as r0/0.
func (v Volume) Name() string { return fmt.Sprintf("%s/%d", v.Resource, v.Number) }

// Tenure is a time for which a side was Primary.
type Tenure struct {
	// Epoch is the one of the lease it was Primary under. Without a lease it is
	// the highest that the node had heard of when it was promoted.
	Epoch  uint64    `json:"epoch"`
	Leased bool      `json:"leased"`
	From   time.Time `json:"from,omitzero"` // by the node's clock, for people alone
	Until  time.Time `json:"until,omitzero"`
	// Joined: both copies have been one again since, so that a generation of its own that
	// the copy has now is of a later promotion.
	Joined bool `json:"joined,omitempty"`
}

// Position is what a probe of an application printed, as a GTID or an LSN.
type Position struct {
	Probe string `json:"probe"`
	Text  string `json:"text"`
}

// side returns a node's side; the node must be one of the two.
func (e Evidence) side(n Node) Side {
	if e.Sides[1].Node == n {
		return e.Sides[1]
	}
	return e.Sides[0]
}

// Other returns the other node's name.
func (e Evidence) Other(n Node) Node {
	if e.Sides[0].Node == n {
		return e.Sides[1].Node
	}
	return e.Sides[0].Node
}

// Missing returns a side of which nothing is known; "": both are.
func (e Evidence) Missing() Node {
	for _, s := range e.Sides {
		if s.Missing != "" {
			return s.Node
		}
	}
	return ""
}

// Has reports whether n is one of the two nodes.
func (e Evidence) Has(n Node) bool { return n == e.Sides[0].Node || n == e.Sides[1].Node }

// Writes reports whether a side was Primary when it was measured: it goes on writing until
// it is stopped.
func (e Evidence) Writes(n Node) bool { return e.Has(n) && e.side(n).Role == drbd.RolePrimary }

// Check says what makes e unfit to be judged at all, such as sides that do not
// speak of the same volumes. A side that is missing is no such thing.
func (e Evidence) Check() error {
	a, b := e.Sides[0], e.Sides[1]
	if a.Node == "" || b.Node == "" || a.Node == b.Node {
		return fmt.Errorf("evidence of group %s: the two sides need two names, not %q and %q", e.Group, a.Node, b.Node)
	}
	if !IsName(e.Group) || !IsName(string(a.Node)) || !IsName(string(b.Node)) {
		return fmt.Errorf("evidence of group %q of %q and %q: no group and no node is called so", e.Group, a.Node, b.Node)
	}
	for _, s := range e.Sides {
		if err := s.Check(); err != nil {
			return fmt.Errorf("evidence of group %s: %w", e.Group, err)
		}
	}
	if a.Missing != "" || b.Missing != "" {
		return nil
	}
	if a.Family != b.Family {
		return fmt.Errorf("evidence of group %s: %s runs DRBD %s and %s runs %s; what they would do together is not known", e.Group, a.Node, a.Family, b.Node, b.Family)
	}
	if len(a.Volumes) != len(b.Volumes) {
		return fmt.Errorf("evidence of group %s: %s shows %d volumes and %s shows %d", e.Group, a.Node, len(a.Volumes), b.Node, len(b.Volumes))
	}
	for i, v := range a.Volumes {
		if v.Name() != b.Volumes[i].Name() {
			return fmt.Errorf("evidence of group %s: volume %d is %s on %s and %s on %s", e.Group, i+1, v.Name(), a.Node, b.Volumes[i].Name(), b.Node)
		}
	}
	return nil
}

// mostPerBit is how much one bit of DRBD's bitmap stands for at the most (4 KiB but for the
// latest): the last one of a volume may stand for more than that has.
const mostPerBit = 1 << 20

// Check says what makes s unfit to be judged: what is no word that it may have, and what
// cannot be so together. A moment may come between two things that are measured one after
// the other, so it may be right the next time.
func (s Side) Check() error {
	if s.Missing != "" {
		return nil
	}
	if s.Family != drbd.Family84 && s.Family != drbd.Family9 {
		return fmt.Errorf("%s: family %q is neither %s nor %s", s.Node, s.Family, drbd.Family84, drbd.Family9)
	}
	if s.Role != drbd.RolePrimary && s.Role != drbd.RoleSecondary {
		return fmt.Errorf("%s: role %q is neither Primary nor Secondary", s.Node, s.Role)
	}
	if s.Family == drbd.Family84 && s.Role == drbd.RoleSecondary && len(s.Mounted) > 0 {
		return fmt.Errorf("%s is Secondary, which DRBD %s lets nobody open, and is mounted at %s: one of the two is of another moment", s.Node, s.Family, strings.Join(s.Mounted, ", "))
	}
	if len(s.Volumes) == 0 {
		return fmt.Errorf("%s shows no volume", s.Node)
	}
	for i, v := range s.Volumes {
		if slices.ContainsFunc(s.Volumes[:i], func(u Volume) bool { return u.Name() == v.Name() }) {
			return fmt.Errorf("%s shows %s twice", s.Node, v.Name())
		}
		if err := v.check(); err != nil {
			return fmt.Errorf("%s: %w", s.Node, err)
		}
	}
	return nil
}

func (v Volume) check() error {
	if _, _, err := ParseVolume(v.Name()); err != nil {
		return err
	}
	if v.Size == 0 && v.Disk.AtLeast(drbd.DiskNegotiating) {
		return fmt.Errorf("%s has no size", v.Name())
	}
	if drbd.ParseDiskState(string(v.Disk)) == drbd.DiskUnrecognised {
		return fmt.Errorf("%s has a disk state that is none: %q", v.Name(), v.Disk)
	}
	if v.Size > 0 && v.OutOfSync != nil && *v.OutOfSync > plus(v.Size, mostPerBit) && !mutant.On(mutant.ImpossibleJudged) {
		return fmt.Errorf("%s has %s marked as differing, and is no larger than %s", v.Name(), Bytes(*v.OutOfSync), Bytes(v.Size))
	}
	if v.Generations == "" && !v.Disk.AtLeast(drbd.DiskNegotiating) {
		return nil // without a disk there are none
	}
	if _, err := drbd.ParseGI(v.Generations); err != nil {
		return fmt.Errorf("%s: %w", v.Name(), err)
	}
	return nil
}
