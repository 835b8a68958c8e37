package main

import (
	"fmt"
	"io"
	"os"
	"sync"
	"time"

	"golang.org/x/term"

	"sbarbiter/chaos-tests/pair"
)

// screen prints headings and timeline, in colour on a terminal that wants it.
type screen struct {
	out    io.Writer
	colour bool

	mu    sync.Mutex // one line at a time
	began time.Time  // the first entry's
}

func newScreen(f *os.File) *screen {
	wanted := os.Getenv("NO_COLOR") == "" && os.Getenv("TERM") != "dumb"
	return &screen{out: f, colour: wanted && term.IsTerminal(int(f.Fd()))}
}

// SGR parameters (ECMA-48, 8.3.117).
const (
	bold   = "1"
	red    = "31"
	green  = "32"
	yellow = "33"
	cyan   = "36"
)

func (s *screen) tint(colour, text string) string {
	if !s.colour || colour == "" {
		return text
	}
	return "\x1b[" + colour + "m" + text + "\x1b[0m"
}

func (s *screen) heading(format string, args ...any) {
	s.mu.Lock()
	defer s.mu.Unlock()
	fmt.Fprintf(s.out, "\n%s\n", s.tint(bold, "== "+fmt.Sprintf(format, args...)))
}

var hostColours = map[string]string{"node-a": cyan, "node-b": green, "witness": yellow}

func (s *screen) line(e pair.Entry) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.began.IsZero() {
		s.began = e.At
	}
	colour := hostColours[e.Host]
	if e.Alarm {
		colour = red
	}
	fmt.Fprintln(s.out, s.tint(colour, e.Line(s.began)))
}
