package sim_test

import (
	"slices"
	"time"

	"sbarbiter/arbiter"
	"sbarbiter/internal/mutant"
	"sbarbiter/internal/sim"
)

var (
	webAlone = []arbiter.GroupID{web}
	dbAlone  = []arbiter.GroupID{db}
	replays  = slices.Concat(ofLeases, ofPromises, ofShots, ofCopies, ofMemory)
)

// ofLeases: what the time of a lease is worth. All break S1.
var ofLeases = []replay{
	{
		// A renews; the answer is long on its way and counts from its arrival.
		weakening: "M_REPLY", mutants: []mutant.Name{mutant.LeaseFromReply}, breaks: "S1", pair: "watchdog", groups: webAlone, mended: 60 * time.Second,
		faults: []sim.Fault{{What: "hears the witness late, while nobody hears it", At: s(0)}},
		steps:  []string{"fault, node-a is heard by nobody", "witness, node-a holds web under epoch 8 is silent", "witness, node-b is granted web", "node-b, granted"},
	},
	{
		// A gives back, B is granted it and hears of that when its lease is nearly over;
		// then A is granted it.
		weakening: "M_GRANTFRESH", mutants: []mutant.Name{mutant.VerdictFromResend}, breaks: "S1", pair: "watchdog", groups: webAlone, mended: 90 * time.Second,
		faults: []sim.Fault{{What: "is relieved by a node that hears of it late, and is cut off then", At: s(0)}},
		steps: []string{
			"node-a, stopped", "witness, node-a has stopped web", "witness, node-b is granted web", "fault, node-b hears the witness for a moment",
			"node-b, granted", "witness, node-a is granted web", "node-a, granted",
		},
	},
	{
		// A's agent stands still, the witness crashes and is back, B asks.
		weakening: "M_NEWLEADER", mutants: []mutant.Name{mutant.NewLeaderGrantsAtOnce}, breaks: "S1", pair: "watchdog", groups: webAlone, mended: 40 * time.Second,
		faults: []sim.Fault{
			{What: "heartbeats cut", Host: "node-a", At: s(0)},
			{What: "agent stopped", Host: "node-a", At: s(20)},
			{What: "witness restarts", Host: "node-a", At: s(20.1)},
		},
		steps: []string{"fault, node-a agent stopped", "witness, leads no more", "witness, leads", "witness, node-b is granted web", "node-b, granted"},
	},
	{
		// A's agent stands still, B asks while A's lease still runs.
		weakening: "M_EARLYE2", mutants: []mutant.Name{mutant.E2BeforeExpiry}, breaks: "S1", pair: "watchdog", groups: webAlone, mended: 40 * time.Second,
		faults: []sim.Fault{
			{What: "heartbeats cut", Host: "node-a", At: s(0)},
			{What: "agent stopped", Host: "node-a", At: s(20)},
		},
		steps: []string{"fault, node-a agent stopped", "witness, node-b is granted web", "node-b, granted"},
	},
	{
		// A's agent stands still, no watchdog is armed; its lease runs out.
		weakening: "M_UNARMED", mutants: []mutant.Name{mutant.E2Unarmed}, breaks: "S1", pair: "watchdog", groups: webAlone, mended: 80 * time.Second,
		faults: []sim.Fault{
			{What: "boots without its watchdog", Host: "node-a", At: s(0), For: s(80)},
			{What: "is to take the group", Host: "node-a", At: s(20)},
			{What: "heartbeats cut", Host: "node-a", At: s(40)},
			{What: "agent stopped", Host: "node-a", At: s(40)},
		},
		steps: []string{"node-a, its watchdog is taken out", "node-a, running", "fault, node-a agent stopped", "witness, node-b is granted web", "node-b, granted"},
	},
	{
		// A's receipt is overtaken by its next question, and A is granted its own lease
		// again; then the receipt arrives, and B is granted it.
		weakening: "M_OVERTAKEN", mutants: []mutant.Name{mutant.StaleLifeHeard}, breaks: "S1", pair: "watchdog", groups: webAlone, mended: 30 * time.Second, seed: 2,
		faults: []sim.Fault{{What: "gives back, and its agent is started anew before that is heard", At: s(0)}},
		steps: []string{
			"node-a, stopped", "witness, node-a holds web under epoch 8", "node-a, granted", "witness, node-a has stopped web",
			"witness, node-b is granted web", "node-b, granted",
		},
	},
	{
		// An operator moves the group to B, which is granted it before A has stopped.
		weakening: "M_RECEIPT", mutants: []mutant.Name{mutant.OrderFrees}, breaks: "S1", pair: "watchdog", groups: webAlone, mended: 30 * time.Second,
		faults: []sim.Fault{
			{What: "stops hang", Host: "node-a", At: s(0)},
			{What: "is to take the group", Host: "node-b", At: s(1)},
		},
		steps: []string{"fault, node-b is to take the group", "witness, node-b is granted web", "node-b, granted"},
	},
	{
		// B's shot at A fails, and off is reported.
		weakening: "M_NOSTATUS", mutants: []mutant.Name{mutant.OffWithoutStatus, mutant.OffNeverOn}, breaks: "S1", pair: "stonith", groups: webAlone, mended: 40 * time.Second,
		faults: []sim.Fault{{What: "has a power switch that has always said off, and does nothing", At: s(0)}},
		steps: []string{
			"witness, node-b may shoot it", "witness, node-b shoots node-a now", "node-b, off sent", "node-b, seen off",
			"witness, node-b is granted web", "node-b, granted",
		},
	},
}

// ofPromises: what keeps a holder in office without a witness.
var ofPromises = []replay{
	{
		// B promises for as long as A counts, and no longer.
		weakening: "M_MARGIN", mutants: []mutant.Name{mutant.PromiseFlat}, breaks: "S1", pair: "watchdog", groups: webAlone, mended: 60 * time.Second, seed: 4,
		faults: []sim.Fault{{What: "lives by its peer's last word to the very end", At: s(0)}},
		steps:  []string{"node-a, witness lost", "node-b, heartbeats lost", "witness, node-b is granted web", "node-b, granted"},
	},
	{
		// B promises, the witness hears A no more, B's agent restarts and asks.
		weakening: "M_FORGET", mutants: []mutant.Name{mutant.PromiseForgotten}, breaks: "S1", pair: "watchdog", groups: webAlone, mended: 60 * time.Second,
		faults: []sim.Fault{
			{What: "is cut off from the witness", Host: "node-a", At: s(0)},
			{What: "heartbeats cut", Host: "node-a", At: s(20)},
			{What: "agent stopped", Host: "node-a", At: s(20)},
			{What: "agent killed", Host: "node-b", At: s(20.2), For: s(0.3)},
		},
		steps: []string{"node-a, witness lost", "node-b, agent starts", "witness, node-b is up", "witness, node-b is granted web", "node-b, granted"},
	},
	{
		// B's promise runs, A's lease has run out at the witness, B is granted it
		// and takes it.
		weakening: "M_BASIS", mutants: []mutant.Name{mutant.BasisIgnored, mutant.E2WhilePromising}, breaks: "S1", pair: "watchdog", groups: webAlone, mended: 60 * time.Second,
		faults: []sim.Fault{
			{What: "is cut off from the witness", Host: "node-a", At: s(0)},
			{What: "heartbeats cut", Host: "node-a", At: s(20)},
			{What: "agent stopped", Host: "node-a", At: s(20)},
		},
		steps: []string{"node-a, witness lost", "witness, node-b is granted web", "node-b, granted"},
	},
	{
		// The same, and B does not take it. It starts anew and asks again, and how A's
		// lease ended is forgotten.
		weakening: "M_LAUNDER", mutants: []mutant.Name{mutant.EndingNotSticky, mutant.E2WhilePromising}, breaks: "S1", pair: "watchdog", groups: webAlone, mended: 60 * time.Second,
		faults: []sim.Fault{
			{What: "is cut off from the witness", Host: "node-a", At: s(0)},
			{What: "is cut off and cannot stop, and its agent stops after the last feed", At: s(20)},
			{What: "agent killed", Host: "node-b", At: s(22), For: s(0.2)},
		},
		steps: []string{
			"node-a, witness lost", "witness, node-b is granted web under epoch 12", "node-b, grant given back", "node-b, agent starts",
			"witness, node-b is up", "witness, node-b is granted web under epoch 16", "node-b, granted",
		},
	},
	{
		// A boots and introduces itself, hears nothing, and goes on by B's word. Then B
		// asks, and takes A's boot for A's last word.
		weakening: "M_OLDPROOF", mutants: []mutant.Name{mutant.RebootOvercomes}, breaks: "S1", pair: "stonith", groups: dbAlone, seed: 4, mended: 40 * time.Second,
		faults: []sim.Fault{{What: "boots unheard, and goes on by its peer's word", At: s(0)}},
		steps: []string{
			"node-a, RESET", "node-a, up", "witness, node-a is up: boot node-a-boot-3", "node-a, reinstated", "witness, node-b is granted db", "node-b, granted",
		},
	},
	{
		// The witness crashes, and nobody has promised anything.
		weakening: "M_NOPROMISE", mutants: []mutant.Name{mutant.NothingPromised}, breaks: "L2", pair: "watchdog", groups: webAlone, mended: 60 * time.Second,
		faults: []sim.Fault{{What: "witness dies", Host: "node-a", At: s(0)}},
		steps:  []string{"fault, witness dies"},
	},
	{
		// A boots without a watchdog and introduces itself, hears nothing, and goes on by
		// B's word; then its agent stands still, and B's promise runs out.
		weakening: "M_REINSTBARE", mutants: []mutant.Name{mutant.ReinstatedUnarmed}, breaks: "S1", pair: "watchdog", groups: webAlone, mended: 120 * time.Second,
		faults: []sim.Fault{
			{What: "boots without its watchdog", Host: "node-a", At: s(0), For: s(120)},
			{What: "is to take the group", Host: "node-a", At: s(20)},
			{What: "boots unheard, and goes on by its peer's word", At: s(35)},
			{What: "is cut off from everybody", Host: "node-a", At: s(50)},
			{What: "agent stopped", Host: "node-a", At: s(50)},
		},
		steps: []string{
			"node-a, its watchdog is taken out", "fault, node-a boots unheard", "node-a, RESET", "node-a, up", "witness, node-a is up: boot node-a-boot-5", "node-a, reinstated",
			"fault, node-a agent stopped", "witness, node-b is granted web", "node-b, granted",
		},
	},
	{
		// A boots and goes on by B's word, and then introduces itself: its new boot ends
		// what it runs under.
		weakening: "M_BOOTRUNS", mutants: []mutant.Name{mutant.BootEndsAll, mutant.RebootOvercomes}, breaks: "S1", pair: "watchdog", groups: webAlone, mended: 60 * time.Second,
		faults: []sim.Fault{
			{What: "witness dies", Host: "node-a", At: s(0), For: s(30)},
			{What: "is reset", Host: "node-a", At: s(1)},
			{What: "stops hang", Host: "node-a", At: s(33)},
			{What: "is cut off from everybody", Host: "node-a", At: s(33)},
		},
		steps: []string{"node-a, RESET", "node-a, up", "node-a, reinstated", "witness, node-a is up: boot node-a-boot-3", "witness, node-b is granted web", "node-b, granted"},
	},
}
