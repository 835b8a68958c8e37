package scenarios

import (
	"fmt"
	"strings"
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
	// It may be shot while it starts: its peer has every reason. If it has excluded
	// its peer under the pressure, nobody else can go on. A shot is given the time to
	// see it off.
	lit := time.Now()
	switchedOn := func(f func() error) func() error {
		return func() error {
			if s.holder.Powered() {
				lit = time.Now()
			}
			if time.Since(lit) > 5*time.Second {
				s.must("power on", s.holder.PowerOn(s.ctx))
			}
			return f()
		}
	}
	s.within(90*time.Second, "somebody writes", switchedOn(s.writesAnew()))
	s.within(60*time.Second, "full redundancy", switchedOn(s.redundant))
	s.t.Logf("what happened:\n%s", s.Timeline().Text(s.Since()))
	if shots := s.Shots(); len(shots) == 1 && shots[0] != string(s.holder.Name) {
		t.Errorf("shot: %v", shots)
	}
}

// An agent that stands still for longer than suspect_after, and goes on: what its guard
// has shut it lets in again, and nobody runs the group beside it. Whether it is shot
// meanwhile is a matter of who is quicker.
func agentThatStandsStill(t *testing.T) {
	s := begin(t)
	out, _, err := s.holder.Run(s.ctx, "systemctl show -P MainPID sbagent")
	s.must("find the agent", err)
	for _, d := range []string{"0.6", "1.3", "1.6"} {
		began := time.Now()
		// Nobody waits for a machine that may be shot meanwhile.
		s.must("stop the agent for "+d+" s", s.holder.Must(s.ctx, fmt.Sprintf("(kill -STOP %[1]s; sleep %[2]s; kill -CONT %[1]s) >/dev/null 2>&1 </dev/null &", strings.TrimSpace(out), d)))
		time.Sleep(3 * time.Second)
		s.within(60*time.Second, "somebody writes", s.writesAnew())
		if s.Shots() != nil {
			s.t.Logf("shot when the agent stood still for %s s", d)
			break
		}
		s.within(60*time.Second, "full redundancy", s.redundant)
		s.throughout(2*time.Second, "the holder writes on", s.writing(s.holder))
		s.t.Logf("%s s of standing still:\n%s", d, s.Timeline().Text(began))
	}
	s.recovers(s.holder)
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
