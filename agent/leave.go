package agent

import (
	"sbarbiter/internal/boottime"
	"sbarbiter/internal/mutant"
)

// leave stops and gives back everything, once, for an agent that ends for good; so
// the peer takes over without shooting this machine.
func (m *Machine) leave(now boottime.Instant) {
	if m.leaving == "" || m.left {
		return
	}
	done := true
	for _, g := range m.groups {
		if g.phase == Starting || g.phase == Running {
			m.stop(now, g, m.leaving)
		}
		// What was asked for may be granted at this moment: held by nobody, it would
		// have this machine shot for its silence.
		asks := g.bid != nil && g.bid.call != nil && m.session && !mutant.On(mutant.LeftWhileAsking)
		done = done && g.phase == Stopped && g.release == nil && !asks
	}
	if done {
		m.left = true
		if m.down {
			m.mem.Left, m.dirty = m.cfg.Boot, true
		}
		m.do(Left{})
	}
}
