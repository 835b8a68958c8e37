package carry

import (
	"errors"
	"os"
	"testing"
	"time"

	"sbarbiter/drbd"
	"sbarbiter/recovery"
)

// The agent declares a copy bad whose disk has failed, before the step that gives it up:
// what is kept of it has to be there all the same.
func TestACopyThatWasDeclaredBadIsNotGivenUpUnkept(t *testing.T) {
	for _, nine := range []bool{false, true} {
		w := split(t)
		w.nine = nine
		p, n := w.plan("node-b"), w.node("node-b")
		_, err := n.Do(t.Context(), p, recovery.Step{Node: "node-b", Kind: recovery.Snapshot, Resource: "r0"}, "1")
		must(t, err)
		must(t, os.RemoveAll(w.store.Dir))
		w.sides["node-b"].disk = drbd.DiskInconsistent
		_, err = n.Do(t.Context(), p, recovery.Step{Node: "node-b", Kind: recovery.Discard, Resource: "r0"}, "1")
		if !errors.Is(err, ErrUnkept) {
			t.Errorf("9: %t: %v, %q", nine, err, w.log)
		}
	}
}

// An earlier recovery was let go of in the middle of its resync, and the next one's link is
// lost once: what DRBD has written since is nobody's.
func TestACopyThatWasHalfMadeOutlivesALostLink(t *testing.T) {
	w := split(t)
	w.nine, w.losses, w.again = true, 1, time.Nanosecond
	w.sides["node-b"].disk = drbd.DiskInconsistent
	must(t, w.recover(w.plan("node-b")))
}

// A connection with the flag may be on its way, or its command still run, when what was
// kept is lost: the survivor must not be met then.
func TestACopyThatIsNotKeptAnyMoreStopsLookingForTheSurvivor(t *testing.T) {
	w := split(t)
	p, n := w.plan("node-b"), w.node("node-b")
	for _, kind := range []recovery.StepKind{recovery.Snapshot, recovery.Discard} {
		_, err := n.Do(t.Context(), p, recovery.Step{Node: "node-b", Kind: kind, Resource: "r0"}, "1")
		must(t, err)
	}
	must(t, os.RemoveAll(w.store.Dir))
	_, err := n.Do(t.Context(), p, recovery.Step{Node: "node-b", Kind: recovery.Discard, Resource: "r0"}, "1")
	if last := w.log[len(w.log)-1]; !errors.Is(err, ErrUnkept) || last != "node-b disconnect" {
		t.Errorf("%v, %q", err, w.log)
	}
}
