// Package boottime answers "when", for everything that counts deadlines: time
// since the machine started, suspend included (CLOCK_BOOTTIME). It says nothing
// about the time of day, and two machines' instants cannot be compared.
//
// Cores use the type [Instant] and are handed values of it; only shells call
// [Now].
package boottime

import "time"

// Instant is a reading of one machine's boot-time clock, in nanoseconds since
// its start. The zero Instant means "never".
type Instant int64

// Add returns the instant d later.
func (t Instant) Add(d time.Duration) Instant { return t + Instant(d) }

// Sub returns the time from u to t.
func (t Instant) Sub(u Instant) time.Duration { return time.Duration(t - u) }

// IsZero reports whether t is "never".
func (t Instant) IsZero() bool { return t == 0 }

// String formats t as time since the machine started.
func (t Instant) String() string { return time.Duration(t).String() }
