package sim_test

import (
	"slices"
	"time"

	"sbarbiter/arbiter"
	"sbarbiter/internal/mutant"
	"sbarbiter/internal/sim"
)

// heardAgain cuts a node off for so long that a shot at it begins, by a power
// switch that obeys late, and lets it be heard before the shot lands.
var heardAgain = []sim.Fault{
	{What: "power switch obeys late", Host: "node-a", At: s(0)},
	{What: "is cut off from everybody", Host: "node-a", At: s(1), For: s(1.7)},
}

// shotBegins is how all of heardAgain begin.
var shotBegins = []string{"witness, node-b may shoot it", "node-b, off sent", "fault, over: node-a is cut off from everybody"}

// ofShots: at most one node is shot, and never the one that keeps the lease.
var ofShots = []replay{
	{
		// B begins to shoot A, hears it and promises; the shot lands.
		weakening: "M_ASKPROMISE", mutants: []mutant.Name{mutant.PromiseWhileAsking}, breaks: "S5", pair: "stonith", groups: webAlone, mended: 40 * time.Second,
		faults: heardAgain, steps: slices.Concat(shotBegins, []string{"node-a, a shot at node-a has begun", "node-b, peer heard", "node-a, POWER OFF"}),
	},
	{
		// The same, and B promises about the other group of A's. In the code one line
		// silences a node for both.
		weakening: "M_ASKGROUP", mutants: []mutant.Name{mutant.PromiseWhileAsking}, breaks: "S5", pair: "stonith", groups: []arbiter.GroupID{db, web}, bare: true,
		mended: 40 * time.Second, faults: heardAgain,
		steps: slices.Concat(shotBegins, []string{"node-a, a shot at node-a has begun", "node-a, POWER OFF"}),
	},
	{
		// The same, and the witness renews A's lease.
		weakening: "M_RENEWBEGUN", mutants: []mutant.Name{mutant.RenewedAfterBegin}, breaks: "S5", pair: "stonith", groups: webAlone, mended: 40 * time.Second,
		faults: heardAgain, steps: slices.Concat(shotBegins, []string{"node-a, POWER OFF"}),
	},
	{
		// The same, and the permission to shoot A has left no trace.
		weakening: "M_TWOSTEP", mutants: []mutant.Name{mutant.TwoSteps}, breaks: "S5", pair: "stonith", groups: webAlone, mended: 40 * time.Second,
		faults: heardAgain, steps: slices.Concat(shotBegins, []string{"node-a, POWER OFF"}),
	},
	{
		// The replication link is cut, B begins to shoot A, A excludes B and goes on.
		weakening: "M_EXBEGUN", mutants: []mutant.Name{mutant.ExcludeAfterBegin}, breaks: "S5", pair: "stonith", groups: dbAlone, mended: 40 * time.Second,
		faults: heardAgain, steps: slices.Concat(shotBegins, []string{"witness, node-b's copy of db is excluded", "node-a, handler exits 4", "node-a, writes go on", "node-a, POWER OFF"}),
	},
	{
		// One may shoot the other, and the other the one.
		weakening: "M_ONEMANDATE", mutants: []mutant.Name{mutant.MandateNotExclusive}, breaks: "S5", pair: "stonith", groups: []arbiter.GroupID{db, web}, atHome: true, bare: true,
		mended: 40 * time.Second,
		faults: []sim.Fault{
			{What: "power switch obeys late", Host: "node-a", At: s(0)},
			{What: "all links between the nodes cut", Host: "node-a", At: s(1)},
			{What: "is cut off from the witness", Host: "node-a", At: s(1), For: s(1.6)},
			{What: "is cut off from the witness", Host: "node-b", At: s(2.5)},
		},
		steps: []string{"witness, node-b may shoot it", "node-b, off sent", "witness, node-a may shoot it", "node-a, POWER OFF"},
	},
	{
		// B begins to shoot A, the witness loses its memory and learns what both know;
		// the shot lands.
		weakening: "M_LEARNSHOT", mutants: []mutant.Name{mutant.MandatesForgotten}, breaks: "S5", pair: "stonith", groups: webAlone, mended: 40 * time.Second, seed: 10,
		faults: []sim.Fault{{What: "is shot by order of a witness that loses its disk", At: s(0)}},
		steps: []string{
			"witness, node-b may shoot it", "witness, node-b shoots node-a now", "fault, witness loses its disk", "witness, leads",
			"witness, node-b is up", "witness, node-a is up", "node-a, POWER OFF",
		},
	},
}

// ofCopies: whose copy is stale.
var ofCopies = []replay{
	{
		// A loses B and goes on before it is recorded; it is shot, and B is granted.
		weakening: "M_EXIT4", mutants: []mutant.Name{mutant.EarlyExit4}, breaks: "S2", pair: "stonith", groups: dbAlone, mended: 30 * time.Second,
		faults: []sim.Fault{
			{What: "is cut off from everybody", Host: "node-a", At: s(0)},
		},
		steps: []string{"fault, node-a is cut off", "node-a, handler exits 4", "node-a, POWER OFF", "witness, node-b is granted db", "node-b, granted"},
	},
	{
		// A excludes B and writes on, dies; B is granted as if nothing were.
		weakening: "M_EXPIRE", mutants: []mutant.Name{mutant.ExclusionExpires}, breaks: "S2", pair: "stonith", groups: dbAlone, mended: 30 * time.Second,
		faults: []sim.Fault{
			{What: "replication cut", Host: "node-a", At: s(0)},
			{What: "is put in standby", Host: "node-a", At: s(5)},
			{What: "crashes", Host: "node-a", At: s(6), For: s(1)},
		},
		steps: []string{"fault, replication cut", "witness, node-b's copy of db is excluded", "node-a, handler exits 4", "witness, node-b is granted db", "node-b, granted"},
	},
	{
		// A's disk fails and A does not record it; A dies, boots and is granted.
		weakening: "M_DISKWORD", mutants: []mutant.Name{mutant.OwnDiskIgnored}, breaks: "S2", pair: "stonith", groups: dbAlone, mended: 40 * time.Second,
		faults: []sim.Fault{
			{What: "disk fails", Host: "node-a", At: s(0)},
			{What: "is put in standby", Host: "node-b", At: s(7)},
			{What: "replication cut", Host: "node-a", At: s(8)},
			{What: "crashes", Host: "node-a", At: s(8), For: s(1)},
		},
		steps: []string{"fault, node-a disk fails", "fault, node-a crashes", "node-a, up", "witness, node-a is up", "witness, node-a is granted db", "node-a, granted"},
	},
	{
		// B's disk fails and A does not exclude it; A dies, B boots and is granted.
		weakening: "M_DISKEXCL", mutants: []mutant.Name{mutant.PeerDiskIgnored, mutant.OwnDiskIgnored, mutant.RecordTrusted}, breaks: "S2", pair: "stonith", groups: dbAlone,
		mended: 40 * time.Second,
		faults: []sim.Fault{
			{What: "disk fails", Host: "node-b", At: s(0)},
			{What: "is reset", Host: "node-b", At: s(8)},
			{What: "crashes", Host: "node-a", At: s(8)},
		},
		steps: []string{"fault, node-b disk fails", "node-b, up", "witness, node-b is up", "witness, node-b is granted db", "node-b, granted"},
	},
	{
		// B is excluded, in step again and excluded anew; then the first readmission
		// arrives, A dies, and B is granted.
		weakening: "M_NUMBER", mutants: []mutant.Name{mutant.ReadmitByEpoch, mutant.OvertakenHeard}, breaks: "S2", pair: "stonith", groups: dbAlone, mended: 40 * time.Second,
		faults: []sim.Fault{{What: "is in step with its peer again, which is heard when it is so no more", At: s(0)}},
		steps: []string{
			"witness, node-b's copy of db is excluded (1.1)", "fault, replication is back", "witness, node-b's copy of db is excluded (1.2)",
			"node-a, handler exits 4", "witness, node-b has resynchronised db and is readmitted", "fault, node-a crashes",
			"witness, node-b is granted db", "node-b, granted",
		},
	},
}

// ofMemory: a witness without its memory.
var ofMemory = []replay{
	{
		// B holds the group; the witness loses its memory and learns what both know, and
		// gives B's epoch to A.
		weakening: "M_FLOOR", mutants: []mutant.Name{mutant.FloorIgnored, mutant.NumbersGivenAgain}, breaks: "S4", pair: "watchdog", groups: webAlone, atHome: true,
		mended: 40 * time.Second,
		faults: []sim.Fault{
			{What: "witness loses its disk", Host: "node-a", At: s(0)},
			{What: "is to take the group", Host: "node-a", At: s(10)},
		},
		steps: []string{
			"node-b, granted", "witness, leads no more", "witness, leads", "witness, node-b is up", "witness, node-a is up",
			"witness, node-b has stopped web", "witness, node-a is granted web under epoch 4",
		},
	},
}
