package ctl

import (
	"fmt"
	"strings"
	"time"

	sbv1 "sbarbiter/proto/sb/v1"
)

// banner is the word that comes first, in the colour that is seen first.
func banner(l level) cell {
	switch l {
	case levelOK:
		return tinted("OK", green)
	case levelAttention:
		return tinted("ATTENTION", yellow)
	case levelDown:
		return tinted("DOWN", red)
	}
	return tinted("UNKNOWN", red)
}

// drawStatus writes the clusters one after another, the verdict of each first.
func drawStatus(w *witness, pairs []*pair, on paper) string {
	var b strings.Builder
	if len(pairs) == 0 {
		fmt.Fprintf(&b, "%s  no cluster is declared; declare one with: sbctl cluster add -f cluster.yaml\n\n", banner(levelAttention).show(on.colourful))
	}
	for _, p := range pairs {
		p.draw(&b, on)
		b.WriteByte('\n')
	}
	s := w.status.GetWitness()
	fmt.Fprintf(&b, "witness %s at %s has led for %s\n", s.GetName(), w.addr, span(time.Duration(s.GetLeadingNs())))
	return b.String()
}

func (p *pair) draw(b *strings.Builder, on paper) {
	fmt.Fprintf(b, "%s  %s: %s\n", banner(p.level()).show(on.colourful), p.def.GetCluster(), p.headline())
	for _, alarm := range p.alarms {
		fmt.Fprintf(b, "  %s %s\n", tinted("!", yellow).show(on.colourful), shownAs(alarm))
	}
	for _, f := range p.listed() {
		fmt.Fprintf(b, "  %s %s\n", tinted("!", banner(f.Level).colour).show(on.colourful), shownAs(f.What))
		if f.Do != "" {
			fmt.Fprintf(b, "    do: %s\n", f.Do)
		}
	}
	for _, g := range []*grid{p.groupGrid(), p.nodeGrid(), p.copyGrid()} {
		b.WriteByte('\n')
		g.draw(b, on)
	}
}

func (p *pair) groupGrid() *grid {
	g := heading("GROUP", "ON", "EPOCH", "LEASE", "RESTS ON")
	for _, s := range p.GetGroups() {
		if s.GetHolder() == "" {
			ended := basisWords(s.GetLast())
			if p.GetLearning() {
				ended = "not learnt yet"
			}
			g.add(c(s.GetName()), tinted("nobody", red), c("-"), c("-"), c(ended))
			continue
		}
		on := c(s.GetHolder())
		if s.GetOrderTo() != "" {
			on = tinted(on.text+" -> "+s.GetOrderTo(), yellow)
		}
		if !p.runs(s) {
			on.colour = red
		}
		g.add(c(s.GetName()), on, c(fmt.Sprint(s.GetEpoch())), leaseCell(s), c(basisWords(s.GetBasis())))
	}
	return g
}

func leaseCell(s *sbv1.GroupStatus) cell {
	left := time.Duration(s.GetRemainingNs())
	if left <= 0 {
		return tinted("ran out", red)
	}
	return c(span(left) + " left")
}

func (p *pair) nodeGrid() *grid {
	g := heading("NODE", "HEARD", "LINKS", "REFERENCES", "WATCHDOG", "TAKES GROUPS")
	for _, n := range p.GetNodes() {
		if !p.heard(n.GetName()) {
			g.add(c(n.GetName()), tinted(heardWords(n), red), c("-"), c("-"), c("-"), tinted("no: not heard", red))
			continue
		}
		references := c(fmt.Sprintf("%d/%d", n.GetReferences(), n.GetNeeded()))
		if n.GetReferences() < n.GetNeeded() {
			references.colour = red
		}
		g.add(c(n.GetName()), c(heardWords(n)), linksCell(n), references, watchdogCell(n.GetWatchdog()), takesCell(n))
	}
	return g
}

func heardWords(n *sbv1.NodeStatus) string {
	if unheard(n) {
		return "not yet"
	}
	return span(time.Duration(n.GetSilentNs())) + " ago"
}

// unheard reports that the witness has not heard the node since it leads.
func unheard(n *sbv1.NodeStatus) bool { return n.GetSilentNs() < 0 || n.GetBoot() == "" }

// linksCell shows both directions of each link.
func linksCell(n *sbv1.NodeStatus) cell {
	out := cell{}
	var parts []string
	for _, l := range n.GetLinks() {
		lost := max(l.GetLostInPercent(), l.GetLostOutPercent())
		word := l.GetName() + " ok"
		switch {
		case !l.GetHearsPeer():
			word = l.GetName() + " silent"
			out.colour = red
		case lost > 0:
			word = fmt.Sprintf("%s lost %d %% in, %d %% out", l.GetName(), l.GetLostInPercent(), l.GetLostOutPercent())
			if lost >= lossy && out.colour == plain {
				out.colour = yellow
			}
		}
		parts = append(parts, word)
	}
	out.text = first(strings.Join(parts, ", "), "none")
	return out
}

func watchdogCell(w *sbv1.Watchdog) cell {
	switch {
	case !w.GetArmed():
		return c("not armed")
	case !w.GetHardware():
		return c(fmt.Sprintf("armed, %v, software", time.Duration(w.GetTimeoutNs())))
	}
	return c(fmt.Sprintf("armed, %v", time.Duration(w.GetTimeoutNs())))
}

func takesCell(n *sbv1.NodeStatus) cell {
	switch {
	case n.GetTwins():
		return tinted("no: two machines use its name", red)
	case n.GetStandby():
		return tinted("no: standby", yellow)
	case n.GetReferences() < n.GetNeeded():
		return tinted("no: isolated", yellow)
	}
	return c("yes")
}

// copyGrid shows each group on each node: what runs, and the disks.
func (p *pair) copyGrid() *grid {
	g := heading("GROUP", "NODE", "STATE", "SERVICES", "VOLUME", "OWN", "PEER", "LINK")
	for _, s := range p.GetGroups() {
		for _, on := range s.GetNodes() {
			if !p.heard(on.GetNode()) {
				g.add(c(s.GetName()), c(on.GetNode()), unheardCell(on))
				continue
			}
			name, node, state, services := c(s.GetName()), c(on.GetNode()), stateCell(s, on), servicesCell(on)
			if len(on.GetDisks()) == 0 {
				g.add(name, node, state, services)
			}
			for _, d := range on.GetDisks() {
				link := c(connection(d))
				if !d.GetConnected() {
					link.colour = yellow
				}
				g.add(name, node, state, services, c(d.GetVolume()), diskCell(d.GetOwn()), diskCell(d.GetPeer()), link)
				name, node, state, services = cell{}, cell{}, cell{}, cell{}
			}
		}
	}
	return g
}

// unheardCell keeps what was said last apart from what is known now.
func unheardCell(on *sbv1.GroupOnNode) cell {
	if on.GetPhase() == "" {
		return tinted("not heard", red)
	}
	return tinted("not heard, was "+on.GetPhase(), red)
}

func stateCell(g *sbv1.GroupStatus, on *sbv1.GroupOnNode) cell {
	state := c(first(on.GetPhase(), "-"))
	if stale(g, on.GetNode()) {
		state = tinted(state.text+", STALE", yellow)
	}
	return state
}

func diskCell(word string) cell {
	out := c(first(word, "-"))
	if word != "UpToDate" {
		out.colour = yellow
	}
	return out
}

func servicesCell(on *sbv1.GroupOnNode) cell {
	count := map[string]int{}
	var order []string
	bad := plain
	for _, s := range on.GetServices() {
		state := s.GetState()
		if state == "failed" {
			state, bad = s.GetName()+" failed", red
		}
		if count[state] == 0 {
			order = append(order, state)
		}
		count[state]++
	}
	var parts []string
	for _, state := range order {
		if strings.HasSuffix(state, " failed") {
			parts = append(parts, state)
			continue
		}
		parts = append(parts, fmt.Sprintf("%d %s", count[state], state))
	}
	return tinted(first(strings.Join(parts, ", "), "-"), bad)
}
