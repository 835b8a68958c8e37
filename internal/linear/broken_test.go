package linear

import (
	"context"
	"errors"
	"testing"
	"time"

	"sbarbiter/arbiter/witness"
	"sbarbiter/internal/bubble"
)

// What is broken must be noticed: else the histories above prove nothing.
func TestABrokenWitnessIsNoticed(t *testing.T) {
	cut := often(func(ctx context.Context, _ *bubble.Witnesses, w *bubble.Witness) {
		w.Cut()
		rest(ctx, 4*time.Second)
		w.Join()
	})
	for name, broken := range map[string]struct {
		witnesses int
		prepare   func(ws *bubble.Witnesses)
		trouble   func(context.Context, *bubble.Witnesses)
	}{
		"it answers before the command is stored": {1, func(ws *bubble.Witnesses) { ws.Disk = newForgetful }, troubles["kill"]},
		"it answers without asking whether it leads": {3, func(ws *bubble.Witnesses) {
			late := newSlowEdges(time.Minute)
			ws.Engine = func(e witness.Engine) witness.Engine { return late(credulous{e}) }
		}, cut},
	} {
		t.Run(name, func(t *testing.T) {
			for try := range 10 {
				tr := record(t, broken.witnesses, broken.prepare, broken.trouble, true)
				switch err := tr.h.Check(t.TempDir(), "broken", time.Minute); {
				case errors.Is(err, ErrNoOrder):
					t.Logf("history %d: %v", try+1, err)
					return
				case err != nil:
					t.Error(err)
				}
			}
			t.Error("ten histories of it have an order that the model allows")
		})
	}
}
