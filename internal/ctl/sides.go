package ctl

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"sbarbiter/arbiter"
	"sbarbiter/drbd"
	"sbarbiter/recovery"
)

// found shows what both sides have: that on which the decision rests, next to what
// it was decided by, and what was measured since where that is something else. Of a
// side that is not there, it shows what was known before.
func found(b *strings.Builder, doc *arbiter.Recovery, h history, on paper) {
	shown := doc.Grounds
	if shown == nil {
		shown = doc.Evidence
	}
	if shown == nil {
		return
	}
	b.WriteByte('\n')
	sideBySide(b, *shown, on)
	whyMissing(b, *shown, doc.Note, diagnosed(doc))
	h.tell(b)
	for _, s := range shown.Sides {
		if s.Missing == "" {
			continue
		}
		for _, text := range aloneWords(*shown) {
			fmt.Fprintf(b, "\n%s\n", text)
		}
		if known, ok := doc.Earlier[arbiter.NodeID(s.Node)]; ok {
			knownBefore(b, *shown, known, h.parted(), on)
		}
	}
	if doc.Evidence != nil && doc.Grounds != nil && !sameFigures(*doc.Evidence, *doc.Grounds) {
		b.WriteString("\nMeasured again since, and compared with that:\n")
		sideBySide(b, *doc.Evidence, on)
		whyMissing(b, *doc.Evidence, doc.Note)
	}
}

// knownBefore shows what was last measured of a side that is not there. What is older
// than the two's parting must not read like what the side has changed since.
func knownBefore(b *strings.Builder, shown recovery.Evidence, known recovery.Side, parted time.Time, on paper) {
	for i := range shown.Sides {
		if shown.Sides[i].Node == known.Node {
			shown.Sides[i] = known
		}
	}
	old := ""
	if known.Taken.Before(parted) {
		old = ", before the two lost each other: it says nothing of what was written there since"
	}
	fmt.Fprintf(b, "\nWhat was last measured of %s, %s ago (%s)%s; beside what the other one has now:\n",
		known.Node, span(time.Since(known.Taken)), known.Taken.UTC().Format("2006-01-02 15:04:05 MST"), old)
	sideBySide(b, shown, on)
}

// diagnosed is what the two copies have to do with each other, by the decision.
func diagnosed(doc *arbiter.Recovery) string {
	if doc.Decision == nil {
		return ""
	}
	return fmt.Sprintf("%s: %s", doc.Decision.Diagnosis.Kind, doc.Decision.Diagnosis.Why)
}

// aloneWords is what the side that is there tells of itself.
func aloneWords(e recovery.Evidence) []string {
	var out []string
	for _, s := range e.Sides {
		if s.Missing == "" {
			out = append(out, s.Alone())
		}
	}
	return out
}

// sameFigures reports whether two measurements would be drawn alike.
func sameFigures(x, y recovery.Evidence) bool {
	var a, b strings.Builder
	sideBySide(&a, x, paper{})
	sideBySide(&b, y, paper{})
	return a.String() == b.String()
}

// sideBySide draws what is known of both copies next to each other. Why nothing is
// known of one is too long for a cell: see [whyMissing].
func sideBySide(b *strings.Builder, e recovery.Evidence, on paper) {
	x, y := e.Sides[0], e.Sides[1]
	g := heading("", string(x.Node), string(y.Node))
	row := func(name string, of func(recovery.Side) string) {
		if s, t := of(x), of(y); s+t != "" {
			g.add(c(name), c(s), c(t))
		}
	}
	row("copy", func(s recovery.Side) string {
		if s.Missing != "" {
			return "not known"
		}
		return ""
	})
	row("role", func(s recovery.Side) string { return string(s.Role) })
	row("in use", inUse)
	row("primary", recovery.Side.LastPrimary)
	row("from, by its clock", recovery.Side.PrimaryFrom)
	row("until, by its clock", recovery.Side.PrimaryUntil)
	for i := range max(len(x.Volumes), len(y.Volumes)) {
		for _, f := range volumeFacts {
			row(volumeName(x, y, i)+" "+f.name, func(s recovery.Side) string {
				if i >= len(s.Volumes) {
					return ""
				}
				return f.of(s, s.Volumes[i])
			})
		}
	}
	for _, name := range probeNames(e) {
		row(name, func(s recovery.Side) string { return position(s, name) })
	}
	g.draw(b, on)
}

// whyMissing says why nothing is known of a side, unless one of the sentences that
// were said above says it.
func whyMissing(b *strings.Builder, e recovery.Evidence, said ...string) {
	for _, s := range e.Sides {
		if s.Missing != "" && !slices.ContainsFunc(said, func(sentence string) bool { return strings.Contains(sentence, s.Missing) }) {
			fmt.Fprintf(b, "%s is not known: %s\n", s.Node, s.Missing)
		}
	}
}

var volumeFacts = []struct {
	name string
	of   func(recovery.Side, recovery.Volume) string
}{
	{"disk", func(_ recovery.Side, v recovery.Volume) string { return string(v.Disk) }},
	{"changed", func(_ recovery.Side, v recovery.Volume) string {
		if v.OutOfSync == nil {
			return "not counted"
		}
		return "up to " + recovery.Bytes(*v.OutOfSync)
	}},
	{"written", written},
}

// written is when a file system was last written to, by its own word. One that is mounted
// notes little but when it was mounted, which makes the copy in use look like the older one.
func written(s recovery.Side, v recovery.Volume) string {
	at := v.Written.Format("2006-01-02 15:04:05 MST")
	switch {
	case v.Written.IsZero():
		return ""
	case s.Role != drbd.RolePrimary || len(s.Mounted) == 0:
		return at
	case len(s.Mounted) < len(s.Volumes): // which of them it is, is not known
		return at + ", or until now"
	}
	return "in use now, " + inUse(s)
}

func volumeName(x, y recovery.Side, i int) string {
	if i < len(x.Volumes) {
		return x.Volumes[i].Name()
	}
	return y.Volumes[i].Name()
}

func inUse(s recovery.Side) string {
	switch {
	case s.Missing != "":
		return ""
	case len(s.Mounted) > 0:
		return "mounted at " + strings.Join(s.Mounted, ", ")
	case s.Open:
		return "open"
	}
	return "no"
}

func probeNames(e recovery.Evidence) []string {
	var out []string
	seen := map[string]bool{}
	for _, s := range e.Sides {
		for _, p := range s.Positions {
			if !seen[p.Probe] {
				seen[p.Probe] = true
				out = append(out, p.Probe)
			}
		}
	}
	return out
}

func position(s recovery.Side, probe string) string {
	for _, p := range s.Positions {
		if p.Probe == probe {
			return p.Text
		}
	}
	return ""
}
