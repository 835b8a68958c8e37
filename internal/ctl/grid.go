package ctl

import (
	"slices"
	"strings"
)

const (
	gapBetween = 2
	// narrowest is how narrow a column is made so that a table fits.
	narrowest = 12
)

// draw writes the rows, columns aligned, no blanks at line ends. On paper that is too
// narrow for them the widest columns get lines of their own in their cells.
func (g *grid) draw(b *strings.Builder, on paper) {
	var widths []int
	for _, row := range g.rows {
		for i, x := range row {
			if i == len(widths) {
				widths = append(widths, 0)
			}
			widths[i] = max(widths[i], x.width())
		}
	}
	fit(widths, on.width)
	for _, row := range g.rows {
		for _, line := range broken(row, widths) {
			drawLine(b, line, widths, on.colourful)
		}
	}
}

// fit makes the widest columns narrower until all fit, or none can be made so.
func fit(widths []int, into int) {
	if into <= 0 || len(widths) == 0 {
		return
	}
	total := gapBetween * (len(widths) - 1)
	for _, w := range widths {
		total += w
	}
	for ; total > into; total-- {
		widest := slices.Index(widths, slices.Max(widths))
		if widths[widest] <= narrowest {
			return
		}
		widths[widest]--
	}
}

// broken is a row as the lines that it takes.
func broken(row []cell, widths []int) [][]cell {
	var lines [][]cell
	for i, x := range row {
		for n, text := range wrapped(x.text, widths[i]) {
			if n == len(lines) {
				lines = append(lines, make([]cell, len(row)))
			}
			lines[n][i] = cell{text, x.colour}
		}
	}
	return lines
}

// wrapped breaks a text between words, and a word that is too long for a line within.
func wrapped(text string, width int) []string {
	var lines []string
	rest := []rune(text)
	for len(rest) > width && width > 0 {
		cut := width
		for i := width; i > 0; i-- {
			if rest[i] == ' ' {
				cut = i
				break
			}
		}
		lines = append(lines, string(rest[:cut]))
		if rest = rest[cut:]; rest[0] == ' ' {
			rest = rest[1:]
		}
	}
	return append(lines, string(rest))
}

func drawLine(b *strings.Builder, row []cell, widths []int, colours colourful) {
	gap := ""
	for i, x := range row {
		if x.text != "" {
			b.WriteString(gap + x.show(colours))
			gap = ""
		}
		gap += strings.Repeat(" ", widths[i]-x.width()+gapBetween)
	}
	b.WriteByte('\n')
}
