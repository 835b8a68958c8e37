package scenarios

import (
	"testing"
	"time"
)

func TestPowerCutOfTheHolderMovesTheGroupAndLosesNothing(t *testing.T) {
	s := begin(t)
	before := s.epoch()

	s.must("cut the holder's power", s.holder.PowerCut(s.ctx))

	s.takenOver(15 * time.Second)
	s.shotOnly(s.holder)
	if now := s.epoch(); now <= before {
		t.Errorf("epoch %d follows %d", now, before)
	}
	g, err := s.Group(s.ctx)
	s.must("ask what the grant rests on", err)
	if g.Basis.Grade != "E3" {
		t.Errorf("granted with grade %s, want E3", g.Basis.Grade)
	}

	s.must("power on", s.holder.PowerOn(s.ctx))
	s.within(40*time.Second, "full redundancy", s.redundant)
	s.must("it stays where it is", s.heldBy(s.standby)())
}

func TestFrozenHolderIsShotAndNeverWritesAgain(t *testing.T) {
	s := begin(t)

	s.must("freeze the holder", s.holder.Freeze())
	s.takenOver(20 * time.Second)
	s.shotOnly(s.holder)

	if s.holder.Powered() {
		s.must("thaw", s.holder.Thaw())
	}
	s.throughout(3*time.Second, "only the new holder writes", s.notOn(s.holder))
}

func TestPowerCutOfTheStandbyStopsNothingAndAfterOneOfTheHolderItIsNotPromoted(t *testing.T) {
	s := begin(t)
	s.must("cut the standby's power", s.standby.PowerCut(s.ctx))
	s.within(10*time.Second, "the standby is excluded", s.excluded(s.standby))
	s.within(5*time.Second, "the holder writes on", s.writes(s.holder))
	s.throughout(3*time.Second, "it goes on", s.writing(s.holder))
	s.noGap(6 * time.Second)
	s.nobodyShot()

	s.must("cut the holder's power", s.holder.PowerCut(s.ctx))

	s.must("the stale one comes first", s.standby.PowerOn(s.ctx))
	s.must("wait for it", s.standby.WaitUp(s.ctx))
	s.within(20*time.Second, "it is told why not", s.told("witness", "refused: excluded", string(s.standby.Name)))
	s.throughout(5*time.Second, "stale data is not promoted", s.notOn(s.standby))

	s.must("the other comes later", s.holder.PowerOn(s.ctx))
	s.within(60*time.Second, "the last holder writes", s.writes(s.holder))
	s.within(40*time.Second, "readmitted, full redundancy", s.redundant)
	s.must("it stays where it is", s.heldBy(s.holder)())
	s.nobodyShot()
}

func lastHolderAloneAfterAColdStart(t *testing.T) {
	s := begin(t)
	s.must("cut the standby's power", s.standby.PowerCut(s.ctx))
	s.must("cut the holder's power", s.holder.PowerCut(s.ctx))

	s.must("the last holder comes alone", s.holder.PowerOn(s.ctx))
	s.within(60*time.Second, "it writes", s.writes(s.holder))

	s.must("the other comes later", s.standby.PowerOn(s.ctx))
	s.within(40*time.Second, "full redundancy", s.redundant)
	s.nobodyShot()
}
