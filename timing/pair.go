package timing

import (
	"fmt"
	"time"
)

// Guard is how long the granting side counts a duration of d that the other side
// counts from earlier: 1 % for the difference of clock rates and 50 ms for
// scheduling.
func Guard(d time.Duration) time.Duration { return d + d/100 + 50*time.Millisecond }

const (
	// HandlerLimit is how long a handler program waits for the agent's answer.
	HandlerLimit = 300 * time.Second
	// DrbdadmLimit is how long drbdadm waits for a handler program.
	DrbdadmLimit = 600 * time.Second
	// ReadingTime is added to what the fence devices may take: the power is read
	// before the first command.
	ReadingTime = 2 * time.Second
)

// enough answers, four of which come in a second, make a 99.9th percentile that is
// not simply the slowest of them.
const enough = 1000

// Pair is a cluster with all that is known of its timing.
type Pair struct {
	TTL, Promise, Renew, RPCTimeout, SuspectAfter time.Duration // as the witness has them
	FenceTimeout                                  time.Duration
	STONITH, Watchdog                             Means
	// HoldTime is for how long after a takeover a group is not taken over again.
	HoldTime time.Duration
	// WitnessShoots: its own host has fence devices for the nodes, and tries after
	// a node has failed.
	WitnessShoots Means
	// PauseRisk: a watchdog that stands still with its machine counts.
	PauseRisk Means
	Groups    []GroupRules
	Nodes     []Node // those that have reported
}

// Means is a way to prove a node gone that the operator has allowed, or not.
type Means bool

// GroupRules are what the witness keeps to for one group.
type GroupRules struct {
	Name  string
	Delay time.Duration // takeover_delay
	// AtE2: the watchdog's time is proof enough.
	AtE2 Means
}

// Node is what one node says of its numbers.
type Node struct {
	Name string
	Plan Plan // as its file has it
	// ReadBack is the watchdog's timeout as its driver reports it; 0: none is
	// armed. Hardware: it goes on when the machine stands still.
	ReadBack time.Duration
	Hardware bool
	Fence    time.Duration // the longest that a shot at the other node may take; 0: it cannot shoot
	Answer   Measured      // a beat's way to the witness and back
	Shot     Measured      // from the first reading to the proof
	Groups   []Group
}

// Group is what one node says of one group.
type Group struct {
	Name        string
	StartBudget time.Duration
	StopBudget  time.Duration
	Start, Stop Measured
	DRBD        []DRBD
}

// DRBD is what the kernel goes by for one resource.
type DRBD struct {
	Resource    string
	PingInt     time.Duration // between two pings on an idle connection
	PingTimeout time.Duration // a ping is answered within this
	Timeout     time.Duration // a write is answered within this
	KoCount     int           // so many times Timeout and the peer is given up; 0: never
}

// Notice is the longest that the kernel takes to see that a peer is gone.
func (d DRBD) Notice() time.Duration { return d.PingInt + d.PingTimeout }

// plan is the node's plan with the watchdog as it really is.
func (n Node) plan() Plan {
	p := n.Plan
	p.Watchdog = n.ReadBack
	return p
}

// notice is the longest that any of the group's resources takes to see a lost
// peer, with its name.
func (g Group) notice() (time.Duration, string) {
	var longest time.Duration
	var which string
	for _, d := range g.DRBD {
		if n := d.Notice(); n > longest {
			longest, which = n, d.Resource
		}
	}
	return longest, which
}

// Rules are all inequalities of the pair, the cluster's first, then each node's.
func (p Pair) Rules() []Rule {
	rules := []Rule{suspicion(p.SuspectAfter, p.Renew, p.RPCTimeout), p.clocks(), handlers()}
	for _, n := range p.Nodes {
		rules = append(rules, n.leaseRules(min(n.Plan.TTL, p.TTL), p.promised(n))...)
		rules = append(rules, p.nodeRules(n)...)
		for _, g := range n.Groups {
			rules = append(rules, p.groupRules(n, g)...)
		}
	}
	return rules
}

// clocks: the leader waits longer than the slowest clock of a holder counts.
func (p Pair) clocks() Rule {
	return Rule{
		Name: "clocks", Weight: Required,
		Have: Sum{{What: "1.01 x ttl", Time: p.TTL + p.TTL/100}, {What: "scheduling", Time: 50 * time.Millisecond}},
		Need: one("ttl on a holder's clock that runs 1 % slow", p.TTL+p.TTL/100),
		Why:  "the witness would give a lease away before its holder's clock has ended it",
	}
}

func handlers() Rule {
	return Rule{
		Name: "handler", Weight: Required,
		Have: one("drbdadm's patience with a handler", DrbdadmLimit), Need: one("the handler's own limit", HandlerLimit),
		Why: "drbdadm would end a handler that still waits for its answer",
	}
}

// promised is for how long a node goes on by the other one's word.
func (p Pair) promised(n Node) time.Duration {
	promise := n.Plan.Promise
	for _, other := range p.Nodes {
		promise = min(promise, other.Plan.Promise)
	}
	return promise
}

// leaseRules are about a lease of ttl and a promise, the witness's and the peer's where
// those are shorter.
func (n Node) leaseRules(ttl, promised time.Duration) []Rule {
	p := n.plan()
	lease := p.lease("ttl", ttl)
	promise := p.lease("promise", promised)
	lease.Subject, promise.Subject = n.Name, n.Name
	return []Rule{lease, promise}
}

// nodeRules are what concerns a node's machine and its way to the witness.
func (p Pair) nodeRules(n Node) []Rule {
	var rules []Rule
	if n.Plan.TTL != p.TTL {
		rules = append(rules, Rule{
			Name: "agreement", Subject: n.Name, Weight: Advised,
			Have: one("the node's ttl", n.Plan.TTL), Need: one("the witness's ttl", p.TTL),
			Why: "the shorter one counts", Change: "write the same timing: into node.yaml and cluster.yaml",
		})
	}
	if n.Fence > 0 {
		rules = append(rules, Rule{
			Name: "fence", Subject: n.Name, Weight: Advised,
			Have: one("fence_timeout", p.FenceTimeout), Need: one("reading and devices", n.Fence),
			Why: "a shot would be cut short before its last device has answered", Change: fmt.Sprintf("try fence_timeout: %v in cluster.yaml", up(n.Fence)),
		})
	}
	if n.Fence > 0 && n.Shot.Known() {
		rules = append(rules, observed("shot", n.Name, "reading and devices", min(n.Fence, p.FenceTimeout), n.Shot,
			"shots take longer than they are given, and prove nothing", "raise timeout: of the fence devices and fence_timeout"))
	}
	if n.Answer.Count >= enough {
		rules = append(rules, observed("answer", n.Name, "rpc_timeout", n.Plan.RPCTimeout, n.Answer,
			"answers of the witness come too late to be waited for, and leases run out though everybody is well", "raise rpc_timeout, then suspect_after and ttl with it"))
	}
	return rules
}

// groupRules are what concerns one group on one node.
func (p Pair) groupRules(n Node, g Group) []Rule {
	subject := g.Name + " on " + n.Name
	rules := []Rule{{
		Name: "stop budget", Subject: subject, Weight: Required,
		Have: one("stop", n.Plan.Stop), Need: one("the group's stop_timeout", g.StopBudget),
		Why: "a stop that uses all its time is cut short by a reset", Change: fmt.Sprintf("try stop_timeout: %v, or raise stop and ttl", n.Plan.Stop),
	}}
	if g.Stop.Known() {
		rules = append(rules, observed("stop", subject, "stop_timeout", g.StopBudget, g.Stop,
			"the machine is reset in the middle of an orderly stop", "raise stop_timeout, stop and ttl, or make the services stop sooner"))
	}
	if g.Start.Known() {
		rules = append(rules, observed("start", subject, "start_timeout", g.StartBudget, g.Start,
			"a start that needs longer is given up, and the group given back", "raise start_timeout"))
	}
	if notice, which := g.notice(); which != "" {
		hard := n.plan().HardStop()
		rules = append(rules, Rule{
			Name: "drbd", Subject: subject, Weight: Advised,
			Have:   one("until the last feed of the watchdog", hard),
			Need:   Sum{{What: "ping-int and ping-timeout of " + which, Time: notice}, {What: "renew", Time: p.Renew}, {What: "rpc_timeout", Time: p.RPCTimeout}},
			Why:    "a holder that is cut off is reset before its kernel has even noticed, and a takeover waits for the other kernel to notice",
			Change: fmt.Sprintf("try ping-int 1; ping-timeout 5; in the net section of %s", which),
		})
	}
	return rules
}

// observed is a rule whose need was measured.
func observed(name, subject, what string, have time.Duration, m Measured, why, change string) Rule {
	return Rule{
		Name: name, Subject: subject, Weight: Advised, Observed: true,
		Have: one(what, have), Need: Sum{{What: fmt.Sprintf("99.9th percentile of %d", m.Count), Time: m.P999, Measured: true}},
		Why: why, Change: change,
	}
}

// up rounds to whole seconds.
func up(d time.Duration) time.Duration { return (d + time.Second - 1).Truncate(time.Second) }
