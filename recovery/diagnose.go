package recovery

import (
	"fmt"
	"slices"
	"time"

	"sbarbiter/drbd"
	"sbarbiter/drbd/model"
	"sbarbiter/internal/mutant"
)

// Kind is what two copies have to do with each other.
type Kind string

// The kinds, from the harmless to the hopeless. A group's kind is the worst of
// its volumes' kinds.
const (
	InSync          Kind = "in-sync"          // connecting them is enough
	Resync          Kind = "resync"           // one side merely lags behind
	Empty           Kind = "empty"            // one side never held data
	SplitBrain      Kind = "split-brain"      // both went their own way from a generation that both bitmaps count from
	MissingAncestor Kind = "missing-ancestor" // likewise, but the bitmaps count from elsewhere: only a full copy helps
	NoAncestor      Kind = "no-ancestor"      // DRBD calls it a split brain, and nothing proves that they were one
	NoGoodCopy      Kind = "no-good-copy"     // the side that would be the source is not consistent
	Diskless        Kind = "diskless"         // a side has no disk to look at
	Unrelated       Kind = "unrelated"        // nothing in common
	Unknown         Kind = "unknown"          // too little is known
)

var worst = []Kind{InSync, Resync, Empty, SplitBrain, MissingAncestor, NoAncestor, NoGoodCopy, Diskless, Unrelated, Unknown}

func (k Kind) rank() int {
	for i, w := range worst {
		if k == w {
			return i
		}
	}
	return len(worst)
}

// Split reports whether it is a split brain, which alone is ever resolved by
// discarding.
func (k Kind) Split() bool { return k.Proven() || k == NoAncestor }

// Proven reports whether both copies' metadata tells of one state that both were in: what
// is only called a split brain may be the disks of two pairs, and is a person's to judge.
func (k Kind) Proven() bool { return k == SplitBrain || k == MissingAncestor }

// Tells reports whether enough was seen of both copies to say that they have split, or
// that they have not.
func (k Kind) Tells() bool { return k != Unknown && k != Diskless }

// VolumeFinding is the diagnosis of one volume.
type VolumeFinding struct {
	Volume string `json:"volume"`
	Kind   Kind   `json:"kind"`
	// Rule names the rule of DRBD's own comparison that applies.
	Rule string `json:"rule,omitempty"`
	// Source is the side whose data DRBD would copy to the other by itself; ""
	// where it would not, or need not.
	Source Node `json:"source,omitempty"`
	// Full: every block is copied.
	Full bool `json:"full,omitempty"`
	// AtLeast and AtMost bound the bytes that are copied. The bitmaps of both
	// sides are joined, and how far they overlap is not known.
	AtLeast uint64 `json:"at_least"`
	AtMost  uint64 `json:"at_most"`
	// Soonest is how long copying AtLeast takes at the least, by the limit that DRBD sets
	// to its rate; 0: not known.
	Soonest time.Duration `json:"soonest_ns,omitempty"`
}

// Diagnosis is what is wrong with a group.
type Diagnosis struct {
	Kind    Kind            `json:"kind"`
	Volumes []VolumeFinding `json:"volumes,omitempty"`
	// Source is the side that DRBD would copy from by itself for the volumes
	// that did not split; "" if there is none.
	Source Node   `json:"source,omitempty"`
	Why    string `json:"why"`
	// Advice is what to do where discarding is not the answer.
	Advice string `json:"advice,omitempty"`
}

// full reports whether the whole of each volume has to be copied.
func (d Diagnosis) full() bool { return d.Kind == MissingAncestor || d.Kind == NoAncestor }

// Diagnose says what two copies have to do with each other, by the rules of
// DRBD's own handshake. Evidence that does not pass [Evidence.Check] is Unknown.
func Diagnose(e Evidence) Diagnosis {
	if err := e.Check(); err != nil {
		return Diagnosis{Kind: Unknown, Why: err.Error(), Advice: "measure again"}
	}
	for _, s := range e.Sides {
		if s.Missing != "" {
			return Diagnosis{
				Kind: Unknown, Why: fmt.Sprintf("nothing is known of %s's copy: %s", s.Node, s.Missing),
				Advice: fmt.Sprintf("bring %s and its agent up; one side alone cannot tell a split brain from a lag", s.Node),
			}
		}
	}
	d := Diagnosis{Kind: InSync}
	against := "" // a volume that lags behind the other way
	for i := range e.Sides[0].Volumes {
		f := diagnoseVolume(e, i)
		d.Volumes = append(d.Volumes, f)
		if f.Kind.rank() > d.Kind.rank() {
			d.Kind = f.Kind
		}
		switch {
		case f.Source == "" || d.Source == f.Source || d.Source != "" && mutant.On(mutant.DirectionsMixed):
		case d.Source == "":
			d.Source = f.Source
		default:
			against = fmt.Sprintf("%s would be copied from %s", f.Volume, f.Source)
		}
	}
	if against != "" {
		d.Source = ""
		if d.Kind.rank() <= NoGoodCopy.rank() {
			return e.contradiction(d, against)
		}
	}
	d.Why, d.Advice = e.explain(d)
	if why := e.apart(); why != "" && (d.Kind == InSync || d.Kind == Resync || d.Kind == Empty) {
		d.Advice = why + ", then connect them"
	}
	return d
}

// contradiction is what volumes are that lag behind in different directions:
// neither side has the whole group.
func (e Evidence) contradiction(d Diagnosis, against string) Diagnosis {
	d.Kind = NoGoodCopy
	d.Why = fmt.Sprintf("the volumes lag behind in different directions (%s): neither side holds one state of the whole group", against)
	d.Advice = "DRBD would put the group together from both. " + e.byHand(d)
	return d
}

func diagnoseVolume(e Evidence, i int) VolumeFinding {
	a, b := e.Sides[0].Volumes[i], e.Sides[1].Volumes[i]
	f := VolumeFinding{Volume: a.Name()}
	if !a.Disk.AtLeast(drbd.DiskInconsistent) || !b.Disk.AtLeast(drbd.DiskInconsistent) {
		f.Kind = Diskless
		return f
	}
	// What the driver would do if nobody interfered, and if being Primary were
	// no obstacle to it.
	c := model.Config{Family: e.Sides[0].Family, RRConflict: model.PolicyViolently, TwoPrimaries: true}
	self, peer := announced(e.Sides[0], a), announced(e.Sides[1], b)
	o := model.Judge(c, self, peer, model.Attempt{})
	f.Rule = o.Compared.Rule
	switch {
	case o.Compared.Strategy == model.Unrelated:
		f.Kind = Unrelated
	case o.Strategy.IsSplitBrain() && !shareGeneration(a, b):
		f.Kind, f.Full = NoAncestor, true
	case o.Strategy.IsSplitBrain() && o.Compared.Strategy == model.SplitBrainKnown:
		f.Kind = SplitBrain
	case o.Strategy.IsSplitBrain():
		f.Kind, f.Full = MissingAncestor, true
	case !o.Strategy.IsSource() && !o.Strategy.IsTarget():
		f.Kind = InSync
	default:
		f = f.copied(e, i, o.Strategy)
	}
	f.AtLeast, f.AtMost = f.forecast(a, b)
	f.Soonest = soonest(f.AtLeast, a, b)
	return f
}

// shareGeneration reports whether two copies have a generation of data in common. DRBD
// 8.4 takes two empty histories for that, and two that begin with new disks: the disks of
// two young pairs look split to it, and two new ones that somebody has forced. So does a
// real split, where a forced promotion has overwritten what told of it.
func shareGeneration(a, b Volume) bool {
	for _, u := range generations(a) {
		if slices.ContainsFunc(generations(b), u.Same) {
			return true
		}
	}
	return false
}

// generations are those of which a volume's metadata tells that it has held data of them.
func generations(v Volume) []drbd.UUID {
	g, _ := drbd.ParseGI(v.Generations) // Check has read it already
	all := []drbd.UUID{g.Current, g.Bitmap, g.History[0], g.History[1]}
	return slices.DeleteFunc(all, func(u drbd.UUID) bool { return u.Same(0) || u.Same(drbd.JustCreated) })
}

// copied is the finding about a volume that DRBD brings together by itself.
func (f VolumeFinding) copied(e Evidence, i int, s model.Strategy) VolumeFinding {
	from, to := 0, 1
	if s.IsTarget() {
		from, to = 1, 0
	}
	f.Kind, f.Source, f.Full = Resync, e.Sides[from].Node, s.IsFull()
	if !e.Sides[from].Volumes[i].Disk.AtLeast(drbd.DiskOutdated) {
		f.Kind, f.Source = NoGoodCopy, ""
	} else if neverHeldData(e.Sides[to].Volumes[i]) {
		f.Kind = Empty
	}
	return f
}

// neverHeldData reports whether a volume's metadata is as create-md leaves it.
func neverHeldData(v Volume) bool {
	g, err := drbd.ParseGI(v.Generations)
	return err == nil && g.Current.Same(drbd.JustCreated)
}

func announced(s Side, v Volume) model.Side {
	g, _ := drbd.ParseGI(v.Generations) // Check has read it already
	return model.Side{
		Generation: model.Generation{Current: g.Current, Bitmap: g.Bitmap, History: g.History[:]},
		Role:       s.Role, Disk: v.Disk, CrashedPrimary: g.Flags.CrashedPrimary,
	}
}

// forecast bounds the bytes that a resync copies.
func (f VolumeFinding) forecast(a, b Volume) (atLeast, atMost uint64) {
	size := min(a.Size, b.Size)
	switch {
	case f.Kind == InSync || f.Kind == Unrelated:
		return 0, 0
	case f.Full:
		return size, size
	case a.OutOfSync == nil || b.OutOfSync == nil:
		return 0, size
	}
	return min(max(*a.OutOfSync, *b.OutOfSync), size), min(plus(*a.OutOfSync, *b.OutOfSync), size)
}

// soonest is how long it takes to copy so much, by the lower of both sides' limits.
func soonest(bytes uint64, a, b Volume) time.Duration {
	limit := min(a.ResyncLimit, b.ResyncLimit)
	if limit == 0 {
		limit = max(a.ResyncLimit, b.ResyncLimit)
	}
	if limit == 0 {
		return 0
	}
	const most = 9e9 // seconds: no duration is longer
	return time.Duration(min(float64(bytes)/float64(limit), most) * float64(time.Second))
}

// connected reports whether both sides say of every volume that DRBD is connected, and
// that the disk is no worse than that.
func (e Evidence) connected(disk drbd.DiskState) bool {
	for _, s := range e.Sides {
		for _, v := range s.Volumes {
			if g, err := drbd.ParseGI(v.Generations); err != nil || !g.Flags.Connected || !v.Disk.AtLeast(disk) {
				return false
			}
		}
	}
	return true
}

// explain puts a diagnosis into words, with what to do.
func (e Evidence) explain(d Diagnosis) (why, advice string) {
	a, b := e.Sides[0].Node, e.Sides[1].Node
	switch d.Kind {
	case InSync:
		if e.connected(drbd.DiskUpToDate) {
			return "both copies are connected and in step: nothing is wrong", "there is nothing to resolve"
		}
		return "both copies are the same generation", "connect them: drbdadm connect on whichever side is StandAlone"
	case Resync:
		why = fmt.Sprintf("%s lags behind %s: no split brain", e.Other(d.Source), d.Source)
		if e.connected(drbd.DiskInconsistent) {
			return why, "there is nothing to resolve: they are connected, and DRBD copies what is missing by itself"
		}
		return why, "connect them: DRBD copies what is missing, and nothing that both had is lost"
	case Empty:
		return fmt.Sprintf("%s never held data", e.Other(d.Source)), fmt.Sprintf("connect them: the whole of %s is copied", d.Source)
	case SplitBrain:
		return fmt.Sprintf("%s and %s were both Primary after they had lost each other", a, b), ""
	case MissingAncestor:
		return fmt.Sprintf("%s and %s went their own ways so long ago that their bitmaps do not count from a common state", a, b), ""
	case NoAncestor:
		return fmt.Sprintf("DRBD calls it a split brain, but the metadata of %s and %s tells of no state that both were in: they may be disks of two pairs, or one was forced again after they had parted", a, b),
			"make sure that both disks belong to this group; no policy is asked, and giving one side up copies everything"
	case NoGoodCopy:
		return e.noneWhole(d), "bring a backup back, or go on with what one side holds, half of it old and half of it new perhaps. " + e.byHand(d)
	case Diskless:
		return e.diskless()
	case Unrelated:
		return fmt.Sprintf("the copies of %s on %s and %s have no generation in common: they may belong to different pairs", strangers(d), a, b),
			"make sure that the right disks are there. If they are, one side's data is given up by hand. " + e.byHand(d)
	case Unknown:
	}
	return "too little is known", "measure again"
}
