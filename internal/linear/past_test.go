package linear

import (
	"context"
	"testing"
	"time"

	"sbarbiter/arbiter"
	"sbarbiter/internal/bubble"
	"sbarbiter/internal/faketime"
)

// once asks one thing once and fails the test unless the answer is of a kind.
func (n *node) once(ctx context.Context, c *Client, ask Ask, want arbiter.Kind) {
	n.tr.t.Helper()
	end := c.Begin(ask)
	request, m := n.message(ask)
	done := n.Call(ctx, request, m, 2*time.Second)
	if done.Err != nil {
		end(Told{})
	} else {
		end(n.answer(ask, done.Verdict, false))
	}
	if want != "" && done.Verdict.Kind != want {
		n.tr.t.Fatalf("%v: %v %v", ask, done.Verdict, done.Err)
	}
}

// A leader is cut off from the other witnesses and nobody has told it yet. It
// has refused node-a a moment ago; that the group is free by now it cannot know.
func TestALeaderThatWasDeposedShowsNobodyThePast(t *testing.T) {
	var h *History
	faketime.Test(t, func(t *testing.T) {
		ws := bubble.NewWitnesses(t, 3)
		ws.Engine = newSlowEdges(time.Hour)
		ws.Start()
		ctx, stop := context.WithCancel(context.Background())
		tr := &traffic{t: t, ws: ws, silence: time.Minute}
		defer func() { stop(); tr.askers.Wait() }()
		tr.begin(ctx)
		h = tr.h
		a, b, c := tr.nodes[NodeA], tr.nodes[NodeB], tr.h.Client()
		asks := Ask{Verb: Acquire, Group: groups[0], By: NodeA}
		b.once(ctx, c, Ask{Verb: Acquire, Group: groups[0], By: NodeB}, arbiter.Granted)
		for range 3 {
			a.once(ctx, c, asks, arbiter.Refused)
		}

		old := ws.Leader()
		old.Cut()
		ws.Net.HangupFrom("node-b", old.Name)
		ws.Net.Hold("node-b", old.Name)
		time.Sleep(5 * time.Second)
		b.once(ctx, c, Ask{Verb: Release, Group: groups[0], By: NodeB, Epoch: b.epoch(groups[0])}, arbiter.Done)

		a.once(ctx, c, asks, "")
		old.Join()
	})
	if err := h.Check(kept, t.Name(), time.Minute); err != nil {
		t.Error(err)
	}
}
