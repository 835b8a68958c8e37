package carry

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"

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
