package pair

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"sbarbiter/chaos-tests/lab"
)

// Entry is one thing that happened.
type Entry struct {
	At   time.Time
	Host string // node-a, node-b, witness, gateway, bmc-a, bmc-b or lab
	What string
	Why  string
	// Alarm: somebody has to look.
	Alarm bool

	kind string // the log's message
}

// Timeline merges what agents, witness, lab and writers say.
type Timeline struct {
	lab *lab.Lab

	mu    sync.Mutex // guards what follows
	tails []*tail
	seen  []Entry
}

func newTimeline(l *lab.Lab) *Timeline {
	t := &Timeline{lab: l}
	for _, n := range l.Nodes() {
		t.tails = append(t.tails, &tail{host: string(n.Name), path: n.ConsolePath(), parse: parseConsole})
	}
	t.tails = append(t.tails, &tail{host: "witness", path: l.Witness.LogPath(), parse: parseLog})
	return t
}

// Entries returns everything from a time on, in order.
func (t *Timeline) Entries(from time.Time) []Entry {
	t.mu.Lock()
	for _, tail := range t.tails {
		t.seen = append(t.seen, tail.read()...)
	}
	all := slices.Clone(t.seen)
	t.mu.Unlock()
	for _, e := range t.lab.Events() {
		all = append(all, Entry{At: e.At, Host: e.Host, What: e.What})
	}
	all = append(all, t.writers()...)
	all = slices.DeleteFunc(all, func(e Entry) bool { return e.At.Before(from) })
	slices.SortStableFunc(all, func(a, b Entry) int { return a.At.Compare(b.At) })
	return all
}

// noticed is how long nobody may write before the timeline tells so.
const noticed = 500 * time.Millisecond

// writers tells when writing began and when it went on after a pause.
func (t *Timeline) writers() []Entry {
	acks := t.lab.Truth.Acks()
	if len(acks) == 0 {
		return nil
	}
	first := acks[0]
	es := []Entry{{At: first.At, Host: first.Node, What: "writer writes", Why: fmt.Sprintf("record %d acknowledged", first.Seq)}}
	for _, g := range t.lab.Truth.Gaps(noticed) {
		es = append(es, Entry{
			At: g.To, Host: g.After, What: "writer writes on",
			Why: fmt.Sprintf("nothing was acknowledged for %.2f s, last by %s", g.Length().Seconds(), g.Before),
		})
	}
	return es
}

// asides are messages that say in detail what others say in short.
var asides = []string{"told DRBD", "handler called", "handler ended", "shot ended", "session begins", "heartbeat timeout reached, starting election"}

// ForPeople leaves out asides, and what a node only repeats of the witness's
// decision. The witness logs a decision once it is on disk, which the node may
// know by then: such a decision gets the earlier time.
func ForPeople(es []Entry) []Entry {
	out := slices.DeleteFunc(slices.Clone(es), func(e Entry) bool { return slices.Contains(asides, e.kind) })
	var echoes []Entry
	for i := range out {
		if out[i].kind != decision {
			continue
		}
		w := &out[i]
		for _, e := range es {
			if e.repeats(*w) {
				echoes = append(echoes, e)
				w.At = earlier(w.At, e.At)
			}
		}
	}
	out = slices.DeleteFunc(out, func(e Entry) bool { return !e.Alarm && slices.Contains(echoes, e) })
	slices.SortStableFunc(out, func(a, b Entry) int { return a.At.Compare(b.At) })
	return out
}

// repeats: a node says what the witness has just decided.
func (e Entry) repeats(w Entry) bool {
	return e.kind != decision && w.Why != "" && strings.HasPrefix(e.Why, w.Why) && e.At.Sub(w.At).Abs() < time.Second
}

func earlier(a, b time.Time) time.Time {
	if b.Before(a) {
		return b
	}
	return a
}

// settle is how much later than its time an entry may become known.
const settle = 300 * time.Millisecond

// Follow hands entries from a time on to show, for people, in order and a
// moment late, until ctx ends; then it hands over the rest.
func (t *Timeline) Follow(ctx context.Context, from time.Time, show func(Entry)) {
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	for shown := from; ; {
		upTo := time.Now().Add(-settle)
		done := ctx.Err() != nil
		if done {
			upTo = time.Now()
		}
		for _, e := range ForPeople(t.Entries(from)) {
			if e.At.Before(shown) || e.At.After(upTo) {
				continue
			}
			show(e)
			shown = e.At.Add(1)
		}
		if done {
			return
		}
		select {
		case <-ctx.Done():
		case <-tick.C:
		}
	}
}

// Text is the timeline from a time on, for people; times count from there.
func (t *Timeline) Text(from time.Time) string {
	var b strings.Builder
	es := ForPeople(t.Entries(from))
	if from.IsZero() && len(es) > 0 {
		from = es[0].At
	}
	for _, e := range es {
		b.WriteString(e.Line(from) + "\n")
	}
	return b.String()
}

// Line is the entry as one aligned line.
func (e Entry) Line(from time.Time) string {
	mark := " "
	if e.Alarm {
		mark = "!"
	}
	return strings.TrimRight(fmt.Sprintf("%8.3f %s %-8s %-22s %s", e.At.Sub(from).Seconds(), mark, e.Host, e.What, e.Why), " ")
}
