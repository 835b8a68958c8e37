package carry

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"sbarbiter/drbd"
	"sbarbiter/recovery"
	"sbarbiter/recovery/keep"
)

// resolved checks that both copies are the survivor's and that the victim's is kept.
func (w *world) resolved(victim recovery.Node) {
	w.t.Helper()
	v := w.sides[victim]
	s := w.other(v)
	if v.current != s.current || v.disk != drbd.DiskUpToDate || v.repl != drbd.ReplEstablished {
		w.t.Errorf("not in step: %+v", v)
	}
	for _, p := range []string{v.path, s.path} {
		if letter := first(w.t, p); letter != string(s.name)[5:6] {
			w.t.Errorf("%s holds %q", p, letter)
		}
	}
	all, err := w.store.List()
	must(w.t, err)
	if len(all) != 1 {
		w.t.Fatalf("kept: %+v", all)
	}
	data, err := os.ReadFile(all[0].Source)
	must(w.t, err)
	if want := strings.Repeat(string(victim)[5:6], diskSize); string(data) != want {
		w.t.Error("what is kept is not what the victim had")
	}
	if text, err := all[0].Metadata(); err != nil || !strings.Contains(text, "v08") {
		w.t.Errorf("metadata %q, %v", text, err)
	}
}

// first returns the one letter that a disk is filled with.
func first(t *testing.T, path string) string {
	t.Helper()
	data, err := os.ReadFile(path)
	must(t, err)
	if strings.Count(string(data), string(data[:1])) != len(data) {
		return "a mixture"
	}
	return string(data[:1])
}

func TestVictimTakesTheSurvivorsDataAndKeepsItsOwn(t *testing.T) {
	for _, victim := range []recovery.Node{"node-a", "node-b"} {
		w := split(t)
		must(t, w.recover(w.plan(victim)))
		w.resolved(victim)
	}
}

func TestRecoveryGoesOnAfterAnAgentDiedAtAnyCommand(t *testing.T) {
	for _, full := range []bool{false, true} {
		clean := split(t)
		clean.old(full)
		must(t, clean.recover(clean.plan("node-a")))
		for at := 1; at <= clean.commands; at++ {
			for _, late := range []bool{false, true} {
				t.Run(fmt.Sprintf("full=%t command %d, after it: %t", full, at, late), func(t *testing.T) {
					w := split(t)
					w.old(full)
					w.dieAt, w.late = at, late
					must(t, w.recover(w.plan("node-a")))
					w.resolved("node-a")
				})
			}
		}
	}
}

// old makes the fork one that the bitmaps do not count from.
func (w *world) old(full bool) {
	if full {
		w.sides["node-a"].split, w.sides["node-b"].split = "C100000000000002", "C200000000000002"
	}
}

func TestFlagIsGivenAgainAfterAHandshakeThatFailed(t *testing.T) {
	w := split(t)
	w.flaps, w.again = 3, time.Nanosecond
	must(t, w.recover(w.plan("node-b")))
	w.resolved("node-b")
	if n := strings.Count(strings.Join(w.log, "\n"), "connect --discard-my-data"); n != 4 {
		t.Errorf("the flag was given %d times:\n%s", n, strings.Join(w.log, "\n"))
	}
}

// DRBD 9 finds the two split once more whenever the link is lost before the last block is
// copied. What the resync has written is not taken for somebody's writes.
func TestFlagIsGivenAgainWhenTheLinkIsLostDuringTheResync(t *testing.T) {
	for _, nine := range []bool{false, true} {
		w := split(t)
		w.nine, w.losses, w.again = nine, 3, time.Nanosecond
		must(t, w.recover(w.plan("node-b")))
		w.resolved("node-b")
		want := 1
		if nine {
			want = 4
		}
		if n := strings.Count(strings.Join(w.log, "\n"), "node-b connect --discard-my-data"); n != want {
			t.Errorf("DRBD 9: %t: the flag was given %d times:\n%s", nine, n, strings.Join(w.log, "\n"))
		}
	}
}

func TestSurvivorThatWaitedAllAlongIsMetOnlyWithTheFlag(t *testing.T) {
	w := split(t)
	w.sides["node-a"].conn = drbd.ConnConnecting
	must(t, w.recover(w.plan("node-b")))
	w.resolved("node-b")
	if slices.Contains(w.log, "node-a connect") {
		t.Errorf("%q", w.log)
	}
}

func TestVictimThatSplitsAgainConnectsNeverWithoutTheFlag(t *testing.T) {
	w := split(t)
	must(t, w.recover(w.plan("node-b")))
	for _, line := range w.log {
		if strings.HasPrefix(line, "node-b connect") && !strings.Contains(line, "--discard-my-data") {
			t.Errorf("%q", w.log)
		}
	}
	w = split(t)
	p := w.plan("node-b")
	_, err := w.node("node-b").Do(t.Context(), p, recovery.Step{Node: "node-b", Kind: recovery.Connect, Resource: "r0"}, "1")
	if err == nil || !strings.Contains(err.Error(), "split again") {
		t.Errorf("%v", err)
	}
}

func TestNothingIsGivenUpThatIsNotKept(t *testing.T) {
	for _, kind := range []recovery.StepKind{recovery.Discard, recovery.Invalidate} {
		w := split(t)
		_, err := w.node("node-b").Do(t.Context(), w.plan("node-b"), recovery.Step{Node: "node-b", Kind: kind, Resource: "r0"}, "1")
		if err == nil || !strings.Contains(err.Error(), "not kept yet") {
			t.Errorf("%s: %v", kind, err)
		}
		if len(w.log) > 0 {
			t.Errorf("%q", w.log)
		}
	}
}

// A promotion by hand that has ended leaves the generation as it was.
func TestNothingIsGivenUpThatWasWrittenAfterItWasKept(t *testing.T) {
	for _, kind := range []recovery.StepKind{recovery.Discard, recovery.Invalidate} {
		w := split(t)
		w.sides["node-b"].written = 100
		p := w.plan("node-b")
		keepIt := recovery.Step{Node: "node-b", Kind: recovery.Snapshot, Resource: "r0", Bytes: diskSize}
		giveUp := recovery.Step{Node: "node-b", Kind: kind, Resource: "r0"}
		_, err := w.node("node-b").Do(t.Context(), p, keepIt, "1")
		must(t, err)
		w.sides["node-b"].written = 104
		if _, err := w.node("node-b").Do(t.Context(), p, giveUp, "1"); !errors.Is(err, ErrUnkept) || !strings.Contains(err.Error(), "100 KiB then, 104 KiB now") {
			t.Errorf("%s: %v", kind, err)
		}
		if len(w.log) > 0 {
			t.Errorf("%s: %q", kind, w.log)
		}
		for _, written := range []uint64{100, 0} { // as it was; attached anew, and nothing written
			w.sides["node-b"].written = written
			if _, err := w.node("node-b").Do(t.Context(), p, giveUp, "1"); err != nil && errors.Is(err, ErrUnkept) {
				t.Errorf("%s: %d KiB: %v", kind, written, err)
			}
		}
	}
}

// What was decided on is written to until it is stopped: a snapshot that is made for no
// more would overflow in the resync, and what it holds be lost.
func TestSnapshotHasRoomForWhatWasWrittenSinceTheDecision(t *testing.T) {
	w := split(t)
	p := w.plan("node-b") // each side has changed 64 KiB
	w.sides["node-b"].marked = 100
	_, err := w.node("node-b").Do(t.Context(), p, p.Steps[slices.IndexFunc(p.Steps, func(s recovery.Step) bool { return s.Kind == recovery.Snapshot })], "1")
	must(t, err)
	all, err := w.store.List()
	must(t, err)
	if len(all) != 1 || all[0].Changes != (64+64+100)<<10 {
		t.Errorf("kept is %+v", all)
	}
}

// The machine starts anew after its copy was kept, somebody promotes it and writes, and it
// starts anew once more: nothing is left of that but what is marked as changed.
func TestNothingIsGivenUpOfWhichMoreIsChangedThanWhenItWasKept(t *testing.T) {
	w := split(t)
	v := w.sides["node-b"]
	v.written = 100
	p := w.plan("node-b")
	_, err := w.node("node-b").Do(t.Context(), p, recovery.Step{Node: "node-b", Kind: recovery.Snapshot, Resource: "r0", Bytes: diskSize}, "1")
	must(t, err)
	giveUp := recovery.Step{Node: "node-b", Kind: recovery.Discard, Resource: "r0"}
	v.written, v.marked = 0, 4
	if _, err := w.node("node-b").Do(t.Context(), p, giveUp, "1"); !errors.Is(err, ErrUnkept) || !strings.Contains(err.Error(), "attached anew") {
		t.Errorf("%v", err)
	}
	v.disk = drbd.DiskInconsistent // by declaration, which marks all of it
	if _, err := w.node("node-b").Do(t.Context(), p, giveUp, "1"); errors.Is(err, ErrUnkept) {
		t.Errorf("%v", err)
	}
}

func TestFullStoreStopsTheRecoveryBeforeAnythingIsLost(t *testing.T) {
	w := split(t)
	w.store.Quota = diskSize - 1
	if err := w.recover(w.plan("node-b")); !errors.Is(err, keep.ErrFull) {
		t.Fatalf("%v", err)
	}
	if first(t, w.sides["node-b"].path) != "b" || w.sides["node-b"].disk != drbd.DiskUpToDate {
		t.Error("the victim's data is gone")
	}
}

func TestWhatCannotBeRightIsRefused(t *testing.T) {
	step := recovery.Step{Node: "node-b", Kind: recovery.Discard, Resource: "r0"}
	for name, c := range map[string]struct {
		change func(*world, *recovery.Plan, *recovery.Step)
		says   string
	}{
		"another node's step": {func(_ *world, _ *recovery.Plan, s *recovery.Step) { s.Node = "node-a" }, "node-a's"},
		"another group":       {func(_ *world, p *recovery.Plan, _ *recovery.Step) { p.Group = "web" }, "no group web"},
		"another resource":    {func(_ *world, _ *recovery.Plan, s *recovery.Step) { s.Resource = "r9" }, "r9"},
		"another version":     {func(_ *world, p *recovery.Plan, _ *recovery.Step) { p.Version++ }, "version"},
		"the survivor's data": {func(w *world, p *recovery.Plan, _ *recovery.Step) { *p = w.plan("node-a") }, "survivor"},
		"the leader's step":   {func(_ *world, _ *recovery.Plan, s *recovery.Step) { s.Kind = recovery.Measure }, "leads"},
		"a basis of others":   {func(_ *world, p *recovery.Plan, _ *recovery.Step) { p.Basis = nil }, "which generation"},
		"a resource that is down": {func(w *world, _ *recovery.Plan, _ *recovery.Step) {
			w.sides["node-b"].absent = true
		}, "bring it up"},
		"no step": {func(_ *world, p *recovery.Plan, _ *recovery.Step) { p.Steps = nil }, "it lacks the step"},
		"a snapshot elsewhere": {func(_ *world, p *recovery.Plan, s *recovery.Step) {
			s.Kind, s.Resource = recovery.Snapshot, ".."
			p.Steps[4] = *s
		}, "no name of a resource"},
		"DRBD's own policies": {func(w *world, _ *recovery.Plan, _ *recovery.Step) {
			w.sides["node-b"].violations = []drbd.Violation{{What: "after-sb-0pri is discard-least-changes"}}
		}, "discard the other side"},
		"a Primary's snapshot": {func(w *world, _ *recovery.Plan, s *recovery.Step) {
			w.sides["node-b"].role = drbd.RolePrimary
			s.Kind = recovery.Snapshot
		}, "demote it first"},
		"a connected volume's snapshot": {func(w *world, _ *recovery.Plan, s *recovery.Step) {
			w.sides["node-b"].conn = drbd.ConnConnecting
			s.Kind = recovery.Snapshot
		}, "disconnect it first"},
	} {
		t.Run(name, func(t *testing.T) {
			w := split(t)
			p, s := w.plan("node-b"), step
			c.change(w, &p, &s)
			_, err := w.node("node-b").Do(t.Context(), p, s, "1")
			if err == nil || !strings.Contains(err.Error(), c.says) {
				t.Errorf("%v", err)
			}
			if len(w.log) > 0 {
				t.Errorf("something was done: %q", w.log)
			}
		})
	}
}

func TestSourceThatShouldBeTheTargetIsDisconnected(t *testing.T) {
	w := split(t)
	p := w.plan("node-b")
	b := w.sides["node-b"]
	b.conn, b.repl = drbd.ConnConnected, drbd.ReplSyncSource
	_, err := w.node("node-b").Do(t.Context(), p, recovery.Step{Node: "node-b", Kind: recovery.Discard, Resource: "r0"}, "1")
	if err == nil || b.conn != drbd.ConnStandAlone {
		t.Errorf("%v, %s", err, b.conn)
	}
}

func TestHeldDeviceIsNamedAndNotForced(t *testing.T) {
	w := split(t)
	p := w.plan("node-a")
	n := w.node("node-a")
	w.sides["node-a"].held = true
	step := recovery.Step{Node: "node-a", Kind: recovery.Demote, Resource: "r0"}
	must(t, os.WriteFile(n.proc("1", "mountinfo"), []byte("36 25 147:0 / /srv/my\\040data rw shared:1 - ext4 /dev/drbd0 rw\n"), 0o644))
	if _, err := n.Do(t.Context(), p, step, "1"); err == nil || !strings.Contains(err.Error(), "umount /srv/my data") {
		t.Errorf("%v", err)
	}
	must(t, os.WriteFile(n.proc("1", "mountinfo"), nil, 0o644))
	must(t, os.MkdirAll(n.proc("77", "fd"), 0o755))
	must(t, os.Symlink("/dev/drbd0", n.proc("77", "fd", "3")))
	must(t, os.WriteFile(n.proc("77", "comm"), []byte("dd\n"), 0o644))
	if _, err := n.Do(t.Context(), p, step, "1"); err == nil || !strings.Contains(err.Error(), "dd (process 77)") {
		t.Errorf("%v", err)
	}
	s, err := n.Measure(t.Context(), n.Groups[0])
	must(t, err)
	if !s.Open || len(s.Mounted) > 0 {
		t.Errorf("%+v", s)
	}
}

func TestServicesThatDoNotStopStopTheRecovery(t *testing.T) {
	w := split(t)
	n := w.node("node-b")
	n.Groups[0].Stop = func(context.Context) error { return errors.New("nfs-server hangs") }
	_, err := n.Do(t.Context(), w.plan("node-b"), recovery.Step{Node: "node-b", Kind: recovery.StopServices}, "1")
	if err == nil || !strings.Contains(err.Error(), "nfs-server hangs") {
		t.Errorf("%v", err)
	}
}

// askAgain asks for every step of the plan once more.
func (w *world) askAgain(p recovery.Plan) {
	w.t.Helper()
	before := len(w.log)
	for _, s := range p.Steps {
		if s.Kind == recovery.Measure || s.Kind == recovery.Readmit {
			continue
		}
		progress, err := w.node(s.Node).Do(w.t.Context(), p, s, "1")
		if err != nil || !progress.Done && s.Kind != recovery.FollowResync {
			w.t.Errorf("%s: %+v, %v", s, progress, err)
		}
	}
	for _, line := range w.log[before:] {
		if !strings.HasSuffix(line, " secondary") { // which asks the kernel in any case
			w.t.Errorf("%s, though all was done", line)
		}
	}
}

func TestStepsThatAreAskedForAgainChangeNothing(t *testing.T) {
	for _, full := range []bool{false, true} {
		w := split(t)
		w.old(full)
		p := w.plan("node-b")
		must(t, w.recover(p))
		w.askAgain(p)

		// And in the middle of the resync.
		w.sides["node-b"].disk, w.sides["node-b"].repl, w.sides["node-a"].repl = drbd.DiskInconsistent, drbd.ReplSyncTarget, drbd.ReplSyncSource
		w.askAgain(p)
	}
}

func TestResyncThatWasCutGoesOnWithoutTheFlag(t *testing.T) {
	w := split(t)
	p := w.plan("node-b")
	must(t, w.recover(p))
	b := w.sides["node-b"]
	// The victim was switched off in the middle and is up again, alone.
	b.disk, b.current, b.conn, b.repl = drbd.DiskInconsistent, "E000000000000002", drbd.ConnStandAlone, drbd.ReplOff
	w.sides["node-a"].conn, w.sides["node-a"].repl = drbd.ConnConnecting, drbd.ReplOff
	w.log = nil
	for _, s := range p.Steps {
		if s.Kind == recovery.Discard || s.Kind == recovery.FollowResync {
			_, err := w.node("node-b").Do(t.Context(), p, s, "1")
			must(t, err)
		}
	}
	if want := []string{"node-b connect"}; !slices.Equal(w.log, want) {
		t.Errorf("%q", w.log)
	}
	w.copied()
	w.resolved("node-b")
}

func TestHalfOverwrittenCopyIsNotKeptAsIfItWereWhole(t *testing.T) {
	w := split(t)
	p := w.plan("node-b")
	b := w.sides["node-b"]
	b.disk, b.current = drbd.DiskInconsistent, "E000000000000002"
	for _, kind := range []recovery.StepKind{recovery.Snapshot, recovery.DumpMetadata} {
		_, err := w.node("node-b").Do(t.Context(), p, recovery.Step{Node: "node-b", Kind: kind, Resource: "r0"}, "1")
		if err == nil || !strings.Contains(err.Error(), "too late") {
			t.Errorf("%s: %v", kind, err)
		}
	}
}

func TestFollowingTellsHowMuchIsLeft(t *testing.T) {
	w := split(t)
	p := w.plan("node-b")
	must(t, w.recover(p))
	w.sides["node-b"].repl, w.sides["node-a"].repl, w.sides["node-b"].disk = drbd.ReplSyncTarget, drbd.ReplSyncSource, drbd.DiskInconsistent
	got, err := w.node("node-a").Do(t.Context(), p, recovery.Step{Node: "node-a", Kind: recovery.FollowResync}, "1")
	must(t, err)
	if got.Done || got.Left != 64<<10 || got.Total != 128<<10 {
		t.Errorf("%+v", got)
	}
}

func TestVictimIsNotConnectedByWhoeverFollows(t *testing.T) {
	w := split(t)
	got, err := w.node("node-b").Do(t.Context(), w.plan("node-b"), recovery.Step{Node: "node-a", Kind: recovery.FollowResync}, "1")
	if err != nil || got.Done || len(w.log) > 0 {
		t.Errorf("%+v, %v, %q", got, err, w.log)
	}
}

func TestUndoingPutsTheVictimsDataBackOnBothAndKeepsWhatWasThere(t *testing.T) {
	w := split(t)
	must(t, w.recover(w.plan("node-b")))
	n := w.node("node-b")
	n.Dev = t.TempDir()
	device := n.device(0)
	must(t, os.Link(w.sides["node-b"].path, device)) // what is written to the one is in the other
	g := n.Groups[0]
	if _, err := n.Undo(t.Context(), g, "1", CarryOut); err == nil || !strings.Contains(err.Error(), "not Primary: drbdadm primary r0") {
		t.Fatalf("%v", err)
	}
	w.sides["node-a"].role, w.sides["node-b"].role = drbd.RoleSecondary, drbd.RolePrimary
	shown, err := n.Undo(t.Context(), g, "", OnlyShow)
	if err != nil || len(shown) != 1 || shown[0].Differs != diskSize || first(t, device) != "a" {
		t.Fatalf("%+v, %v", shown, err)
	}
	for _, kept := range []string{"undo-1", ""} { // the second finds it done
		done, err := n.Undo(t.Context(), g, "1", CarryOut)
		must(t, err)
		if len(done) != 1 || done[0].Kept != kept {
			t.Errorf("%+v, and what was there is kept as %q", done, kept)
		}
	}
	if first(t, device) != "b" {
		t.Error("the victim's data is not back")
	}
	all, err := n.Kept("nfs")
	must(t, err)
	if len(all) != 2 || all[1].Recovery != "undo-1" || first(t, all[1].Source) != "a" {
		t.Errorf("%+v", all)
	}
	must(t, os.WriteFile(n.proc("1", "mountinfo"), []byte("36 25 147:0 / /srv/data rw shared:1 - ext4 /dev/drbd0 rw\n"), 0o644))
	if _, err := n.Undo(t.Context(), g, "1", CarryOut); err == nil || !strings.Contains(err.Error(), "mounted at /srv/data") {
		t.Errorf("%v", err)
	}
	if err := n.Release(t.Context(), "nfs", "undo-1", Unsaid); err != nil {
		t.Error(err)
	}
	if _, err := n.Undo(t.Context(), g, "9", OnlyShow); err == nil || !strings.Contains(err.Error(), "keeps nothing") {
		t.Errorf("%v", err)
	}
}

// halfCopied is a victim of DRBD 9 whose second volume was copied whole when the link was lost.
type halfCopied struct{ *side }

func (v halfCopied) GenerationLines(context.Context, string) ([]string, error) {
	return []string{v.line(), strings.Replace(v.line(), v.current, "B000000000000002", 1)}, nil
}

func TestVictimThatIsHalfCopiedIsNotConnectedWithoutTheFlag(t *testing.T) {
	w := split(t)
	w.nine = true
	e := recovery.Evidence{Group: "nfs"}
	for i, name := range []recovery.Node{"node-a", "node-b"} {
		side, err := w.node(name).Measure(t.Context(), Group{Name: "nfs", Resources: []string{"r0"}})
		must(t, err)
		second := side.Volumes[0]
		second.Number = 1
		side.Volumes = append(side.Volumes, second)
		e.Sides[i] = side
	}
	d, err := recovery.Choose(e, "node-b")
	must(t, err)
	p, err := recovery.MakePlan(e, d)
	must(t, err)
	n := w.node("node-b")
	n.DRBD = halfCopied{w.sides["node-b"]}
	for _, s := range p.Steps {
		if s.Node != "node-b" || s.Kind == recovery.Measure || s.Kind == recovery.Readmit {
			continue
		}
		_, _ = n.Do(t.Context(), p, s, "1") // what is not kept of the second volume is not given up
	}
	_, err = n.Do(t.Context(), p, recovery.Step{Node: "node-b", Kind: recovery.FollowResync}, "1")
	must(t, err)
	if slices.Contains(w.log, "node-b connect") {
		t.Errorf("%q", w.log)
	}
}
