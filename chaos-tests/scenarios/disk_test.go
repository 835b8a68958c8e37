package scenarios

import (
	"testing"
	"time"
)

// DRBD calls nobody when a disk fails while the two are connected, and the
// metadata on the disk says nothing of it.
func TestStandbyWhoseDiskFailedIsExcludedUntilItHasResynchronised(t *testing.T) {
	s := begin(t)

	s.must("take the standby's disk away", s.standby.Must(s.ctx, "drbdadm detach --force r0"))

	s.within(15*time.Second, "its copy is excluded", s.excluded(s.standby))
	s.throughout(2*time.Second, "the holder writes on", s.writing(s.holder))
	s.nobodyShot()

	s.must("give it back", s.standby.Must(s.ctx, "drbdadm attach r0"))
	s.within(30*time.Second, "readmitted", s.redundant)
}
