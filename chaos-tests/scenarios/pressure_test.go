package scenarios

import (
	"testing"
	"time"
)

// underPressure lets something use up the holder's machine for a while. Whether the
// holder is taken over from is a matter of how slow it gets: nobody writes beside
// another one, and in the end the pair is whole.
func underPressure(t *testing.T, script string, d time.Duration) {
	s := begin(t)
	pressed := "systemd-run -q --collect --unit=pressure -p TasksMax=1000 /bin/sh -c '" + script + "'"

	s.must("press the holder", s.holder.Must(s.ctx, pressed))
	time.Sleep(d)

	s.t.Logf("shot meanwhile: %v; the longest pause in writing: %.1f s", s.Shots(), s.Report(s.ctx).Gap.Seconds())
	if s.holder.Powered() {
		s.must("end it with the machine", s.holder.PowerCut(s.ctx))
	}
	s.within(90*time.Second, "full redundancy", func() error {
		// It may be shot while it starts: its peer has every reason. If it has excluded
		// its peer under the pressure, nobody else can go on.
		s.must("power on", s.holder.PowerOn(s.ctx))
		return s.redundant()
	})
	s.within(20*time.Second, "somebody writes", s.writesAnew())
	if shots := s.Shots(); len(shots) == 1 && shots[0] != string(s.holder.Name) {
		t.Errorf("shot: %v", shots)
	}
}

func forkBomb(t *testing.T) {
	underPressure(t, `bomb() { bomb | bomb & }; bomb; sleep 1000`, 20*time.Second)
}

func busyProcesses(t *testing.T) {
	underPressure(t, `for i in $(seq 200); do (while :; do :; done) & done; wait`, 20*time.Second)
}

func memoryPressure(t *testing.T) {
	underPressure(t, `while :; do head -c 400m /dev/zero | tail -c 400m >/dev/null; done`, 20*time.Second)
}
