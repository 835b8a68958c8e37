package ctl

import (
	"bytes"
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"
	"unicode"

	"sbarbiter/arbiter"
	sbv1 "sbarbiter/proto/sb/v1"
	"sbarbiter/recovery"
)

// hostile is what a node says that would like to be more than text: a title, a cleared
// screen, a line of its own, a hidden one, a sequence of one byte, one of two, text
// that is read from right to left.
const hostile = "x\x1b]0;owned\x07\x1b[2J\nok 99. everything\r\x1b[8m\x9b31m\u009b31m\u202e\x7f"

// commands are the characters in a text that a terminal would obey, its own colours and
// ends of lines apart.
func commands(text string) (found []string) {
	for _, c := range ourColours {
		text = strings.ReplaceAll(text, c, "")
	}
	for _, r := range text {
		if r != '\n' && r != '\t' && !unicode.IsPrint(r) {
			found = append(found, fmt.Sprintf("%U", r))
		}
	}
	return found
}

func TestNothingThatANodeSaysIsObeyedByATerminal(t *testing.T) {
	told := func(word string) string {
		s := parted("split", 10, 2)()
		s.pair.apply(arbiter.Resolve{Cluster: "nfs1", Group: "nfs", Order: arbiter.RecoveryOrder{By: "alice", Discard: "node-b"}})
		s.pair.turn()
		doc := *s.pair.group().Recovery
		if doc.Plan == nil {
			t.Fatalf("%+v", doc)
		}
		doc.Note, doc.Failure, doc.Order.Reason, doc.Decision.Why, doc.Decision.Diagnosis.Why = word, word, word, word, word
		doc.Decision.Opinions = []recovery.Opinion{{Why: word}}
		for i := range doc.Evidence.Sides {
			side := &doc.Evidence.Sides[i]
			side.Mounted, side.Role, side.Positions = []string{word}, "Primary", []recovery.Position{{Probe: word, Text: word}}
		}
		var b, said bytes.Buffer
		a := &app{Streams: Streams{Out: &b, Err: &said, Colours: true, Asks: true}, as: table}
		r := &rescue{p: &pair{}, app: a, group: "nfs"}
		r.show(&doc)
		teller := &teller{app: a}
		doc.Phase = arbiter.Carrying
		teller.tell(&doc, nil)
		teller.lasts([]*sbv1.Carrying{{Note: word}}, time.Time{}.Add(time.Hour))
		teller.lasts([]*sbv1.Carrying{{Note: word}}, time.Time{}.Add(2*time.Hour))
		doc.Outcome = arbiter.Recovered
		for _, err := range []error{
			a.printDocument(&doc, history{}), a.print("%s", listRecoveries([]document{{Recovery: doc}}, paper{colourful: true})), r.ended(&doc),
			a.outcome(&sbv1.Verdict{Kind: string(arbiter.Done), Sentence: word}),
			a.showPreview(previewed{Evidence: *doc.Evidence, Diagnosis: doc.Decision.Diagnosis, problems: []string{word}}, "", true),
		} {
			if err != nil {
				t.Fatal(err)
			}
		}
		a.report(&refusal{sentence: word})
		return said.String() + b.String()
	}
	got := told(hostile)
	if found := commands(got); len(found) > 0 {
		t.Errorf("%q is printed in\n%q", found, got)
	}
	if calm := told("calm"); strings.Count(got, "\n") != strings.Count(calm, "\n") {
		t.Errorf("it writes lines of its own:\n%s", got)
	}
}

func TestLinesAndOwnColoursAreAllThatIsLeftForATerminal(t *testing.T) {
	mixed := "a\tb\n" + tinted("red", red).show(true) + "\x1b[35mviolet\x1b[0m gr\xc3\xbcn"
	if got := forTerminal(mixed, true); got != "a\tb\n\x1b[31mred\x1b[0m\\x1b[35mviolet\x1b[0m gr\xc3\xbcn" {
		t.Errorf("%q", got)
	}
	if got := forTerminal(mixed, false); strings.Contains(got, "\x1b") {
		t.Errorf("%q", got)
	}
	var b bytes.Buffer
	a := &app{Streams: Streams{Out: &b}}
	if err := a.json(map[string]string{"note": hostile}); err != nil {
		t.Fatal(err)
	}
	var back map[string]string
	if err := json.Unmarshal(b.Bytes(), &back); err != nil || back["note"] != strings.ToValidUTF8(hostile, "\ufffd") {
		t.Errorf("%q, %v", back, err)
	}
	if strings.ContainsFunc(strings.TrimSuffix(b.String(), "\n"), unicode.IsControl) {
		t.Errorf("%q", b.String())
	}
}
