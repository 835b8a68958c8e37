package ctl

import (
	"time"

	"sbarbiter/arbiter/wire"
	sbv1 "sbarbiter/proto/sb/v1"
	"sbarbiter/timing"
)

// proven is the timing of a pair that fits together.
func proven() timing.Pair {
	plan, _ := timing.Profile(timing.ProfileSTONITH)
	p := timing.Pair{
		TTL: plan.TTL, Promise: plan.Promise, Renew: plan.Renew, RPCTimeout: plan.RPCTimeout, SuspectAfter: plan.SuspectAfter,
		FenceTimeout: 15 * time.Second, STONITH: true, Watchdog: true, Groups: []timing.GroupRules{{Name: "nfs", AtE2: true}},
	}
	for _, name := range []string{"node-a", "node-b"} {
		p.Nodes = append(p.Nodes, timing.Node{
			Name: name, Plan: plan, ReadBack: plan.Watchdog, Hardware: true, Fence: 12 * time.Second,
			Answer: timing.Measured{Count: 1900, P999: 12 * time.Millisecond, Max: 40 * time.Millisecond},
			Groups: []timing.Group{{
				Name: "nfs", StartBudget: time.Minute, StopBudget: plan.Stop, Start: timing.Measured{Count: 3, P999: 1200 * time.Millisecond, Max: 1200 * time.Millisecond},
				DRBD: []timing.DRBD{{Resource: "r0", PingInt: time.Second, PingTimeout: 300 * time.Millisecond, Timeout: time.Second, KoCount: 7}},
			}},
		})
	}
	return p
}

// slowStop: one group took longer to stop than it is given, a watchdog was
// rounded up, and one node has not reported.
func slowStop() scene {
	s, p := healthy(), proven()
	p.Nodes[0].Groups[0].Stop = timing.Measured{Count: 4, P999: 10500 * time.Millisecond, Max: 10500 * time.Millisecond}
	p.Nodes[0].ReadBack = 8 * time.Second
	p.Nodes = p.Nodes[:1]
	s.timing = wire.ToTiming(p)
	s.timing.Missing = []string{"node-b"}
	return s
}

// ill: the nodes and the witness have found something.
func ill() scene {
	s := healthy()
	s.doctor = &sbv1.DoctorAnswer{Findings: []*sbv1.Finding{
		{Severity: "critical", Subject: "node-a and node-b", What: "their node files do not say the same", Why: "one node would count by other times", Fix: "compare them"},
		{Severity: "warning", Node: "node-b", Subject: "node-b", What: "there is no watchdog", Why: "nothing resets it", Fix: "modprobe iTCO_wdt"},
		{Severity: "note", Node: "node-a", Subject: "own.crt", What: "the certificate expires in 20 days", Why: "then the witness does not talk to it", Fix: "sbctl pki issue node node-a"},
	}}
	return s
}

// rehearsed: a rehearsal ends so.
func rehearsed(reason, sentence string) scene {
	s := maintenance()
	s.live = []*sbv1.Record{
		{Index: 51, AtMs: morning, Cluster: "nfs1", Node: "node-b", What: "rehearsal", Sentence: "mandate 3: node-a is to switch node-b off and on again"},
		{Index: 52, AtMs: morning + 500, Cluster: "nfs1", Node: "node-a", What: "begin", Sentence: "mandate 3: node-a switches node-b off and on again now"},
		{Index: 53, AtMs: morning + 9000, Cluster: "nfs1", Node: "node-a", What: "fence", Reason: reason, Sentence: sentence},
	}
	return s
}
