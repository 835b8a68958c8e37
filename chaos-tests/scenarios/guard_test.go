package scenarios

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"sbarbiter/chaos-tests/lab"
)

// silenced is how soon a group runs elsewhere whose agent says nothing any more;
// a loaded machine takes several times as long as an idle one.
const silenced = 15 * time.Second

// rebooted: the node has started anew since this was asked.
func (s *story) rebooted(n *lab.Node) func() error {
	boots := n.Boots()
	return func() error {
		if n.Boots() == boots {
			return fmt.Errorf("%s has not started anew", n.Name)
		}
		return nil
	}
}

// recovers powers the node on, if it is off, and waits until the pair is whole.
func (s *story) recovers(n *lab.Node) {
	s.t.Helper()
	s.must("power on", n.PowerOn(s.ctx))
	s.within(60*time.Second, "full redundancy", s.redundant)
}

// A stopped agent renews nothing and answers nobody, and what it started runs on
// beside it. Its guard turns clients away and cuts DRBD's connection, so that the
// peer hears nothing of this machine and may shoot it.
func TestStoppedAgentOnTheHolderIsTakenOverFrom(t *testing.T) {
	s := begin(t)

	s.must("stop the agent", s.holder.Must(s.ctx, "systemctl kill -s STOP sbagent"))

	s.takenOver(silenced)
	s.shotOnly(s.holder)
	s.recovers(s.holder)
}

// An agent that is started again is waited for; this one is not.
func TestKilledAgentThatStaysDeadIsTakenOverFrom(t *testing.T) {
	s := begin(t)

	s.must("kill the agent for good", s.holder.Must(s.ctx, "sync; "+forGood("sbagent")))

	s.takenOver(silenced)
	s.shotOnly(s.holder)
	s.recovers(s.holder)
}

// forGood kills units that systemd would start again.
func forGood(units ...string) string {
	var script strings.Builder
	for _, u := range units {
		fmt.Fprintf(&script, "mkdir -p /run/systemd/system/%[1]s.service.d; printf '[Service]\\nRestart=no\\n' >/run/systemd/system/%[1]s.service.d/dead.conf; ", u)
	}
	return script.String() + "systemctl daemon-reload; systemctl kill -s KILL " + strings.Join(units, " ")
}

// With both gone nobody stops anything and nobody feeds the watchdog.
func TestKilledAgentAndGuardLeaveTheWatchdog(t *testing.T) {
	s := begin(t)
	anew := s.rebooted(s.holder)

	s.must("kill both for good", s.holder.Must(s.ctx, forGood("sbagent", "sbagent-guard")+" || true"))

	s.within(30*time.Second, "the watchdog resets the holder", anew)
	s.within(60*time.Second, "somebody writes", s.writesAnew())
	s.recovers(s.holder) // which may have been shot in the middle of its start
}

// writesAnew: a record was acknowledged since this was asked, by whomever.
func (s *story) writesAnew() func() error {
	from := time.Now()
	return func() error {
		if last, ok := s.Truth.LastAck(); !ok || last.At.Before(from) {
			return errors.New("nobody writes")
		}
		return nil
	}
}

// The BMC does not answer, so nobody can shoot. The guard has cut DRBD's
// connection, so that the writer hangs in the kernel: neither can the service be
// stopped nor the file system be unmounted. The machine is reset at the hard stop
// all the same, and its start is the proof.
func TestStoppedAgentOnAFrozenDiskIsResetByItsGuard(t *testing.T) {
	s := begin(t)
	s.KillBMC(s.holder.Name)
	anew := s.rebooted(s.holder)

	s.must("stop the agent", s.holder.Must(s.ctx, "systemctl kill -s STOP sbagent"))

	s.within(30*time.Second, "the guard resets the machine", anew)
	for _, step := range []string{"services", "unmount", "demote"} {
		if s.told(string(s.holder.Name), "not done", step)() != nil && s.told(string(s.holder.Name), "step hangs", step)() != nil {
			t.Errorf("the guard does not say that %s was not done", step)
		}
	}
	s.within(60*time.Second, "somebody writes", s.writesAnew())
	s.nobodyShot()
}

func TestRestartsOfAgentAndGuardTouchNoService(t *testing.T) {
	s := begin(t)
	writer, before := s.writer(s.holder), s.epoch()

	s.must("restart the guard", s.holder.Must(s.ctx, "systemctl restart sbagent-guard"))
	s.must("restart the agent", s.holder.Must(s.ctx, "systemctl restart sbagent"))
	s.must("kill the guard", s.holder.Must(s.ctx, "systemctl kill -s KILL sbagent-guard; sleep 1; systemctl is-active sbagent-guard"))
	s.must("restart both", s.holder.Must(s.ctx, "systemctl restart sbagent-guard sbagent"))

	s.within(30*time.Second, "full redundancy", s.redundant)
	s.throughout(6*time.Second, "the watchdog leaves it alone", s.heldBy(s.holder))
	if now := s.writer(s.holder); now != writer {
		t.Errorf("the writer was restarted: process %s became %s", writer, now)
	}
	if now := s.epoch(); now != before {
		t.Errorf("epoch %d became %d", before, now)
	}
	s.undisturbed()
	s.nobodyShot()
}

// Somebody else has the watchdog open: the agent does not start, and says why.
func TestWatchdogOfSomebodyElseKeepsTheAgentFromStarting(t *testing.T) {
	s := begin(t)
	s.must("stop the agent where nothing runs", s.standby.Must(s.ctx, "systemctl stop sbagent"))
	// Closed with a V, as whoever is done with it does: else it would reset the node.
	hold := "exec 3>/dev/watchdog1; while [ -e /tmp/hold ]; do echo >&3; sleep 0.5; done; printf V >&3"
	s.must("take the watchdog", s.standby.Must(s.ctx, "touch /tmp/hold; systemd-run --collect --unit=other-watchdog /bin/sh -c '"+hold+"'; sleep 1"))

	s.must("start the agent", s.standby.Must(s.ctx, "systemctl start --no-block sbagent"))
	s.within(20*time.Second, "the agent says why it does not start", func() error {
		out, _, err := s.standby.Run(s.ctx, "journalctl -u sbagent -o cat --no-pager | tail -20")
		if err == nil && !strings.Contains(out, "another process holds it") {
			err = fmt.Errorf("it says %s", out)
		}
		return err
	})
	s.must("the holder writes", s.writing(s.holder)())

	s.must("give the watchdog back", s.standby.Must(s.ctx, "rm /tmp/hold"))
	s.within(60*time.Second, "full redundancy", s.redundant)
	s.nobodyShot()
}
