package scenarios

import (
	"strings"
	"testing"
	"time"

	"sbarbiter/chaos-tests/pair"
)

// own starts a pair of the test's own, with another configuration.
func own(t *testing.T, edit func(host, name, text string) string) *story {
	t.Helper()
	return ownPair(t, pair.Config{Edit: edit})
}

func ownPair(t *testing.T, cfg pair.Config) *story {
	t.Helper()
	needsLab(t)
	p := startPair(t, cfg)
	t.Cleanup(p.Close)
	return tell(t, p)
}

// A web pair has no DRBD: address and service move on the lease alone.
func TestGroupWithoutDRBDMovesToo(t *testing.T) {
	s := own(t, func(_, name, text string) string {
		groups := "groups:\n  web: {drbd: false}\n"
		if strings.HasPrefix(name, "node") {
			groups = "groups:\n  web:\n    services:\n" +
				"      - address: {address: " + pair.GroupAddress + "/24, interface: vec0}\n" +
				"      - systemd: lab-writer.service\n"
		}
		if before, _, ok := strings.Cut(text, "groups:\n"); ok {
			return before + groups
		}
		return text
	})
	s.ownRecords = true

	s.sbctl(0, "switchover", "web", "--yes")
	s.takenOver(15 * time.Second)
	if d := s.Truth.DualRunning(); d != 0 {
		t.Errorf("writers ran on both nodes for %v", d)
	}
	s.nobodyShot()
	s.within(15*time.Second, "full redundancy", s.redundant)

	s.must("cut the power of the new holder", s.standby.PowerCut(s.ctx))
	s.within(15*time.Second, "it moves back", s.writes(s.holder))
	s.shotOnly(s.standby)
}

// Where the operator has accepted it, a holder whose BMC does not help is
// taken over from once its lease and its watchdog have run out. A machine
// that was only frozen is reset by that watchdog as soon as it goes on.
func TestFrozenHolderBehindADeadBMCIsTakenOverByTimeAndResetWhenItThaws(t *testing.T) {
	s := begin(t)
	s.byClockToo()
	s.KillBMC(s.holder.Name)
	anew := s.rebooted(s.holder)

	s.must("freeze the holder", s.holder.Freeze())
	took := s.takenOver(60 * time.Second)
	if took < ttl {
		t.Errorf("taken over after %v, before the lease of %v was over", took, ttl)
	}
	s.restsOn("E2")

	s.must("thaw it", s.holder.Thaw())
	s.within(20*time.Second, "it is reset", anew)
	s.throughout(3*time.Second, "it does not write", s.notOn(s.holder))
	s.within(60*time.Second, "it comes back and is redundant", s.redundant)
	s.nobodyShot()
}
