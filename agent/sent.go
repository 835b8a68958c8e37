package agent

import "sbarbiter/internal/boottime"

// sendTimes are when the latest beats were sent, by number. An answer to an
// earlier one counts for nothing.
type sendTimes [64]struct {
	number uint64
	at     boottime.Instant
}

func (s *sendTimes) note(number uint64, at boottime.Instant) {
	beat := &s[number%uint64(len(s))]
	beat.number, beat.at = number, at
}

// of returns when a beat was sent, if that is still known. Beats count from one.
func (s *sendTimes) of(number uint64) (boottime.Instant, bool) {
	beat := &s[number%uint64(len(s))]
	return beat.at, beat.number == number && number != 0
}
