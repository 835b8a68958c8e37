package scenarios

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	"sbarbiter/chaos-tests/lab"
)

// stubborn is an init script whose stop does not end and ignores whoever asks it to.
const stubborn = `#!/bin/sh
case $1 in
start) touch /run/stubborn ;;
status) [ -e /run/stubborn ] || exit 3 ;;
stop)
	trap '' TERM INT HUP
	while :; do sleep 1; done ;;
esac
`

// withStubbornService gives the group a service that cannot be stopped, as if it had
// been there since its start.
func (s *story) withStubbornService() {
	s.t.Helper()
	s.must("let it run", s.holder.Must(s.ctx, "touch /run/stubborn"))
	for _, n := range s.Nodes() {
		s.must("lay the program", n.WriteFile(s.ctx, "/usr/local/sbin/stubborn", []byte(stubborn), 0o755))
		s.must("add the service", s.Change(s.ctx, string(n.Name)+".yaml", func(text string) string {
			program := "/usr/local/sbin/stubborn"
			return fmt.Sprintf("%s\n      - command: {start: [%[2]s, start], stop: [%[2]s, stop], status: [%[2]s, status]}\n", strings.TrimRight(text, "\n"), program)
		}))
	}
	s.within(40*time.Second, "full redundancy", s.redundant)
}

// held lets the kernel hold the mount: no process can be ended for it.
func held(ctx context.Context, n *lab.Node) error {
	return n.Must(ctx, "modprobe loop; truncate -s 1M "+lab.MountPoint+"/image && losetup -f "+lab.MountPoint+"/image")
}

// Nothing that is there to stop the group works: the stop program hangs, the file
// system is held by the kernel, with DRBD frozen under it, and the controller is
// dead, so that nobody can shoot. The machine is reset by its own deadline, and its
// start is the proof.
func TestHolderThatCannotStopAtAllIsResetByItsOwnDeadline(t *testing.T) {
	s := begin(t)
	s.withStubbornService()
	s.must("hold the mount", held(s.ctx, s.holder))
	s.KillBMC(s.holder.Name)
	anew := s.rebooted(s.holder)

	s.must("isolate the holder", s.Isolate(s.ctx, s.holder.Name))

	s.within(40*time.Second, "the holder is reset", anew)
	s.must("plug its cables in again", s.Heal(s.ctx, s.holder.Name))
	s.within(60*time.Second, "somebody writes", s.writesAnew())
	s.nobodyShot()
}

// A planned move of a group whose stop program hangs.
func stopProgramThatHangs(t *testing.T) {
	s := begin(t)
	s.withStubbornService()
	s.move()
}

// An open file: who holds it is asked to end, then made to.
func openFileIsNoObstacle(t *testing.T) {
	s := begin(t)
	s.must("hold a file open", s.holder.Must(s.ctx, "sh -c 'trap \"\" TERM INT HUP; exec 3>>"+lab.MountPoint+"/open; while :; do sleep 1; done' >/dev/null 2>&1 </dev/null &"))

	s.sbctl(0, "switchover", "nfs", "--to", string(s.standby.Name), "--yes", "--wait")

	s.takenOver(20 * time.Second)
	s.within(20*time.Second, "full redundancy", s.redundant)
	s.nobodyShot()
}

// A planned move of a group whose mount the kernel itself holds.
func mountHeldByTheKernel(t *testing.T) {
	s := begin(t)
	s.must("hold the mount", held(s.ctx, s.holder))
	s.move()
}

// move orders the group to the standby. The holder cannot stop it, resets itself
// when the time of the stop is over, and is taken over from then.
func (s *story) move() {
	s.t.Helper()
	anew := s.rebooted(s.holder)
	s.t.Log(s.sbctl(0, "switchover", "nfs", "--to", string(s.standby.Name), "--yes").Text())
	s.within(60*time.Second, "the holder resets itself", anew)
	s.takenOver(60 * time.Second)
	s.within(90*time.Second, "the standby holds it", s.heldBy(s.standby))
}
