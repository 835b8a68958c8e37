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
	at, err := time.Parse(time.RFC3339Nano, text(fields, "time"))
	if err != nil || fields["level"] == "DEBUG" {
		return Entry{}, false
	}
	e := Entry{At: at, Host: host, What: what(fields), Why: why(fields, host), kind: text(fields, "msg")}
	e.Alarm = fields["level"] == "ERROR" || fields["alarm"] == true
	return e, true
}

// what is the event: a constant message, or where that is only a kind, its
// subject.
func what(fields map[string]any) string {
	switch msg := text(fields, "msg"); msg {
	case "step", "step failed":
		return text(fields, "what")
	case decision:
		return decided(text(fields, "what"), text(fields, "reason"), text(fields, "sentence"))
	default:
		return msg
	}
}

// decision is the message of the witness's lines that say what it decided.
const decision = "decision"

// decided names a decision of the witness for people.
func decided(what, reason, sentence string) string {
	switch {
	case reason != "":
		return "refused: " + reason
	case strings.Contains(sentence, " is granted "):
		return "granted"
	case strings.HasPrefix(sentence, "mandate ") && what == "acquire":
		return "mandate"
	case what == "begin":
		return "shot permitted"
	case what == "exclude":
		return "excluded"
	case what == "readmit":
		return "readmitted"
	case what == "release":
		return "given back"
	case what == "define":
		return "cluster declared"
	case what == "report":
		return "node reports"
	}
	return what
}

// why is everything else that the line says.
func why(fields map[string]any, host string) string {
	var words []string
	for _, key := range []string{"sentence", "why", "error"} {
		if s := text(fields, key); s != "" {
			words = append(words, s)
		}
	}
	if took, err := time.ParseDuration(text(fields, "took")); err == nil {
		words = append(words, fmt.Sprintf("took %.2f s", took.Seconds()))
	}
	if rest := others(fields, host); rest != "" {
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
var told = []string{
	"time", "level", "msg", "what", "reason", "sentence", "why", "error", "took", "alarm", "group", "cluster", "index",
	"witness", "epoch", "boot",
}

// others are the remaining fields.
func others(fields map[string]any, host string) string {
	var words []string
	for k, v := range fields {
		// A witness's decision says in its sentence whom it is about.
		if slices.Contains(told, k) || v == "" || k == "node" && (v == host || fields["msg"] == decision) {
			continue
		}
		words = append(words, fmt.Sprintf("%s=%v", k, v))
	}
	slices.Sort(words)
	return strings.Join(words, " ")
}
