package service

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// fakeSystemd is a systemctl that keeps one unit's state in a file.
func fakeSystemd(t *testing.T, special string) (Unit, string) {
	t.Helper()
	state := filepath.Join(t.TempDir(), "state")
	if err := os.WriteFile(state, []byte("inactive"), 0o600); err != nil {
		t.Fatal(err)
	}
	program := script(t, `
f='`+state+`'
echo "$*" >>$f.calls
`+special+`
case $1 in
show) echo LoadState=loaded; echo ActiveState=$(cat $f); echo SubState=x; echo "TasksCurrent=$(cat $f.tasks 2>/dev/null || echo '[not set]')" ;;
start) printf active >$f ;;
stop) printf inactive >$f ;;
kill) printf failed >$f ;;
status) echo "nfs.service: it has a headache"; exit 3 ;;
esac`)
	return Systemd{UnitName: "nfs.service"}.Unit(Env{Systemctl: program, SystemdSocket: state + ".no-socket"}), state
}

func TestSystemdUnitStartsAndStops(t *testing.T) {
	u, state := fakeSystemd(t, "")
	wantState(t, u, Stopped)
	mustStart(t, u)
	mustStart(t, u)
	wantState(t, u, Running)
	mustStop(t, u)
	mustStop(t, u)
	wantState(t, u, Stopped)
	calls, _ := os.ReadFile(state + ".calls")
	if n := strings.Count(string(calls), "stop -- nfs.service\n"); n != 1 {
		t.Errorf("stop was asked for %d times:\n%s", n, calls)
	}
	if first, _, _ := strings.Cut(string(calls), "start --"); strings.Count(first, "show") != 1 {
		t.Errorf("a start must not wait for another look:\n%s", calls)
	}
}

func TestFailedSystemdStartShowsItsStatus(t *testing.T) {
	u, _ := fakeSystemd(t, `[ $1 = start ] && { echo "Job failed" >&2; exit 1; }`)
	err := u.Start(within(t, 5*time.Second))
	if err == nil || !strings.Contains(err.Error(), "headache") || !strings.Contains(err.Error(), "Job failed") {
		t.Errorf("got %v, want what systemd said and the status lines", err)
	}
}

func TestUnitThatWillNotStopIsKilled(t *testing.T) {
	u, state := fakeSystemd(t, `[ $1 = stop ] && exec sleep 1000`)
	mustStart(t, u)
	if err := u.Stop(within(t, 2*time.Second)); err != nil {
		t.Fatal(err)
	}
	if calls, _ := os.ReadFile(state + ".calls"); !strings.Contains(string(calls), "kill --signal=SIGKILL -- nfs.service") {
		t.Errorf("calls:\n%s", calls)
	}
}

func TestUnitOnItsWayIsNeitherRunningNorStopped(t *testing.T) {
	u, state := fakeSystemd(t, "")
	for _, s := range []string{"activating", "deactivating", "maintenance"} {
		if err := os.WriteFile(state, []byte(s), 0o600); err != nil {
			t.Fatal(err)
		}
		if got, err := u.State(t.Context()); err == nil {
			t.Errorf("%s counts as %v", s, got)
		}
	}
}

func TestFailedUnitWithTasksLeftIsNotStopped(t *testing.T) {
	u, state := fakeSystemd(t, "")
	os.WriteFile(state, []byte("failed"), 0o600)
	wantState(t, u, Stopped)
	os.WriteFile(state+".tasks", []byte("3"), 0o600)
	if got, err := u.State(t.Context()); err == nil || !strings.Contains(err.Error(), "3 tasks") {
		t.Errorf("got %v, %v", got, err)
	}
}

func TestSilentSystemctlMeansNotKnown(t *testing.T) {
	u, _ := fakeSystemd(t, `[ $1 = show ] && exit 0`)
	if got, err := u.State(t.Context()); err == nil {
		t.Errorf("silence counts as %v", got)
	}
	hangs, _ := fakeSystemd(t, `exec sleep 1000`)
	if _, err := hangs.State(within(t, 100*time.Millisecond)); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("got %v, want the deadline", err)
	}
}

func TestSystemdErrorsNameFieldAndRemedy(t *testing.T) {
	for _, name := range []string{"", "nfs", "a b.service", "-x.service", "*.service"} {
		if err := (Systemd{UnitName: name}).Validate(); err == nil || !strings.HasPrefix(err.Error(), "unit: ") {
			t.Errorf("%q: got %v", name, err)
		}
	}
	if err := (Systemd{UnitName: "nfs-server.service"}).Validate(); err != nil {
		t.Error(err)
	}
}
