package sim

import (
	"testing"
	"time"
)

// BenchmarkHours simulates pairs with four episodes of trouble an hour.
func BenchmarkHours(b *testing.B) {
	var all, stepped time.Duration
	for i := range b.N {
		w := Play(DrawLong(uint64(i), time.Hour, 4))
		all += w.True()
		stepped += w.now
	}
	b.ReportMetric(all.Hours()/b.Elapsed().Seconds(), "hours/s")
	b.ReportMetric(stepped.Hours()/b.Elapsed().Seconds(), "stepped/s")
}
