package bubble

import (
	"context"
	"flag"
	"strings"
	"syscall"
	"testing"
	"time"

	sbv1 "sbarbiter/proto/sb/v1"
)

// fake is how long the longest story lasts for those in it.
var fake = flag.Duration("fake", 20*time.Minute, "fake time of TestADayOfRenewalsMovesNothing; make bubble takes a day")

var rounds = flag.Int("rounds", 3, "rounds of TestTroubleEndsWithOneNodeRunning")

// The clocks of the two nodes run 0.8 % apart, that of the witness between them.
func TestADayOfRenewalsMovesNothing(t *testing.T) {
	story(t, 1, func(p *pair) {
		before := p.seen()
		for began := time.Now(); time.Since(began) < *fake; {
			p.quiet(time.Minute)
			now := p.seen()
			if now.GetEpoch() != before.GetEpoch() || now.GetHolder() != before.GetHolder() || now.GetRemainingNs() < int64(timing.TTL-time.Second) {
				t.Fatalf("after %v the group is %v", time.Since(began), now)
			}
		}
		t.Logf("%v passed", *fake)
	})
}

func TestLeaderChangeUnderARunningPairMovesNobody(t *testing.T) {
	story(t, 3, func(p *pair) {
		before := p.seen()
		for what, change := range map[string]func(w *Witness) (back func()){
			"stopped": func(w *Witness) func() { must(t, w.Stop()); return w.Start },
			"killed":  func(w *Witness) func() { w.Kill(); return w.Start },
			"cut off": func(w *Witness) func() { w.Cut(); return w.Join },
			"paused":  func(w *Witness) func() { return w.Pause(string(nodes[a]), string(nodes[b]), "alice") },
		} {
			old := p.leader()
			back := change(p.ws.All()[old])
			p.soon("another witness leads when "+p.ws.All()[old].Name+" is "+what, func() bool { now := p.leader(); return now >= 0 && now != old })
			p.quiet(30 * time.Second)
			back()
			p.quiet(30 * time.Second)
			if now := p.seen(); now.GetEpoch() != before.GetEpoch() || now.GetHolder() != before.GetHolder() {
				t.Fatalf("a leader was %s, and the group is %v", what, now)
			}
		}
	})
}

func TestWitnessesThatComeAndGoStopNothingWhileTheNodesTalk(t *testing.T) {
	story(t, 1, func(p *pair) {
		before, w := p.seen(), p.ws.All()[0]
		for range 10 {
			w.Kill()
			p.quiet(3 * time.Minute)
			w.Start()
			p.quiet(20 * time.Second)
		}
		if now := p.seen(); now.GetEpoch() != before.GetEpoch() || now.GetHolder() != before.GetHolder() {
			t.Errorf("the group is %v", now)
		}
	})
}

func TestAgentsThatAreRestartedTouchNoService(t *testing.T) {
	story(t, 1, func(p *pair) {
		before, w := p.seen(), p.ws.All()[0]
		for round := range 20 {
			m := p.nodes[round%2]
			m.end()
			if round%5 == 4 {
				w.Kill()
				w.Start()
			}
			time.Sleep(timing.SuspectAfter / 4) // a service manager takes no longer
			m.boot()
			p.quiet(30 * time.Second)
		}
		if now := p.seen(); now.GetEpoch() != before.GetEpoch() {
			t.Errorf("the group is %v", now)
		}
	})
}

func TestPowerCutOfTheHolderMovesTheGroup(t *testing.T) {
	story(t, 3, func(p *pair) {
		p.nodes[a].crash()
		p.soon("node-b runs the group", func() bool { return p.runsOnly(b) })
		p.quiet(time.Minute)
		p.nodes[a].boot()
		p.quiet(time.Minute)
		if p.nodes[b].shots != 0 || p.nodes[b].resets != 0 {
			t.Errorf("node-b was shot %d times and reset %d times", p.nodes[b].shots, p.nodes[b].resets)
		}
	})
}

// The holder runs on, but nobody hears it: it is shot, once, though the leader
// of the witnesses dies while that is under way.
func TestSilentHolderIsShotOnceWhateverBecomesOfTheLeader(t *testing.T) {
	story(t, 3, func(p *pair) {
		for _, addr := range p.ws.Addresses() {
			p.ws.Net.Hold(string(nodes[a]), addr)
		}
		p.cable.set(true)
		time.Sleep(1200 * time.Millisecond)
		leader := p.ws.All()[max(p.leader(), 0)]
		leader.Kill()
		p.soon("node-b runs the group", func() bool { return p.runsOnly(b) })
		leader.Start()
		p.quiet(time.Minute)
		if p.nodes[a].shots != 1 || p.nodes[b].shots+p.nodes[b].resets != 0 {
			t.Errorf("starts, stops, resets and shots are %v", p.moves())
		}
	})
}

func TestFullDiskAtTheWitnessGrantsNothingAndLosesNothing(t *testing.T) {
	story(t, 1, func(p *pair) {
		before, w := p.seen(), p.ws.All()[0]
		w.Disk.Fail(syscall.ENOSPC)
		if p.order(b) {
			t.Error("an order was taken that could not be stored")
		}
		p.quiet(3 * time.Minute)
		if !w.Runs() {
			t.Fatalf("the witness ended with %v", w.Ended())
		}
		w.Disk.Fail(nil)
		p.soon("the witness leads again", func() bool { return p.leader() >= 0 })
		if now := p.seen(); now.GetEpoch() != before.GetEpoch() || now.GetHolder() != before.GetHolder() {
			t.Fatalf("the group was %v and is %v", before, now)
		}
		p.quiet(time.Minute)
		p.soon("an order is taken", func() bool { return p.order(b) })
		p.soon("node-b runs the group", func() bool { return p.runsOnly(b) })
	})
}

// With nobody's word and no witness that can store a grant, nobody runs the
// group: not the node that is left either.
func TestNodeLeftAloneWithAFullWitnessWaits(t *testing.T) {
	story(t, 1, func(p *pair) {
		w := p.ws.All()[0]
		w.Disk.Fail(syscall.ENOSPC)
		p.nodes[a].crash()
		time.Sleep(3 * time.Minute)
		if p.runsOn(b) {
			t.Fatal("node-b runs the group, and nobody has stored that")
		}
		w.Disk.Fail(nil)
		p.soon("node-b runs the group", func() bool { return p.runsOnly(b) })
	})
}

// After a failed fsync nobody knows what is on the disk. The witness ends, and
// what it finds when it is started again is what counts.
func TestFsyncErrorAtTheWitnessEndsItAndLosesNothing(t *testing.T) {
	for name, hurt := range map[string]func(d *Disk){
		"nothing stored": func(d *Disk) { d.Fail(syscall.EIO) },
		"all stored":     func(d *Disk) { d.FailSync(syscall.EIO) },
	} {
		t.Run(name, func(t *testing.T) {
			story(t, 1, func(p *pair) {
				before, w := p.seen(), p.ws.All()[0]
				hurt(w.Disk)
				if p.order(b) {
					t.Error("an order was taken whose fsync had failed")
				}
				if err := w.Ended(); err == nil || !strings.Contains(err.Error(), "cannot be trusted") {
					t.Fatalf("the witness ended with %v", err)
				}
				p.quiet(3 * time.Minute)
				w.Start()
				if name == "all stored" {
					p.soon("the order is carried out", func() bool { return p.runsOnly(b) })
					return
				}
				p.soon("the witness leads again", func() bool { return p.leader() >= 0 })
				p.quiet(time.Minute)
				if now := p.seen(); now.GetEpoch() != before.GetEpoch() {
					t.Errorf("the group was %v and is %v", before, now)
				}
			})
		})
	}
}

// The standby cannot store what it learns, so its word is worth nothing: when
// the witness goes too, the holder stops in time, by itself.
func TestFsyncErrorAtTheAgentPromisesNothing(t *testing.T) {
	for name, keeps := range map[string]bool{"nothing stored": false, "all stored": true} {
		t.Run(name, func(t *testing.T) {
			story(t, 1, func(p *pair) {
				w := p.ws.All()[0]
				p.nodes[b].store.fail(syscall.EIO, keeps)
				must(t, w.Stop())
				w.Start() // a new leadership is something to remember
				p.soon("the witness leads again", func() bool { return p.leader() >= 0 })
				p.quiet(settled / 2)
				w.Kill()
				p.soon("node-a stops", func() bool { return !p.runsOn(a) })
				p.quiet(settled / 2)
				if p.runsOn(b) || p.nodes[a].resets != 0 {
					t.Errorf("starts, stops, resets and shots are %v", p.moves())
				}
				p.nodes[b].store.fail(nil, false)
				w.Start()
				p.soon("the group runs again", func() bool { return p.runsOn(a) || p.runsOn(b) })
				p.quiet(settled / 2)
			})
		})
	}
}

func TestAgentWithAFullDiskAsksForNothing(t *testing.T) {
	story(t, 1, func(p *pair) {
		p.nodes[b].store.fail(syscall.ENOSPC, false)
		p.nodes[a].crash()
		time.Sleep(3 * time.Minute)
		if p.runsOn(b) || p.nodes[a].shots != 0 {
			t.Fatalf("an agent that cannot store its ask asked: starts, stops, resets and shots are %v", p.moves())
		}
		p.nodes[b].store.fail(nil, false)
		p.soon("node-b runs the group", func() bool { return p.runsOnly(b) })
	})
}

// order asks for a switchover and reports whether it was taken.
func (p *pair) order(to int) bool {
	return p.ask(func(ctx context.Context, op sbv1.OperatorClient) bool {
		v, err := op.Switchover(ctx, &sbv1.SwitchoverRequest{Cluster: string(cluster), Group: string(data), To: string(nodes[to])})
		return err == nil && v.GetKind() == "done"
	})
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
