package carry

import (
	"context"
	"fmt"
	"time"

	"sbarbiter/drbd"
	"sbarbiter/drbd/kernel"
	"sbarbiter/recovery"
	"sbarbiter/recovery/keep"
)

// Group is what is recovered together.
type Group struct {
	Name      string
	Resources []string // in the order in which they are promoted
	// Stop stops the group's services and unmounts, and returns nil once that was
	// seen; nil if there is nothing to stop.
	Stop   func(context.Context) error
	Probes []Probe
}

// Probe is a command that prints how far an application has come, as a GTID or an
// LSN. Its first line is shown to people; nothing is decided on it.
type Probe struct {
	Name    string
	Command []string      // the program's path and its arguments
	Limit   time.Duration // 5 s if 0
}

// DRBD is what a recovery needs of the driver; see kernel.Driver.
type DRBD interface {
	Family(ctx context.Context) (drbd.Family, error)
	// Now reads a resource afresh.
	Now(ctx context.Context, resource string) (drbd.Resource, error)
	// GenerationLines are the volumes' lines of get-gi, in volume order. It needs
	// attached disks.
	GenerationLines(ctx context.Context, resource string) ([]string, error)
	// StoredGenerations is one volume's, read from the disk if need be.
	StoredGenerations(ctx context.Context, resource string, volume int) (string, error)
	Backing(ctx context.Context, resource string) ([]kernel.Backing, error)
	DumpMetadata(ctx context.Context, resource string, volume int) (string, error)
	// SplitPolicies are the settings by which DRBD could resolve a split brain
	// before this program does.
	SplitPolicies(ctx context.Context, resource string) ([]drbd.Violation, error)

	// ResyncLimit is the rate, in bytes per second, that no resync goes beyond; 0: not
	// known.
	ResyncLimit(ctx context.Context, resource string) (uint64, error)

	// Prepare learns what is asked for above and does not change.
	Prepare(ctx context.Context)

	Demote(ctx context.Context, resource string) error
	Disconnect(ctx context.Context, resource string) error
	Connect(ctx context.Context, resource string, option drbd.ConnectOption) error
	Invalidate(ctx context.Context, resource string) error
}

// Node is this node's part in recoveries. Measure may be called beside everything else;
// all else belongs to one goroutine, but that one other may copy a volume away
// ([recovery.Snapshot]) for as long as that takes.
type Node struct {
	Name   recovery.Node
	Groups []Group
	DRBD   DRBD
	// Store keeps what is about to be overwritten; nil: nothing can be kept.
	Store *keep.Store
	// Proc, Sys and Dev are /proc, /sys and /dev, if they are elsewhere.
	Proc, Sys, Dev string
	// Again is after how long the wish to give this node's data up is uttered again;
	// 10 s if 0.
	Again time.Duration

	uttered map[string]time.Time // that wish, for each resource
}

// Prepare learns beforehand what a recovery wants to know and does not change.
func (n *Node) Prepare(ctx context.Context) { n.DRBD.Prepare(ctx) }

// Progress is how far a step has come.
type Progress struct {
	// Done says that the step's effect is there.
	Done bool
	// Ready says that the next step may begin. A step that is ready and not done
	// waits for the other side, and has to be asked for again until it is done.
	Ready       bool
	Note        string // for people
	Left, Total uint64 // bytes still to be copied, of follow-resync
}

func done(note string, args ...any) Progress {
	return Progress{Done: true, Ready: true, Note: fmt.Sprintf(note, args...)}
}

func ready(note string, args ...any) Progress {
	return Progress{Ready: true, Note: fmt.Sprintf(note, args...)}
}

func waiting(note string, args ...any) Progress {
	return Progress{Note: fmt.Sprintf(note, args...)}
}

// Do carries a step of the plan out, or sees that it is done already. It returns
// soon; what is not done is asked for again. An error says that the step was
// refused or that its outcome is not known; asking again is right after either. It does
// not name the step: whoever shows it does.
//
// The id names what is kept, and is part of a path.
func (n *Node) Do(ctx context.Context, p recovery.Plan, s recovery.Step, id string) (Progress, error) {
	g, err := n.group(p, s)
	if err != nil {
		return Progress{}, err
	}
	w := work{Node: n, group: g, plan: p, step: s, id: id}
	switch s.Kind {
	case recovery.StopServices:
		return w.stopServices(ctx)
	case recovery.Demote:
		return w.demote(ctx)
	case recovery.Disconnect:
		return w.disconnect(ctx)
	case recovery.DumpMetadata:
		return w.dumpMetadata(ctx)
	case recovery.Snapshot:
		return w.snapshot(ctx)
	case recovery.Invalidate:
		return w.invalidate(ctx)
	case recovery.Discard:
		return w.discard(ctx)
	case recovery.Connect:
		return w.connect(ctx)
	case recovery.FollowResync:
		return w.follow(ctx)
	case recovery.Measure, recovery.Readmit:
	}
	return Progress{}, fmt.Errorf("a node does not carry out %q: it is for whoever leads the recovery", s.Kind)
}

// work is one step that is being carried out.
type work struct {
	*Node
	group Group
	plan  recovery.Plan
	step  recovery.Step
	id    string
}

func (n *Node) group(p recovery.Plan, s recovery.Step) (Group, error) {
	if s.Kind != recovery.FollowResync && s.Node != n.Name {
		return Group{}, fmt.Errorf("it is %s's, and this is %s", s.Node, n.Name)
	}
	if err := p.Check(); err != nil {
		return Group{}, err
	}
	for _, g := range n.Groups {
		if g.Name != p.Group {
			continue
		}
		for _, r := range g.Resources {
			if s.Resource == "" || r == s.Resource {
				return g, nil
			}
		}
		return Group{}, fmt.Errorf("resource %s is not one of this node's group %s", s.Resource, g.Name)
	}
	return Group{}, fmt.Errorf("this node has no group %s", p.Group)
}

// victim reports whether this node's copy is given up.
func (w work) victim() bool { return w.plan.Victim == w.Name }
