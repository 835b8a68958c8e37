package model

import (
	"fmt"
	"os"
	"strconv"
	"strings"
	"testing"

	"sbarbiter/drbd"
)

// fencingScene is one case of testdata/fencing-84.txt.
type fencingScene struct {
	line string // where it begins: "lost exit=4"
	what string // lost, back or alone
	exit int
	want map[string]string // by node, or "answer"
}

// What a fence-peer handler's exit code leads to is carried out on the model
// here and on the driver in the lab, from the same lines.
func TestFencePeersVerdictEndsAsInTheKernel84(t *testing.T) {
	scenes := readFencing(t)
	if len(scenes) < 15 {
		t.Errorf("only %d scenes", len(scenes))
	}
	for _, s := range scenes {
		t.Run(s.line, func(t *testing.T) {
			for who, got := range s.run(t) {
				if got != s.want[who] {
					t.Errorf("%s ends\n%s\nthe kernel's\n%s", who, got, s.want[who])
				}
			}
		})
	}
}

func readFencing(t *testing.T) []fencingScene {
	t.Helper()
	text, err := os.ReadFile("testdata/fencing-84.txt")
	if err != nil {
		t.Fatal(err)
	}
	var list []fencingScene
	for line := range strings.Lines(string(text)) {
		words := strings.Fields(line)
		switch {
		case len(words) == 0 || strings.HasPrefix(line, "#"):
		case !strings.HasPrefix(line, " "):
			exit, err := strconv.Atoi(strings.TrimPrefix(words[1], "exit="))
			if err != nil {
				t.Fatal(err)
			}
			list = append(list, fencingScene{line: strings.Join(words, " "), what: words[0], exit: exit, want: map[string]string{}})
		default:
			list[len(list)-1].want[words[0]] = strings.Join(words[2:], " ")
		}
	}
	return list
}

func (s fencingScene) run(t *testing.T) map[string]string {
	r := &rig{t: t, tie: b, answers: map[CommandID]Answer{}, results: map[RequestID]IODone{}}
	good := Side{
		Generation: Generation{Current: 0xa0, History: []drbd.UUID{0x90, 4}},
		Role:       drbd.RoleSecondary, Disk: drbd.DiskUpToDate,
	}
	for i := range r.nodes {
		r.nodes[i] = nodeOf(Config{Family: drbd.Family84, Fencing: FencingAndStonith}, good, uint64(i+1), drbd.HandlerFencePeer)
		r.start(i)
	}
	ends := map[string]string{}
	if s.what == "alone" {
		id := r.do(a, Promote)
		r.exitAll(s.exit)
		ends["answer"] = fmt.Sprint(int(r.answers[id]))
	} else {
		r.heal()
		r.must(a, Promote)
		r.cut()
		r.exitAll(s.exit)
	}
	fresh := map[drbd.UUID]string{}
	if s.what == "back" {
		r.heal()
		ends["B"] = r.fencingEnd(b, fresh)
	}
	ends["A"] = r.fencingEnd(a, fresh)
	return ends
}

// exitAll ends every fence-peer call of A with that code, repeated ones too.
func (r *rig) exitAll(exit int) {
	for len(r.asked[a]) > 0 {
		r.exit(a, exit)
	}
}

func (r *rig) fencingEnd(i int, fresh map[drbd.UUID]string) string {
	io := "io=goes-on "
	if r.nodes[i].Suspended() {
		io = "io=frozen "
	}
	return io + endOf(r.nodes[i], fresh)
}
