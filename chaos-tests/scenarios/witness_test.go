package scenarios

import (
	"testing"
	"time"
)

// ttl is the lease's length in the pair's configuration.
const ttl = 20 * time.Second

func TestAgentKilledOnTheHolderTouchesNoService(t *testing.T) {
	s := begin(t)
	writer, before := s.writer(s.holder), s.epoch()

	s.must("kill the agent", s.holder.Must(s.ctx, "systemctl kill -s KILL sbagent && sleep 1 && systemctl is-active sbagent"))

	s.within(20*time.Second, "full redundancy", s.redundant)
	s.throughout(2*time.Second, "it stays where it is", s.heldBy(s.holder))
	if now := s.writer(s.holder); now != writer {
		t.Errorf("the writer was restarted: process %s became %s", writer, now)
	}
	if now := s.epoch(); now != before {
		t.Errorf("epoch %d became %d", before, now)
	}
	s.undisturbed()
	s.nobodyShot()
}

func TestWitnessKilledAndRestartedChangesNothing(t *testing.T) {
	s := begin(t)
	before := s.epoch()

	s.Witness.Kill()
	s.throughout(3*time.Second, "the holder writes", s.writing(s.holder))
	s.must("start the witness", s.Witness.Start())

	s.within(20*time.Second, "full redundancy", s.redundant)
	s.must("it stays where it was", s.heldBy(s.holder)())
	if now := s.epoch(); now != before {
		t.Errorf("epoch %d became %d", before, now)
	}
	s.undisturbed()
	s.nobodyShot()
}

func TestHolderStaysByPromiseWhileTheWitnessIsDead(t *testing.T) {
	s := begin(t)
	before, writer := s.epoch(), s.writer(s.holder)

	s.Witness.Kill()

	s.throughout(ttl+3*time.Second, "the holder writes beyond its lease", s.writing(s.holder))
	s.undisturbed()

	s.must("start the witness", s.Witness.Start())
	s.within(20*time.Second, "full redundancy", s.redundant)
	if now := s.epoch(); now != before || s.writer(s.holder) != writer {
		t.Errorf("the holder was not reinstated: epoch %d became %d", before, now)
	}
	s.nobodyShot()
}

func TestWitnessDeadThenHolderDeadAlarmsAndTakesNothingOver(t *testing.T) {
	s := begin(t)
	s.Witness.Kill()
	s.must("the holder writes", s.writing(s.holder)())

	s.must("cut the holder's power", s.holder.PowerCut(s.ctx))

	s.within(20*time.Second, "an alarm", s.alarmed(s.standby))
	s.throughout(ttl+3*time.Second, "nothing is taken over", s.notOn(s.standby))
	s.nobodyShot()

	s.must("start the witness", s.Witness.Start())
	s.takenOver(30 * time.Second)
}
