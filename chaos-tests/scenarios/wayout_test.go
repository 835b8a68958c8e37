package scenarios

import (
	"errors"
	"strings"
	"testing"
	"time"

	"sbarbiter/chaos-tests/lab"
)

// A holder that clients may not reach any more stays where it is, unless the operator
// has said that it is to move.
func isolatedHolderIsMoved(t *testing.T) {
	s := begin(t)
	s.must("the holder loses the gateway", s.Gateway.LoseFor(s.ctx, s.holder.Name))
	s.within(10*time.Second, "the loss is noticed", s.told(string(s.holder.Name), "reference lost"))
	s.throughout(6*time.Second, "nothing moves", s.heldBy(s.holder))
	s.must("it finds it again", s.Gateway.FindFor(s.ctx, s.holder.Name))
	s.within(10*time.Second, "full redundancy", s.redundant)

	s.must("have isolated holders move", s.Change(s.ctx, "cluster.yaml", func(text string) string {
		return strings.Replace(text, "{drbd: true}", "{drbd: true, move_after: 4s}", 1)
	}))
	s.throughout(5*time.Second, "nothing moves", s.heldBy(s.holder))
	s.must("the holder loses the gateway", s.Gateway.LoseFor(s.ctx, s.holder.Name))

	if took := s.takenOver(30 * time.Second); took < 4*time.Second {
		t.Errorf("moved after %v", took)
	}
	s.within(5*time.Second, "it says why", s.told("witness", "has been isolated for 4s"))
	s.restsOn("E5")
	s.nobodyShot()
	s.must("it finds it again", s.Gateway.FindFor(s.ctx, s.holder.Name))
	s.within(20*time.Second, "full redundancy", s.redundant)
	s.throughout(6*time.Second, "nothing moves back", s.heldBy(s.standby))
}

// noWriter keeps the group's service from starting on a node until it is switched off,
// or mended.
const (
	noWriter = "mkdir -p /run/systemd/system/" + lab.WriterUnit + ".d && " +
		"printf '[Service]\\nExecStartPre=/bin/false\\n' >/run/systemd/system/" + lab.WriterUnit + ".d/no.conf && systemctl daemon-reload"
	writerMended = "rm /run/systemd/system/" + lab.WriterUnit + ".d/no.conf && systemctl daemon-reload"
)

// Who cannot start a group leaves it to the other one. Where that one is gone, it
// tries again by itself, and runs it as soon as the cause is mended.
func serviceThatDoesNotStart(t *testing.T) {
	s := begin(t)
	s.must("break the standby's service", s.standby.Must(s.ctx, noWriter))

	s.sbctl(0, "switchover", "nfs", "--to", string(s.standby.Name), "--yes")
	s.within(30*time.Second, "it does not start there", s.told(string(s.standby.Name), "start failed"))
	s.within(20*time.Second, "the holder goes on", s.writes(s.holder))
	s.nobodyShot()

	before := s.epoch()
	s.must("cut the holder's power", s.holder.PowerCut(s.ctx))
	s.within(60*time.Second, "it is tried again and again", func() error {
		return s.toldTimes(4, string(s.standby.Name), "start failed")
	})
	t.Logf("epochs from %d to %d", before, s.epoch())
	s.must("mend the service", s.standby.Must(s.ctx, writerMended))
	s.takenOver(40 * time.Second)
	s.must("power on", s.holder.PowerOn(s.ctx))
	s.within(60*time.Second, "full redundancy", s.redundant)
}

// The holder's disk fails while the other copy is stale already. Nobody is granted
// anything before an operator has said which copy is kept.
func bothCopiesAreStale(t *testing.T) {
	s := begin(t)
	s.must("cut the replication link", s.CutReplication(s.ctx))
	s.within(15*time.Second, "the standby's copy is excluded", s.excluded(s.standby))
	s.within(5*time.Second, "the holder writes on", s.writes(s.holder))
	s.throughout(2*time.Second, "for a while", s.writing(s.holder))

	s.must("the holder's disk fails", s.holder.Must(s.ctx, "drbdadm detach --force r0"))
	s.within(15*time.Second, "its copy is stale as well", s.excluded(s.holder))
	s.must("cut its power", s.holder.PowerCut(s.ctx))
	s.must("mend the link", s.HealReplication(s.ctx))
	s.must("power on", s.holder.PowerOn(s.ctx))

	s.within(60*time.Second, "both are told why not", func() error {
		for _, n := range s.Nodes() {
			if err := s.told(string(n.Name), "not granted", "both copies of nfs are stale")(); err != nil {
				return err
			}
		}
		return nil
	})
	quiet := []func() error{s.notOn(s.holder), s.notOn(s.standby)}
	s.throughout(8*time.Second, "nobody writes", func() error {
		for _, f := range quiet {
			if err := f(); err != nil {
				return err
			}
		}
		return nil
	})
	s.t.Log(s.sbctl(0, "status").Text())
	s.t.Log(s.sbctl(0, "why", "nfs").Text())

	s.sbctl(3, "group", "init", "nfs", "--keep", string(s.holder.Name), "--reason", "mistyped", "--typed", string(s.holder.Name), "--yes")
	a := s.sbctl(0, "group", "init", "nfs", "--keep", string(s.holder.Name), "--reason", "it has the latest writes", "--typed", string(s.standby.Name), "--yes")
	s.t.Log(a.Text())
	s.within(40*time.Second, "it goes on with that copy", s.writes(s.holder))
	s.within(60*time.Second, "everything is copied, and the other one is readmitted", s.redundant)
	s.nobodyShot()
}

// does returns whether sbctl does something.
func (s *story) does(args ...string) func() error {
	return func() error {
		a, err := s.Sbctl(s.ctx, args...)
		if err == nil && a.Exit != 0 {
			err = errors.New(a.Text())
		}
		return err
	}
}

// The machine with the only good copy is lost for good. An operator lets the stale one
// stand in, which DRBD has recorded as outdated; and then the machine turns up.
func machineWithTheGoodCopyIsLost(t *testing.T) {
	s := begin(t)
	s.ownRecords = true // those since the cable was cut are given up
	lost, kept := string(s.holder.Name), string(s.standby.Name)
	s.must("cut the replication link", s.CutReplication(s.ctx))
	s.within(15*time.Second, "the standby's copy is excluded", s.excluded(s.standby))
	s.within(5*time.Second, "the holder writes on", s.writes(s.holder))
	s.must("the standby's copy is taken down", s.standby.Must(s.ctx, "drbdadm disconnect r0 && drbdadm outdate r0"))
	s.must("cut the holder's power", s.holder.PowerCut(s.ctx))
	s.must("mend the link", s.HealReplication(s.ctx))
	s.sbctl(3, "group", "init", "nfs", "--keep", kept, "--lost", "--reason", "burnt down", "--typed", lost, "--yes") // its lease is not over
	s.within(30*time.Second, "its lease is over", s.does("fence", "confirm", lost, "--reason", "burnt down", "--typed", lost, "--yes"))
	s.throughout(5*time.Second, "nobody writes", s.notOn(s.standby))
	s.t.Log(s.sbctl(0, "status").Text())
	s.t.Log(s.sbctl(0, "why", "nfs").Text())

	// The word is given while nobody may act on it, is seen, and is taken back.
	s.sbctl(0, "maintenance", "on", "--for", "10m")
	s.sbctl(0, "group", "init", "nfs", "--keep", kept, "--lost", "--reason", "burnt down", "--typed", lost, "--yes")
	if a := s.sbctl(0, "status"); !strings.Contains(a.Out, kept+"'s copy is to stand in for that of "+lost) || !strings.Contains(a.Out, "sbctl group init nfs --cancel") {
		t.Errorf("that it is to stand in is not shown: %s", a.Text())
	}
	s.t.Log(s.sbctl(0, "group", "init", "nfs", "--cancel", "--reason", "somebody has gone to look").Text())
	s.sbctl(0, "maintenance", "off")
	s.t.Log(s.sbctl(0, "status").Text())
	s.throughout(5*time.Second, "nobody writes", s.notOn(s.standby))

	s.t.Log(s.sbctl(0, "group", "init", "nfs", "--keep", kept, "--lost", "--reason", "burnt down", "--typed", lost, "--yes").Text())
	s.within(60*time.Second, "it goes on with the stale copy", s.writes(s.standby))

	s.must("the machine turns up", s.holder.PowerOn(s.ctx))
	s.within(90*time.Second, "the two have split", func() error {
		a, err := s.Sbctl(s.ctx, "status")
		if err == nil && !strings.Contains(a.Out, "split brain") {
			err = errors.New(a.Text())
		}
		return err
	})
	s.t.Log(s.sbctl(0, "status").Text())
	s.throughout(5*time.Second, "the other one writes on", s.writing(s.standby))
	s.t.Log(s.sbctl(0, "resolve", "nfs", "--discard", lost, "--typed", "nfs", "--yes", "--reason", "it goes on with the other").Text())
	s.alike()
	s.keeps(s.holder)
	s.within(60*time.Second, "full redundancy", s.redundant)
	s.nobodyShot()
}
