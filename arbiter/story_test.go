package arbiter_test

import (
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"sbarbiter/arbiter"
	"sbarbiter/recovery"
)

var update = flag.Bool("update", false, "rewrite the verdicts in testdata/*.txt with what the arbiter says now")

// A story is a file of commands, one a line, each followed by "->" and what the
// arbiter answered. Lines that begin with # are the story.
//
//	node-a acquire nfs in-step -> granted epoch=4 basis=first
//
// A request carries by default what a well-behaved agent and leader would send:
// the boot id, agent start and floor of the node's last "up", the next request
// number, the epoch of the lease that is judged, UpToDate disks, references that
// answer. Words change that; see words_test.go.
func TestStories(t *testing.T) {
	files, err := filepath.Glob("testdata/*.txt")
	if err != nil || len(files) == 0 {
		t.Fatalf("no stories in testdata: %v", err)
	}
	for _, file := range files {
		name := strings.TrimSuffix(filepath.Base(file), ".txt")
		t.Run(name, func(t *testing.T) { tell(t, file) })
	}
}

func tell(t *testing.T, file string) {
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	s := newStage()
	lines := strings.Split(string(text), "\n")
	for i, line := range lines {
		said, want, _ := strings.Cut(line, "->")
		said, want = strings.TrimSpace(said), strings.TrimSpace(want)
		if said == "" || said[0] == '#' {
			continue
		}
		got, err := s.play(said)
		if err != nil {
			t.Fatalf("%s:%d: %s: %v", file, i+1, said, err)
		}
		if got != want && !*update {
			t.Errorf("%s:%d: %s\n  got  %s\n  want %s", file, i+1, said, got, want)
		}
		lines[i] = said + " -> " + got
	}
	if *update {
		if err := os.WriteFile(file, []byte(strings.Join(lines, "\n")), 0o600); err != nil {
			t.Fatal(err)
		}
	}
}

// life is what a node would send of itself.
type life struct {
	boot    arbiter.BootID
	start   arbiter.Incarnation
	floor   arbiter.Epoch
	request arbiter.RequestID
}

// stage is a witness's state and the nodes that talk to it.
type stage struct {
	state *arbiter.State
	index uint64
	nodes map[arbiter.NodeID]*life

	counted arbiter.RecoveryID // the latest recovery that was seen to end
}

func newStage() *stage {
	return &stage{state: arbiter.NewState(), nodes: map[arbiter.NodeID]*life{
		"node-a": {boot: "a1", start: 1}, "node-b": {boot: "b1", start: 1},
	}}
}

// play carries out one line and says what came of it.
func (s *stage) play(line string) (string, error) {
	words := parseWords(line)
	if words.first == "show-recovery" {
		return s.showRecovery(arbiter.GroupID(words.arg(0))), nil
	}
	if words.first == "show-room" {
		return recovery.Bytes(s.group(arbiter.GroupID(words.arg(0))).Recovery.Plan.Room("r0", 0)), nil
	}
	if words.first == "show" {
		return s.show(arbiter.GroupID(words.arg(0))), nil
	}
	cmd, err := s.command(words)
	if err != nil {
		return "", err
	}
	if err := words.unused(); err != nil {
		return "", err
	}
	v, err := s.apply(cmd)
	if err != nil {
		return "", err
	}
	if n := s.nodes[words.node]; n != nil && v.OK() {
		if v.Kind == arbiter.Granted {
			n.floor = max(n.floor, v.Epoch)
		}
		if _, up := cmd.(arbiter.NodeUp); up {
			n.start = v.Incarnation
		}
	}
	return verdict(v), nil
}

// apply sends the command through the log's encoding, and holds what must hold
// after every command against the state.
func (s *stage) apply(cmd arbiter.Command) (arbiter.Verdict, error) {
	b, err := arbiter.EncodeCommand(arbiter.Entry{Command: cmd})
	if err != nil {
		return arbiter.Verdict{}, err
	}
	e, err := arbiter.DecodeCommand(b)
	if err != nil {
		return arbiter.Verdict{}, err
	}
	before := s.epochs()
	s.index++
	out := s.state.Apply(s.index, e)
	for id, was := range before {
		if now := s.state.Clusters[id].Epoch; now < was {
			return out.Verdict, fmt.Errorf("the epoch of %s went back from %d to %d", id, was, now)
		}
	}
	return out.Verdict, nil
}

func (s *stage) epochs() map[arbiter.ClusterID]arbiter.Epoch {
	m := map[arbiter.ClusterID]arbiter.Epoch{}
	for id, c := range s.state.Clusters {
		m[id] = c.Epoch
	}
	return m
}

func verdict(v arbiter.Verdict) string {
	out := []string{string(v.Kind)}
	add := func(given bool, format string, a ...any) {
		if given {
			out = append(out, fmt.Sprintf(format, a...))
		}
	}
	add(v.Reason != "", "%s", v.Reason)
	add(v.Epoch != 0, "epoch=%d", v.Epoch)
	add(v.Kind == arbiter.Granted, "basis=%s", basis(v.Basis))
	add(v.Kind != arbiter.Granted && v.Holder != "", "holder=%s", v.Holder)
	add(v.Mandate != 0, "mandate=%d", v.Mandate)
	add(v.Number != 0, "number=%s", v.Number)
	add(v.Recovery != 0, "recovery=%s", v.Recovery)
	add(v.Incarnation != 0, "start=%d", v.Incarnation)
	add(v.Repeated, "repeated")
	return strings.Join(out, " ")
}

func basis(b arbiter.Basis) string {
	if b.Cause == arbiter.ByNothing {
		return "first"
	}
	out := fmt.Sprintf("%s:%s@%d,%s", b.Cause, b.Holder, b.Epoch, b.Grade)
	if b.Switchover {
		out += ",switchover"
	}
	if b.Boot != "" {
		out += ",boot=" + string(b.Boot)
	}
	if b.Mandate != 0 {
		out += fmt.Sprintf(",mandate=%d", b.Mandate)
	}
	return out
}

// show describes a group in one line.
func (s *stage) show(id arbiter.GroupID) string {
	c := s.state.Clusters[pair]
	g := c.Groups[id]
	if g == nil {
		return "no such group"
	}
	out := []string{"free"}
	if l := g.Lease; l != nil {
		out = []string{fmt.Sprintf("held=%s@%d,boot=%s", l.Holder, l.Epoch, l.Boot)}
		if l.Started {
			out = append(out, "started")
		}
		if l.Watchdog.Armed {
			out = append(out, "armed")
		}
	}
	for _, n := range c.Definition.Nodes {
		if e, ok := g.Excluded[n]; ok {
			lost := ""
			if e.Lost {
				lost = ",lost"
			}
			out = append(out, fmt.Sprintf("excluded=%s:%s/%d%s", n, e.Number, e.OwnWord, lost))
		}
	}
	if g.Order != nil {
		out = append(out, fmt.Sprintf("order=%s@%d", g.Order.To, g.Order.Epoch))
	}
	if m := c.Mandate; m != nil {
		by := ""
		if m.ByWitness {
			by = ",by-witness"
		}
		out = append(out, fmt.Sprintf("mandate=%d,target=%s,%s%s", m.ID, m.Target, m.Phase, by))
	}
	if c.Learning {
		out = append(out, "learning")
	}
	return strings.Join(out, " ")
}

// group returns a group of the pair, or an empty one.
func (s *stage) group(id arbiter.GroupID) *arbiter.Group {
	if c := s.state.Clusters[pair]; c != nil && c.Groups[id] != nil {
		return c.Groups[id]
	}
	return &arbiter.Group{}
}

func (s *stage) lease(id arbiter.GroupID) arbiter.Epoch {
	if l := s.group(id).Lease; l != nil {
		return l.Epoch
	}
	return 0
}

// isNode reports whether a line's first word is a node that speaks.
func isNode(word string) bool { return slices.Contains([]string{"node-a", "node-b", "node-c"}, word) }
