package ctl

import (
	"context"
	"log/slog"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"sbarbiter/internal/boottime"
	"sbarbiter/internal/pki"
	"sbarbiter/internal/rpc"
	sbv1 "sbarbiter/proto/sb/v1"
)

// actor speaks for a node whose services start and stop in no time: enough of an
// agent for a witness to have something to say.
type actor struct {
	t        *testing.T
	op       sbv1.ArbiterClient
	caller   *sbv1.Caller
	takes    bool        // asks for a group that nobody holds
	peer     atomic.Bool // is there
	epoch    uint64
	requests uint64
	beats    uint64
}

// act runs a node until stop is called.
func act(t *testing.T, addr string, own *pki.Source, node string, takes bool) (n *actor, stop func()) {
	t.Helper()
	conn, err := rpc.Dial(addr, own, pki.RoleWitness, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	n = &actor{
		t: t, op: sbv1.NewArbiterClient(conn), takes: takes,
		caller: &sbv1.Caller{Cluster: "nfs1", Node: node, Boot: "boot-of-" + node, Incarnation: 1},
	}
	n.peer.Store(true)
	ctx, cancel := context.WithCancel(context.Background())
	var done sync.WaitGroup
	done.Go(func() { n.run(ctx) })
	stop = sync.OnceFunc(func() { cancel(); done.Wait(); conn.Close() })
	t.Cleanup(stop)
	return n, stop
}

func (n *actor) run(ctx context.Context) {
	stream, err := n.op.Session(ctx)
	if err != nil {
		n.complain(ctx, err)
		return
	}
	hello := &sbv1.FromAgent{Message: &sbv1.FromAgent_Hello{Hello: &sbv1.Hello{Caller: n.caller, Fresh: true}}}
	if err := stream.Send(hello); err != nil {
		n.complain(ctx, err)
		return
	}
	for ctx.Err() == nil {
		m, err := stream.Recv()
		if err != nil {
			n.complain(ctx, err)
			return
		}
		switch {
		case m.GetWelcome() != nil:
			n.caller.Incarnation = m.GetWelcome().GetIncarnation()
		case m.GetAnswer() != nil:
			n.obey(ctx, m.GetAnswer().GetGroups()[0])
			pause(ctx, 50*time.Millisecond)
		default:
			continue
		}
		if err := stream.Send(&sbv1.FromAgent{Message: &sbv1.FromAgent_Beat{Beat: n.beat()}}); err != nil {
			n.complain(ctx, err)
			return
		}
	}
}

func (n *actor) complain(ctx context.Context, err error) {
	if ctx.Err() == nil {
		n.t.Errorf("%s: %v", n.caller.GetNode(), err)
	}
}

func (n *actor) beat() *sbv1.Beat {
	n.beats++
	phase, state := "stopped", "stopped"
	if n.epoch != 0 {
		phase, state = "running", "running"
	}
	return &sbv1.Beat{
		Caller: n.caller, Number: n.beats, ClockNs: int64(boottime.Now()), Needed: 1,
		References: 1,
		Links:      []*sbv1.Link{{Name: "cross", HearsPeer: n.peer.Load()}, {Name: "lan", HearsPeer: n.peer.Load()}},
		Groups: []*sbv1.GroupBeat{{
			Group: "nfs", Epoch: n.epoch, Phase: phase, Evidence: n.evidence(), Services: []*sbv1.Service{{Name: "nfs-server", State: state}},
		}},
	}
}

func (n *actor) evidence() *sbv1.Evidence {
	disk := &sbv1.Disk{Volume: "r0/0", Own: "UpToDate", Peer: "UpToDate", Connected: true}
	if !n.peer.Load() { // to which DRBD is not connected then
		disk.Peer, disk.Connected = "DUnknown", false
	}
	return &sbv1.Evidence{
		Disks:      []*sbv1.Disk{disk},
		References: 1, Needed: 1, HearsPeer: n.peer.Load(), PeerReaches: 1,
		Watchdog: &sbv1.Watchdog{Armed: true, Hardware: true, TimeoutNs: (5 * time.Second).Nanoseconds()},
	}
}

func (n *actor) obey(ctx context.Context, g *sbv1.GroupAnswer) {
	n.caller.Floor = max(n.caller.GetFloor(), g.GetEpoch())
	node := n.caller.GetNode()
	switch {
	case n.epoch != 0 && g.GetMoveTo() != "" && g.GetMoveTo() != node:
		v, err := n.op.Release(ctx, &sbv1.ReleaseRequest{Caller: n.request(), Group: "nfs", Epoch: n.epoch, Started: true, Reason: "ordered"})
		if err == nil && v.GetKind() == "done" {
			n.epoch, n.takes = 0, false
		}
	case n.epoch == 0 && g.GetHolder() == "" && (n.takes || g.GetMoveTo() == node):
		v, err := n.op.Acquire(ctx, &sbv1.AcquireRequest{Caller: n.request(), Group: "nfs", Evidence: n.evidence()})
		if err == nil && v.GetKind() == "granted" {
			n.epoch = v.GetEpoch()
			n.caller.Floor = max(n.caller.GetFloor(), n.epoch)
		}
	}
}

func (n *actor) request() *sbv1.Caller {
	n.requests++
	return &sbv1.Caller{
		Cluster: n.caller.GetCluster(), Node: n.caller.GetNode(), Boot: n.caller.GetBoot(), Incarnation: n.caller.GetIncarnation(),
		Floor: n.caller.GetFloor(), Request: n.requests,
	}
}
