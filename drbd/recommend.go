package drbd

import (
	"fmt"
	"slices"
	"strings"
)

// advised are options that nothing breaks without: what they are for stands beside
// them.
var advised = []struct{ section, option, value, why string }{
	{"net", "ping-int", "1", "a peer that falls silent is noticed within seconds"},
	{"net", "ping-timeout", "3", ""},
	{"net", "timeout", "10", ""},
	{"net", "connect-int", "1", ""},
	{"net", "socket-check-timeout", "1", "since 8.4.5; how long a new connection is watched, in tenths of a second: no shorter than the way there and back"},
	{"disk", "on-io-error", "call-local-io-error", "a copy that fails is recorded as stale by the node that loses it"},
}

// Recommended is the section of a resource's configuration that q demands, with
// what is advised besides, as drbd.conf(5) has it.
func (q Requirements) Recommended() string {
	options := map[string][]string{}
	var order []string
	add := func(section, line string) {
		if !slices.Contains(order, section) {
			order = append(order, section)
		}
		options[section] = append(options[section], line)
	}
	for _, r := range slices.Concat(q.connectionRules(), q.volumeRules(), q.resourceRules()) {
		add(r.section, fmt.Sprintf("%s %s;", r.option, r.want))
	}
	for _, o := range advised {
		line := fmt.Sprintf("%s %s;", o.option, o.value)
		if o.why != "" {
			line += " # " + o.why
		}
		add(o.section, line)
	}
	for _, h := range q.Handlers {
		add("handlers", fmt.Sprintf("%s %q;", h, q.HandlerCommand+" "+string(h)))
	}
	var b strings.Builder
	fmt.Fprintf(&b, "resource %s {\n", q.Resource)
	for _, section := range order {
		fmt.Fprintf(&b, "\t%s {\n", section)
		for _, line := range options[section] {
			fmt.Fprintf(&b, "\t\t%s\n", line)
		}
		b.WriteString("\t}\n")
	}
	b.WriteString("\t# the volumes and the two \"on HOST\" sections go here, as they are\n}\n")
	return b.String()
}
