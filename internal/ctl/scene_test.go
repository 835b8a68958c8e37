package ctl

import (
	"slices"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"sbarbiter/arbiter/wire"
	sbv1 "sbarbiter/proto/sb/v1"
	"sbarbiter/recovery"
)

// scenes are the situations that the scripts play.
var scenes = map[string]func() scene{
	"healthy":     healthy,
	"unshot":      unshot,
	"excluded":    excluded,
	"learning":    learning,
	"maintenance": maintenance,
	"standby":     standby,
	"no-clusters": func() scene { s := healthy(); s.status.Clusters = nil; return s },
	"two":         twoClusters,
	"two-split":   twoSplit,
	"two-standalone": func() scene {
		s := standalone()
		s.status.Clusters = append(s.status.Clusters, twoClusters().status.Clusters[1])
		return s
	},
	"gateway":     func() scene { return unreached("node-a", "node-b") },
	"cut-off":     func() scene { return unreached("node-b") },
	"no-leader":   func() scene { s := healthy(); s.status.Witness.Leader = false; return s },
	"free":        free,
	"shooting":    shooting,
	"promise":     promise,
	"bad-link":    badLink,
	"moving":      moving,
	"given-up":    givenUp,
	"blind":       blind,
	"slow-stop":   slowStop,
	"ill":         ill,
	"standalone":  standalone,
	"split":       parted("split", 10, 2),
	"tie":         parted("split", 5, 5, recovery.DiscardLeastChanges),
	"policy":      parted("split", 10, 2, recovery.DiscardLeastChanges),
	"joined":      parted("in step", 0, 0),
	"surprising":  surprising,
	"b-is-forced": forced,
	"turning":     turning,
	"restless":    restless,
	"was-stale":   wasStale,
	"crossed":     crossed,
	"nine":        nine,
	"clinging":    clinging(restless, errPastReturn),
	"dear":        clinging(surprising, errPastReturn),
	"deaf":        clinging(parted("split", 5, 5), status.Error(codes.Internal, "its disk is full")),
	"running":     running,
	"b-is-off":    func() scene { return withoutB(1 << 20) },
	"b-is-back":   func() scene { return withoutB(0) },
	"gone":        givenUpForGood,
	"burnt-down":  burntDown,
	"stands-in":   standsIn,
	"rehearsed": func() scene {
		return rehearsed("", "rehearsal: node-b was seen going off and on again by ipmi 10.0.0.242")
	},
	"dark": func() scene {
		return rehearsed("not_proven", "rehearsal: node-b was seen going off, but ipmi 10.0.0.242 does not say that it is on again; switch it on by hand (no error)")
	},
}

const morning = 1795314840000 // 2026-11-22 03:14:00 UTC, in Unix milliseconds

// healthy is a pair in which everything is in order.
func healthy() scene {
	disks := func() []*sbv1.Disk {
		return []*sbv1.Disk{{Volume: "r0/0", Own: "UpToDate", Peer: "UpToDate", Connected: true}}
	}
	services := func(state string) []*sbv1.ServiceStatus {
		return []*sbv1.ServiceStatus{{Name: "filesystem:/srv", State: state}, {Name: "address:10.0.0.100", State: state}, {Name: "unit:nfs-server", State: state}}
	}
	node := func(name string, silent time.Duration) *sbv1.NodeStatus {
		return &sbv1.NodeStatus{
			Name: name, Introduced: true, SilentNs: silent.Nanoseconds(), Boot: "boot-of-" + name, Incarnation: 3, References: 1, Needed: 1,
			Links:    []*sbv1.LinkStatus{{Name: "cross", HearsPeer: true}, {Name: "lan", HearsPeer: true, LostOutPercent: 1}},
			Watchdog: &sbv1.Watchdog{Armed: true, Hardware: true, TimeoutNs: (5 * time.Second).Nanoseconds()},
		}
	}
	return scene{
		status: &sbv1.StatusAnswer{
			Witness: &sbv1.WitnessStatus{
				Name: "w1", Leader: true, LeadingNs: (3 * time.Hour).Nanoseconds(),
				Version: &sbv1.Version{Incarnation: 1, Starts: 2, Nonce: 77, Index: 40},
			},
			Clusters: []*sbv1.ClusterStatus{{
				Definition: nfs1(), Epoch: 8, Nodes: []*sbv1.NodeStatus{node("node-a", 100*time.Millisecond), node("node-b", 200*time.Millisecond)},
				Groups: []*sbv1.GroupStatus{{
					Name: "nfs", Holder: "node-a", Epoch: 8, Started: true, RemainingNs: (19900 * time.Millisecond).Nanoseconds(),
					Basis: &sbv1.Basis{Cause: "fence", Holder: "node-b", Epoch: 4, Grade: 3},
					Last:  &sbv1.Basis{Cause: "fence", Holder: "node-b", Epoch: 4, Grade: 3},
					Nodes: []*sbv1.GroupOnNode{
						{Node: "node-a", Phase: "running", Disks: disks(), Services: services("running")},
						{Node: "node-b", Phase: "stopped", Disks: disks(), Services: services("stopped")},
					},
				}},
			}},
		},
		records: []*sbv1.Record{
			{Index: 31, AtMs: morning, Cluster: "nfs1", Group: "nfs", Node: "node-a", What: "begin", Sentence: "mandate 1: node-a shoots node-b now", Inputs: `{"mandate":1}`},
			{
				Index: 33, AtMs: morning + 2100, Cluster: "nfs1", Group: "nfs", Node: "node-a", What: "fence", Epoch: 8,
				Sentence: "node-a is granted nfs under epoch 8; the lease 4 of node-b ended with grade E3: its power was seen going from on to off", Inputs: `{"grade":3}`,
			},
			{Index: 34, AtMs: morning + 3300, Cluster: "nfs1", Group: "nfs", Node: "node-a", What: "started", Sentence: "node-a runs nfs under epoch 8", Epoch: 8},
			{
				Index: 36, AtMs: morning + 90000, Cluster: "nfs1", Group: "nfs", Node: "node-b", What: "acquire", Reason: "held",
				Sentence: "node-a holds nfs under epoch 8 and was heard a moment ago",
			},
		},
		now:    "nothing: node-a holds it under epoch 8 for another 19.9s",
		timing: wire.ToTiming(proven()),
		doctor: &sbv1.DoctorAnswer{Proofs: []*sbv1.FenceProof{{Node: "node-a", Device: "ipmi 10.0.0.241", AtMs: morning}}},
	}
}

func nfs1() *sbv1.Definition {
	second := time.Second.Nanoseconds()
	return &sbv1.Definition{
		Cluster: "nfs1", Nodes: []string{"node-a", "node-b"}, Stonith: true, Watchdog: true, HoldTimeNs: 60 * second, ShotsPerHour: 4,
		Timing: &sbv1.Timing{
			TtlNs: 20 * second, PromiseNs: 20 * second, RenewNs: second / 4, RpcTimeoutNs: second / 4, SuspectAfterNs: second,
			FenceTimeoutNs: 30 * second, StartGateNs: 30 * second,
		},
		Groups: []*sbv1.GroupDefinition{{Name: "nfs", Drbd: true, Preferred: "node-a", MinimumGrade: 1}},
	}
}

func pairOf(s scene) (cluster *sbv1.ClusterStatus, group *sbv1.GroupStatus, a, b *sbv1.NodeStatus) {
	cluster = s.status.Clusters[0]
	return cluster, cluster.Groups[0], cluster.Nodes[0], cluster.Nodes[1]
}

// unshot: the holder is silent, and its BMC refuses the password.
func unshot() scene {
	s := healthy()
	c, g, a, b := pairOf(s)
	a.SilentNs = (42 * time.Second).Nanoseconds()
	for _, l := range b.Links {
		l.HearsPeer = false
	}
	g.RemainingNs = -(22 * time.Second).Nanoseconds()
	g.Unshot = "10.0.0.241: the BMC refuses the password"
	g.Nodes[1].Disks[0].Peer, g.Nodes[1].Disks[0].Connected = "DUnknown", false
	c.Alarms = []string{
		"node-a has not been heard for 42s; see whether it is up, reaches this witness, and runs sbagent (systemctl status sbagent)",
		"nfs: node-a could not be shot: 10.0.0.241: the BMC refuses the password; once you have seen that it is off, type: sbctl fence confirm node-a",
	}
	s.now = "node-a holds nfs under epoch 8 is silent and could not be shot"
	return s
}

// excluded: the standby was away and resynchronises.
func excluded() scene {
	s := healthy()
	c, g, _, _ := pairOf(s)
	g.Exclusions = []*sbv1.ExclusionStatus{{Node: "node-b", Number: 1<<32 | 3, OwnWord: 2, By: "node-a", Epoch: 8}}
	g.Nodes[0].Disks[0].Peer = "Inconsistent"
	g.Nodes[1].Disks[0].Own = "Inconsistent"
	c.Alarms = []string{"nfs: the copy on node-b is stale (exclusion 1.3, at the word of node-a under epoch 8) and is not promoted before it has resynchronised; look at DRBD's connection there"}
	return s
}

// learning: a witness with an empty disk has heard one node.
func learning() scene {
	s := healthy()
	c, g, a, b := pairOf(s)
	c.Learning, c.Epoch = true, 0
	*g = sbv1.GroupStatus{Name: "nfs", Nodes: []*sbv1.GroupOnNode{g.Nodes[0], {Node: "node-b"}}}
	a.Introduced = true
	*b = sbv1.NodeStatus{Name: "node-b", SilentNs: -1}
	c.Alarms = []string{"nfs1: nothing is granted before node-b has reported; start sbagent there", "node-b has never been heard; start sbagent there and look at its journal"}
	return s
}

func maintenance() scene {
	s := healthy()
	c, _, _, _ := pairOf(s)
	c.Maintenance, c.MaintenanceUntil = true, morning/1000+7200
	return s
}

func standby() scene {
	s := healthy()
	_, _, _, b := pairOf(s)
	b.Standby = true
	return s
}

// free: nobody holds a group that only an operator starts.
func free() scene {
	s := healthy()
	c, g, _, _ := pairOf(s)
	c.Definition.Groups[0].Manual = true
	g.Holder, g.Epoch, g.Started, g.RemainingNs, g.Basis = "", 0, false, 0, nil
	g.Last = &sbv1.Basis{Cause: "receipt", Holder: "node-a", Epoch: 8, Grade: 5}
	g.Nodes[0].Phase, g.Nodes[0].Services = "stopped", g.Nodes[1].Services
	return s
}

// shooting: node-a was lost a moment ago.
func shooting() scene {
	s := unshot()
	c, g, a, _ := pairOf(s)
	a.SilentNs = (1500 * time.Millisecond).Nanoseconds()
	g.Unshot, g.RemainingNs = "", (18 * time.Second).Nanoseconds()
	c.Mandate = &sbv1.MandateStatus{Id: 2, Target: "node-a", Executor: "node-b", Group: "nfs", Phase: "begun"}
	c.Alarms = nil
	return s
}

// promise: the holder has lost the witness, but its peer hears it.
func promise() scene {
	s := healthy()
	_, g, a, _ := pairOf(s)
	a.SilentNs = (60 * time.Second).Nanoseconds()
	g.RemainingNs = -(40 * time.Second).Nanoseconds()
	return s
}

// badLink: one link is dead in one direction, the other loses beats.
func badLink() scene {
	s := healthy()
	_, g, a, b := pairOf(s)
	a.Links[0].HearsPeer = false
	b.Links[1].LostInPercent, a.Links[1].LostOutPercent = 14, 14
	g.Nodes[0].Services[2].State = "failed"
	return s
}

func twoClusters() scene {
	s, other := healthy(), free()
	c := other.status.Clusters[0]
	c.Definition.Cluster = "web2"
	c.Definition.Groups[0].Name, c.Groups[0].Name = "web", "web"
	c.Definition.Nodes[0], c.Nodes[0].Name = "node-c", "node-c" // node-b is in both
	c.Definition.Groups[0].Preferred, c.Groups[0].Nodes[0].Node = "node-c", "node-c"
	c.Alarms = []string{"web: node-c could not be shot: no answer; once you have seen that it is off, type: sbctl fence confirm node-c"}
	s.status.Clusters = append(s.status.Clusters, c)
	return s
}

// twoSplit: the copies of one of two clusters have split, and nobody decides.
func twoSplit() scene {
	s, other := parted("split", 10, 2)(), twoClusters()
	s.status.Clusters = append(s.status.Clusters, other.status.Clusters[1])
	s.records = append(s.records, &sbv1.Record{
		Index: 37, AtMs: morning + 91000, Cluster: "nfs1", Group: "nfs", Node: "node-b", What: "acquire", Reason: "no_good_copy",
		Sentence: "both copies of nfs are stale; an operator has to say which is kept: sbctl group init nfs --keep NODE",
	})
	s.now = "nobody runs nfs; type: sbctl switchover nfs --to node-a"
	s.doctor.Findings = []*sbv1.Finding{{Node: "node-b", Severity: "warning", Subject: "kept copies", What: "the store is nearly full", Fix: "sbctl salvage nfs --recovery 1.1"}}
	return s
}

// moving: a switchover succeeds while it is watched.
func moving() scene {
	s := healthy()
	at := func(index uint64, ms int64, node, what, sentence string) *sbv1.Record {
		return &sbv1.Record{Index: index, AtMs: morning + ms, Cluster: "nfs1", Group: "nfs", Node: node, What: what, Sentence: sentence}
	}
	s.live = []*sbv1.Record{
		at(41, 0, "node-b", "switchover", "nfs is to move from node-a to node-b, says alice"),
		at(42, 610, "node-a", "release", "node-a has stopped nfs and given epoch 8 back: ordered"),
		at(43, 640, "node-b", "acquire", "node-b is granted nfs under epoch 12"),
		at(44, 1240, "node-b", "started", "node-b runs nfs under epoch 12"),
	}
	_, g, _, _ := pairOf(s)
	g.OrderTo = "node-b"
	return s
}

// givenUp: a switchover is ordered and falls; the holder keeps the group.
func givenUp() scene {
	s := moving()
	s.live = s.live[:1]
	_, g, _, _ := pairOf(s)
	g.OrderTo = ""
	return s
}

// blind: the witness has lost its network.
func blind() scene {
	s := promise()
	_, _, _, b := pairOf(s)
	b.SilentNs = (61 * time.Second).Nanoseconds()
	return s
}

// unreached is a pair whose nodes named reach no reference address.
func unreached(nodes ...string) scene {
	s := healthy()
	for _, n := range s.status.Clusters[0].Nodes {
		if slices.Contains(nodes, n.Name) {
			n.References = 0
		}
	}
	return s
}

// standalone: the two have met after both were written to, and the loser of it is stale
// and has lost a link.
func standalone() scene {
	s := excluded()
	c, g, _, b := pairOf(s)
	b.Links[0].HearsPeer = false
	for _, on := range g.Nodes {
		on.Disks[0].Own, on.Disks[0].Peer, on.Disks[0].Connected = "UpToDate", "DUnknown", false
	}
	g.Split = &sbv1.SplitStatus{
		What: "split brain of nfs, by all that is seen: DRBD has given up connecting its two copies (StandAlone)", Do: "sbctl resolve nfs --dry-run",
	}
	c.Alarms = append([]string{g.Split.What + "; type: " + g.Split.Do, "node-b hears nothing of node-a on link cross; look at cable, address and firewall"}, c.Alarms...)
	return s
}

// burntDown: node-b is stale, and node-a, which ran the group alone, was declared off.
func burntDown() scene {
	s := healthy()
	c, g, a, b := pairOf(s)
	a.SilentNs = (3 * time.Hour).Nanoseconds()
	for _, l := range b.Links {
		l.HearsPeer = false
	}
	g.Holder, g.Epoch, g.Started, g.RemainingNs, g.Basis = "", 0, false, 0, nil
	g.Last = &sbv1.Basis{Cause: "operator", Holder: "node-a", Epoch: 8, Grade: 1}
	g.Exclusions = []*sbv1.ExclusionStatus{{Node: "node-b", Number: 1<<32 | 3, By: "node-a", Epoch: 8, SinceMs: morning}}
	g.Nodes[0] = &sbv1.GroupOnNode{Node: "node-a"}
	g.Nodes[1].Disks[0].Own, g.Nodes[1].Disks[0].Peer, g.Nodes[1].Disks[0].Connected = "Outdated", "DUnknown", false
	s.now = "node-a, which has the only good copy, is to be heard"
	c.Alarms = nil
	return s
}

// standsIn: that was said, and is waited for.
func standsIn() scene {
	s := burntDown()
	c, g, _, _ := pairOf(s)
	g.StandIn = &sbv1.StandInStatus{Node: "node-b", Lost: "node-a", By: "alice", Word: 3}
	g.Words = 3
	c.Alarms = []string{"nfs runs nowhere; node-b's copy is to stand in for that of node-a, which alice has declared lost; to take that back: sbctl group init nfs --cancel --word 3"}
	return s
}
