package ctl

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"unicode/utf8"
)

// format is how data is printed.
type format string

const (
	table     format = "table"
	jsonLines format = "json" // one value a line, so that streams can be read as well
)

// String, Set and Type make a format a flag.
func (f *format) String() string { return string(*f) }

// Set takes the flag's value.
func (f *format) Set(s string) error {
	if s != string(table) && s != string(jsonLines) {
		return errors.New("want table or json")
	}
	*f = format(s)
	return nil
}

// Type is what help calls the value.
func (f *format) Type() string { return "table|json" }

// print writes data in sentences.
func (a *app) print(format string, args ...any) error {
	return a.list(addressed(fmt.Sprintf(format, args...), a.among))
}

// list writes data as they are: names of files, which may be called anything.
func (a *app) list(text string) error {
	if _, err := io.WriteString(a.Out, forTerminal(text, a.colours())); err != nil {
		return fmt.Errorf("write output: %w", err)
	}
	return nil
}

// json writes one value on a line of its own.
func (a *app) json(v any) error {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	if err := e.Encode(v); err != nil {
		return fmt.Errorf("write output: %w", err)
	}
	if _, err := a.Out.Write(inJSON(b.Bytes())); err != nil {
		return fmt.Errorf("write output: %w", err)
	}
	return nil
}

// colour is an SGR parameter (ECMA-48, 8.3.117).
type colour string

const (
	plain  colour = ""
	red    colour = "31"
	green  colour = "32"
	yellow colour = "33"
	bold   colour = "1"
)

// cell is a piece of text and what it should look like.
type cell struct {
	text   string
	colour colour
}

// c is a cell with a text that may come from anybody, as a file's name does: a
// terminal is not to obey it.
func c(text string) cell                   { return cell{text: shownAs(text)} }
func tinted(text string, tint colour) cell { return cell{text, tint} }
func (x cell) width() int                  { return utf8.RuneCountInString(x.text) }
func (x cell) show(colours colourful) string {
	if !bool(colours) || x.colour == plain || x.text == "" {
		return x.text
	}
	return "\x1b[" + string(x.colour) + "m" + x.text + "\x1b[0m"
}

// colourful says whether the reader can see colours.
type colourful bool

// paper is what a table is drawn on.
type paper struct {
	colourful
	width int // columns; 0: as many as it takes
}

func (a *app) colours() colourful { return colourful(a.Colours) }

// paper is where data goes.
func (a *app) paper() paper { return paper{a.colours(), columns(a.Columns)} }

// talkColumns is how wide what is said to the person may be.
func (a *app) talkColumns() int { return columns(a.TalkColumns) }

func columns(of func() int) int {
	if of == nil {
		return 0
	}
	return max(of(), 0)
}

// grid is rows of cells; the first is the heading.
type grid struct{ rows [][]cell }

func heading(names ...string) *grid {
	g := &grid{}
	row := make([]cell, len(names))
	for i, n := range names {
		row[i] = tinted(n, bold)
	}
	g.rows = append(g.rows, row)
	return g
}

func (g *grid) add(cells ...cell) { g.rows = append(g.rows, cells) }
