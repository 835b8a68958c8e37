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

	s.must("take it away again", s.standby.Must(s.ctx, "drbdadm detach --force r0"))
	s.within(15*time.Second, "its copy is excluded", s.excluded(s.standby))
	s.must("cut the standby's power", s.standby.PowerCut(s.ctx))
	s.must("power on", s.standby.PowerOn(s.ctx))
	s.within(40*time.Second, "the whole copy is given up before it is connected", s.told(string(s.standby.Name), "invalidated"))
	s.within(60*time.Second, "everything is copied, and it is readmitted", s.redundant)
	s.nobodyShot()
}
