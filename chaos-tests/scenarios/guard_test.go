package scenarios

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
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

	// A stop for good is no restart: the group is given back, and nothing is reset.
	anew := s.rebooted(s.holder)
	s.must("stop the agent for good", s.holder.Must(s.ctx, "systemctl stop sbagent"))
	s.takenOver(15 * time.Second)
	s.within(5*time.Second, "the watchdog does not count any more", s.told(string(s.holder.Name), "watchdog stopped"))
	s.throughout(10*time.Second, "the other node writes", s.writing(s.standby)) // twice the watchdog's time
	s.must("start it again", s.holder.Must(s.ctx, "systemctl start sbagent"))
	s.within(40*time.Second, "full redundancy", s.redundant)
	if anew() == nil {
		t.Error("the machine was reset")
	}
	s.nobodyShot()
}

// agentSays: the agent's last lines in the journal hold these words.
func (s *story) agentSays(n *lab.Node, words ...string) func() error {
	return func() error {
		out, _, err := n.Run(s.ctx, "journalctl -u sbagent -o cat --no-pager | tail -20")
		if err == nil && !containsAll(out, words) {
			err = fmt.Errorf("it says %s", out)
		}
		return err
	}
}

// Somebody else has the watchdog open, or there is none, or its driver makes of 5 s
// what the lease is too short for: the agent does not start, and says why. One that
// is rounded to what there is room for counts as it is.
func watchdogThatCannotServe(t *testing.T) {
	s := begin(t)
	n := s.standby
	file := string(n.Name) + ".yaml"
	device := func(path string) func(string) string {
		return func(text string) string { return strings.Replace(text, "/dev/watchdog1", path, 1) }
	}
	s.must("stop the agent where nothing runs", n.Must(s.ctx, "systemctl stop sbagent"))
	// Closed with a V, as whoever is done with it does: else it would reset the node.
	hold := "exec 3>/dev/watchdog1; while [ -e /tmp/hold ]; do echo >&3; sleep 0.5; done; printf V >&3"
	s.must("take the watchdog", n.Must(s.ctx, "touch /tmp/hold; systemd-run --collect --unit=other-watchdog /bin/sh -c '"+hold+"'; sleep 1"))
	s.must("start the agent", n.Must(s.ctx, "systemctl start --no-block sbagent"))
	s.within(40*time.Second, "it says that another has it", s.agentSays(n, "another process holds it"))
	s.must("give the watchdog back", n.Must(s.ctx, "systemctl stop sbagent; rm /tmp/hold"))

	s.must("name one that is not there", s.Change(s.ctx, file, device("/dev/watchdog7")))
	s.within(40*time.Second, "it says that there is none", s.agentSays(n, "/dev/watchdog7 does not exist"))

	s.must("load a driver that rounds 5 s to 8 s", s.laysDog(n, 8))
	s.must("name it", s.Change(s.ctx, file, device("/dev/watchdog2")))
	s.within(40*time.Second, "it says what does not fit", s.agentSays(n, "watchdog's timeout of 8s", "ttl 20s is too short"))

	s.must("load a driver that rounds 5 s to 6 s", s.laysDog(n, 6))
	s.must("start the agent", n.Must(s.ctx, "systemctl restart sbagent-guard sbagent"))
	s.within(40*time.Second, "full redundancy", s.redundant)
	s.within(20*time.Second, "sbctl timing counts 6 s", func() error {
		a, err := s.Sbctl(s.ctx, "timing")
		if err == nil && !strings.Contains(a.Out, "1.01 x watchdog 6s") {
			err = errors.New(a.Text())
		}
		return err
	})
	s.must("the holder writes", s.writing(s.holder)())
	s.nobodyShot()
}

// roundingDog is the built driver.
var roundingDog = sync.OnceValues(func() ([]byte, error) {
	dir, err := os.MkdirTemp("", "roundingdog")
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(dir)
	path := filepath.Join(dir, "lab-roundingdog")
	build := exec.Command("go", "build", "-o", path, "sbarbiter/chaos-tests/lab/roundingdog")
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		return nil, fmt.Errorf("%w: %s", err, out)
	}
	return os.ReadFile(path)
})

// laysDog makes /dev/watchdog2 on a node.
func (s *story) laysDog(n *lab.Node, multiple int) error {
	// One after the other: a guard whose driver goes first cannot stop its watchdog.
	s.must("end the one before", n.Must(s.ctx, "for u in sbagent sbagent-guard roundingdog; do systemctl stop $u 2>/dev/null; done; true"))
	program, err := roundingDog()
	if err != nil {
		return err
	}
	if err := n.WriteFile(s.ctx, "/usr/local/sbin/lab-roundingdog", program, 0o755); err != nil {
		return err
	}
	return n.Must(s.ctx, fmt.Sprintf(`modprobe cuse
systemd-run -q --collect --unit=roundingdog /usr/local/sbin/lab-roundingdog -multiple %d
for i in $(seq 50); do [ -e /dev/watchdog2 ] && exit; sleep 0.1; done; exit 1`, multiple))
}
