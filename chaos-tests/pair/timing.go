package pair

import (
	"context"
	"encoding/json"
	"fmt"
	"time"
)

// AfterPowerCutWithDevice is what sbctl timing calls a failure that nobody can shoot.
const AfterPowerCutWithDevice = "no service after a power cut that takes the fence device along"

// Bound is the longest interruption that sbctl timing promises after a failure.
func (p *Pair) Bound(ctx context.Context, after string) (time.Duration, error) {
	a, err := p.Sbctl(ctx, "timing", "-o", "json")
	if err != nil {
		return 0, err
	}
	var answer struct {
		Bounds []struct {
			After   string `json:"after"`
			TotalMS int64  `json:"total_ms"`
			Never   string `json:"never"`
		} `json:"bounds"`
	}
	if err := json.Unmarshal([]byte(a.Out), &answer); err != nil {
		return 0, fmt.Errorf("ask for the bounds: %w: exit %d: %.300s", err, a.Exit, a.Text())
	}
	for _, b := range answer.Bounds {
		switch {
		case b.After != after:
		case b.Never != "":
			return 0, fmt.Errorf("ask for the bounds: %s: never: %s", after, b.Never)
		default:
			return time.Duration(b.TotalMS) * time.Millisecond, nil
		}
	}
	return 0, fmt.Errorf("ask for the bounds: sbctl timing has none %q: %.300s", after, a.Out)
}
