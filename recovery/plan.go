package recovery

import (
	"errors"
	"fmt"
	"slices"
	"strconv"

	"sbarbiter/drbd"
	"sbarbiter/internal/mutant"
)

// StepKind is one thing that a recovery has to get done.
type StepKind string

// The steps, in the order of a plan. Each is asked "already done?" before it is
// carried out, so that a plan may be begun anew at any step, by anybody.
const (
	StopServices StepKind = "stop-services" // stop the group's services and unmount
	Demote       StepKind = "demote"        // make the resource Secondary; never forced
	DumpMetadata StepKind = "dump-metadata" // keep a copy of the volume's metadata
	Snapshot     StepKind = "snapshot"      // keep the volume's data
	Disconnect   StepKind = "disconnect"    // StandAlone
	Measure      StepKind = "measure"       // measure both sides again and compare with what was decided on
	Invalidate   StepKind = "invalidate"    // declare the whole copy bad: no way back
	Discard      StepKind = "discard"       // connect, giving up this side's changes
	Connect      StepKind = "connect"       // connect, giving up nothing
	FollowResync StepKind = "follow-resync" // until both sides are UpToDate
	Readmit      StepKind = "readmit"       // lift the victim's exclusion
)

// PlanVersion is written into every plan; one of another version is refused.
const PlanVersion = 1

// Step is one thing to do on one node.
type Step struct {
	Node     Node     `json:"node"`
	Kind     StepKind `json:"kind"`
	Resource string   `json:"resource,omitempty"`
	Volume   int      `json:"volume,omitempty"` // of dump-metadata and snapshot
	// Bytes is how much of the volume may be overwritten afterwards, of snapshot.
	Bytes uint64 `json:"bytes,omitempty"`
	// Own is the part of Bytes that the victim had changed itself when that was decided on:
	// it goes on until it is stopped.
	Own uint64 `json:"own,omitempty"`
}

// String is the step as a person reads it.
func (s Step) String() string {
	switch s.Kind {
	case DumpMetadata, Snapshot:
		return fmt.Sprintf("%s: %s %s/%d", s.Node, s.Kind, s.Resource, s.Volume)
	case StopServices, Measure, Readmit, Demote, Disconnect, Invalidate, Discard, Connect, FollowResync:
	}
	if s.Resource == "" {
		return fmt.Sprintf("%s: %s", s.Node, s.Kind)
	}
	return fmt.Sprintf("%s: %s %s", s.Node, s.Kind, s.Resource)
}

// Plan is how a decision is carried out. It is data: a log keeps it, and whoever
// reads it can go on with it.
type Plan struct {
	Version  int         `json:"version"`
	Group    string      `json:"group"`
	Family   drbd.Family `json:"family"`
	Victim   Node        `json:"victim"`
	Survivor Node        `json:"survivor"`
	// Basis are the generations that were decided on. Where a side shows others,
	// the plan is void.
	Basis []Basis `json:"basis"`
	// Discard is the most that may be given up, in bytes; a new measurement above
	// it goes back to the decision.
	Discard uint64 `json:"discard"`
	Full    bool   `json:"full"` // the whole of each volume is copied
	Steps   []Step `json:"steps"`
}

// Basis is one volume's generation on one side as it was decided on.
type Basis struct {
	Node        Node   `json:"node"`
	Volume      string `json:"volume"`
	Generations string `json:"gi"`
}

// MakePlan says what has to be done for a decision that has a victim.
//
// The victim is StandAlone before the survivor connects, else the two would meet
// without the flag and split again. Where the bitmaps do not count from the fork
// the victim's copy is invalidated on 8.4, whose flag would copy by the bitmap
// all the same and leave the copies different; 9 copies everything then by itself.
func MakePlan(e Evidence, d Decision) (Plan, error) {
	if d.Victim == "" {
		return Plan{}, fmt.Errorf("plan the recovery of %s: nobody is to be discarded: %s", e.Group, d.Why)
	}
	v := e.side(d.Victim)
	p := Plan{
		Version: PlanVersion, Group: e.Group, Family: v.Family, Victim: d.Victim, Survivor: e.Other(d.Victim),
		Discard: d.Discard, Full: d.Diagnosis.full(), Basis: basis(e),
	}
	resources := v.resources()
	p.add(Step{Node: p.Victim, Kind: StopServices})
	for _, r := range slices.Backward(resources) {
		p.add(Step{Node: p.Victim, Kind: Demote, Resource: r})
	}
	for _, r := range resources {
		p.add(Step{Node: p.Victim, Kind: Disconnect, Resource: r})
	}
	for i, vol := range v.Volumes {
		p.add(Step{Node: p.Victim, Kind: DumpMetadata, Resource: vol.Resource, Volume: vol.Number})
		most := max(e.overwritten(d.Diagnosis, p.Victim, i), 1) // 0 would be all of one that nothing is copied to
		own := min(vol.marked(), most)
		if d.Diagnosis.Volumes[i].Full {
			own = most // what is marked counts from some later moment
		}
		p.add(Step{Node: p.Victim, Kind: Snapshot, Resource: vol.Resource, Volume: vol.Number, Bytes: most, Own: own})
	}
	p.add(Step{Node: p.Survivor, Kind: Measure})
	for _, r := range resources {
		p.Steps = append(p.Steps, p.givingUp(r)...)
	}
	for _, r := range resources {
		p.add(Step{Node: p.Survivor, Kind: Connect, Resource: r})
	}
	p.add(Step{Node: p.Survivor, Kind: FollowResync})
	p.add(Step{Node: p.Survivor, Kind: Readmit})
	return p, p.Check()
}

// NoReturn is the index of the first step that gives the victim's data up; before
// it a recovery can be called off.
func (p Plan) NoReturn() int {
	i := slices.IndexFunc(p.Steps, func(s Step) bool { return s.Kind == Invalidate || s.Kind == Discard })
	if i < 0 {
		return len(p.Steps)
	}
	return i
}

// PartSurvivor has the survivor StandAlone as well before anything is given up: what
// an earlier recovery, which was let go of, had it wish at its next handshake must not
// be left in the kernel.
func (p *Plan) PartSurvivor() {
	i := slices.IndexFunc(p.Steps, func(s Step) bool { return s.Kind == Measure })
	var part []Step
	for _, s := range p.Steps {
		if s.Kind == Disconnect {
			part = append(part, Step{Node: p.Survivor, Kind: Disconnect, Resource: s.Resource})
		}
	}
	p.Steps = slices.Insert(p.Steps, i, part...)
}

func (p *Plan) add(s Step) { p.Steps = append(p.Steps, s) }

// givingUp are the steps with which a resource of the victim's is given up.
func (p *Plan) givingUp(resource string) []Step {
	if p.Full && p.Family == drbd.Family84 {
		return []Step{{Node: p.Victim, Kind: Invalidate, Resource: resource}, {Node: p.Victim, Kind: Connect, Resource: resource}}
	}
	return []Step{{Node: p.Victim, Kind: Discard, Resource: resource}}
}

func (s Side) resources() []string {
	var out []string
	for _, v := range s.Volumes {
		if !slices.Contains(out, v.Resource) {
			out = append(out, v.Resource)
		}
	}
	return out
}

func basis(e Evidence) []Basis {
	var out []Basis
	for _, s := range e.Sides {
		for _, v := range s.Volumes {
			out = append(out, Basis{s.Node, v.Name(), v.Generations})
		}
	}
	return out
}

// Holds says why a plan does not fit what is measured now; nil: it does. A
// generation that has moved on, or more to discard than was agreed to, sends the
// recovery back to its decision.
func (p Plan) Holds(e Evidence) error {
	if p.Version != PlanVersion {
		return fmt.Errorf("plan of group %s: it has version %d and this program reads %d", p.Group, p.Version, PlanVersion)
	}
	d, err := Choose(e, p.Victim)
	if err != nil {
		return fmt.Errorf("plan of group %s: %w", p.Group, err)
	}
	if now := len(basis(e)); now != len(p.Basis) {
		return fmt.Errorf("plan of group %s: it was made for %d copies of volumes and there are %d: decide again", p.Group, len(p.Basis), now)
	}
	for _, was := range p.Basis {
		if err := was.holds(e); err != nil {
			return fmt.Errorf("plan of group %s: %w", p.Group, err)
		}
	}
	if d.Discard > p.Discard {
		return fmt.Errorf("plan of group %s: %s: decide again", p.Group, tooMuch(d.Discard, p.Discard))
	}
	return nil
}

// HoldsSide says why a plan does not fit what one node measures of itself now; nil: it
// does, as far as that node can tell. How much a side would lose that is in use still,
// is not known before it has been stopped.
func (p Plan) HoldsSide(s Side) error {
	if err := p.holdsSide(s); err != nil {
		return fmt.Errorf("plan of group %s: %w: measure both sides, and plan anew", p.Group, err)
	}
	return nil
}

func (p Plan) holdsSide(s Side) error {
	if s.Missing != "" {
		return fmt.Errorf("%s could not be measured: %s", s.Node, s.Missing)
	}
	own := 0
	for _, was := range p.Basis {
		if was.Node != s.Node {
			continue
		}
		own++
		if err := was.holds(Evidence{Group: p.Group, Sides: [2]Side{s}}); err != nil {
			return err
		}
	}
	if own == 0 || own != len(s.Volumes) {
		return fmt.Errorf("it was made for %d volumes of %s and there are %d", own, s.Node, len(s.Volumes))
	}
	if s.Node == p.Survivor {
		return s.whole()
	}
	if changed, most := p.changed(s), p.mostLost(); s.Role == drbd.RoleSecondary && changed > most {
		return errors.New(tooMuch(changed, most))
	}
	return nil
}

func tooMuch(now, allowed uint64) string {
	n, a := Apart(now, allowed)
	return n + " would be discarded now, and the plan allows " + a
}

// mostLost is what the plan gives up at the most. Of several volumes some may not have
// split, and lose what they lag behind by.
func (p Plan) mostLost() uint64 {
	var kept uint64
	volumes := 0
	for _, s := range p.Steps {
		if s.Kind == Snapshot {
			kept, volumes = plus(kept, s.Bytes), volumes+1
		}
	}
	if volumes == 1 {
		return p.Discard
	}
	return max(p.Discard, kept)
}

func (s Side) whole() error {
	for _, v := range s.Volumes {
		if !v.Disk.AtLeast(drbd.DiskOutdated) {
			return fmt.Errorf("%s of %s, which is kept, is %s", v.Name(), s.Node, v.Disk)
		}
	}
	return nil
}

// changed is how many bytes of its own the victim would lose now: what it has marked, or
// all of a volume where that counts for nothing.
func (p Plan) changed(victim Side) uint64 {
	var sum uint64
	for _, v := range victim.Volumes {
		if s := p.keeps(v.Resource, v.Number); s != nil && s.Own >= v.Size {
			sum = plus(sum, v.Size)
			continue
		}
		sum = plus(sum, v.marked())
	}
	return sum
}

// marked is how many bytes a side has changed of a volume; all where that is not known.
func (v Volume) marked() uint64 {
	if v.OutOfSync == nil {
		return v.Size
	}
	return *v.OutOfSync
}

// Overwritten is how many bytes of a volume may be overwritten once it has come to so many
// that the victim has changed itself; 0: all of it.
func (s Step) Overwritten(own uint64) uint64 {
	if s.Bytes == 0 || own <= s.Own {
		return s.Bytes
	}
	return plus(s.Bytes, own-s.Own)
}

func (b Basis) holds(e Evidence) error {
	was, err := drbd.ParseGI(b.Generations)
	if err != nil {
		return fmt.Errorf("%s of %s was decided on a generation that cannot be read: %w", b.Volume, b.Node, err)
	}
	for _, v := range e.side(b.Node).Volumes {
		if v.Name() != b.Volume {
			continue
		}
		is, err := drbd.ParseGI(v.Generations)
		if err != nil {
			return fmt.Errorf("%s of %s: %w", b.Volume, b.Node, err)
		}
		// Bit 0 is the role, which the plan itself changes.
		if (!is.Current.Same(was.Current) || !is.Bitmap.Same(was.Bitmap)) && !mutant.On(mutant.GenerationsIgnored) {
			return fmt.Errorf("%s of %s has moved on from generation %s to %s: decide again", b.Volume, b.Node, was.Current, is.Current)
		}
		return nil
	}
	return fmt.Errorf("%s of %s is not there any more", b.Volume, b.Node)
}

// Commands are the lines with which a person would carry a step out; none where
// no command of DRBD's does it.
func (p Plan) Commands(s Step) []string {
	switch s.Kind {
	case Demote:
		return []string{"drbdadm secondary " + s.Resource}
	case Disconnect:
		return []string{"drbdadm disconnect " + s.Resource}
	case DumpMetadata:
		return []string{"drbdadm dump-md " + s.Resource + "/" + strconv.Itoa(s.Volume)}
	case Invalidate:
		return []string{"drbdadm invalidate " + s.Resource}
	case Discard:
		return []string{"drbdadm connect --discard-my-data " + s.Resource}
	case Connect:
		return []string{"drbdadm connect " + s.Resource}
	case StopServices, Snapshot, Measure, FollowResync, Readmit:
	}
	return nil
}
