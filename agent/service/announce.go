package service

import (
	"context"
	"time"

	"sbarbiter/internal/boottime"
)

// schedule is when an address is announced again after it was added: quickly at
// first, for a lost frame, and then for ever, for neighbours that a host thawed
// from a long pause has told otherwise.
var schedule = []time.Duration{100 * time.Millisecond, 500 * time.Millisecond, time.Second, 2 * time.Second, 4 * time.Second, 30 * time.Second}

// lateness is how late a timer may fire before this counts as a pause of the
// machine, after which nothing is announced unasked.
const lateness = 250 * time.Millisecond

// Run announces the address for as long as it is here.
func (a *address) Run(ctx context.Context) error {
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-a.added:
			a.repeat(ctx)
		}
	}
}

// repeat works through the schedule, from its start whenever the address is
// added again, and stays at its last interval.
func (a *address) repeat(ctx context.Context) {
	began, last := boottime.Now(), len(schedule)-1
	for i := 0; ; i++ {
		due := began.Add(schedule[min(i, last)] + time.Duration(max(0, i-last))*schedule[last])
		t := time.NewTimer(due.Sub(boottime.Now()))
		select {
		case <-ctx.Done():
			t.Stop()
			return
		case <-a.added:
			t.Stop()
			began, i = boottime.Now(), -1
			continue
		case <-t.C:
		}
		if boottime.Now().Sub(due) > lateness {
			continue
		}
		if !a.announceLive() {
			return
		}
	}
}

// announceLive announces once more and says whether to go on. A frame that
// cannot be sent is no reason to stop: the next one may.
func (a *address) announceLive() bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	if !a.live {
		return false
	}
	if l, err := a.link(); err == nil {
		_ = l.announce(a.Prefix.Addr())
	}
	return true
}
