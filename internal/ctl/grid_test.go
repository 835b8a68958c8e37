package ctl

import (
	"strings"
	"testing"
	"unicode/utf8"

	"pgregory.net/rapid"
)

// On a terminal the widest column breaks between words, so that the columns beside it
// stay columns; elsewhere a row is a line.
func TestATableIsNoWiderThanTheTerminal(t *testing.T) {
	g := heading("policy", "discards", "because")
	g.add(c("discard-least-changes"), tinted("node-b", red), c("node-b changed 2.0 MiB of r0/0, node-a 10.0 MiB, which is more"))
	g.add(c("manual"), cell{}, c("a-word-that-is-longer-than-its-column-has-room"))
	for width, want := range map[int]string{
		0: `policy                 discards  because
discard-least-changes  node-b    node-b changed 2.0 MiB of r0/0, node-a 10.0 MiB, which is more
manual                           a-word-that-is-longer-than-its-column-has-room
`,
		60: `policy                 discards  because
discard-least-changes  node-b    node-b changed 2.0 MiB of
                                 r0/0, node-a 10.0 MiB,
                                 which is more
manual                           a-word-that-is-longer-than-
                                 its-column-has-room
`,
	} {
		var b strings.Builder
		if g.draw(&b, paper{width: width}); b.String() != want {
			t.Errorf("%d columns:\n%swant:\n%s", width, b.String(), want)
		}
	}
}

// Nothing of a cell is lost, and no line is too long where the columns can be made
// narrow enough.
func TestWrappingLosesNothing(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		width := rapid.IntRange(3*narrowest+2*gapBetween, 100).Draw(t, "width")
		cells := rapid.SliceOfN(rapid.StringMatching(`[a-zé]{0,30}( [a-zé]{1,30}){0,8}`), 3, 3).Draw(t, "cells")
		g := &grid{}
		g.add(c(cells[0]), c(cells[1]), c(cells[2]))
		var b strings.Builder
		g.draw(&b, paper{width: width})
		for line := range strings.Lines(b.String()) {
			if n := utf8.RuneCountInString(strings.TrimSuffix(line, "\n")); n > width {
				t.Fatalf("%d columns of %d: %q", n, width, line)
			}
			if strings.TrimRight(line, " \n") != strings.TrimSuffix(line, "\n") {
				t.Fatalf("blanks at the end: %q", line)
			}
		}
		letters := func(s string) int { return strings.Count(s, "a") + strings.Count(s, "é") }
		if letters(b.String()) != letters(strings.Join(cells, "")) {
			t.Fatalf("lost letters: %q", b.String())
		}
	})
}
