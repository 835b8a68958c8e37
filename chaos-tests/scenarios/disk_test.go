package scenarios

import (
	"errors"
	"strings"
	"testing"
	"time"

	"sbarbiter/chaos-tests/pair"
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

// Somebody has written to the standby's copy while the two were parted, takes its disk away
// for a moment, and has the machine start anew: what only that copy has is for a recovery.
func forcedCopyWhoseDiskFailedOnce(t *testing.T) {
	s := begin(t)

	s.must("make both copies differ", s.Fork(s.ctx, s.holder, pair.WriteMiB(3)))
	s.must("take its disk away", s.standby.Must(s.ctx, "drbdadm detach --force r0"))
	s.within(15*time.Second, "its node has noticed", s.told(string(s.standby.Name), "disk failed"))
	s.must("give it back", s.standby.Must(s.ctx, "drbdadm attach r0"))
	s.must("heal replication", s.HealReplication(s.ctx))
	s.must("cut the standby's power", s.standby.PowerCut(s.ctx))
	s.must("power on", s.standby.PowerOn(s.ctx))

	s.within(60*time.Second, "it is kept apart", s.told(string(s.standby.Name), "copy kept apart"))
	s.within(10*time.Second, "status begins with it", func() error {
		if out := s.sbctl(pair.ExitDone, "status").Out; !strings.Contains(strings.SplitN(out, "\n", 2)[0], "split brain of nfs") {
			return errors.New(out)
		}
		return nil
	})
	if shown := s.sbctl(pair.ExitDone, "resolve", "nfs", "--dry-run"); !strings.Contains(shown.Out, "split-brain") {
		t.Errorf("it is not called a split brain: %s", shown.Text())
	}
	s.throughout(2*time.Second, "the holder writes on", s.writing(s.holder))

	a := s.sbctl(pair.ExitDone, "resolve", "nfs", "--discard", string(s.standby.Name), "--typed", "nfs", "--yes", "--reason", "not needed", "--at-most", "256MiB")
	t.Log(a.Text())
	s.alike()
	s.keeps(s.standby)
	s.nobodyShot()
}
