package scenarios

import (
	"testing"
	"time"
)

func TestHolderIsolatedFromEverybodyIsShotAndTakenOver(t *testing.T) {
	s := begin(t)

	s.must("isolate the holder", s.Isolate(s.ctx, s.holder.Name))

	s.takenOver(20 * time.Second)
	s.shotOnly(s.holder)
}

func TestReplicationCutAloneExcludesThePeerAndShootsNobodyAndTheStaleNodeIsNotPromoted(t *testing.T) {
	s := begin(t)

	s.must("cut the replication link", s.CutReplication(s.ctx))

	s.within(15*time.Second, "the peer is excluded", s.excluded(s.standby))
	s.within(5*time.Second, "the holder writes on", s.writes(s.holder))
	s.within(5*time.Second, "the log tells", s.told(string(s.holder.Name), "peer excluded"))
	s.resumedWithin(time.Second)
	s.throughout(3*time.Second, "it goes on", s.writing(s.holder))

	a := s.sbctl(3, "switchover", "nfs", "--to", string(s.standby.Name), "--yes")
	t.Logf("sbctl says: %s", a.Text())

	s.must("cut the holder's power", s.holder.PowerCut(s.ctx))
	s.within(15*time.Second, "it is told why not", s.told(string(s.standby.Name), "not granted", "stale"))
	s.throughout(5*time.Second, "stale data is not promoted", s.notOn(s.standby))
	s.nobodyShot()

	s.must("mend the link", s.HealReplication(s.ctx))
	s.must("the holder comes back", s.holder.PowerOn(s.ctx))
	s.within(60*time.Second, "it goes on with the data", s.writes(s.holder))
	s.within(30*time.Second, "readmitted", s.redundant)
}

// resumedWithin checks how long the holder needed from DRBD's question, whether
// to go on alone, to the next acknowledged record.
func (s *story) resumedWithin(limit time.Duration) {
	s.t.Helper()
	var asked time.Time
	for _, e := range s.Timeline().Entries(s.Since()) {
		if e.Host == string(s.holder.Name) && e.What == "peer lost by DRBD" {
			asked = e.At
		}
	}
	if asked.IsZero() {
		s.t.Error("DRBD never asked whether to go on alone")
		return
	}
	for _, a := range s.Truth.Acks() {
		if a.At.After(asked) {
			took := a.At.Sub(asked)
			s.t.Logf("from DRBD noticing to the next record: %.2f s", took.Seconds())
			if took > limit {
				s.t.Errorf("writing went on %.2f s after DRBD had noticed, want at most %v", took.Seconds(), limit)
			}
			return
		}
	}
}

func TestAllLinksBetweenTheNodesCutLeavesTheHolderInOffice(t *testing.T) {
	s := begin(t)
	before := s.epoch()

	s.must("cut all links between the nodes", s.CutBetweenNodes(s.ctx))

	s.within(15*time.Second, "the peer is excluded", s.excluded(s.standby))
	s.within(5*time.Second, "the holder writes on", s.writes(s.holder))
	s.throughout(6*time.Second, "the standby is not promoted", s.notOn(s.standby))
	s.must("the holder writes", s.writing(s.holder)())
	if now := s.epoch(); now != before {
		t.Errorf("epoch %d became %d", before, now)
	}
	s.must("mend them", s.HealAll(s.ctx))
	s.within(30*time.Second, "readmitted", s.redundant)
	s.nobodyShot()
}

func TestGatewayDownForEverybodyMovesNothing(t *testing.T) {
	s := begin(t)

	s.must("take the gateway down", s.Gateway.Down(s.ctx))

	s.within(10*time.Second, "the loss is noticed", s.told(string(s.holder.Name), "reference lost"))
	s.throughout(8*time.Second, "nothing moves", s.heldBy(s.holder))
	s.undisturbed()
	s.nobodyShot()
}

func TestStandbyWithoutGatewayIsNotPromotedUntilItHasItAgain(t *testing.T) {
	s := begin(t)
	s.must("the standby loses the gateway", s.Gateway.LoseFor(s.ctx, s.standby.Name))
	s.within(10*time.Second, "the loss is noticed", s.told(string(s.standby.Name), "reference lost"))

	s.must("cut the holder's power", s.holder.PowerCut(s.ctx))

	s.within(10*time.Second, "it is told why not", s.told("witness", "refused: isolated", string(s.standby.Name)))
	s.throughout(5*time.Second, "it is not promoted", s.notOn(s.standby))
	s.nobodyShot()

	s.must("it finds the gateway again", s.Gateway.FindFor(s.ctx, s.standby.Name))
	s.takenOver(20 * time.Second)
}
