package scenarios

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"sbarbiter/chaos-tests/lab"
	"sbarbiter/chaos-tests/pair"
)

// story is one test's view of a pair.
type story struct {
	*pair.Pair
	t   *testing.T
	ctx context.Context

	holder, standby *lab.Node // as the story began
	ownRecords      bool      // each node writes a file of its own: nothing to compare
}

// begin starts a story on the shared pair. Its end checks what must never be.
func begin(t *testing.T) *story {
	t.Helper()
	return tell(t, thePair(t))
}

func tell(t *testing.T, p *pair.Pair) *story {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 4*time.Minute)
	t.Cleanup(cancel)
	s := &story{Pair: p, t: t, ctx: ctx}
	holder, err := p.Holder(ctx)
	s.must("find the holder", err)
	s.holder, s.standby = holder, p.Peer(holder)
	t.Cleanup(s.end)
	return s
}

// end judges the whole story and, if it went wrong, tells it.
func (s *story) end() {
	r := s.Report(s.ctx)
	if s.ownRecords {
		r.Lost, r.Audited = 0, true
	}
	if err := r.Violations(); err != nil {
		s.t.Error(err)
	}
	if !r.Audited && r.Acked > 0 {
		s.t.Errorf("the records could not be compared with what was acknowledged: %s", r.Unaudited)
	}
	s.t.Logf("%+v", r)
	if s.t.Failed() {
		s.t.Logf("what happened:\n%s", s.Timeline().Text(s.Since()))
		a, err := s.Sbctl(s.ctx, "status")
		s.t.Logf("status at the end:\n%s %v", a.Text(), err)
	}
}

// must is for steps that are not themselves in question.
func (s *story) must(what string, err error) {
	s.t.Helper()
	if err != nil {
		s.t.Fatalf("%s: %v", what, err)
	}
}

// within waits until f returns nil and says how long that took.
func (s *story) within(limit time.Duration, what string, f func() error) time.Duration {
	s.t.Helper()
	began := time.Now()
	for {
		err := f()
		if err == nil {
			break
		}
		if time.Since(began) > limit {
			s.t.Fatalf("%s: not within %v: %v", what, limit, err)
		}
		time.Sleep(50 * time.Millisecond)
	}
	took := time.Since(began)
	s.t.Logf("%s: %.2f s", what, took.Seconds())
	return took
}

// throughout fails as soon as f returns an error within a time.
func (s *story) throughout(d time.Duration, what string, f func() error) {
	s.t.Helper()
	for began := time.Now(); time.Since(began) < d; time.Sleep(100 * time.Millisecond) {
		if err := f(); err != nil {
			s.t.Fatalf("%s: after %.1f s: %v", what, time.Since(began).Seconds(), err)
		}
	}
}

// writes: the node has acknowledged a record since this was asked.
func (s *story) writes(n *lab.Node) func() error {
	from := time.Now()
	return func() error {
		last, ok := s.Truth.LastAck()
		if !ok || last.At.Before(from) {
			return errors.New("nobody writes")
		}
		if last.Node != string(n.Name) {
			return fmt.Errorf("%s writes", last.Node)
		}
		return nil
	}
}

// writing: the node has acknowledged a record a moment ago.
func (s *story) writing(n *lab.Node) func() error {
	return func() error {
		last, ok := s.Truth.LastAck()
		if quiet := time.Since(last.At); !ok || last.Node != string(n.Name) || quiet > 3*time.Second {
			return fmt.Errorf("%s wrote last, %.1f s ago", last.Node, quiet.Seconds())
		}
		return nil
	}
}

// takenOver: the standby runs the group and writes.
func (s *story) takenOver(limit time.Duration) time.Duration {
	s.t.Helper()
	return s.within(limit, string(s.standby.Name)+" writes", s.writes(s.standby))
}

// notOn: the node has not written since this was asked.
func (s *story) notOn(n *lab.Node) func() error {
	from := time.Now()
	return func() error {
		if last, ok := s.Truth.LastAck(); ok && last.Node == string(n.Name) && last.At.After(from) {
			return fmt.Errorf("%s writes", n.Name)
		}
		return nil
	}
}

// shotOnly checks which nodes a BMC has cut off.
func (s *story) shotOnly(nodes ...*lab.Node) {
	s.t.Helper()
	var want []string
	for _, n := range nodes {
		want = append(want, string(n.Name))
	}
	if got := s.Shots(); !slices.Equal(got, want) {
		s.t.Errorf("shot: %v, want %v", got, want)
	}
}

func (s *story) nobodyShot() {
	s.t.Helper()
	s.shotOnly()
}

// undisturbed: nothing was stopped and started again. A loaded machine alone
// makes a writer pause for a second or two.
func (s *story) undisturbed() {
	s.t.Helper()
	s.noGap(3 * time.Second)
	for _, e := range s.Timeline().Entries(s.Since()) {
		if e.What == "stopping" || e.What == "starting" {
			s.t.Errorf("%s: %s: %s", e.Host, e.What, e.Why)
		}
	}
}

// noGap checks that the writer was never quiet for longer.
func (s *story) noGap(longer time.Duration) {
	s.t.Helper()
	for _, g := range s.Truth.Gaps(longer) {
		s.t.Errorf("nothing was acknowledged for %.2f s, last by %s", g.Length().Seconds(), g.Before)
	}
}

// excluded: the witness has recorded the node's copy as stale.
func (s *story) excluded(n *lab.Node) func() error {
	return func() error {
		g, err := s.Group(s.ctx)
		if err != nil {
			return err
		}
		if !g.IsExcluded(string(n.Name)) {
			return fmt.Errorf("%s is not excluded", n.Name)
		}
		return nil
	}
}

// redundant: the pair could lose either node now.
func (s *story) redundant() error { return s.Redundant(s.ctx) }

// heldBy: the witness says that the node holds the group.
func (s *story) heldBy(n *lab.Node) func() error {
	return func() error {
		g, err := s.Group(s.ctx)
		if err == nil && g.Holder != string(n.Name) {
			err = fmt.Errorf("held by %q, not by %s", g.Holder, n.Name)
		}
		return err
	}
}

// told: a host's log says all these words in one line.
func (s *story) told(host string, words ...string) func() error {
	return func() error {
		for _, e := range s.Timeline().Entries(s.Since()) {
			if line := e.What + " " + e.Why; e.Host == host && containsAll(line, words) {
				return nil
			}
		}
		return fmt.Errorf("%s has not said %q", host, words)
	}
}

// toldTimes: a host's log says it at least so often.
func (s *story) toldTimes(n int, host, what string) error {
	for _, e := range s.Timeline().Entries(s.Since()) {
		if e.Host == host && e.What == what {
			n--
		}
	}
	if n > 0 {
		return fmt.Errorf("%s has to say %q %d times more", host, what, n)
	}
	return nil
}

func containsAll(line string, words []string) bool {
	for _, w := range words {
		if !strings.Contains(line, w) {
			return false
		}
	}
	return true
}

// sbctl runs sbctl and wants an exit code.
func (s *story) sbctl(exit int, args ...string) pair.Answer {
	s.t.Helper()
	a, err := s.Sbctl(s.ctx, args...)
	s.must("sbctl "+strings.Join(args, " "), err)
	if a.Exit != exit {
		s.t.Fatalf("sbctl %s: exit %d, want %d: %s", strings.Join(args, " "), a.Exit, exit, a.Text())
	}
	return a
}

// writer is the process id of the writer on a node.
func (s *story) writer(n *lab.Node) string {
	s.t.Helper()
	out, code, err := n.Run(s.ctx, "systemctl show -P MainPID "+lab.WriterUnit)
	s.must("ask for the writer's process", err)
	if code != 0 || strings.TrimSpace(out) == "0" {
		s.t.Fatalf("no writer on %s: exit %d: %s", n.Name, code, out)
	}
	return strings.TrimSpace(out)
}

func (s *story) epoch() uint64 {
	s.t.Helper()
	g, err := s.Group(s.ctx)
	s.must("ask for the epoch", err)
	return g.Epoch
}
