package boottime

import "golang.org/x/sys/unix"

// Now reads CLOCK_BOOTTIME, which goes on while the machine sleeps; Go's own
// monotonic clock does not (clock_gettime(2)).
func Now() Instant {
	var ts unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_BOOTTIME, &ts); err != nil {
		// Linux has had this clock since 2.6.39; without it no deadline can be kept.
		panic("boottime: read CLOCK_BOOTTIME: " + err.Error())
	}
	return Instant(ts.Nano())
}
