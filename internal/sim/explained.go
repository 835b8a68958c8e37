package sim

import "strings"

// explanation says why some pairs of a grid cannot be reached. States and events
// are lists with spaces between, "*" is all.
type explanation struct{ core, states, events, why string }

var explained = []explanation{}

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
