package process

import (
	"log/slog"
	"testing"

	"sbarbiter/agent/guard"
)

// A group of which no agent has said how it is stopped is not seen down by doing
// nothing: that would be taken for a reason to go on feeding.
func TestAStepThatNobodyHasNamedIsNotDone(t *testing.T) {
	var got guard.Ended
	h := &hands{log: slog.New(slog.DiscardHandler), dir: t.TempDir(), post: func(ev any) { got = ev.(guard.Ended) }}
	for step, done := range map[guard.Step]bool{guard.Services: false, guard.Unmount: false, guard.Demote: false, guard.Cut: true, guard.Join: true} {
		h.run(guard.Run{Group: "nfs", Step: step, Order: 7})
		if got.Order != 7 || (got.Err == nil) != done {
			t.Errorf("%s: %+v", step, got)
		}
	}
}
