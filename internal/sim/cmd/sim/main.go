// Command sim plays random schedules against a simulated pair for a while, or
// one schedule from a file, and says what broke.
package main

import (
	"flag"
	"fmt"
	"os"
	"runtime/debug"
	"time"
)

const about = `sim plays random schedules against a simulated pair, or one from a file.

Its last line is RESULT and a JSON object. hours are simulated hours, hours_stepped
those of them that were stepped through; the rest is calm that was leapt over after it
had been shown to go round in circles. hours_per_core_s is hours by the CPU time of this
process, user and system, with garbage collection: never by the clock on the wall.
Not in it is shrink_core_s, which it took to make schedules smaller that broke something.

`

func usage() {
	fmt.Fprint(flag.CommandLine.Output(), about)
	flag.PrintDefaults()
}

func main() {
	o := options{}
	flag.DurationVar(&o.within, "for", 2*time.Minute, "how long to go on, in time of this machine")
	flag.Float64Var(&o.hours, "hours", 0, "end after so many simulated hours instead")
	flag.Uint64Var(&o.from, "from", 1, "the first seed")
	flag.IntVar(&o.perHour, "episodes", 4, "episodes of trouble in a simulated hour")
	flag.IntVar(&o.workers, "workers", 1, "how many worlds are simulated side by side")
	flag.StringVar(&o.dir, "dir", "build/sim", "where the schedules that broke something are written")
	replay := flag.String("replay", "", "play this schedule instead and print its timeline")
	flag.Usage = usage
	flag.Parse()
	collectSeldom(o.workers)
	run := o.search
	if *replay != "" {
		run = func() error { return replayFile(*replay) }
	}
	if err := run(); err != nil {
		fmt.Fprintln(os.Stderr, "sim:", err)
		os.Exit(1)
	}
}

// collectSeldom lets the heap grow to one size before it is collected: worlds are
// small and many, and hardly anything of one outlives it. By a percentage the size
// would go up and down with what is alive in that moment, and what the runtime gives
// back to the kernel in between has to be fetched again, page by page.
func collectSeldom(workers int) {
	debug.SetGCPercent(-1)
	debug.SetMemoryLimit((64 + 32*int64(workers)) << 20)
}
