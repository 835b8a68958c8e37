package fencing

import (
	"fmt"
	"testing"
	"time"

	"sbarbiter/internal/boottime"
)

// A device that has refused the credentials has done nothing and will do
// nothing: nobody has to wait for such a shot to land. One whose answer was
// lost may have acted.
func TestOnlyAnOffThatMayHaveLeftCountsAsSent(t *testing.T) {
	start := boottime.Instant(time.Hour)
	for name, c := range map[string]struct {
		err  error
		sent bool
	}{
		"credentials refused": {ErrAuth, false},
		"no way to ask":       {ErrConfig, false},
		"no session":          {fmt.Errorf("%w: %w", ErrNotSent, ErrUnreachable), false},
		"answer lost":         {errNoAnswer, true},
	} {
		t.Run(name, func(t *testing.T) {
			shot, err := NewShot(Spec{
				Target: "node-a", Topology: Topology{Levels: [][]DeviceName{{"ipmi-a"}}}, Executor: "node-b",
				Start: start, StartBy: start.Add(2 * time.Second), Deadline: start.Add(15 * time.Second), MaxGap: DefaultMaxGap,
				Before: []Reading{{Device: "ipmi-a", Power: PowerOn, At: start}},
			})
			if err != nil {
				t.Fatal(err)
			}
			var off Call
			for _, a := range shot.Step(start.Add(time.Millisecond), Tick{}) {
				if o, ok := a.(Off); ok {
					off = o.Call
				}
			}
			if off == 0 {
				t.Fatal("no off was ordered")
			}
			shot.Step(start.Add(100*time.Millisecond), OffDone{Call: off, Err: c.err})
			if got := shot.Abandon(start.Add(200*time.Millisecond), "enough"); got.Sent != c.sent {
				t.Errorf("sent is %v, want %v", got.Sent, c.sent)
			}
		})
	}
}
