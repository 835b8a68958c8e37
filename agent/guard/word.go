package guard

import (
	"fmt"
	"slices"

	"sbarbiter/internal/boottime"
)

func (g *Guard) handle(now boottime.Instant, ev Event) {
	switch ev := ev.(type) {
	case Tick:
	case Joined:
		g.joined(ev)
	case Told:
		if ev.Conn == g.agent.conn && ev.Conn != 0 {
			g.told(now, ev)
		}
	case Lost:
		if ev.Conn == g.agent.conn {
			g.agent.conn = 0
			g.note("", "agent lost", "its connection ended; another one is waited for")
		}
	case Buried:
		g.buried()
	case Left:
		if ev.Conn == g.agent.conn {
			g.agent.conn, g.agent.left = 0, true
			g.note("", "agent left", "what runs goes on for as long as its right does")
		}
	case Ended:
		g.ended(now, ev)
	default:
		panic(fmt.Sprintf("guard: unknown event %T", ev))
	}
}

// buried takes note that nobody starts the agent again.
func (g *Guard) buried() {
	if g.agent.conn != 0 || g.agent.left || g.agent.dead || !g.agent.told {
		return
	}
	g.agent.dead = true
	g.alarm("", "agent dead", "it has ended, and nobody starts it again")
}

// joined takes an agent on. What an earlier one has said goes on until this one
// says something else.
func (g *Guard) joined(ev Joined) {
	if ev.Incarnation < g.agent.incarnation {
		g.do(Drop{ev.Conn, fmt.Sprintf("agent incarnation %d was overtaken by %d", ev.Incarnation, g.agent.incarnation)})
		return
	}
	if old := g.agent.conn; old != 0 && old != ev.Conn {
		g.do(Drop{old, "another agent has taken its place"})
	}
	g.agent.conn, g.agent.incarnation, g.agent.number = ev.Conn, ev.Incarnation, 0
	g.agent.away, g.agent.left, g.agent.dead, g.terms = 0, false, false, ev.Terms
	var down []GroupID
	for _, gr := range g.groups {
		if gr.stop.down && !gr.gone {
			down = append(down, gr.Group)
		}
	}
	g.do(Welcome{ev.Conn, down})
	g.note("", "agent found", fmt.Sprintf("incarnation %d", ev.Incarnation))
}

// told takes the agent's word, if there is nothing wrong with any of it: half a
// word is worse than none.
func (g *Guard) told(now boottime.Instant, ev Told) {
	why := g.wrong(now, ev)
	if why != "" {
		g.alarm("", "word not taken", why)
		return
	}
	g.agent.number, g.agent.told = ev.Number, true
	g.agent.spoke, g.agent.quiet, g.agent.away = ev.At, 0, 0
	for _, r := range ev.Rights {
		g.hear(now, r)
	}
	for _, gr := range slices.Clone(g.groups) {
		if !slices.ContainsFunc(ev.Rights, func(r Right) bool { return r.Group == gr.Group }) {
			g.over(gr)
		}
	}
}

// wrong says what keeps a word from being taken.
func (g *Guard) wrong(now boottime.Instant, ev Told) string {
	switch {
	case ev.Number <= g.agent.number:
		return fmt.Sprintf("word %d came after word %d", ev.Number, g.agent.number)
	case ev.At > now || ev.At < g.agent.spoke:
		return fmt.Sprintf("word %d was said at %v; it is %v, and the last was said at %v", ev.Number, ev.At, now, g.agent.spoke)
	}
	for i, r := range ev.Rights {
		wd := g.terms.Watchdog
		switch {
		case slices.ContainsFunc(ev.Rights[:i], func(o Right) bool { return o.Group == r.Group }):
			return fmt.Sprintf("group %s is in it twice", r.Group)
		case r.Group == "" || r.Soft > r.Hard || r.Hard.Add(wd+wd/100) > r.Dead || r.Sent > now:
			return fmt.Sprintf("the right to group %q does not hold: sent %v, soft stop %v, hard stop %v, dead %v, watchdog %v", r.Group, r.Sent, r.Soft, r.Hard, r.Dead, wd)
		}
	}
	return ""
}

// hear takes what was said of one group. Nothing makes a right longer but a
// later request: an old answer may say anything.
func (g *Guard) hear(now boottime.Instant, r Right) {
	gr := g.group(r.Group)
	switch {
	case gr == nil:
		gr = &group{Right: r}
		g.groups = append(g.groups, gr)
	case gr.gone, gr.stop.begun && r.Epoch > gr.Epoch && r.Sent > gr.Sent:
		// Another epoch is another start, though the word between the two was lost:
		// what was seen down before says nothing of it.
		if gr.stop.begun {
			g.do(Halt{gr.Group})
		}
		*gr = group{Right: r, cutAt: gr.cutAt, cutting: gr.cutting, joinAt: gr.joinAt, joining: gr.joining}
	case r.Sent > gr.Sent:
		gr.Right = r
	default:
		gr.Soft, gr.Hard, gr.Dead = min(gr.Soft, r.Soft), min(gr.Hard, r.Hard), min(gr.Dead, r.Dead)
	}
	switch {
	case gr.stop.begun:
		g.do(Took{g.agent.conn, gr.Group})
	case gr.swept && gr.barredAt.IsZero():
	case gr.Sent >= gr.barredAt && now < gr.Soft:
		g.do(Lift{gr.Group})
		if !gr.barredAt.IsZero() {
			g.note(gr.Group, "clients let in", fmt.Sprintf("the right under epoch %d is confirmed", gr.Epoch))
		}
		gr.barredAt, gr.swept = 0, true
	}
}

// over ends what concerns a group that the agent has confirmed down.
func (g *Guard) over(gr *group) {
	if gr.gone {
		return
	}
	if gr.stop.begun {
		g.do(Halt{gr.Group})
	}
	g.do(Clear{gr.Group})
	gr.gone, gr.stop, gr.barredAt = true, stop{}, 0
	g.forget(gr)
}

// forget drops a group that runs here no more, unless DRBD still has to look for
// its peer.
func (g *Guard) forget(gr *group) {
	if gr.gone && gr.cutAt.IsZero() {
		g.groups = slices.DeleteFunc(g.groups, func(o *group) bool { return o == gr })
	}
}

func (g *Guard) group(id GroupID) *group {
	i := slices.IndexFunc(g.groups, func(gr *group) bool { return gr.Group == id })
	if i < 0 {
		return nil
	}
	return g.groups[i]
}
