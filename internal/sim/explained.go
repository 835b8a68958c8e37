package sim

import "strings"

// explanation says why some pairs of a grid cannot be reached. States and events
// are lists with spaces between, "*" is all.
type explanation struct{ core, states, events, why string }

var explained = []explanation{
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
		"agent", "securing", "FencePeer",
		"DRBD calls while it is promoted or is Primary, and here the promotion waits for the exclusion",
	},
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
