package carry

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"

	"sbarbiter/drbd"
	"sbarbiter/recovery"
	"sbarbiter/recovery/keep"
)

// sized copies hold so many bytes of changes, and are made larger as long as there is room.
type sized struct {
	keep.Copy
	holds, left *uint64
}

func (d sized) Grow(_ context.Context, k keep.Kept, changes, _ uint64) (uint64, error) {
	if lack := changes - min(*d.holds, changes); lack > *d.left {
		return 0, fmt.Errorf("%w: it holds %d of %d", keep.ErrFull, *d.holds, changes)
	}
	*d.holds = max(*d.holds, changes)
	return k.Bytes, nil
}

// The snapshot waits for room for hours, and the survivor's services write on: the resync
// copies that as well. What is kept is made larger, or the recovery goes back to its
// decision while nothing is given up.
func TestWhatIsKeptHoldsWhatTheSurvivorHasWrittenSince(t *testing.T) {
	for name, c := range map[string]struct {
		left uint64
		fits bool
	}{"room": {diskSize, true}, "none": {0, false}} {
		w := split(t)
		holds := uint64(128 << 10) // each side had changed 64 KiB
		w.store.Drivers = []keep.Driver{sized{keep.Copy{AtMost: diskSize}, &holds, &c.left}}
		p := w.plan("node-b")
		w.sides["node-a"].marked = 300
		e := recovery.Evidence{Group: "nfs"}
		for i, n := range []recovery.Node{"node-a", "node-b"} {
			s, err := w.node(n).Measure(t.Context(), Group{Name: "nfs", Resources: []string{"r0"}})
			must(t, err)
			e.Sides[i] = s
		}
		must(t, p.Holds(e))
		p.Foresee(e)
		err := w.recover(p)
		if c.fits {
			must(t, err)
			if w.resolved("node-b"); holds != (64+64+300)<<10 {
				t.Errorf("it holds %d bytes", holds)
			}
			continue
		}
		if !errors.Is(err, ErrUnkept) || !strings.Contains(err.Error(), "the survivor has written on") || slices.ContainsFunc(w.log, func(l string) bool { return strings.Contains(l, "discard") }) {
			t.Errorf("%s: %v %q", name, err, w.log)
		}
	}
}

// The copy was made, and is gone when the victim is to be given up: a file that somebody
// has removed is found by nobody else.
func TestNothingIsGivenUpWhoseCopyIsGone(t *testing.T) {
	for _, kind := range []recovery.StepKind{recovery.Discard, recovery.Invalidate} {
		w := split(t)
		p, n := w.plan("node-b"), w.node("node-b")
		_, err := n.Do(t.Context(), p, recovery.Step{Node: "node-b", Kind: recovery.Snapshot, Resource: "r0"}, "1")
		must(t, err)
		all, err := n.Kept("nfs")
		must(t, err)
		must(t, os.Remove(all[0].Source))
		_, err = n.Do(t.Context(), p, recovery.Step{Node: "node-b", Kind: kind, Resource: "r0"}, "1")
		if !errors.Is(err, ErrUnkept) || !strings.Contains(err.Error(), "what was kept of it is lost") || len(w.log) > 0 {
			t.Errorf("%s: %v %q", kind, err, w.log)
		}
	}
}

// pairOf is a group of two resources, of which one is split like the other.
func pairOf(w *world) (*Node, recovery.Plan) {
	g := Group{Name: "nfs", Resources: []string{"r0", "r1"}}
	e := recovery.Evidence{Group: "nfs"}
	for i, name := range []recovery.Node{"node-a", "node-b"} {
		s, err := w.node(name).Measure(w.t.Context(), g)
		must(w.t, err)
		e.Sides[i] = s
	}
	d, err := recovery.Choose(e, "node-b")
	must(w.t, err)
	p, err := recovery.MakePlan(e, d)
	must(w.t, err)
	n := w.node("node-b")
	n.Groups = []Group{g}
	for _, s := range p.Steps {
		if s.Kind == recovery.Snapshot {
			_, err := n.Do(w.t.Context(), p, s, "1")
			must(w.t, err)
		}
	}
	return n, p
}

// Somebody releases a copy in between. Before the first is given up all are looked at: of
// the second one there would be no way on, and none back.
func TestReleasedCopyIsKeptAnewBeforeAnythingIsGivenUp(t *testing.T) {
	for _, lost := range []string{"r0", "r1"} {
		w := split(t)
		n, p := pairOf(w)
		all, err := n.Kept("nfs")
		must(t, err)
		for _, k := range all {
			if k.Resource == lost {
				must(t, w.store.Release(t.Context(), k))
			}
		}
		_, err = n.Do(t.Context(), p, recovery.Step{Node: "node-b", Kind: recovery.Discard, Resource: "r0"}, "1")
		if !errors.Is(err, ErrUnkept) || !strings.Contains(err.Error(), lost+"/0: it is not given up: it is not kept yet") || !strings.Contains(err.Error(), "resolve it again") || len(w.log) > 0 {
			t.Errorf("%s: %v %q", lost, err, w.log)
		}
		_, err = n.Do(t.Context(), p, recovery.Step{Node: "node-b", Kind: recovery.Discard, Resource: "r1"}, "1")
		if lost == "r1" && (!errors.Is(err, ErrUnkept) || !strings.Contains(err.Error(), "sbctl recovery abandon nfs") || strings.Contains(err.Error(), "resolve it again")) {
			t.Errorf("behind the point of no return: %v", err)
		}
	}
}

// What a recovery has kept is not released before it is over: the node sees by itself that
// the copy was not overwritten yet, or is being so. Whether it was called off, it cannot see.
func TestNothingIsReleasedOfARecoveryThatIsNotOver(t *testing.T) {
	w := split(t)
	p := w.plan("node-b")
	n := w.node("node-b")
	v := w.sides["node-b"]
	do := func(kind recovery.StepKind) {
		t.Helper()
		_, err := n.Do(t.Context(), p, recovery.Step{Node: "node-b", Kind: kind, Resource: "r0"}, "1")
		must(t, err)
	}
	refused := func(says string) {
		t.Helper()
		if err := n.Release(t.Context(), "nfs", "1", Unsaid); err == nil || !strings.Contains(err.Error(), says) || !strings.Contains(err.Error(), "--over") {
			t.Errorf("%v", err)
		}
	}
	do(recovery.Snapshot)
	refused("was not overwritten yet")
	do(recovery.Discard)
	refused("was not overwritten yet")
	v.current, v.disk = "E000000000000002", drbd.DiskInconsistent
	refused("is Inconsistent")
	v.disk = drbd.DiskUpToDate
	must(t, n.Release(t.Context(), "nfs", "1", Unsaid))
	if all, err := n.Kept("nfs"); err != nil || len(all) > 0 {
		t.Errorf("%+v, %v", all, err)
	}
}

func TestCopiesOfARecoveryThatWasCalledOffAreReleasedByAWord(t *testing.T) {
	w := split(t)
	n := w.node("node-b")
	_, err := n.Do(t.Context(), w.plan("node-b"), recovery.Step{Node: "node-b", Kind: recovery.Snapshot, Resource: "r0"}, "1")
	must(t, err)
	must(t, n.Release(t.Context(), "nfs", "1", SaidOver))
}
