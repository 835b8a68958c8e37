package sim

import (
	"testing"
	"time"

	"sbarbiter/agent"
)

// A world whose agents and leaders are ticked all the time besides: nothing may
// come of a tick before the core said that something was due.
func TestTicksBetweenWhatIsDueDoNothing(t *testing.T) {
	ticks, did := 0, 0
	for seed := uint64(1); seed <= 25; seed++ {
		s := Draw(seed)
		w := New(s.options())
		for _, n := range w.nodes {
			w.fidget(func() {
				if !n.steps() || n.busy {
					return
				}
				now, due := n.clock.now(), n.agent.Due()
				actions := n.agent.Step(now, agent.Tick{})
				ticks++
				if len(actions) > 0 && now < due {
					did++
					t.Errorf("seed %d, %v: %s does %T, and was due only in %v", seed, w.now, n.id, actions[0], due.Sub(now))
				}
				n.perform(actions)
				n.arm()
			})
		}
		for _, v := range w.witness.voters {
			w.fidget(func() {
				if v.lead == nil || v.paused {
					return
				}
				now, due := v.clock.now(), v.lead.Due()
				actions := v.lead.Tick(now, int64(w.True()/time.Second))
				ticks++
				if len(actions) > 0 && now < due {
					did++
					t.Errorf("seed %d, %v: the leader does %T, and was due only in %v", seed, w.now, actions[0], due.Sub(now))
				}
				v.perform(actions)
			})
		}
		w.Start()
		for _, e := range s.Episodes {
			w.episode(e)
		}
		if did > 5 {
			return
		}
	}
	t.Logf("%d ticks", ticks)
}

// fidget does something at odd times, all the time.
func (w *World) fidget(do func()) {
	var at *timer
	at = w.timer(func() {
		at.set(w.between(time.Millisecond, 25*time.Millisecond))
		do()
	})
	at.set(0)
}
