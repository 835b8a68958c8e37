package config

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"sbarbiter/recovery"
	"sbarbiter/timing"
)

// Cluster is what the witness is told about a pair.
type Cluster struct {
	Name    string
	Nodes   [2]string
	Fencing []FencingMethod // in the order stonith, watchdog; empty: none
	Timing  timing.Plan
	// AcceptPauseRisk lets a takeover rest on a watchdog that stands still with
	// its machine: softdog, or a virtual machine's.
	AcceptPauseRisk bool
	StartGate       time.Duration // for so long both nodes are waited for at a cluster start
	FenceTimeout    time.Duration // a shot whose executor is not heard any more may land for so long
	HoldTime        time.Duration // after a takeover a group is not taken over again for so long
	ShotsPerHour    Shots
	Groups          []ClusterGroup
}

// FencingMethod is a way in which the pair proves a lost node gone.
type FencingMethod string

// Power seen off, or the time that a hardware watchdog needs, waited out.
const (
	FencingSTONITH  FencingMethod = "stonith"
	FencingWatchdog FencingMethod = "watchdog"
)

// Shots counts shots; 0 is any number.
type Shots uint32

// ClusterGroup is a group as the witness judges it.
type ClusterGroup struct {
	Name          string
	DRBD          DRBDUse
	Preferred     string // a node, or ""
	MinimumGrade  Grade
	Mode          Mode
	TakeoverDelay time.Duration // alarm first, act so much later
	MoveAfter     time.Duration // an isolated holder gives way to a peer that is not; 0: never
	// PromoteIsolated is for pairs whose gateway may die while clients still
	// reach the nodes.
	PromoteIsolated PromoteIsolated
	// Recovery are the policies that decide after a split brain, in their order.
	Recovery []recovery.Policy
}

// DRBDUse says whether a group's right to run depends on copies of data.
type DRBDUse bool

// Grade is how well the old holder must be proven gone before the group is
// granted again: 1 an operator's word, 2 watchdog and time, 3 power seen going
// off, 4 seen off by two readers, 5 the node's own receipt or new boot.
type Grade uint8

// The grades that a group may ask for.
const (
	GradeE1 Grade = 1 + iota
	GradeE2
	GradeE3
	GradeE4
	GradeE5
)

// String is the grade as the file has it.
func (g Grade) String() string { return "E" + string('0'+rune(g)) }

// Mode says who starts a takeover.
type Mode string

// A takeover begins by itself, or waits for an operator's approval.
const (
	ModeAuto   Mode = "auto"
	ModeManual Mode = "manual"
)

const (
	defaultStartGate = 30 * time.Second
	// Whatever kills one holder after the other at once does so within a minute; a
	// second failure that has nothing to do with the first should not leave a group
	// down for longer. What kills more slowly is bounded by the shots of an hour.
	defaultHoldTime           = time.Minute
	defaultShotsPerHour Shots = 4
	mostShots                 = 1000
	defaultShotTimeout        = 15 * time.Second // a level with the default timeout of its devices, and the question before it
)

// PromoteIsolated says whether a node without its reference addresses may be
// given a group.
type PromoteIsolated string

// An isolated node gets nothing, or gets a group only once its peer is gone: for
// pairs whose gateway may die while clients still reach the nodes.
const (
	PromoteIsolatedNever        PromoteIsolated = "never"
	PromoteIsolatedWhenPeerGone PromoteIsolated = "when_peer_gone"
)

// ParseCluster reads the text of a cluster file. file is its name in errors. The
// error is of type [Errors] and holds everything that is wrong.
func ParseCluster(file string, data []byte) (Cluster, error) {
	src, top, err := parse(file, data)
	if err != nil {
		return Cluster{}, err
	}
	m := top.mapping("cluster", "nodes", "fencing", "accept_pause_risk", "timing", "start_gate", "fence_timeout", "hold_time", "shots_per_hour", "groups")
	c := Cluster{
		Name:            m.need("cluster", "nfs1").name(),
		Nodes:           m.need("nodes", "[node-a, node-b]").nodes(),
		Fencing:         m.need("fencing", "stonith").fencingMethods(),
		Timing:          m.get("timing").timing(),
		AcceptPauseRisk: m.get("accept_pause_risk").bool(),
		StartGate:       or(m.get("start_gate"), defaultStartGate, value.delay),
		FenceTimeout:    or(m.get("fence_timeout"), defaultShotTimeout, value.duration),
		HoldTime:        or(m.get("hold_time"), defaultHoldTime, value.delay),
		ShotsPerHour:    or(m.get("shots_per_hour"), defaultShotsPerHour, value.shots),
	}
	src.checkTiming(c.Timing)
	groups := m.need("groups", "{nfs: {drbd: true}}")
	for _, e := range groups.keys() {
		if !plainName.MatchString(e.name) {
			src.add(e.value.path, e.at, "this is not a name", "use letters, digits, - and _, at most 63")
		}
		c.Groups = append(c.Groups, e.value.clusterGroup(e.name, c.Nodes))
		e.value.checkGrade(c, c.Groups[len(c.Groups)-1])
	}
	if groups.isMapping() && len(c.Groups) == 0 {
		groups.fail("", "names no group")
	}
	if err := src.err(); err != nil {
		return Cluster{}, err
	}
	return c, nil
}

func (v value) nodes() [2]string {
	names := list(v, value.host)
	if v.isList() && len(names) != 2 {
		v.fail("name both nodes as their uname -n does", "a cluster has two nodes, not %d", len(names))
		return [2]string{}
	}
	if len(names) != 2 {
		return [2]string{}
	}
	if names[0] == names[1] && names[0] != "" {
		v.item(1).fail("name the other node", "%s is listed twice", names[0])
	}
	return [2]string{names[0], names[1]}
}

func (v value) fencingMethods() []FencingMethod {
	choice := []string{string(FencingSTONITH), string(FencingWatchdog)}
	if !v.absent() && !v.isList() {
		m := v.oneOf(append(choice, "none")...)
		if m == "none" || m == "" {
			return nil
		}
		return []FencingMethod{FencingMethod(m)}
	}
	given := list(v, func(v value) string { return v.oneOf(choice...) })
	if v.isList() && len(given) == 0 {
		v.fail("write fencing: none if nothing proves a node gone", "is empty")
	}
	var out []FencingMethod
	for _, m := range choice {
		if slices.Contains(given, m) {
			out = append(out, FencingMethod(m))
		}
	}
	return out
}

func (v value) clusterGroup(name string, nodes [2]string) ClusterGroup {
	m := v.mapping("drbd", "preferred", "minimum_grade", "mode", "takeover_delay", "move_after", "promote_isolated", "recovery")
	g := ClusterGroup{
		Name:          name,
		DRBD:          DRBDUse(m.need("drbd", "true").bool()),
		Preferred:     m.get("preferred").host(),
		MinimumGrade:  or(m.get("minimum_grade"), GradeE1, value.grade),
		TakeoverDelay: m.get("takeover_delay").delay(),
		MoveAfter:     m.get("move_after").delay(),
	}
	g.Mode = or(m.get("mode"), ModeAuto, func(v value) Mode { return Mode(v.oneOf(string(ModeAuto), string(ModeManual))) })
	g.PromoteIsolated = or(m.get("promote_isolated"), PromoteIsolatedNever, func(v value) PromoteIsolated {
		return PromoteIsolated(v.oneOf(string(PromoteIsolatedNever), string(PromoteIsolatedWhenPeerGone)))
	})
	if at := m.get("recovery"); !at.absent() {
		g.Recovery = at.clusterPolicies(bool(g.DRBD), nodes)
	}
	if p := m.get("preferred"); g.Preferred != "" && nodes[0] != "" && !slices.Contains(nodes[:], g.Preferred) {
		p.fail("one of "+strings.Join(slices.Compact(nodes[:]), ", "), "%q is not a node of this cluster", g.Preferred)
	}
	return g
}

// checkGrade refuses a grade that rests on a watchdog which is not there.
func (v value) checkGrade(c Cluster, g ClusterGroup) {
	if g.MinimumGrade != GradeE2 {
		return
	}
	if !slices.Contains(c.Fencing, FencingWatchdog) {
		v.src.addAt(v.path+".minimum_grade", "E2 rests on the old holder's watchdog, and fencing does not name it", "write E3, or add watchdog to fencing")
	}
}

// shots reads a number, or "none" for no limit.
func (v value) shots() Shots {
	s := v.text()
	n, err := strconv.Atoi(s)
	switch {
	case s == "none" || s == "":
		return 0
	case err != nil || n < 1 || n > mostShots:
		v.fail(fmt.Sprintf("a number from 1 to %d, or none for no limit", mostShots), "%q is not a number of shots", s)
	}
	return Shots(n)
}

func (v value) grade() Grade {
	s := v.oneOf("E1", "E2", "E3", "E4", "E5")
	if s == "" {
		return GradeE1
	}
	return Grade(s[1] - '0')
}
