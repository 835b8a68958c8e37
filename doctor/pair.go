package doctor

import (
	"fmt"
	"maps"
	"slices"
	"time"

	"sbarbiter/timing"
)

// rehearseAfter is how old the last proof of a fence device may be.
const rehearseAfter = 90 * 24 * time.Hour

// Member is what the witness knows of one node beside its own findings.
type Member struct {
	Name       string
	Heard      Watched
	Reported   Watched
	Examined   Watched
	ConfigHash string
	Machine    string // DMI's UUID, as the node itself reads it
	// Switches says for each of its fence devices which machine that switches,
	// where the device tells it: it should be the other node.
	Switches map[string]string
	// Proven says for each fence device of this node how long ago it was seen
	// going from on to off.
	Proven map[string]time.Duration
	// Groups are those of its file, and whether it shows copies of their data; nil: it
	// has not said which.
	Groups map[string]Copies
}

// Copies says whether a group has DRBD resources.
type Copies bool

// Pair is what the witness knows of both.
type Pair struct {
	Members [2]Member
	Groups  map[string]Copies // as they are declared
	STONITH Watched
	Timing  timing.Pair
}

// Examine returns what is wrong between the nodes, the worst first.
func (p Pair) Examine() []Finding {
	var out findings
	for _, m := range p.Members {
		m.examine(&out)
		m.groups(p.Groups, &out)
		if p.STONITH {
			m.proofs(&out)
		}
	}
	a, b := p.Members[0], p.Members[1]
	a.aims(b, &out)
	b.aims(a, &out)
	if a.ConfigHash != "" && b.ConfigHash != "" && a.ConfigHash != b.ConfigHash {
		out.add(Critical, a.Name+" and "+b.Name, "their node files do not say the same about cluster, witnesses, links, timing or groups",
			"one node would start what the other does not know, or count by other times", "compare /etc/sbarbiter/node.yaml of both, and restart sbagent where it was changed")
	}
	for _, r := range p.Timing.Rules() {
		if r.State() == timing.Holds {
			continue
		}
		severity := Warning
		if r.Weight == timing.Required && r.State() == timing.Broken {
			severity = Critical
		}
		out.add(severity, "timing "+r.Name, r.String(), r.Why, r.Change)
	}
	return out.sorted()
}

func (m Member) examine(out *findings) {
	switch {
	case !bool(m.Heard):
		out.add(Warning, m.Name, "it is not heard", "nothing is known of it now", "systemctl status sbagent on "+m.Name)
	case !bool(m.Reported):
		out.add(Note, m.Name, "it has not reported its numbers yet", "its part of the timing is not checked", "wait a minute; an older sbagent reports none")
	case !bool(m.Examined):
		out.add(Note, m.Name, "it has not examined itself yet", "its own findings are missing", "wait a minute, or on it: sbagent check")
	}
}

// groups asks whether the node's file and the cluster's mean the same.
func (m Member) groups(declared map[string]Copies, out *findings) {
	if m.Groups == nil {
		return
	}
	for _, id := range sortedKeys(declared) {
		if _, ok := m.Groups[id]; !ok {
			out.add(Critical, m.Name, "its node file does not have group "+id, "it is declared for the pair, and this node will never run it",
				"write it under groups: in node.yaml of both nodes and restart sbagent, or take it out of cluster.yaml")
		}
	}
	for _, id := range sortedKeys(m.Groups) {
		drbd, ok := declared[id]
		switch {
		case !ok:
			out.add(Critical, m.Name, "its node file has group "+id+", which is not declared for the pair", "nobody is ever granted it",
				"write it under groups: in cluster.yaml; then: sbctl cluster add -f cluster.yaml")
		case bool(m.Groups[id]) && !bool(drbd):
			out.add(Critical, m.Name, "group "+id+" has DRBD resources there, and is declared without", "no copy of it can be excluded: when a node is lost, the other one cannot go on",
				"take the group out of cluster.yaml and add it again with drbd: true, while nobody runs it")
		}
	}
}

// aims asks whether the node's fence devices switch the other one. Not every BMC
// has the number of its board, so that a difference alone is no proof.
func (m Member) aims(peer Member, out *findings) {
	for _, device := range sortedKeys(m.Switches) {
		has := m.Switches[device]
		if !Machine(has) || !Machine(peer.Machine) || SameMachine(has, peer.Machine) || SameMachine(has, m.Machine) {
			continue // nothing to compare, right, or found by the node itself
		}
		out.add(Warning, device, fmt.Sprintf("%s would shoot %s with it, and it has another machine's UUID: %s, not %s", m.Name, peer.Name, has, peer.Machine),
			"a shot might switch off a machine that has nothing to do with the pair, and prove nothing",
			"compare the addresses of the fence devices; if they are right, prove it: sbctl fence test "+peer.Name+" --rehearse")
	}
}

// proofs asks when the node's fence devices were last seen to work.
func (m Member) proofs(out *findings) {
	fix := "in a maintenance window: sbctl fence test " + m.Name + " --rehearse"
	if len(m.Proven) == 0 {
		out.add(Warning, m.Name, "none of its fence devices was ever seen switching it off", "a device that has never worked fails when it is needed", fix)
		return
	}
	for _, device := range sortedKeys(m.Proven) {
		if ago := m.Proven[device]; ago > rehearseAfter {
			out.add(Note, device, fmt.Sprintf("it was last seen switching %s off %d days ago", m.Name, int(ago.Hours()/24)), "passwords and networks change", fix)
		}
	}
}

func sortedKeys[V any](m map[string]V) []string { return slices.Sorted(maps.Keys(m)) }
