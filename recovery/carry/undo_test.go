package carry

import (
	"bytes"
	"context"
	"errors"
	"os"
	"slices"
	"strings"
	"testing"

	"sbarbiter/drbd"
	"sbarbiter/drbd/kernel"
	"sbarbiter/recovery"
	"sbarbiter/recovery/keep"
)

// undoable is a pair whose recovery is over, seen from the node that keeps a copy.
func undoable(t *testing.T) (*world, *Node, string) {
	t.Helper()
	w := split(t)
	must(t, w.recover(w.plan("node-b")))
	n := w.node("node-b")
	n.Dev = t.TempDir()
	device := n.device(0)
	must(t, os.Link(w.sides["node-b"].path, device)) // what is written to the one is in the other
	w.sides["node-a"].role, w.sides["node-b"].role = drbd.RoleSecondary, drbd.RolePrimary
	return w, n, device
}

// fill writes to all of a device, as services do that have been started again.
func fill(t *testing.T, device, letter string) {
	t.Helper()
	f, err := os.OpenFile(device, os.O_WRONLY, 0)
	must(t, err)
	_, err = f.Write(bytes.Repeat([]byte(letter), diskSize))
	must(t, errors.Join(err, f.Close()))
}

func TestUndoingOnceMoreKeepsWhatWasWrittenSince(t *testing.T) {
	_, n, device := undoable(t)
	_, err := n.Undo(t.Context(), n.Groups[0], "1", CarryOut)
	must(t, err)
	fill(t, device, "z")
	_, err = n.Undo(t.Context(), n.Groups[0], "1", CarryOut)
	must(t, err)
	all, err := n.Kept("nfs")
	must(t, err)
	if len(all) != 3 || first(t, all[2].Source) != "z" {
		t.Fatalf("%d copies are kept, and none of them is of what was there", len(all))
	}
	if all[2].Changes != diskSize { // what it differs by, and no more, is written
		t.Errorf("it is kept with room for %d bytes", all[2].Changes)
	}
}

// twoVolumes is a resource with a second volume, of which nothing can be put back.
type twoVolumes struct{ *side }

func (s twoVolumes) Backing(context.Context, string) ([]kernel.Backing, error) {
	return []kernel.Backing{{Disk: s.path}, {Volume: 1, Minor: 1, Disk: s.path + "-1"}}, nil
}

func (s twoVolumes) Now(ctx context.Context, name string) (drbd.Resource, error) {
	r, err := s.side.Now(ctx, name)
	v := r.Volumes[0]
	v.Number, v.Minor = 1, 1
	r.Volumes = append(r.Volumes, v)
	p := r.Peer.Volumes[0]
	p.Number = 1
	r.Peer.Volumes = append(r.Peer.Volumes, p)
	return r, err
}

func TestUndoingThatCannotEndDoesNotBegin(t *testing.T) {
	w, n, device := undoable(t)
	s := w.sides["node-b"]
	must(t, os.WriteFile(s.path+"-1", make([]byte, diskSize), 0o600))
	_, err := w.store.Keep(t.Context(), keep.Volume{Recovery: "1", Group: "nfs", Resource: "r0", Number: 1, Device: s.path + "-1", Size: diskSize})
	must(t, err)
	must(t, os.WriteFile(n.device(1), make([]byte, 2*diskSize), 0o600)) // it has grown since
	n.DRBD = twoVolumes{s}
	if _, err := n.Undo(t.Context(), n.Groups[0], "1", CarryOut); err == nil || first(t, device) != "a" {
		t.Errorf("%v; the first volume holds %q", err, first(t, device))
	}
	// Nor where what is there now cannot be kept of all of them.
	must(t, os.Truncate(n.device(1), diskSize))
	w.store.Quota = diskSize + diskSize/2 // what is kept has nearly nothing but zeros
	if _, err := n.Undo(t.Context(), n.Groups[0], "1", CarryOut); !errors.Is(err, keep.ErrFull) || first(t, device) != "a" {
		t.Errorf("%v; the first volume holds %q", err, first(t, device))
	}
}

func TestPlanFromAFileThatForgetsTheSnapshotGivesNothingUp(t *testing.T) {
	w := split(t)
	whole := w.plan("node-b")
	p := whole
	p.Steps = slices.DeleteFunc(slices.Clone(p.Steps), func(s recovery.Step) bool { return s.Kind == recovery.Snapshot })
	discard := recovery.Step{Node: "node-b", Kind: recovery.Discard, Resource: "r0"}
	if _, err := w.node("node-b").Do(t.Context(), p, discard, "1"); err == nil || !strings.Contains(err.Error(), "lacks the step") {
		t.Errorf("%v", err)
	}
	for _, kind := range []recovery.StepKind{recovery.Discard, recovery.Invalidate} {
		s := recovery.Step{Node: "node-b", Kind: kind, Resource: "r0"}
		if _, err := w.node("node-b").Do(t.Context(), whole, s, "1"); err == nil || !strings.Contains(err.Error(), "not kept yet") {
			t.Errorf("%s: %v", kind, err)
		}
	}
}

func TestCopyThatIsDeclaredBadIsLeftToLookForThePeer(t *testing.T) {
	w := split(t)
	w.old(true)
	p, n := w.plan("node-b"), w.node("node-b")
	for range 2 {
		for _, s := range p.Steps {
			if s.Node == "node-b" && (s.Kind != recovery.Disconnect || w.sides["node-b"].disk == drbd.DiskUpToDate) {
				_, err := n.Do(t.Context(), p, s, "1")
				must(t, err)
			}
		}
	}
	if got := strings.Count(strings.Join(w.log, "\n"), "node-b invalidate"); got != 1 {
		t.Errorf("declared bad %d times: %q", got, w.log)
	}
}
