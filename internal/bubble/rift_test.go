package bubble

import (
	"context"
	"fmt"
	"sync"
	"time"

	"sbarbiter/drbd"
	"sbarbiter/recovery"
	copies "sbarbiter/recovery/carry"
)

// rift is a split brain between the two sides, and what a recovery has done about it.
type rift struct {
	mu      sync.Mutex
	p       *pair
	victim  int
	sides   [2]riftSide
	copying int // how far the copy is; 0: none
	healed  bool
	// disaster comes once, at a step.
	step   recovery.StepKind
	comes  func(on int)
	inside bool // after the step's effect, before anybody hears of it
	came   bool
}

// riftSide is one node's copy.
type riftSide struct {
	looking bool // for its peer
	flag    bool // and gives its changes up
	bad     bool // the target of a copy
	kept    int
}

var riftGI = [2]string{
	"6BB4841B974EA3B3:2118A6CB62BB9567:0000000000000000:0000000000000000:1:1:1:0:0:0:0",
	"D6F3F795B57E18AB:2118A6CB62BB9566:0000000000000000:0000000000000000:1:1:1:0:0:0:0",
}

// split lets the pair have parted, with both sides written to.
func (p *pair) split(victim int) *rift {
	r := &rift{p: p, victim: victim}
	p.mirror.mu.Lock()
	p.mirror.rift = r
	p.mirror.tell()
	p.mirror.mu.Unlock()
	return r
}

// lost: the machine has no power any more.
func (r *rift) lost(i int) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.sides[i].looking, r.sides[i].flag, r.copying = false, false, 0
}

// shown is what a kernel shows of it.
func (r *rift) shown(i int, res drbd.Resource) drbd.Resource {
	r.mu.Lock()
	defer r.mu.Unlock()
	state := drbd.ConnStandAlone
	if r.sides[i].looking {
		state = drbd.ConnConnecting
	}
	res.Peer.State = state
	res.Peer.Volumes[0] = drbd.PeerVolume{Replication: drbd.ReplOff, PeerDisk: drbd.DiskUnknown}
	if r.sides[i].bad {
		res.Volumes[0].Disk = drbd.DiskInconsistent
	}
	return res
}

// meet lets the two find each other if both look, by the flag or by the disk that is
// bad; else they part once more.
func (r *rift) meet() {
	v, k := &r.sides[r.victim], &r.sides[1-r.victim]
	switch {
	case !v.looking || !k.looking || r.copying > 0 || r.healed:
	case v.flag || v.bad:
		if v.kept == 0 {
			r.p.t.Error("it is overwritten, and nothing was kept")
		}
		v.flag, v.bad, r.copying = false, true, 1
	default:
		v.looking, k.looking = false, false
	}
}

// hands are a node's, for the rift of its pair.
type hands struct{ n *node }

func (h hands) rift() *rift {
	h.n.p.mirror.mu.Lock()
	defer h.n.p.mirror.mu.Unlock()
	return h.n.p.mirror.rift
}

func (h hands) Prepare(context.Context) {}

func (h hands) Measure(ctx context.Context, _ copies.Group) (recovery.Side, error) {
	if r := h.rift(); r != nil {
		r.strike(recovery.Measure, h.n.i, false)
	}
	if err := sleep(ctx, 20*time.Millisecond); err != nil {
		return recovery.Side{}, err
	}
	r := h.rift()
	if r == nil {
		return recovery.Side{Node: recovery.Node(nodes[h.n.i]), Missing: "nothing has split"}, nil
	}
	role := h.n.p.mirror.sides[h.n.i].state().Role
	r.strike(recovery.Measure, h.n.i, true)
	changed := uint64(4 << 20)
	return recovery.Side{
		Node: recovery.Node(nodes[h.n.i]), Family: drbd.Family84, Role: role,
		Volumes: []recovery.Volume{{Resource: "r0", Size: 64 << 20, Disk: drbd.DiskUpToDate, Generations: riftGI[h.n.i], OutOfSync: &changed}},
	}, ctx.Err()
}

func (h hands) Do(ctx context.Context, p recovery.Plan, s recovery.Step, _ string) (copies.Progress, error) {
	r := h.rift()
	if r == nil {
		return copies.Progress{Done: true, Ready: true, Note: "nothing has split"}, nil
	}
	r.strike(s.Kind, h.n.i, false)
	if err := sleep(ctx, 20*time.Millisecond); err != nil {
		return copies.Progress{}, fmt.Errorf("%s: %w", s, err)
	}
	done := r.do(h.n.i, s.Kind)
	r.strike(s.Kind, h.n.i, true)
	if err := sleep(ctx, 20*time.Millisecond); err != nil { // who has died reports nothing
		return copies.Progress{}, fmt.Errorf("%s: %w", s, err)
	}
	return copies.Progress{Done: done, Ready: done, Left: 1, Total: 4}, nil
}

func (r *rift) do(i int, k recovery.StepKind) (done bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	done = true
	switch s := &r.sides[i]; k {
	case recovery.Snapshot:
		s.kept++
	case recovery.Disconnect:
		s.looking, s.flag = false, false
	case recovery.Discard:
		if i != r.victim {
			r.p.t.Error("the survivor gives its data up")
		}
		if r.copying == 0 && !r.healed {
			s.looking, s.flag = true, true
		}
	case recovery.Connect:
		s.looking = true
	case recovery.FollowResync:
		done = r.follow(i)
	case recovery.StopServices, recovery.Demote, recovery.DumpMetadata, recovery.Invalidate, recovery.Measure, recovery.Readmit:
	}
	r.meet()
	return done
}

func (r *rift) follow(i int) bool {
	r.sides[i].looking = true
	switch {
	case r.healed:
		return true
	case r.copying > 0:
		r.copying++
	}
	if r.copying > 8 {
		r.healed = true
		go r.p.mirror.heal(r)
	}
	return r.healed
}

// heal connects the two for good.
func (m *mirror) heal(r *rift) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.rift == r {
		m.rift = nil
		m.tell()
	}
}

// strike lets the disaster come, once, where it is due. Whoever dies of it does not
// wait for its own end.
func (r *rift) strike(k recovery.StepKind, on int, inside bool) {
	r.mu.Lock()
	due := !r.came && r.comes != nil && r.step == k && r.inside == inside
	r.came = r.came || due
	comes := r.comes
	r.mu.Unlock()
	if due {
		go comes(on)
		time.Sleep(10 * time.Millisecond)
	}
}
