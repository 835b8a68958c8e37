package lab

import (
	"context"
	"fmt"
	"os"
	"strings"
	"testing"
	"time"
)

// fencingFile says what each exit code of a fence-peer handler leads to; its
// head explains the form.
const fencingFile = "../../drbd/model/testdata/fencing-84.txt"

// fencingScene is one case of it, with a resource of its own, whose name ends
// with the handler's exit code.
type fencingScene struct {
	vector
	what   string // lost, back or alone
	answer string
}

func readFencing(t *testing.T) []fencingScene {
	t.Helper()
	text, err := os.ReadFile(fencingFile)
	must(t, err)
	var list []fencingScene
	for line := range strings.Lines(string(text)) {
		words := strings.Fields(line)
		switch {
		case len(words) == 0 || strings.HasPrefix(line, "#"):
		case !strings.HasPrefix(line, " "):
			s := fencingScene{what: words[0]}
			s.name = words[0] + "-" + strings.TrimPrefix(words[1], "exit=")
			s.minor = 100 + len(list)
			for i := range s.sides {
				s.sides[i].start = map[string]string{"gi": "A0:0:90:4", "fencing": "resource-and-stonith"}
			}
			list = append(list, s)
		case words[0] == "answer":
			list[len(list)-1].answer = words[2]
		default:
			list[len(list)-1].sides[map[string]int{"A": 0, "B": 1}[words[0]]].end = strings.Join(words[2:], " ")
		}
	}
	return list
}

// pick returns the resources of the scenes of these kinds.
func pick(scenes []fencingScene, what string) []vector {
	var list []vector
	for _, s := range scenes {
		if strings.Contains(what, s.what) {
			list = append(list, s.vector)
		}
	}
	return list
}

func TestTheKernelDoesWhatAFencePeerVerdictSays(t *testing.T) {
	of84(t)
	l, _ := theLab(t)
	ctx, cancel := context.WithTimeout(context.Background(), 4*time.Minute)
	defer cancel()
	scenes := readFencing(t)
	all, joined := pick(scenes, "lost back alone"), pick(scenes, "lost back")
	defer l.removeVectors(t, all)
	l.begin(t, ctx, all)
	perNode(t, l, func(n *Node, i int) error { return n.Must(ctx, connectAll([][]vector{all, joined}[i], i)) })

	l.awaitAll(t, ctx, joined, "in sync", func(a, b observed) bool { return a.ds == "UpToDate/UpToDate" && b.ds == a.ds })
	must(t, l.A.Must(ctx, promoteAll(all)))
	must(t, l.B.Must(ctx, hangUpAll(joined)))
	l.awaitAll(t, ctx, joined, "alone", func(a, _ observed) bool { return a.cs == "WFConnection" })
	back := pick(scenes, "back")
	l.awaitAll(t, ctx, back[1:2], "excluded", func(a, _ observed) bool { return a.ds == "UpToDate/Outdated" }) // before B comes back
	must(t, l.B.Must(ctx, connectAll(back, 1)))
	l.awaitFencing(t, ctx, scenes)
}

func promoteAll(vectors []vector) string {
	var b strings.Builder
	for _, v := range vectors {
		fmt.Fprintf(&b, "out=$(%s primary %d 2>&1); echo %d answer $? $out >>/tmp/vectors/answers\n", setup84, v.minor, v.minor)
	}
	return b.String()
}

// hangUpAll leaves without asking the peer.
func hangUpAll(vectors []vector) string {
	var b strings.Builder
	b.WriteString("set -e\n")
	for _, v := range vectors {
		fmt.Fprintf(&b, "%s disconnect %s --force\n", setup84, v.addresses(1))
	}
	return b.String()
}

// see returns what both nodes say about each of these.
func (l *Lab) see(t *testing.T, ctx context.Context, vectors []vector, script string) [][2]observed {
	t.Helper()
	said := l.ask(t, ctx, script)
	list := make([][2]observed, len(vectors))
	for i, v := range vectors {
		fresh := map[string]string{}
		list[i] = [2]observed{observe(v.minor, said[0], fresh), observe(v.minor, said[1], fresh)}
	}
	return list
}

func (l *Lab) awaitAll(t *testing.T, ctx context.Context, vectors []vector, what string, so func(a, b observed) bool) {
	t.Helper()
	eventually(t, 2*time.Minute, what, func() bool {
		for _, o := range l.see(t, ctx, vectors, glance) {
			if !so(o[0], o[1]) {
				time.Sleep(200 * time.Millisecond) // leave the nodes some time for it
				return false
			}
		}
		return true
	})
}

// awaitFencing waits for every scene's end, and says what is there instead if it
// does not come.
func (l *Lab) awaitFencing(t *testing.T, ctx context.Context, scenes []fencingScene) {
	t.Helper()
	all := pick(scenes, "lost back alone")
	for began := time.Now(); ; time.Sleep(500 * time.Millisecond) {
		var wrong []string
		for i, o := range l.see(t, ctx, all, look(all)) {
			if w := scenes[i].differences(o); w != "" {
				wrong = append(wrong, scenes[i].name+": "+w)
			}
		}
		if len(wrong) == 0 {
			return
		}
		if time.Since(began) > time.Minute {
			t.Error(strings.Join(wrong, "\n"))
			return
		}
	}
}

func (s fencingScene) differences(o [2]observed) string {
	for i, side := range s.sides {
		io := "io=goes-on "
		if o[i].frozen {
			io = "io=frozen "
		}
		if got := io + o[i].String(); side.end != "" && got != side.end {
			return fmt.Sprintf("%s ends\n%s, the file says\n%s", [2]string{"A", "B"}[i], got, side.end)
		}
	}
	if s.answer != "" && o[0].answer != s.answer {
		return fmt.Sprintf("the promotion is answered %s, the file says %s", o[0].answer, s.answer)
	}
	return ""
}
