package pair

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

func parsed(t *testing.T, parse func(host, line string) (Entry, bool), host, line string) Entry {
	t.Helper()
	e, ok := parse(host, line)
	if !ok {
		t.Fatalf("not understood: %s", line)
	}
	return e
}

func TestAgentsLinesAreFoundAmongTheKernels(t *testing.T) {
	e := parsed(t, parseConsole, "node-b", `sbagent[123]: {"time":"2026-11-22T10:00:01.5Z","level":"INFO","msg":"step","cluster":"nfs1","node":"node-b","group":"nfs","what":"promote r0","took":"758.4ms"}`)
	if e.What != "promote r0" || e.Why != "took 0.76 s" || e.Host != "node-b" || e.Alarm {
		t.Errorf("got %+v", e)
	}
	for _, line := range []string{
		"block drbd0: conn( Unconnected -> WFConnection )",
		"systemd[1]: sbagent.service: started",
		`sbagent[123]: panic: no JSON`,
		`lab-writer[9]: {"time":"2026-11-22T10:00:01.5Z","msg":"no agent"}`,
	} {
		if e, ok := parseConsole("node-b", line); ok {
			t.Errorf("%q was taken for %+v", line, e)
		}
	}
}

func TestDecisionStandsBeforeItsEffectAndIsToldOnce(t *testing.T) {
	at := func(second string) string { return `{"time":"2026-11-22T10:00:0` + second + `Z","level":"INFO",` }
	granted := `"node-b is granted nfs under epoch 8; the lease 4 of node-a ended"`
	es := []Entry{
		parsed(t, parseLog, "node-b", at("1.000")+`"msg":"granted","why":`+granted+`}`),
		parsed(t, parseLog, "node-b", at("1.001")+`"msg":"starting","why":"epoch 8"}`),
		parsed(t, parseLog, "node-b", at("1.002")+`"msg":"told DRBD","command":"drbdsetup primary 0"}`),
		parsed(t, parseLog, "witness", at("1.030")+`"msg":"decision","what":"fence","reason":"","sentence":`+granted+`}`),
	}
	var told []string
	for _, e := range ForPeople(es) {
		told = append(told, e.Host+" "+e.What)
	}
	if got := strings.Join(told, ", "); got != "witness granted, node-b starting" {
		t.Errorf("told: %s", got)
	}
}

func TestRefusalsNameTheReasonAndAlarmsStayWhatTheyRepeat(t *testing.T) {
	e := parsed(t, parseLog, "witness", `{"time":"2026-11-22T10:00:01Z","level":"INFO","msg":"decision","what":"acquire","reason":"isolated","sentence":"node-b reaches nothing","node":"node-b"}`)
	if e.What != "refused: isolated" || e.Why != "node-b reaches nothing" {
		t.Errorf("got %+v", e)
	}
	alarm := Entry{At: e.At, Host: "node-b", What: "witness refuses", Why: e.Why, Alarm: true}
	if got := ForPeople([]Entry{e, alarm}); len(got) != 2 {
		t.Errorf("the alarm is gone: %+v", got)
	}
}

func TestTailWaitsForWholeLines(t *testing.T) {
	path := filepath.Join(t.TempDir(), "log")
	line := `{"time":"2026-11-22T10:00:01Z","level":"INFO","msg":"leads"}` + "\n"
	tl := &tail{host: "witness", path: path, parse: parseLog}
	for i, c := range []struct {
		text string
		want int
	}{{"", 0}, {line + line[:20], 1}, {line + line + line, 2}} {
		if err := os.WriteFile(path, []byte(c.text), 0o600); err != nil {
			t.Fatal(err)
		}
		if got := tl.read(); len(got) != c.want {
			t.Errorf("step %d: %d entries, want %d", i, len(got), c.want)
		}
	}
}

func TestWhatMustNeverBeIsAViolation(t *testing.T) {
	fine := Report{Acked: 10, Audited: true, Shots: []string{"node-a"}, Gap: time.Hour}
	if err := fine.Violations(); err != nil {
		t.Error(err)
	}
	for _, r := range []Report{
		{DualActive: time.Millisecond},
		{Acked: 10, Audited: true, Lost: 1},
		{Shots: []string{"node-a", "node-b"}},
	} {
		if r.Violations() == nil {
			t.Errorf("%+v is no violation", r)
		}
	}
}
