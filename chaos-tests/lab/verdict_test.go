package lab

import (
	"fmt"
	"strconv"
	"strings"
)

// observed is what one node said about one vector.
type observed struct {
	cs, ro, ds string
	frozen     bool
	differs    int // blocks
	gi, flags  string
	calls      []string // of handlers that belong to a handshake
	rule       string   // of the last comparison, and what it came to
	compared   string
	answer     string // to a promotion: the kernel's number
}

func (o observed) String() string {
	return fmt.Sprintf("cs=%s ro=%s ds=%s oos=%d gi=%s flags=%s", o.cs, o.ro, o.ds, o.differs, o.gi, o.flags)
}

// handshakeHandlers are those whose calls a verdict names.
const handshakeHandlers = " initial-split-brain split-brain pri-lost pri-lost-after-sb "

// observe reads what look printed about one minor.
func observe(minor int, text string, fresh map[string]string) observed {
	var o observed
	for line := range strings.Lines(text) {
		words := strings.Fields(line)
		if len(words) < 3 || words[0] != strconv.Itoa(minor) {
			continue
		}
		switch words[1] {
		case "state":
			s := procWords(words[2:])
			o.cs, o.ro, o.ds = s["cs"], s["ro"], s["ds"]
			o.frozen = strings.HasPrefix(words[len(words)-1], "s")
		case "oos":
			kib, _ := strconv.Atoi(words[2])
			o.differs = kib / 4
		case "gi":
			o.gi, o.flags = readGI(words[2], fresh)
		case "call":
			if strings.Contains(handshakeHandlers, " "+words[2]+" ") {
				o.calls = append(o.calls, words[2])
			}
		case "answer": // exit status, and what the tool said
			o.answer = answerOf(words[2:])
		case "compare": // "()=100 by rule 90"
			o.compared, o.rule = strings.TrimPrefix(words[2], "()="), words[len(words)-1]
		}
	}
	return o
}

// answerOf finds the kernel's number in what a tool said: "... failed: (-2) ...".
func answerOf(words []string) string {
	if words[0] == "0" {
		return "1"
	}
	for _, w := range words {
		if strings.HasPrefix(w, "(-") {
			return strings.Trim(w, "()")
		}
	}
	return strings.Join(words, " ")
}

func procWords(words []string) map[string]string {
	m := map[string]string{}
	for _, w := range words {
		key, value, _ := strings.Cut(w, ":")
		m[key] = value
	}
	return m
}

// readGI writes generations as vectors do. A number that the driver drew is
// named in the order in which it is met; its last bit is no part of it.
func readGI(text string, fresh map[string]string) (gi, flags string) {
	columns := strings.Split(text, ":")
	if len(columns) < 5 {
		return text, ""
	}
	for i, c := range columns[:4] {
		u, _ := strconv.ParseUint(c, 16, 64)
		columns[i] = fmt.Sprintf("%X", u)
		const ours = 1 << 49 // vectors use small numbers, and such that the driver makes of them
		if u < ours {
			continue
		}
		id := fmt.Sprint(u &^ 1)
		if fresh[id] == "" {
			fresh[id] = fmt.Sprintf("new%d", len(fresh)+1)
		}
		columns[i] = fresh[id]
	}
	return strings.Join(columns[:4], ":"), strings.Join(columns[4:], "")
}

// strategies are the driver's numbers for what a comparison came to.
var strategies = map[string]string{
	"0": "no-sync", "1": "source-use-bitmap", "-1": "target-use-bitmap", "2": "source-set-bitmap", "-2": "target-set-bitmap",
	"100": "split-brain-auto-recover", "-100": "split-brain-disconnect", "-1000": "unrelated-data",
}

// rests reports whether the nodes have met and nothing is under way.
func (v vector) rests(said [2]string) bool {
	a, b := observe(v.minor, said[0], map[string]string{}), observe(v.minor, said[1], map[string]string{})
	met := a.compared != "" || b.compared != ""
	return met && (a.cs == "Connected" && b.cs == "Connected" || a.cs == "StandAlone" && parted(b.cs) || parted(a.cs) && b.cs == "StandAlone")
}

func parted(cs string) bool { return cs == "StandAlone" || cs == "WFConnection" }

// differences holds the driver to a vector.
func (v vector) differences(said [2]string) []string {
	fresh := map[string]string{}
	seen := [2]observed{observe(v.minor, said[0], fresh), observe(v.minor, said[1], fresh)}
	var wrong []string
	for i, s := range v.sides {
		early := seen[i].cs == "WFConnection" && seen[1-i].cs == "StandAlone"
		for _, w := range s.differences(seen[i], early) {
			wrong = append(wrong, [2]string{"A ", "B "}[i]+w)
		}
	}
	return wrong
}

// differences of one node. Early means that its peer dropped the connection
// and it waits for another: it may have noticed that before it had judged
// itself, and then called fewer handlers or none.
func (s vectorSide) differences(o observed, early bool) (wrong []string) {
	want := s.end
	if early {
		want = strings.Replace(want, "cs=StandAlone", "cs=WFConnection", 1)
	}
	if got := o.String(); got != want {
		wrong = append(wrong, fmt.Sprintf("ends\n%s, the vector says\n%s", got, want))
	}
	calls, told := strings.Join(o.calls, ","), s.verdict["calls"]
	if calls != told && (!early || !strings.HasPrefix(told, calls)) {
		wrong = append(wrong, fmt.Sprintf("calls %q, the vector says %q", calls, told))
	}
	if early && o.compared == "" {
		return wrong
	}
	if got := strategies[o.compared]; got != s.verdict["compare"] || o.rule != s.verdict["rule"] {
		wrong = append(wrong, fmt.Sprintf("compares by rule %s to %q, the vector says rule %s, %q", o.rule, got, s.verdict["rule"], s.verdict["compare"]))
	}
	return wrong
}
