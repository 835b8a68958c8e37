package scenarios

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"sbarbiter/chaos-tests/lab"
)

// alarmed: the node's log has an alarm.
func (s *story) alarmed(n *lab.Node) func() error {
	return func() error {
		for _, e := range s.Timeline().Entries(s.Since()) {
			if e.Alarm && e.Host == string(n.Name) {
				s.t.Logf("%s: %s: %s", n.Name, e.What, e.Why)
				return nil
			}
		}
		return fmt.Errorf("no alarm from %s", n.Name)
	}
}

func TestPlannedSwitchoverHasNoOverlapAndShootsNobody(t *testing.T) {
	s := begin(t)

	a := s.sbctl(0, "switchover", "nfs", "--to", string(s.standby.Name), "--yes", "--wait")

	if !strings.Contains(a.Out, "gap ") {
		t.Errorf("the gap is not printed: %s", a.Text())
	}
	t.Log(a.Text())
	s.within(10*time.Second, "the other node writes", s.writes(s.standby))
	r := s.Report(s.ctx)
	t.Logf("gap %.2f s", r.Gap.Seconds())
	if r.DualRunning != 0 {
		t.Errorf("writers ran on both nodes for %v", r.DualRunning)
	}
	if r.Gap > 6*time.Second {
		t.Errorf("nobody wrote for %v", r.Gap)
	}
	s.within(15*time.Second, "full redundancy", s.redundant)
	s.nobodyShot()
}

func TestBMCThatRefusesThePasswordPromotesNobodyUntilAnOperatorConfirms(t *testing.T) {
	s := begin(t)
	s.must("change the password of the holder's BMC", s.ChangeBMCPassword(s.holder.Name, "changed"))

	s.must("cut the holder's power", s.holder.PowerCut(s.ctx))

	s.within(30*time.Second, "it says what to do", s.told(string(s.standby.Name), "sbctl fence confirm "+string(s.holder.Name)))
	s.throughout(5*time.Second, "nobody is promoted", s.notOn(s.standby))

	s.sbctl(0, "fence", "confirm", string(s.holder.Name), "--reason", "its plug is out", "--typed", string(s.holder.Name), "--yes")
	s.takenOver(20 * time.Second)
	s.nobodyShot()
}
