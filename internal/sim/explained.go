package sim

import "strings"

// explanation says why some pairs of a grid are not reached. States and events
// are lists with spaces between, "*" is all.
type explanation struct{ core, states, events, why string }

// impossible are the pairs that cannot be reached. One that is reached refutes
// what stands here.
var impossible = []explanation{
	{
		"agent", "reading begging shooting reporting bidding returning securing beginning freezing", "Found",
		"an agent that has just started has asked for nothing yet, and takes a start that was cut short for a stop",
	},
	{
		"agent", "waiting reading begging shooting reporting bidding returning idle securing freezing barred serving", "StartDone",
		"only a start that is under way ends: a stop ordered since, or the next agent's, takes its place",
	},
	{
		"agent", "waiting reading begging shooting reporting bidding returning idle securing beginning freezing barred serving", "StopDone",
		"only a stop that is under way ends, and nothing else begins before it has",
	},
	{
		"agent", "waiting reading begging shooting reporting bidding securing beginning freezing barred serving ending", "OutdateDone",
		"a copy is given up only by a node that runs nothing and asks for nothing, and it asks for nothing before that is done",
	},
	{
		"agent", "waiting", "Answered",
		"a beat is sent only after the welcome that ends the quarantine",
	},
	{
		"agent", "*", "Leave",
		"no fault shuts a machine down in order; TestOrderlyShutdownOfTheHolderShootsNobody does",
	},
	{
		"agent", "*", "SaveFailed",
		"a node's full disk is not simulated here but in internal/bubble, with the real store",
	},
	{
		"agent", "*", "Links Services",
		"the simulated shell has none to report; they are for people to look at",
	},
	{
		"arbiter's group", "*", "WitnessBegin WitnessReport",
		noDevices,
	},
	{
		"arbiter's mandate", "*", "WitnessBegin WitnessReport",
		noDevices,
	},
	{
		"arbiter's recovery", "undecided", "*",
		"the simulated operator names whose copy is given up; arbiter's stories leave it to policies",
	},
	{
		"leader", "*", "Looked ShotDone",
		noDevices,
	},
}

const noDevices = "the simulated witness has no fence devices of its own"

// seldom are the pairs that take a coincidence which random schedules do not
// come upon in thousands of hours. They may be reached one day.
var seldom = []explanation{
	{
		"agent", "waiting reading begging shooting reporting returning securing freezing barred ending", "PowerRead ShotDone",
		"the answer would have to outlive the mandate that it was for, and meet what came after it",
	},
	{
		"agent", "waiting reading begging shooting reporting returning securing freezing barred", "DiskFailed",
		"the disk would have to fail in the fractions of a second that this lasts",
	},
	{
		"agent", "reading begging shooting reporting returning securing beginning freezing barred serving ending", "InvalidateDone",
		"a copy is invalidated in the moment before DRBD is connected, and is not one to be granted or run",
	},
	{
		"agent", "reading begging shooting reporting returning waiting securing freezing", "FencePeer",
		"a node that has no right would have to be Primary still, and to lose its peer just then",
	},
	{
		"agent", "securing barred returning ending", "CallDone Welcomed SessionUp SessionDown Found OutdateDone StartDone",
		"two things would have to come within milliseconds of each other",
	},
	{
		"arbiter's group", "learning unborn moving held", "Renounce Started OwnWord Readmit Begin ReportFence EndMandate Confirm Maintenance Standby Calm Armed Remark Order GiveUp",
		"the command would have to be on its way when another one puts the group into this state",
	},
	{
		"arbiter's mandate", "none open begun settled", "Renounce Begin EndMandate Readmit ReportFence Confirm Order Standby Maintenance Started OwnWord Lead Calm Armed Remark GiveUp",
		"the command would have to be on its way when another one puts the mandate into this phase, which lasts seconds",
	},
	{
		"arbiter's group", "*", "Calm Remark",
		"no fault leads to it: an operator's word after many shots, and a remark on timing",
	},
	{
		"arbiter's mandate", "*", "Calm Remark",
		"no fault leads to it: an operator's word after many shots, and a remark on timing",
	},
	{
		"arbiter's group", "unborn", "Lead Define Release Exclude",
		"the pair would have to be in trouble before anybody was granted the group, a second after its start",
	},
	{
		"arbiter's recovery", "*", "*",
		"one seed in 64 has a split brain, and both would have to come within the seconds of its recovery",
	},
	{
		"leader", "busy listening", "Applied Lost Confirm Maintenance GiveUp",
		"it would have to come within the second or the milliseconds that this lasts",
	},
}

func explain(table []explanation, p Pair) string {
	for _, e := range table {
		if e.core == p.Core && among(e.states, p.State) && among(e.events, p.Event) {
			return e.why
		}
	}
	return ""
}

func among(list, name string) bool {
	if list == "*" {
		return true
	}
	for _, one := range strings.Fields(list) {
		if one == name {
			return true
		}
	}
	return false
}
