package remote_test

import (
	"errors"
	"net"
	"strings"
	"testing"
	"time"

	"sbarbiter/agent"
	"sbarbiter/arbiter"
	"sbarbiter/arbiter/leader"
	"sbarbiter/arbiter/remote"
)

func acquire(c *client, number arbiter.RequestID) leader.Acquire {
	caller := c.caller
	caller.Request = number
	return leader.Acquire{Acquire: arbiter.Acquire{Caller: caller, Group: data}}
}

func TestAgentIsWelcomedRenewedAndGranted(t *testing.T) {
	w := newWorld(t)
	a, b := w.client(nodeA, w.listen), w.client(nodeB, w.listen)
	for _, c := range []*client{a, b} {
		if v := c.hello(); !v.Verdict.OK() || v.Version.Incarnation != 1 {
			t.Fatalf("welcomed with %+v", v)
		}
	}
	done := a.Call(t.Context(), 1, acquire(a, 1), patience)
	if done.Err != nil || done.Request != 1 || done.Verdict.Kind != arbiter.Granted || done.Version.Index == 0 {
		t.Fatalf("asked for the group: %+v", done)
	}
	done = b.Call(t.Context(), 1, acquire(b, 1), patience)
	if done.Err != nil || done.Verdict.Reason != arbiter.HeldByPeer {
		t.Errorf("a refusal is a verdict: %+v", done)
	}
	b.beat(1)
	answer := await[agent.Answered](b)
	if answer.Answer.Number != 1 || answer.Clock == 0 || answer.Answer.Groups[0].Holder != nodeA || answer.Answer.Definition.Cluster != cluster {
		t.Errorf("a beat is answered with %+v", answer)
	}
	a.stop()
	down := false
	for len(a.events) > 0 {
		_, down = (<-a.events).(agent.SessionDown)
	}
	if !down {
		t.Error("the last event of a client that stops is not that its session is down")
	}
}

func TestWitnessesAreTriedInTurn(t *testing.T) {
	w := newWorld(t)
	refused, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	refused.Close()
	mute := newLine(t, w.listen) // takes connections and says nothing
	mute.cut()
	c := w.client(nodeA, refused.Addr().String(), mute.addr, w.listen)
	if v := c.hello(); !v.Verdict.OK() {
		t.Errorf("welcomed with %+v", v)
	}
}

func TestSilentConnectionIsGivenUp(t *testing.T) {
	w := newWorld(t)
	l := newLine(t, w.listen)
	c := w.client(nodeA, l.addr)
	c.hello()
	c.beat(1)
	await[agent.Answered](c)
	l.cut()
	began := time.Now()
	c.beat(2)
	down := await[agent.SessionDown](c)
	if took := time.Since(began); took < time.Second || took > 5*time.Second {
		t.Errorf("a silent connection is given up after %v, not about a second", took)
	}
	if !strings.Contains(down.Why, "no answer") {
		t.Errorf("it is down because of %q", down.Why)
	}
	l.mend()
	if v := c.hello(); !v.Verdict.OK() {
		t.Errorf("welcomed again with %+v", v)
	}
}

func TestRestartedWitnessIsFoundAgain(t *testing.T) {
	w := newWorld(t)
	c := w.client(nodeA, w.listen)
	before := c.hello()
	w.stop()
	await[agent.SessionDown](c)
	w.start()
	after := c.hello()
	if !after.Verdict.OK() || !before.Version.Newer(after.Version) {
		t.Errorf("welcomed with %+v after %+v", after, before)
	}
}

func TestNoWitnessIsAFailureAndNoVerdict(t *testing.T) {
	w := newWorld(t)
	w.stop()
	c := w.client(nodeA, w.listen)
	began := time.Now()
	done := c.Call(t.Context(), 7, acquire(c, 7), 200*time.Millisecond)
	if !errors.Is(done.Err, remote.ErrNoSession) || done.Request != 7 || done.Verdict.Kind != "" {
		t.Errorf("without a witness: %+v", done)
	}
	if took := time.Since(began); took > 5*time.Second {
		t.Errorf("a call of 200 ms took %v", took)
	}
	done = c.Call(t.Context(), 8, leader.Hello{}, time.Second)
	if done.Err == nil {
		t.Error("a hello is no request")
	}
}

func TestCallUnderWayFailsWithTheConnection(t *testing.T) {
	w := newWorld(t)
	l := newLine(t, w.listen)
	c := w.client(nodeA, l.addr)
	c.hello()
	l.cut()
	done := c.Call(t.Context(), 1, acquire(c, 1), 300*time.Millisecond)
	if done.Err == nil || done.Verdict.Kind != "" {
		t.Errorf("a call into nothing: %+v", done)
	}
}

func TestSomebodyElsesCertificateIsSaid(t *testing.T) {
	w := newWorld(t)
	c := w.client(nodeA, w.listen)
	await[agent.SessionUp](c)
	c.caller.Node = nodeB
	c.SendHello(leader.Hello{Sender: leader.Sender{Caller: c.caller}})
	down := await[agent.SessionDown](c)
	if !strings.Contains(down.Why, "cannot speak for nfs1/node-b") {
		t.Errorf("it is down because of %q", down.Why)
	}
	done := c.Call(t.Context(), 1, acquire(c, 1), patience)
	if done.Err != nil || done.Verdict.Reason != arbiter.WrongIdentity {
		t.Errorf("a request in another's name: %+v", done)
	}
}

func TestClientWithoutWitnessesIsRefused(t *testing.T) {
	if _, err := remote.New(remote.Config{}); err == nil {
		t.Error("a client of nobody is made")
	}
}
