package service

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

// script writes an executable shell script.
func script(t *testing.T, body string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "program")
	if err := os.WriteFile(path, []byte("#!/bin/sh\n"+body+"\n"), 0o700); err != nil {
		t.Fatal(err)
	}
	return path
}

// initScript is a service with a flag file, as an init script would have it.
func initScript(t *testing.T) (Command, string) {
	t.Helper()
	flag := filepath.Join(t.TempDir(), "up")
	path := script(t, `
f='`+flag+`'
case $1 in
start) echo starting; echo x >>$f.count; touch $f ;;
stop) rm -f $f ;;
status) [ -e $f.broken ] && { echo "no idea"; exit 4; }; [ -e $f ] || exit 3 ;;
esac`)
	return Command{Label: "web", Start: []string{path, "start"}, Stop: []string{path, "stop"}, Status: []string{path, "status"}}, flag
}

func TestCommandGoesByItsStatus(t *testing.T) {
	c, flag := initScript(t)
	if err := c.Validate(); err != nil {
		t.Fatal(err)
	}
	u := c.Unit(Env{RuntimeDir: t.TempDir()})
	wantState(t, u, Stopped)
	mustStart(t, u)
	wantState(t, u, Running)
	mustStart(t, u)
	if b, _ := os.ReadFile(flag + ".count"); string(b) != "x\n" {
		t.Errorf("started %d times", len(b)/2)
	}
	mustStop(t, u)
	wantState(t, u, Stopped)
}

func TestOtherExitStatusMeansNotKnown(t *testing.T) {
	c, flag := initScript(t)
	u := c.Unit(Env{RuntimeDir: t.TempDir()})
	mustStart(t, u)
	if err := os.WriteFile(flag+".broken", nil, 0o600); err != nil {
		t.Fatal(err)
	}
	state, err := u.State(t.Context())
	if err == nil || state != Unknown || !strings.Contains(err.Error(), "no idea") {
		t.Errorf("got %v, %v; want an error with what the program said", state, err)
	}
	if err := u.Stop(within(t, 5*time.Second)); err == nil {
		t.Error("stopped, though status does not know")
	}
	if _, err := os.Stat(flag); err == nil {
		t.Error("stop was not even tried")
	}
}

func TestHangingProgramIsKilledWithItsChildren(t *testing.T) {
	pidFile := filepath.Join(t.TempDir(), "pid")
	c, _ := initScript(t)
	c.Start = []string{script(t, "sleep 1000 & echo $! >"+pidFile+"; wait")}
	u := c.Unit(Env{RuntimeDir: t.TempDir()})
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	done := make(chan error, 1)
	go func() { done <- u.Start(ctx) }()
	var pid int
	eventually(t, "the child's number is written", func() bool {
		b, _ := os.ReadFile(pidFile)
		n, _ := fmt.Sscan(string(b), &pid)
		return n == 1
	})
	cancel()
	if err := <-done; !errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}
	eventually(t, "the child is gone", func() bool {
		p, err := readProcess(pid)
		return errors.Is(err, errNoProcess) || p.gone()
	})
}

func TestDaemonLeftBehindByStartDoesNotHoldItUp(t *testing.T) {
	c, flag := initScript(t)
	c.Start = []string{script(t, "sleep 3 & touch "+flag)}
	u := c.Unit(Env{RuntimeDir: t.TempDir()})
	began := time.Now()
	mustStart(t, u)
	if d := time.Since(began); d > 2*time.Second {
		t.Errorf("start waited %v for the daemon's output to close", d)
	}
}

func TestChildrenCannotSpeakInTheAgentsName(t *testing.T) {
	t.Setenv("NOTIFY_SOCKET", "/run/none")
	t.Setenv("LISTEN_FDS", "1")
	out := filepath.Join(t.TempDir(), "env")
	c, _ := initScript(t)
	c.Start = append([]string{script(t, "env >"+out+"; exec \"$@\"")}, c.Start...)
	c.Env = []string{"COLOUR=green"}
	mustStart(t, c.Unit(Env{RuntimeDir: t.TempDir()}))
	b, err := os.ReadFile(out)
	if err != nil {
		t.Fatal(err)
	}
	if s := string(b); strings.Contains(s, "NOTIFY_SOCKET") || strings.Contains(s, "LISTEN_FDS") || !strings.Contains(s, "COLOUR=green\n") {
		t.Errorf("the child saw\n%s", s)
	}
}

// daemon is a program that notes each of its starts and then stays.
func daemon(dir, rest string) Command {
	return Command{Label: "web", Run: []string{"/bin/sh", "-c", "echo $$ >>" + filepath.Join(dir, "starts") + "; " + rest}}
}

func starts(t *testing.T, dir string) int {
	t.Helper()
	b, err := os.ReadFile(filepath.Join(dir, "starts"))
	if err != nil && !os.IsNotExist(err) {
		t.Fatal(err)
	}
	return strings.Count(string(b), "\n")
}

// daemonUnit makes the unit and sees to it that nothing of it is left.
func daemonUnit(t *testing.T, dir, rest string) *supervised {
	t.Helper()
	null, err := os.OpenFile(os.DevNull, os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	u := daemon(dir, rest).Unit(Env{RuntimeDir: dir, Output: null}).(*supervised)
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), 3*time.Second)
		defer cancel()
		if err := u.Stop(ctx); err != nil {
			t.Error(err)
		}
		null.Close()
	})
	return u
}

func TestProgramRunsUntilItIsStopped(t *testing.T) {
	dir := t.TempDir()
	u := daemonUnit(t, dir, "exec sleep 1000")
	wantState(t, u, Stopped)
	mustStart(t, u)
	wantState(t, u, Running)
	mustStart(t, u)
	if n := starts(t, dir); n != 1 {
		t.Errorf("started %d times", n)
	}
	mustStop(t, u)
	wantState(t, u, Stopped)
	mustStop(t, u)
}

func TestProgramThatEndsAtOnceIsNoStart(t *testing.T) {
	u := daemonUnit(t, t.TempDir(), "exit 7")
	err := u.Start(within(t, 5*time.Second))
	if err == nil || !strings.Contains(err.Error(), "exit status 7") {
		t.Errorf("got %v, want the exit status", err)
	}
	wantState(t, u, Stopped)
}

func TestDeadProgramsChildrenAreNeitherRunningNorStopped(t *testing.T) {
	dir := t.TempDir()
	u := daemonUnit(t, dir, "sleep 1000 & sleep 1000")
	mustStart(t, u)
	_, members, err := u.find()
	if err != nil || len(members) == 0 {
		t.Fatal(members, err)
	}
	id, _, err := u.record.identify(members)
	if err != nil {
		t.Fatal(err)
	}
	syscall.Kill(id.PID, syscall.SIGKILL)
	eventually(t, "the orphans are noticed", func() bool {
		_, err := u.State(t.Context())
		return err != nil && strings.Contains(err.Error(), "left behind sleep")
	})
	if err := u.Start(within(t, 5*time.Second)); err == nil {
		t.Error("a second instance was started beside the first one's remains")
	}
	mustStop(t, u)
	wantState(t, u, Stopped)
}

func TestProgramDeafToSIGTERMIsKilled(t *testing.T) {
	u := daemonUnit(t, t.TempDir(), "trap '' TERM; while :; do sleep 1; done")
	mustStart(t, u)
	if err := u.Stop(within(t, 1500*time.Millisecond)); err != nil {
		t.Fatal(err)
	}
}

// playAgent is an agent that starts the program and waits to be killed.
func playAgent(dir string) {
	null, err := os.OpenFile(os.DevNull, os.O_WRONLY, 0)
	if err == nil {
		err = daemon(dir, "exec sleep 1000").Unit(Env{RuntimeDir: dir, Output: null}).Start(context.Background())
	}
	if err != nil {
		fmt.Println(err)
		os.Exit(1)
	}
	fmt.Println("holding")
	time.Sleep(time.Hour)
}

func TestRestartedAgentFindsItsProgramAgain(t *testing.T) {
	dir := t.TempDir()
	u := daemonUnit(t, dir, "exec sleep 1000")
	agent := play("agent:" + dir)
	holder(t, agent)
	if err := agent.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	agent.Wait()
	wantState(t, u, Running)
	mustStart(t, u)
	if n := starts(t, dir); n != 1 {
		t.Errorf("started %d times", n)
	}
	mustStop(t, u)
	wantState(t, u, Stopped)
}

func TestAgentKilledBeforeItsNoteStillFindsTheProgram(t *testing.T) {
	dir := t.TempDir()
	u := daemonUnit(t, dir, "exec sleep 1000")
	mustStart(t, u)
	if err := u.record.write(identity{}); err != nil { // as it was before the start
		t.Fatal(err)
	}
	again := daemonUnit(t, dir, "exec sleep 1000")
	wantState(t, again, Running)
	mustStart(t, again)
	if n := starts(t, dir); n != 1 {
		t.Errorf("started %d times", n)
	}
}

func TestNumberGivenToAnotherProcessIsNotOurs(t *testing.T) {
	dir := t.TempDir()
	u := daemonUnit(t, dir, "exec sleep 1000")
	other := exec.Command("sleep", "1000")
	other.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	if err := other.Start(); err != nil {
		t.Fatal(err)
	}
	defer func() { other.Process.Kill(); other.Wait() }()
	p, err := readProcess(other.Process.Pid)
	if err != nil {
		t.Fatal(err)
	}
	if err := u.record.write(identity{PID: p.pid, Started: p.started - 1}); err != nil {
		t.Fatal(err)
	}
	wantState(t, u, Stopped)
	mustStop(t, u)
	if err := other.Process.Signal(syscall.Signal(0)); err != nil {
		t.Error("an innocent process was ended")
	}
}

func TestRecordOfAnotherBootIsIgnored(t *testing.T) {
	u := daemonUnit(t, t.TempDir(), "exec sleep 1000")
	if err := os.WriteFile(u.record.path, []byte(`{"pid":1,"started_ticks":1,"boot":"another"}`), 0o600); err != nil {
		t.Fatal(err)
	}
	wantState(t, u, Stopped)
}

func TestRecordOfInitsSessionIsNeverFollowed(t *testing.T) {
	u := daemonUnit(t, t.TempDir(), "exec sleep 1000")
	boot, err := bootID()
	if err != nil {
		t.Fatal(err)
	}
	for _, pid := range []string{"1", "-1"} {
		record := `{"pid":` + pid + `,"started_ticks":1,"boot":"` + boot + `"}`
		if err := os.WriteFile(u.record.path, []byte(record), 0o600); err != nil {
			t.Fatal(err)
		}
		if state, err := u.State(t.Context()); err == nil {
			t.Errorf("session %s was taken for ours: %v", pid, state)
		}
	}
	os.Remove(u.record.path)
}

func TestFirstProcessOurselvesAndKernelThreadsAreNeverSignalled(t *testing.T) {
	for _, p := range []process{{pid: 0}, {pid: 1}, {pid: os.Getpid()}, {pid: 1 << 30, flags: kthread}} {
		if err := signalProcess(p, 0); err == nil { // signal 0 ends nobody if this fails
			t.Errorf("pid %d with flags %x would have been signalled", p.pid, p.flags)
		}
	}
}

func TestUnreadableRecordMeansNotKnown(t *testing.T) {
	u := daemonUnit(t, t.TempDir(), "exec sleep 1000")
	if err := os.WriteFile(u.record.path, []byte("{"), 0o600); err != nil {
		t.Fatal(err)
	}
	if state, err := u.State(t.Context()); err == nil {
		t.Errorf("an unreadable record gave %v", state)
	}
	os.Remove(u.record.path)
}

func TestCommandErrorsNameFieldAndRemedy(t *testing.T) {
	sh := []string{"/bin/sh"}
	for want, c := range map[string]Command{
		"label:":                 {Label: "a/b", Run: sh},
		"run: cannot go":         {Label: "a", Run: sh, Stop: sh},
		"status: is missing":     {Label: "a", Start: sh, Stop: sh},
		"start: \"sh\" is no":    {Label: "a", Start: []string{"sh"}, Stop: sh, Status: sh},
		"dir:":                   {Label: "a", Run: sh, Dir: "tmp"},
		"env: \"X\"":             {Label: "a", Run: sh, Env: []string{"X"}},
		"settle: -1s is negativ": {Label: "a", Run: sh, Settle: -time.Second},
	} {
		if err := c.Validate(); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("got %v, want it to say %q", err, want)
		}
	}
}

func TestProcessNameMayContainParentheses(t *testing.T) {
	raw := "42 (a) b (c) S 1 40 41 0 -1 2097216 0 0 0 0 0 0 0 0 20 0 1 0 777 0 0"
	p, err := parseStat(42, []byte(raw))
	want := process{pid: 42, name: "a) b (c", state: 'S', parent: 1, group: 40, session: 41, flags: 2097216, started: 777}
	if err != nil || p != want {
		t.Errorf("got %+v, %v", p, err)
	}
	if !p.kernel() {
		t.Error("a kernel thread went unnoticed")
	}
}
