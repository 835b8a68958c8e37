package agent

import (
	"slices"

	"sbarbiter/arbiter"
)

// Posture is what an agent is about with a group, in one word: for those who
// count what has been tried.
type Posture uint8

// The postures, in the order in which they are looked for.
const (
	Waiting   Posture = iota // in quarantine
	Reading                  // the peer's power
	Begging                  // for the permission to shoot
	Shooting                 //
	Reporting                // how a shot ended
	Bidding                  // an ask is open
	Returning                // the stop receipt is not answered
	Idle                     //
	Securing                 // the peer's copy is excluded before a start
	Beginning                // starting
	Freezing                 // running, and DRBD asks whether to go on alone
	Barred                   // running, blocked until the right is confirmed
	Serving                  // running
	Ending                   // stopping
	Postures                 // how many there are
)

func (p Posture) String() string {
	return [...]string{
		"waiting", "reading", "begging", "shooting", "reporting", "bidding", "returning", "idle",
		"securing", "beginning", "freezing", "barred", "serving", "ending",
	}[p]
}

// Posture returns what m is about with a group.
func (m *Machine) Posture(id arbiter.GroupID) Posture {
	i := slices.IndexFunc(m.groups, func(g *group) bool { return g.id == id })
	if i < 0 {
		return Idle
	}
	g := m.groups[i]
	switch {
	case g.phase == Stopping:
		return Ending
	case g.phase == Running || g.phase == Starting:
		return g.upright()
	case m.shot != nil && m.shot.group == g:
		return [...]Posture{reading: Reading, asking: Begging, shooting: Shooting, reporting: Reporting}[m.shot.step]
	case g.bid != nil:
		return Bidding
	case g.release != nil:
		return Returning
	case !m.cleared:
		return Waiting
	}
	return Idle
}

// upright is the posture of a group that is starting or running.
func (g *group) upright() Posture {
	switch {
	case g.phase == Starting && g.excl.starts:
		return Securing
	case g.phase == Starting:
		return Beginning
	case len(g.excl.waiting) > 0:
		return Freezing
	case g.barred:
		return Barred
	}
	return Serving
}
