package sim

import (
	"runtime/debug"
	"syscall"
	"testing"
	"time"
)

// BenchmarkHours simulates pairs with four episodes of trouble an hour. What it
// reports counts this process's processor time, as make sim's hours_per_core_s
// does: how busy the machine is makes less of a difference.
func BenchmarkHours(b *testing.B) {
	defer debug.SetGCPercent(debug.SetGCPercent(-1)) // as make sim has it
	defer debug.SetMemoryLimit(debug.SetMemoryLimit(96 << 20))
	var all, stepped time.Duration
	began := processor(b)
	for i := range b.N {
		w := Play(DrawLong(uint64(i), time.Hour, 4))
		all += w.True()
		stepped += w.now
	}
	used := (processor(b) - began).Seconds()
	b.ReportMetric(all.Hours()/used, "hours/core-s")
	b.ReportMetric(stepped.Hours()/used, "stepped/core-s")
}

// processor returns what this process has used of the machine's processors.
func processor(b *testing.B) time.Duration {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		b.Fatal(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}
