package config

import (
	"fmt"
	"time"

	"sbarbiter/timing"
)

// Group is what fails over together.
type Group struct {
	Name     string
	DRBD     []string // resources, promoted in this order; may be empty
	Services []Service
	// Probes say how far its applications have come; they may differ on the nodes.
	Probes []Probe `json:"-"`

	StartTimeout time.Duration // the whole start; a holder that needs longer gives the group back
	StopTimeout  time.Duration // the whole stop with the demotion; at most Timing.Stop
}

const defaultStartTimeout = 60 * time.Second

// groups reads the groups and refuses what two of them would fight over.
func (v value) groups(t timing.Plan) []Group {
	var out []Group
	owner := map[string]string{}
	for _, e := range v.keys() {
		if !plainName.MatchString(e.name) {
			v.src.add(e.value.path, e.at, "this is not a name", "use letters, digits, - and _, at most 63")
		}
		g := e.value.group(e.name, t)
		for i, r := range g.DRBD {
			e.value.child("drbd").item(i).claim(owner, g.Name, "DRBD resource "+r)
		}
		for i, s := range g.Services {
			if s.Spec != nil && s.Spec.Name() != "" {
				what := s.Spec.Kind() + " " + s.Spec.Name()
				e.value.child("services").item(i).claim(owner, g.Name, what)
			}
		}
		out = append(out, g)
	}
	if v.isMapping() && len(out) == 0 {
		v.fail("", "names no group")
	}
	return out
}

// child is the place of an entry, for complaints about it.
func (v value) child(key string) value {
	p := join(v.path, key)
	return value{src: v.src, path: p, pos: v.src.nearest(p)}
}

// claim notes that the group has it, or complains that another has.
func (v value) claim(owner map[string]string, group, what string) {
	if other, taken := owner[what]; taken {
		v.fail("remove one", "%s already belongs to group %s", what, other)
		return
	}
	owner[what] = group
}

func (v value) group(name string, t timing.Plan) Group {
	before := len(v.src.errs)
	m := v.mapping("drbd", "services", "start_timeout", "stop_timeout", "probes")
	g := Group{
		Name:         name,
		DRBD:         list(m.get("drbd"), value.resource),
		StartTimeout: or(m.get("start_timeout"), defaultStartTimeout, value.duration),
		StopTimeout:  or(m.get("stop_timeout"), t.Stop, value.duration),
	}
	g.Services = list(m.get("services"), value.service)
	g.Probes = list(m.get("probes"), value.probe)
	if m.isMapping() && len(v.src.errs) == before && len(g.DRBD) == 0 && len(g.Services) == 0 {
		m.fail("add drbd: [r0], services: [...], or both", "the group holds nothing")
	}
	if at := m.get("stop_timeout"); g.StopTimeout > t.Stop && t.Stop > 0 {
		at.fail(fmt.Sprintf("try at most %v, or raise timing.stop and timing.ttl", t.Stop), "%v is more than timing has for a stop (%v)", g.StopTimeout, t.Stop)
	}
	m.shareStop(&g)
	m.shareStart(&g)
	return g
}

// How the stop time that nobody asked for is shared out: an address is gone at
// once and a demotion is quick, what is left may have to write.
const (
	quickShare = 1
	slowShare  = 4
)

// shareStop gives each service its time to stop, so that all of them and the
// demotion fit in the group's: own times first, the others share the rest.
func (m mapping) shareStop(g *Group) {
	if g.StopTimeout == 0 {
		return // what was written is no time, and was reported
	}
	left, shares := g.StopTimeout, 0
	for _, s := range g.Services {
		if s.StopTimeout > 0 {
			left -= s.StopTimeout
		} else {
			shares += s.share()
		}
	}
	if len(g.DRBD) > 0 {
		shares += quickShare
	}
	if left < time.Duration(shares)*time.Millisecond {
		m.tooLongStops(g.StopTimeout, g.StopTimeout-left)
		return
	}
	for i := range g.Services {
		if s := &g.Services[i]; s.StopTimeout == 0 {
			s.StopTimeout = left / time.Duration(shares) * time.Duration(s.share())
		}
	}
}

func (m mapping) tooLongStops(have, sum time.Duration) {
	at := m.get("services")
	at.fail("shorten them, or raise timing.stop and timing.ttl",
		"the services' stop timeouts add up to %v and leave nothing of the group's %v for the rest", sum, have)
}

// shareStart lets each service use the group's time where it has none of its own.
func (m mapping) shareStart(g *Group) {
	for i := range g.Services {
		s := &g.Services[i]
		switch {
		case s.StartTimeout == 0:
			s.StartTimeout = g.StartTimeout
		case s.StartTimeout > g.StartTimeout:
			m.get("services").item(i).child("start_timeout").fail("raise the group's start_timeout",
				"%v is more than the group has for its start (%v)", s.StartTimeout, g.StartTimeout)
		}
	}
}
