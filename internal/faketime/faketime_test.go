package faketime

import (
	"runtime"
	"sync"
	"testing"
	"time"
)

// Without [Test] this ends the process, at nearly every run under the race
// detector on two processors: timers that are due at one moment run on whichever
// thread asks for them first.
func TestTimersOfOneMomentRunUnderTheRaceDetector(t *testing.T) {
	before := runtime.GOMAXPROCS(max(2, runtime.NumCPU()))
	defer runtime.GOMAXPROCS(before)
	for range 100 {
		Test(t, manyTimers)
	}
	if got := runtime.GOMAXPROCS(0); got != max(2, runtime.NumCPU()) {
		t.Errorf("%d processors are left", got)
	}
}

func manyTimers(*testing.T) {
	var users sync.WaitGroup
	for range 32 {
		users.Go(func() {
			for range 30 {
				oneMoment()
			}
		})
	}
	users.Wait()
}

func oneMoment() {
	var timers []*time.Timer
	for range 8 {
		timers = append(timers, time.NewTimer(time.Millisecond))
	}
	time.Sleep(time.Millisecond)
	for _, due := range timers {
		select {
		case <-due.C:
		default:
		}
	}
}

func TestProcessorsComeBackAfterTheLastBubble(t *testing.T) {
	before := runtime.GOMAXPROCS(3)
	defer runtime.GOMAXPROCS(before)
	enter()
	enter()
	leave()
	if got := runtime.GOMAXPROCS(0); got != 1 {
		t.Errorf("%d processors while a bubble is open, want 1", got)
	}
	leave()
	if got := runtime.GOMAXPROCS(0); got != 3 {
		t.Errorf("%d processors afterwards, want 3", got)
	}
}
