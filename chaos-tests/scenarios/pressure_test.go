package scenarios

import (
	"testing"
	"time"

	"sbarbiter/chaos-tests/lab"
)

// underPressure lets something use up the holder's machine for a while. Whether the
// holder is taken over from is a matter of how slow it gets: nobody writes beside
// another one, and in the end the pair is whole.
func underPressure(t *testing.T, script string, d time.Duration) {
	s := begin(t)
	pressed := "systemd-run -q --collect --unit=pressure /bin/sh -c " + quoted(script)

	s.must("press the holder", s.holder.Must(s.ctx, pressed))
	time.Sleep(d)

	s.t.Logf("shot meanwhile: %v, boots %d", s.Shots(), s.holder.Boots())
	relieve(s, s.holder)
	s.within(60*time.Second, "somebody writes", s.writesAnew())
	s.within(90*time.Second, "full redundancy", s.redundant)
	if shots := s.Shots(); len(shots) == 1 && shots[0] != string(s.holder.Name) {
		t.Errorf("shot: %v", shots)
	}
}

// relieve ends the pressure, with the machine if need be.
func relieve(s *story, n *lab.Node) {
	s.t.Helper()
	if n.Powered() {
		s.must("cut the holder's power", n.PowerCut(s.ctx))
	}
	s.must("power on", n.PowerOn(s.ctx))
}

func quoted(s string) string { return "'" + s + "'" }

func forkBomb(t *testing.T) {
	underPressure(t, `bomb() { bomb | bomb & }; bomb; sleep 1000`, 20*time.Second)
}

func busyProcesses(t *testing.T) {
	underPressure(t, `for i in $(seq 200); do (while :; do :; done) & done; wait`, 20*time.Second)
}

func memoryPressure(t *testing.T) {
	underPressure(t, `while :; do head -c 400m /dev/zero | tail -c 400m >/dev/null; done`, 20*time.Second)
}
