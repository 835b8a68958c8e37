package pair

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"slices"
	"strings"
	"time"
)

// tail reads a growing log file.
type tail struct {
	host, path string
	parse      func(host, line string) (Entry, bool)
	offset     int64
}

// read returns the entries of the whole lines that were added.
func (t *tail) read() []Entry {
	f, err := os.Open(t.path)
	if err != nil {
		return nil // nothing was printed yet
	}
	defer f.Close()
	var added bytes.Buffer
	if _, err := f.Seek(t.offset, 0); err != nil {
		return nil
	}
	if _, err := added.ReadFrom(f); err != nil {
		return nil
	}
	whole := added.Bytes()[:bytes.LastIndexByte(added.Bytes(), '\n')+1]
	t.offset += int64(len(whole))
	var es []Entry
	for line := range bytes.Lines(whole) {
		if e, ok := t.parse(t.host, strings.TrimSpace(string(line))); ok {
			es = append(es, e)
		}
	}
	return es
}

// parseConsole finds the agent's lines among those of the node's kernel and
// services: the journal puts "sbagent[PID]: " before each.
func parseConsole(host, line string) (Entry, bool) {
	_, said, ok := strings.Cut(line, "sbagent[")
	if !ok {
		return Entry{}, false
	}
	_, said, ok = strings.Cut(said, "]: ")
	if !ok {
		return Entry{}, false
	}
	return parseLog(host, said)
}

// parseLog reads a line as log/slog's JSON handler writes it.
func parseLog(host, line string) (Entry, bool) {
	var fields map[string]any
	if err := json.Unmarshal([]byte(line), &fields); err != nil {
		return Entry{}, false
	}
	at, err := time.Parse(time.RFC3339Nano, fmt.Sprint(fields["time"]))
	if err != nil || fields["level"] == "DEBUG" {
		return Entry{}, false
	}
	e := Entry{At: at, Host: host, What: what(fields), Why: why(fields)}
	e.Alarm = fields["level"] == "ERROR" || fields["alarm"] == true
	return e, true
}

// what is the event: a constant message, or where that is only a kind, its
// subject.
func what(fields map[string]any) string {
	name := text(fields, "msg")
	switch name {
	case "step", "step failed", "decision":
		name = text(fields, "what")
	}
	if reason := text(fields, "reason"); reason != "" {
		name += ": " + reason
	}
	return name
}

// why is everything else that the line says.
func why(fields map[string]any) string {
	var words []string
	for _, key := range []string{"sentence", "why", "error"} {
		if s := text(fields, key); s != "" {
			words = append(words, s)
		}
	}
	if rest := others(fields); rest != "" {
		words = append(words, rest)
	}
	return strings.Join(words, "; ")
}

func text(fields map[string]any, key string) string {
	s, _ := fields[key].(string)
	return s
}

// told are the fields that an entry has a place for, and those that say the
// same in every line.
var told = []string{"time", "level", "msg", "what", "reason", "sentence", "why", "error", "alarm", "group", "cluster", "index"}

func others(fields map[string]any) string {
	var words []string
	for k, v := range fields {
		if !slices.Contains(told, k) {
			words = append(words, fmt.Sprintf("%s=%v", k, v))
		}
	}
	slices.Sort(words)
	return strings.Join(words, " ")
}
