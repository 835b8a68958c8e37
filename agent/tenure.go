package agent

import (
	"fmt"
	"time"

	"sbarbiter/arbiter"
	"sbarbiter/internal/boottime"
	"sbarbiter/recovery"
)

const (
	// keptTenures is how many times for which this node was Primary are remembered.
	keptTenures = 32
	// overdueBy is how long a copy may still be shown as Primary after its right has
	// ended: what an agent knows of DRBD is late.
	overdueBy = 3 * time.Second
)

// tenured is what the machine knows of the tenure under way.
type tenured struct {
	secondary bool             // as it was known last
	idle      bool             // it has been Secondary throughout since the two were seen as one
	rightless boottime.Instant // Primary without a right since; 0: not
}

// tenure keeps for which times this node was Primary, and by what right: after a
// split brain it is asked whose copy is the younger one, and clocks do not tell.
func (m *Machine) tenure(now boottime.Instant, g *group) {
	if !g.drbd() || !m.knowsDisks(g) {
		g.tenured.idle = false // nobody looks
		return
	}
	primary, wall := false, time.Time{}
	for _, r := range g.cfg.Resources {
		d := m.disk(r)
		primary = primary || d.Primary
		if d.Wall.After(wall) {
			wall = d.Wall
		}
	}
	was := g.tenured.secondary
	g.tenured.secondary = !primary
	g.tenured.idle = !primary && (g.tenured.idle || m.inStep(g))
	switch {
	case !primary:
		g.tenured.rightless = 0
		m.closeTenure(g, wall)
		m.joinTenure(g)
	case g.hot() && g.right.epoch != 0:
		g.tenured.rightless = 0
		m.openTenure(g, recovery.Tenure{Epoch: uint64(g.right.epoch), Leased: true, From: wall})
	case g.tenured.rightless.IsZero():
		g.tenured.rightless = now
		if was {
			m.openTenure(g, recovery.Tenure{Epoch: uint64(m.mem.Floor), From: wall})
		}
	case now.Sub(g.tenured.rightless) > overdueBy:
		m.openTenure(g, recovery.Tenure{Epoch: uint64(m.mem.Floor), From: wall})
	}
}

// openTenure notes a tenure, unless it is the one under way. Without a right it is
// one for as long as it lasts, whatever is heard meanwhile.
func (m *Machine) openTenure(g *group, t recovery.Tenure) {
	list := m.mem.Tenures[g.id]
	if n := len(list); n > 0 && list[n-1].Until.IsZero() {
		last := &list[n-1]
		if last.Leased == t.Leased && (last.Epoch == t.Epoch || !t.Leased) {
			return
		}
		last.Until = t.From
	}
	if m.mem.Tenures == nil {
		m.mem.Tenures = map[arbiter.GroupID][]recovery.Tenure{}
	}
	list = append(list, t)
	m.mem.Tenures[g.id], m.dirty = list[max(0, len(list)-keptTenures):], true
	if !t.Leased {
		m.note(g, "primary without a right", fmt.Sprintf("DRBD was promoted here by somebody else; the last epoch that is known is %d", t.Epoch)).Alarm = true
	}
}

func (m *Machine) closeTenure(g *group, wall time.Time) {
	list := m.mem.Tenures[g.id]
	if n := len(list); n > 0 && list[n-1].Until.IsZero() && !wall.IsZero() {
		list[n-1].Until, m.dirty = wall, true
	}
}

// joinTenure notes that both copies are one again after the last tenure: what this node's
// copy has of its own from now on is of a later one, seen or not. It is stored with what
// is stored next, which the readmission of a copy always is.
func (m *Machine) joinTenure(g *group) {
	list := m.mem.Tenures[g.id]
	if n := len(list); n > 0 && !list[n-1].Until.IsZero() && !list[n-1].Joined && m.inStep(g) {
		list[n-1].Joined = true
	}
}
