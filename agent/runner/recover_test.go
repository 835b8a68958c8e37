package runner

import (
	"context"
	"log/slog"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"golang.org/x/sync/errgroup"

	"sbarbiter/agent"
	"sbarbiter/arbiter"
	"sbarbiter/drbd"
	"sbarbiter/internal/faketime"
	"sbarbiter/recovery"
	"sbarbiter/recovery/carry"
)

// slowHands copy a volume away, which takes a day.
type slowHands struct{ s *story }

func (slowHands) Prepare(context.Context) {}

func (h slowHands) Measure(context.Context, carry.Group) (recovery.Side, error) {
	h.s.note("measured")
	return recovery.Side{}, nil
}

func (h slowHands) Do(ctx context.Context, _ recovery.Plan, s recovery.Step, _ string) (carry.Progress, error) {
	h.s.note("begun " + string(s.Kind))
	select {
	case <-ctx.Done():
		h.s.note("broken off")
		return carry.Progress{}, ctx.Err()
	case <-time.After(24 * time.Hour):
		return carry.Progress{Done: true, Ready: true}, nil
	}
}

// twoGroups is a node with the groups nfs and web, whose hands do what a test lets them.
type twoGroups struct {
	r    *Runner
	let  map[string]chan struct{} // what is held up, by the step's resource, until closed
	mu   sync.Mutex
	busy map[recovery.StepKind]int // how many such steps are under way
	most int                       // of steps but copying at one time
	did  []string
}

func (h *twoGroups) Prepare(context.Context) {}

func (h *twoGroups) Measure(_ context.Context, g carry.Group) (recovery.Side, error) {
	h.note("measured " + g.Name)
	return recovery.Side{}, nil
}

func (h *twoGroups) Do(ctx context.Context, _ recovery.Plan, s recovery.Step, _ string) (carry.Progress, error) {
	kind := s.Kind
	if kind != recovery.Snapshot {
		kind = recovery.Demote
	}
	h.mu.Lock()
	h.busy[kind]++
	h.most = max(h.most, h.busy[recovery.Demote])
	h.mu.Unlock()
	defer func() {
		h.mu.Lock()
		h.busy[kind]--
		h.mu.Unlock()
	}()
	h.note("begun " + s.String())
	if let := h.let[s.Resource]; let != nil {
		select {
		case <-let:
		case <-ctx.Done():
			return carry.Progress{}, ctx.Err()
		}
	}
	h.note("done " + s.String())
	return carry.Progress{Done: true, Ready: true}, nil
}

func (h *twoGroups) note(what string) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.did = append(h.did, what)
}

func (h *twoGroups) has(what string) bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	return slices.Contains(h.did, what)
}

// step has a group's step carried out: nfs has the resource r0, web r1.
func (h *twoGroups) step(id arbiter.GroupID, kind recovery.StepKind) {
	s := recovery.Step{Node: "node-a", Kind: kind, Resource: map[arbiter.GroupID]string{"nfs": "r0", "web": "r1"}[id]}
	h.r.carry(agent.Carry{Group: id, Task: arbiter.Task{Plan: &recovery.Plan{Steps: []recovery.Step{s}}}, Steps: []recovery.Step{s}})
}

// told is what the machine is told next, nil if that is nothing.
func (h *twoGroups) told() agent.Event {
	synctest.Wait()
	select {
	case d := <-h.r.events:
		return d.event
	default:
		return nil
	}
}

// atWork tells of a node with two groups, of whose resources some are held up.
func atWork(t *testing.T, story func(t *testing.T, h *twoGroups), held ...string) {
	faketime.Test(t, func(t *testing.T) {
		h := &twoGroups{let: map[string]chan struct{}{}, busy: map[recovery.StepKind]int{}}
		for _, r := range held {
			h.let[r] = make(chan struct{})
		}
		h.r = New(Config{Groups: []Group{{ID: "nfs"}, {ID: "web"}}}, nil, Parts{
			Hands: h, Copies: map[arbiter.GroupID]carry.Group{"nfs": {Name: "nfs"}, "web": {Name: "web"}}, Log: slog.New(slog.DiscardHandler),
		})
		ctx, end := context.WithCancel(t.Context())
		h.r.tasks, h.r.ctx = errgroup.WithContext(ctx)
		h.r.tasks.Go(h.r.workOff)
		story(t, h)
		end()
		if err := h.r.tasks.Wait(); err != nil {
			t.Error(err)
		}
	})
}

// Copying a volume away takes hours. Another group's recovery is not judged without this
// side meanwhile, and goes on.
func TestOneGroupIsRecoveredWhileAnotherIsCopiedAway(t *testing.T) {
	atWork(t, func(t *testing.T, h *twoGroups) {
		h.step("nfs", recovery.Snapshot)
		h.r.measure(agent.Measure{Group: "web"})
		if ev, ok := h.told().(agent.SideMeasured); !ok || ev.Group != "web" || ev.Side.Missing != "" {
			t.Fatalf("of web it is told %+v", ev)
		}
		h.step("web", recovery.Demote)
		if ev, ok := h.told().(agent.Carried); !ok || ev.Group != "web" || !ev.Done {
			t.Fatalf("of web it is told %+v", ev)
		}
		if h.has("done node-a: snapshot r0/0") {
			t.Error("nfs is copied already")
		}
	}, "r0")
}

// Copies share the store, and what is free there is counted before each: one comes after
// the other, and which one is waited for is said.
func TestSecondCopyWaitsForTheFirstAndSaysSo(t *testing.T) {
	atWork(t, func(t *testing.T, h *twoGroups) {
		h.step("nfs", recovery.Snapshot)
		synctest.Wait()
		h.step("web", recovery.Snapshot)
		if ev, ok := h.told().(agent.Carried); !ok || ev.Err != nil || ev.Done || ev.Ready || ev.Note != "this node copies a volume of nfs away first" {
			t.Fatalf("of web it is told %+v", ev)
		}
		close(h.let["r0"])
		if ev, ok := h.told().(agent.Carried); !ok || ev.Group != "nfs" || !ev.Done {
			t.Fatalf("of nfs it is told %+v", ev)
		}
		h.step("web", recovery.Snapshot)
		if ev, ok := h.told().(agent.Carried); !ok || ev.Group != "web" || !ev.Done {
			t.Errorf("of web it is told %+v", ev)
		}
	}, "r0")
}

// Other steps are done one at a time; a group is measured whatever another one's waits for.
func TestStepsOfTwoGroupsAreDoneOneAfterTheOther(t *testing.T) {
	atWork(t, func(t *testing.T, h *twoGroups) {
		h.step("nfs", recovery.Demote)
		synctest.Wait()
		h.r.measure(agent.Measure{Group: "web"})
		if ev, ok := h.told().(agent.SideMeasured); !ok {
			t.Fatalf("of web it is told %+v", ev)
		}
		h.step("web", recovery.Demote)
		if ev := h.told(); ev != nil || h.has("begun node-a: demote r1") {
			t.Fatalf("it does both at once, and tells %+v", ev)
		}
		close(h.let["r0"])
		first, second := h.told(), h.told()
		if first == nil || second == nil || h.most != 1 || !h.has("done node-a: demote r1") {
			t.Errorf("%d at a time: %q", h.most, h.did)
		}
	}, "r0")
}

func TestNextRecoveryDoesNotWaitForACopyThatNobodyWants(t *testing.T) {
	withHands := func(s *story) {
		s.runner.recoverer.hands = slowHands{s}
		s.runner.recoverer.copies = map[arbiter.GroupID]carry.Group{"nfs": {Name: "nfs", Resources: []string{"r0"}}}
		p := recovery.Plan{Version: recovery.PlanVersion, Group: "nfs", Family: drbd.Family84, Victim: "node-a", Survivor: "node-b"}
		for _, n := range []recovery.Node{"node-a", "node-b"} {
			p.Basis = append(p.Basis, recovery.Basis{Node: n, Volume: "r0/0", Generations: "6BB4841B974EA3B3:2118A6CB62BB9567:0000000000000000:0000000000000000:1:1:1:0:0:0:0"})
		}
		for _, k := range []recovery.StepKind{recovery.StopServices, recovery.Demote, recovery.Disconnect, recovery.DumpMetadata, recovery.Snapshot, recovery.Measure, recovery.Discard, recovery.Connect, recovery.FollowResync, recovery.Readmit} {
			step := recovery.Step{Node: "node-a", Kind: k, Resource: "r0"}
			switch k {
			case recovery.Measure, recovery.Connect, recovery.FollowResync, recovery.Readmit:
				step.Node = "node-b"
			}
			switch k {
			case recovery.StopServices, recovery.Measure, recovery.FollowResync, recovery.Readmit:
				step.Resource = ""
			}
			p.Steps = append(p.Steps, step)
		}
		s.witness.task = &arbiter.Task{Recovery: 1, Name: "1-1", Tries: 1, Step: 4, Plan: &p}
	}
	tell(t, []string{"r0"}, func(s *story) {
		s.pass(3 * time.Second)
		s.must("begun snapshot")
		s.mustNot("broken off")
		s.witness.wants(&arbiter.Task{Recovery: 2, Round: 1})
		s.pass(3 * time.Second)
		s.must("broken off")
		s.must("measured")
	}, withHands)
}
