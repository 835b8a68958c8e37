// Package faketime opens testing/synctest's bubbles, and keeps a fault of the Go
// runtime out of them.
//
// A bubble's timers run, under the race detector, in one context of the detector
// that belongs to the bubble, and they may run on two threads at once: the
// process dies of "ThreadSanitizer: CHECK failed" or of a segmentation violation,
// seldom, and in any test (go.dev/issue/78156; open in Go 1.26). Threads that run
// Go code are as many as processors, so one processor it is while a bubble is
// open. The detector loses nothing: it looks at what is ordered by nothing, not
// at what happens to coincide.
package faketime

import (
	"runtime"
	"sync"
	"testing"
	"testing/synctest"
)

// Test runs f in a bubble, as [synctest.Test] does.
func Test(t *testing.T, f func(t *testing.T)) {
	t.Helper()
	if underRaceDetector {
		enter()
		defer leave()
	}
	synctest.Test(t, f)
}

var (
	mu         sync.Mutex // guards the rest
	bubbles    int        // that are open
	processors int        // as there were before the first
)

func enter() {
	mu.Lock()
	defer mu.Unlock()
	if bubbles++; bubbles == 1 {
		processors = runtime.GOMAXPROCS(1)
	}
}

func leave() {
	mu.Lock()
	defer mu.Unlock()
	if bubbles--; bubbles == 0 {
		runtime.GOMAXPROCS(processors)
	}
}
