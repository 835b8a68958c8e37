package arbiter_test

import (
	"bytes"
	"fmt"
	"slices"
	"testing"

	"pgregory.net/rapid"

	"sbarbiter/arbiter"
)

// TestWhatMustAlwaysHold plays random schedules and holds every rule that can be
// seen from outside against each step.
func TestWhatMustAlwaysHold(t *testing.T) {
	seen := map[string]int{}
	untilSeen(t, seen, []string{
		"arbiter.Acquire granted", "arbiter.Acquire fence_first", "arbiter.Begin permitted", "arbiter.ReportFence granted",
		"arbiter.WitnessBegin permitted", "arbiter.WitnessReport done", "arbiter.Exclude done", "arbiter.Readmit done", "arbiter.Confirm done", "arbiter.Renounce done", "arbiter.Order done",
	}, func(t *rapid.T) {
		s := begin(t)
		w := newWatcher()
		for range 20 + evenly(t, 200, "steps") {
			cmd := s.draw(t)
			before := s.state.Clusters[pair].Clone()
			v, err := s.apply(cmd)
			if err != nil {
				t.Fatal(err)
			}
			s.follow(cmd, v)
			seen[fmt.Sprintf("%T %s", cmd, v.Kind)]++
			if err := w.watch(before, s.state.Clusters[pair], cmd, v); err != nil {
				t.Fatalf("%T: %v\n%s", cmd, err, v.Sentence)
			}
		}
	})
}

// TestWhatMustAlwaysHoldOfARecovery is the same with mostly recoveries.
func TestWhatMustAlwaysHoldOfARecovery(t *testing.T) {
	seen, must := map[string]int{}, []string(nil)
	for _, o := range []arbiter.RecoveryOutcome{
		arbiter.Recovered, arbiter.Cancelled, arbiter.OnlyShown, arbiter.NoSplit, arbiter.NotChosen, arbiter.Superseded, arbiter.Abandoned,
	} {
		must = append(must, string(o))
	}
	for _, o := range []arbiter.RecoveryOutcome{arbiter.OnlyShown, arbiter.NoSplit, arbiter.Cancelled} {
		must = append(must, "dry run "+string(o))
	}
	untilSeen(t, seen, must, func(t *rapid.T) {
		s := begin(t)
		w := newWatcher()
		for range 50 + evenly(t, 150, "steps") {
			cmd := s.drawRecovery(t)
			if likely(t, 1, "anything") {
				cmd = s.draw(t)
			}
			before := s.state.Clusters[pair].Clone()
			v, err := s.apply(cmd)
			if err != nil {
				t.Fatal(err)
			}
			s.follow(cmd, v)
			s.count(seen)
			if err := w.watch(before, s.state.Clusters[pair], cmd, v); err != nil {
				t.Fatalf("%T: %v\n%s", cmd, err, v.Sentence)
			}
		}
	})
}

// untilSeen checks a property, and once more as long as nothing of some kind was seen: a
// property that is never put to the test holds always, and what is seldom is not drawn
// every time.
func untilSeen(t *testing.T, seen map[string]int, must []string, property func(*rapid.T)) {
	missing := func(what string) bool { return seen[what] == 0 }
	for range 10 {
		rapid.Check(t, property)
		if t.Failed() || !slices.ContainsFunc(must, missing) {
			return
		}
	}
	for _, what := range must {
		if missing(what) {
			t.Errorf("no schedule came to %q; what was seen: %v", what, seen)
		}
	}
}

func begin(t *rapid.T) *stage {
	s := newStage()
	for _, cmd := range []arbiter.Command{
		arbiter.Define{Definition: drawDefinition(t)},
		arbiter.NodeUp{Caller: arbiter.Caller{Cluster: pair, Node: "node-a", Boot: "a1", Incarnation: 1}},
		arbiter.NodeUp{Caller: arbiter.Caller{Cluster: pair, Node: "node-b", Boot: "b1", Incarnation: 1}},
	} {
		if _, err := s.apply(cmd); err != nil {
			t.Fatal(err)
		}
	}
	return s
}

// follow lets a node learn from an answer what its agent would store.
func (s *stage) follow(cmd arbiter.Command, v arbiter.Verdict) {
	switch c := cmd.(type) {
	case arbiter.NodeUp:
		if n := s.nodes[c.Caller.Node]; v.OK() && v.Incarnation > n.start {
			n.start, n.request = v.Incarnation, 0
		}
	case arbiter.Acquire:
		s.learnFloor(c.Caller.Node, v)
	case arbiter.ReportFence:
		s.learnFloor(c.Caller.Node, v)
	}
}

func (s *stage) learnFloor(node arbiter.NodeID, v arbiter.Verdict) {
	if v.Kind == arbiter.Granted {
		s.nodes[node].floor = max(s.nodes[node].floor, v.Epoch)
	}
}

// watcher remembers what the rules need to know of earlier steps.
type watcher struct {
	highest  arbiter.Epoch
	number   arbiter.ExclusionNumber
	mandates arbiter.MandateID

	recoveries arbiter.RecoveryID
	weak       map[string]bool // group and node whose last lease ended on E1 or E2, not seen off, nobody started since
}

func newWatcher() *watcher { return &watcher{weak: map[string]bool{}} }

func (w *watcher) watch(before, after *arbiter.Cluster, cmd arbiter.Command, v arbiter.Verdict) error {
	if after.Epoch < before.Epoch {
		return fmt.Errorf("the epoch went back from %d to %d", before.Epoch, after.Epoch)
	}
	if err := w.mandate(before, after); err != nil {
		return err
	}
	if m := before.Mandate; m != nil && m.Phase != arbiter.Open && v.OK() {
		if who := asks(cmd); who != "" && (who == m.Target || m.Target == "") {
			return fmt.Errorf("%s was answered %s while a shot at it may be on its way", who, v.Kind)
		}
	}
	for _, id := range groups {
		if err := w.group(before, after, id, cmd); err != nil {
			return fmt.Errorf("group %s: %w", id, err)
		}
	}
	if err := w.recovery(before, after, cmd); err != nil {
		return err
	}
	if _, ok := cmd.(arbiter.Exclude); ok && v.Kind == arbiter.Done && !v.Repeated {
		if v.Number <= w.number {
			return fmt.Errorf("exclusion %s follows %s", v.Number, w.number)
		}
		w.number = v.Number
	}
	return nil
}

// asks returns who asks for something that a node which may be shot must not
// get; its receipt, its new boot and its own word are heard.
func asks(cmd arbiter.Command) arbiter.NodeID {
	switch c := cmd.(type) {
	case arbiter.Acquire:
		return c.Caller.Node
	case arbiter.Exclude:
		return c.Caller.Node
	case arbiter.Started:
		return c.Caller.Node
	case arbiter.Readmit:
		return c.Caller.Node
	}
	return ""
}

// mandate: one at a time, a new number for each, and begun only once.
func (w *watcher) mandate(before, after *arbiter.Cluster) error {
	was, is := before.Mandate, after.Mandate
	switch {
	case is == nil:
		return nil
	case is.Phase == arbiter.Open && (was == nil || was.ID != is.ID):
		if was != nil {
			return fmt.Errorf("mandate %d was given while %d was %s", is.ID, was.ID, was.Phase)
		}
		if is.ID <= w.mandates {
			return fmt.Errorf("mandate %d follows %d", is.ID, w.mandates)
		}
		w.mandates = is.ID
	case is.Phase == arbiter.Begun && (was == nil || was.ID != is.ID || was.Phase == arbiter.Settled):
		return fmt.Errorf("mandate %d is begun and was not open", is.ID)
	}
	return nil
}

func (w *watcher) group(before, after *arbiter.Cluster, id arbiter.GroupID, cmd arbiter.Command) error {
	was, is := before.Groups[id], after.Groups[id]
	l := is.Lease
	granted := l != nil && l.Epoch > w.highest
	if r, ok := cmd.(arbiter.Release); ok && r.Started && was.Lease != nil && is.Lease == nil && r.Group == id {
		w.forget(id) // services have run since
	}
	w.ended(id, was, is)
	if granted {
		if err := w.grant(before, after, id, cmd); err != nil {
			return err
		}
		w.highest = l.Epoch
	}
	if l != nil && !granted && !before.Learning && (was.Lease == nil || was.Lease.Epoch != l.Epoch || was.Lease.Holder != l.Holder) {
		return fmt.Errorf("lease %d of %s came back", l.Epoch, l.Holder)
	}
	if l != nil && l.Started {
		w.forget(id)
	}
	return nil
}

func (w *watcher) forget(id arbiter.GroupID) {
	for _, n := range nodes {
		delete(w.weak, string(id)+"/"+string(n))
	}
}

// ended follows how leases ended.
func (w *watcher) ended(id arbiter.GroupID, was, is *arbiter.Group) {
	for _, n := range nodes {
		e, ok := is.Ended[n]
		if ok && e != was.Ended[n] {
			w.weak[string(id)+"/"+string(n)] = e.Grade < arbiter.E3
		}
	}
}

// grant: what must be so when somebody is given a new epoch.
func (w *watcher) grant(before, after *arbiter.Cluster, id arbiter.GroupID, cmd arbiter.Command) error {
	l, def := after.Groups[id].Lease, before.Definition
	peer := def.Peer(l.Holder)
	n := after.Nodes[l.Holder]
	switch {
	case l.Epoch%4 != 0:
		return fmt.Errorf("epoch %d is not a witness's", l.Epoch)
	case before.Learning:
		return fmt.Errorf("granted while learning")
	case before.Maintenance || n.Standby || n.Twins:
		return fmt.Errorf("granted to %s in maintenance, standby or with a twin", l.Holder)
	case n.Boot != l.Boot:
		return fmt.Errorf("granted to boot %s, and %s is at boot %s", l.Boot, l.Holder, n.Boot)
	}
	if s := before.Groups[id].Recovery.Survivor(); s != "" && s != l.Holder {
		return fmt.Errorf("granted to %s, whose copy is being given up", l.Holder)
	}
	if _, ok := before.Groups[id].Excluded[l.Holder]; ok && def.Groups[id].DRBD {
		if err := standsIn(before.Groups[id], after.Groups[id], peer, cmd); err != nil {
			return fmt.Errorf("granted to %s, whose copy is excluded: %w", l.Holder, err)
		}
	}
	if m := before.Mandate; m != nil && m.Phase != arbiter.Open && (m.Target == l.Holder || m.Target == "") {
		return fmt.Errorf("granted to %s, at which a shot may be on its way", l.Holder)
	}
	if w.weak[string(id)+"/"+string(peer)] && l.Basis.Grade >= arbiter.E3 {
		return fmt.Errorf("the basis is %s, and %s was never seen off", l.Basis, peer)
	}
	if l.Basis.Cause != arbiter.ByNothing && l.Basis.Holder != l.Holder && l.Basis.Grade < def.Groups[id].MinimumGrade {
		return fmt.Errorf("the basis is %s, and %s is demanded", l.Basis, def.Groups[id].MinimumGrade)
	}
	return takenOver(before, id, l, cmd)
}

// takenOver: a lease of the other node ends in the same step by the clock or by
// a shot only.
func takenOver(before *arbiter.Cluster, id arbiter.GroupID, l *arbiter.Lease, cmd arbiter.Command) error {
	was := before.Groups[id].Lease
	if was == nil {
		return nil
	}
	switch c := cmd.(type) {
	case arbiter.Acquire:
		j := c.Judgement
		if !j.Expired || j.Epoch != was.Epoch || !was.Watchdog.Armed || !was.Watchdog.Hardware || c.Evidence.Promising || !before.Definition.Watchdog {
			return fmt.Errorf("lease %d of %s was taken over by %d without E2", was.Epoch, was.Holder, l.Epoch)
		}
	case arbiter.ReportFence:
		if m := before.Mandate; m == nil || m.Phase != arbiter.Begun || m.Target != was.Holder || c.Alive {
			return fmt.Errorf("lease %d of %s was taken over without a shot at it", was.Epoch, was.Holder)
		}
		if !slices.ContainsFunc(c.Readings, func(r arbiter.Reading) bool { return r.Power == "off" }) {
			return fmt.Errorf("lease %d of %s was taken over, and nothing was read as off", was.Epoch, was.Holder)
		}
	default:
		return fmt.Errorf("%T granted a held group", cmd)
	}
	return nil
}

// TestSameCommandsSameState applies one log to two witnesses, one of which is
// restored from a snapshot on the way.
func TestSameCommandsSameState(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		s := begin(t)
		other := restored(t, s.state)
		for i := range 5 + evenly(t, 60, "steps") {
			cmd := s.draw(t)
			entry := roundTrip(t, arbiter.Entry{At: int64(i), Command: cmd})
			s.index++
			tried := restored(t, s.state).Try(s.index, entry)
			one := s.state.Apply(s.index, entry)
			if tried != one.Verdict {
				t.Fatalf("%T: tried, it is answered %+v; applied, %+v", cmd, tried, one.Verdict)
			}
			two := other.Apply(s.index, roundTrip(t, entry))
			s.follow(cmd, one.Verdict)
			if fmt.Sprintf("%+v", one) != fmt.Sprintf("%+v", two) {
				t.Fatalf("%T: outcomes differ\n%+v\n%+v", cmd, one, two)
			}
			if likely(t, 1, "restore") {
				other = restored(t, other)
			}
			if !bytes.Equal(encoded(t, s.state), encoded(t, other)) {
				t.Fatalf("%T: states differ\n%s\n%s", cmd, encoded(t, s.state), encoded(t, other))
			}
		}
	})
}

// TestCloneSharesNothing changes the original and looks at the copy, and the
// other way round.
func TestCloneSharesNothing(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		s := begin(t)
		for range 5 + evenly(t, 60, "steps") {
			copied := arbiter.NewState()
			copied.Version = s.state.Version
			copied.Clusters[pair] = s.state.Clusters[pair].Clone()
			cmd := s.draw(t)
			copyBefore, originalBefore := encoded(t, copied), encoded(t, s.state)
			trial := arbiter.NewState()
			trial.Clusters[pair] = copied.Clusters[pair].Clone()
			trial.Apply(s.index+1, arbiter.Entry{Command: cmd})
			if !bytes.Equal(originalBefore, encoded(t, s.state)) || !bytes.Equal(copyBefore, encoded(t, copied)) {
				t.Fatalf("%T on a copy changed the original", cmd)
			}
			v, err := s.apply(cmd)
			if err != nil {
				t.Fatal(err)
			}
			s.follow(cmd, v)
			if !bytes.Equal(copyBefore, encoded(t, copied)) {
				t.Fatalf("%T on the original changed the copy", cmd)
			}
		}
	})
}

type fataler interface {
	Helper()
	Fatal(...any)
}

func roundTrip(t fataler, e arbiter.Entry) arbiter.Entry {
	t.Helper()
	b, err := arbiter.EncodeCommand(e)
	if err != nil {
		t.Fatal(err)
	}
	d, err := arbiter.DecodeCommand(b)
	if err != nil {
		t.Fatal(err)
	}
	if again, err := arbiter.EncodeCommand(d); err != nil || !bytes.Equal(b, again) {
		t.Fatal("a command changes on its way through the log:", string(b), string(again), err)
	}
	return d
}

func encoded(t fataler, s *arbiter.State) []byte {
	t.Helper()
	b, err := arbiter.EncodeState(s)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func restored(t fataler, s *arbiter.State) *arbiter.State {
	t.Helper()
	r, err := arbiter.DecodeState(encoded(t, s))
	if err != nil {
		t.Fatal(err)
	}
	return r
}
