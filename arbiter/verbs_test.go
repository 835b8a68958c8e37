package arbiter_test

import (
	"strings"
	"time"

	"sbarbiter/arbiter"
	"sbarbiter/recovery"
)

// command turns a line into the command it stands for.
func (s *stage) command(w *words) (arbiter.Command, error) {
	if w.node != "" {
		return s.nodeCommand(w)
	}
	switch w.first {
	case "define":
		return arbiter.Define{Definition: definition(w), By: "ops"}, nil
	case "lead":
		return arbiter.Lead{Nonce: w.number("nonce", 0)}, nil
	case "renounce":
		return arbiter.Renounce{Shown: version(w.arg(0))}, nil
	case "end-mandate":
		return arbiter.EndMandate{
			Cluster: pair, Mandate: arbiter.MandateID(atoi(w.arg(0))), Phase: arbiter.Phase(w.arg(1)), Reason: "concluded",
			Next: w.has("next"),
		}, nil
	case "witness-begin":
		return arbiter.WitnessBegin{
			Cluster: pair, Mandate: arbiter.MandateID(atoi(w.arg(0))),
			Readings: readings(w.list("readings")), Judgement: s.judgement(w, s.asked()),
		}, nil
	case "witness-fenced":
		return arbiter.WitnessReport{
			Cluster: pair, Mandate: arbiter.MandateID(atoi(w.arg(0))), Grade: grade(w.get("grade", "E0")),
			Readings: readings(w.list("readings")), Failure: strings.ReplaceAll(w.get("failure", ""), "_", " "),
			InFlight: w.has("in-flight"), Alive: w.has("alive"),
		}, nil
	case "order":
		o := arbiter.Order{Cluster: pair, Group: arbiter.GroupID(w.arg(0)), To: arbiter.NodeID(w.get("to", "")), By: "ops"}
		if !w.has("unheard") && o.To != "" {
			ev := evidence(w)
			o.Target = &ev
		}
		return o, nil
	case "standby":
		return arbiter.Standby{Cluster: pair, Node: arbiter.NodeID(w.arg(0)), On: w.arg(1) == "on", By: "ops"}, nil
	case "maintenance":
		return arbiter.Maintenance{Cluster: pair, On: w.arg(0) == "on", By: "ops"}, nil
	case "give-up":
		ev := evidence(w)
		c := arbiter.GiveUp{Cluster: pair, Group: arbiter.GroupID(w.arg(0)), Node: arbiter.NodeID(w.arg(1)), Kept: &ev, By: "ops", Reason: "looked at both"}
		c.Lost, c.Alive = w.has("lost"), w.has("alive")
		if w.has("cancel") {
			c = arbiter.GiveUp{Cluster: pair, Group: c.Group, By: "ops", Reason: "a cable", Cancel: true}
		}
		c.Word = arbiter.WordID(w.number("word", 0))
		if w.has("unheard") {
			c.Kept = nil
		}
		return c, nil
	case "confirm":
		c := arbiter.Confirm{Cluster: pair, Node: arbiter.NodeID(w.arg(0)), Alive: w.has("alive"), By: "ops", Reason: "looked at it"}
		for _, e := range w.list("epochs") {
			c.Epochs = append(c.Epochs, arbiter.Epoch(atoi(e)))
		}
		return c, nil
	}
	return s.recoveryCommand(w)
}

func (s *stage) nodeCommand(w *words) (arbiter.Command, error) {
	if w.first == "up" {
		return s.up(w), nil
	}
	id := arbiter.GroupID(w.arg(0))
	epoch := arbiter.Epoch(w.number("epoch", uint64(s.lease(id))))
	switch w.first {
	case "acquire":
		return arbiter.Acquire{Caller: s.caller(w), Group: id, Evidence: evidence(w), Judgement: s.judgement(w, id)}, nil
	case "started":
		return arbiter.Started{Caller: s.caller(w), Group: id, Epoch: epoch}, nil
	case "release":
		return arbiter.Release{
			Caller: s.caller(w), Group: id, Epoch: epoch, Started: !w.has("unused"), Failed: w.has("failed"), Reason: w.get("reason", ""),
		}, nil
	case "exclude":
		return arbiter.Exclude{
			Caller: s.caller(w), Group: id, Epoch: epoch, Promoting: w.has("promoting"),
			Evidence: evidence(w), Judgement: s.judgement(w, id),
		}, nil
	case "own-word":
		return arbiter.OwnWord{Caller: s.caller(w), Group: id, Number: atoi(w.arg(1))}, nil
	case "readmit":
		e := s.group(id).Excluded[arbiter.NodeID(w.arg(1))]
		r := arbiter.Readmit{Caller: s.caller(w), Group: id, Node: arbiter.NodeID(w.arg(1))}
		r.Number = exclusionNumber(w.get("number", e.Number.String()))
		r.OwnWord = w.number("own", e.OwnWord)
		r.Evidence = evidence(w)
		return r, nil
	case "begin":
		return arbiter.Begin{
			Caller: s.caller(w), Mandate: arbiter.MandateID(atoi(w.arg(0))),
			Readings: readings(w.list("readings")), Judgement: s.judgement(w, s.asked()),
		}, nil
	case "fenced":
		return arbiter.ReportFence{
			Caller: s.caller(w), Mandate: arbiter.MandateID(atoi(w.arg(0))), Grade: grade(w.get("grade", "E0")),
			Readings: readings(w.list("readings")), Failure: strings.ReplaceAll(w.get("failure", ""), "_", " "),
			InFlight: w.has("in-flight"), Alive: w.has("alive"), Next: w.has("next"), Evidence: evidence(w), Judgement: s.judgement(w, s.asked()),
		}, nil
	}
	return s.recoveryCommand(w)
}

// asked returns the group that the mandate under way is for.
func (s *stage) asked() arbiter.GroupID {
	if c := s.state.Clusters[pair]; c != nil && c.Mandate != nil {
		return c.Mandate.Group
	}
	return ""
}

// up begins a life of a node, or of its agent: boot= and start= are remembered.
func (s *stage) up(w *words) arbiter.Command {
	n := s.nodes[w.node]
	if n == nil {
		n = &life{}
		s.nodes[w.node] = n
	}
	was := *n
	n.boot = arbiter.BootID(w.get("boot", string(n.boot)))
	n.start = arbiter.Incarnation(w.number("start", uint64(n.start)))
	n.floor = arbiter.Epoch(w.number("floor", uint64(n.floor)))
	if n.start != was.start || n.boot != was.boot {
		n.request = 0
	}
	cmd := arbiter.NodeUp{Caller: s.caller(w), Report: report(w)}
	if w.has("ghost") { // a message of another life: this one goes on as it was
		*n = was
	}
	return cmd
}

// version reads incarnation/starts/nonce/index.
func version(s string) arbiter.Version {
	p := strings.Split(s, "/")
	return arbiter.Version{Incarnation: uint32(atoi(p[0])), Starts: atoi(p[1]), Nonce: atoi(p[2]), Index: atoi(p[3])}
}

// definition reads the words of "define": a pair of node-a and node-b with the
// groups named. Groups named web... have no DRBD resource.
func definition(w *words) arbiter.Definition {
	d := arbiter.Definition{
		Cluster: arbiter.ClusterID(w.get("cluster", string(pair))), Nodes: [2]arbiter.NodeID{"node-a", "node-b"},
		Groups: map[arbiter.GroupID]arbiter.GroupDefinition{}, Timing: timing(),
		Stonith: w.has("stonith"), Watchdog: w.has("watchdog"), AcceptPauseRisk: w.has("accept-pause-risk"),
	}
	for _, id := range strings.Split(w.get("groups", "nfs"), ",") {
		d.Groups[arbiter.GroupID(id)] = arbiter.GroupDefinition{
			DRBD: !strings.HasPrefix(id, "web"), Preferred: arbiter.NodeID(w.get("preferred", "")),
			MinimumGrade: grade(w.get("minimum", "E0")), Manual: w.has("manual"), PromoteWhenPeerGone: w.has("when-peer-gone"),
			Recovery: policies(w.list("recovery")),
		}
	}
	return d
}

func policies(names []string) []recovery.Policy {
	var out []recovery.Policy
	for _, n := range names {
		out = append(out, recovery.Policy{Name: recovery.PolicyName(n)})
	}
	return out
}

func timing() arbiter.Timing {
	ms := time.Millisecond
	return arbiter.Timing{
		TTL: 20 * time.Second, Promise: 20 * time.Second, Renew: 250 * ms, RPCTimeout: 250 * ms,
		SuspectAfter: time.Second, FenceTimeout: 10 * time.Second, StartGate: 5 * time.Second,
	}
}
