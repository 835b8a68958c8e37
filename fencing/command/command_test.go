package command

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"sbarbiter/fencing"
	"sbarbiter/fencing/fencetest"
)

// script is a fence program over a file, with the fault in its hands.
const script = `#!/bin/sh
cd %q || exit 9
action=$1
[ "$FENCE_ACTION" = "$action" ] && [ "$FENCE_TARGET" = node-a ] || { echo "called wrongly" >&2; exit 8; }
# Whoever reads beside this sees the old word or the new one, never half of it.
put() { echo "$1" > "power.$$" && mv "power.$$" power; }
now=$(date +%%s%%N)
if [ -s pending ]; then
	read -r at value < pending
	if [ "$now" -ge "$at" ]; then put "$value"; : > pending; fi
fi
set_power() {
	case %[2]q in
	lying) ;;
	late) echo "$((now + %[3]d)) $1" > pending ;;
	*) put "$1" ;;
	esac
}
case %[2]q in
hanging) sleep 600 ;;
"wrong password") echo "access denied" >&2; exit 1 ;;
unreachable) echo "no route to host" >&2; exit 1 ;;
slow) sleep %[4]s ;;
esac
case $action in
on|off) set_power "$action" ;;
status)
	case $(cat power) in
	on) exit 0 ;;
	off) exit 2 ;;
	esac
	exit 1 ;;
esac
if [ %[2]q = "drops the line" ]; then sleep 600; fi
exit 0
`

type plug struct{ dir string }

func newPlug(t *testing.T, s fencetest.Setup) plug {
	t.Helper()
	p := plug{dir: t.TempDir()}
	p.write(t, "power", s.Power.String()+"\n", 0o600)
	p.write(t, "plug", fmt.Sprintf(script, p.dir, s.Fault.String(), s.Delay.Nanoseconds(), strconv.FormatFloat(s.Delay.Seconds(), 'f', 2, 64)), 0o755)
	return p
}

func (p plug) write(t *testing.T, name, text string, mode os.FileMode) string {
	t.Helper()
	path := filepath.Join(p.dir, name)
	if err := os.WriteFile(path, []byte(text), mode); err != nil {
		t.Fatal(err)
	}
	return path
}

// power asks the machine past the driver; what is due takes effect.
func (p plug) power(t *testing.T) fencing.Power {
	t.Helper()
	if text, err := os.ReadFile(filepath.Join(p.dir, "pending")); err == nil && len(text) > 0 {
		f := strings.Fields(string(text))
		if at, err := strconv.ParseInt(f[0], 10, 64); err == nil && time.Now().UnixNano() >= at {
			return map[string]fencing.Power{"on": fencing.PowerOn, "off": fencing.PowerOff}[f[1]]
		}
	}
	text, err := os.ReadFile(filepath.Join(p.dir, "power"))
	if err != nil {
		t.Fatal(err)
	}
	return map[string]fencing.Power{"on": fencing.PowerOn, "off": fencing.PowerOff}[strings.TrimSpace(string(text))]
}

func driver(t *testing.T, program string, args ...string) *Driver {
	t.Helper()
	d, err := New(Config{Program: program, Args: args, Target: "node-a"})
	if err != nil {
		t.Fatal(err)
	}
	return d
}

func TestDriverPassesTheSuite(t *testing.T) {
	fencetest.Run(t, func(t *testing.T, s fencetest.Setup) fencetest.Rig {
		p := newPlug(t, s)
		return fencetest.Rig{
			Fencer: driver(t, filepath.Join(p.dir, "plug")), Power: func() fencing.Power { return p.power(t) },
			Words: fencetest.Vague, // it has one code for every failure
		}
	})
}

func TestAnyOtherExitCodeIsIgnorance(t *testing.T) {
	p := plug{dir: t.TempDir()}
	for _, code := range []int{1, 3, 77} {
		path := p.write(t, "fails", fmt.Sprintf("#!/bin/sh\necho first >&2\necho no such outlet >&2\nexit %d\n", code), 0o755)
		power, err := driver(t, path).Status(t.Context())
		if power != fencing.PowerUnknown || err == nil || !strings.Contains(err.Error(), fmt.Sprintf("exit code %d: no such outlet", code)) {
			t.Errorf("%s, %v", power, err)
		}
	}
	// 2 is an answer to "status" only.
	path := p.write(t, "two", "#!/bin/sh\nexit 2\n", 0o755)
	if err := driver(t, path).Off(t.Context()); err == nil {
		t.Error("exit code 2 of off is taken for success")
	}
	path = p.write(t, "signal", "#!/bin/sh\nkill -TERM $$\n", 0o755)
	if power, err := driver(t, path).Status(t.Context()); power != fencing.PowerUnknown || err == nil {
		t.Errorf("killed by a signal: %s, %v", power, err)
	}
}

func TestArgumentsComeBeforeTheAction(t *testing.T) {
	p := plug{dir: t.TempDir()}
	path := p.write(t, "args", "#!/bin/sh\necho \"$*\" > \"$(dirname \"$0\")/seen\"\nenv > \"$(dirname \"$0\")/env\"\n", 0o755)
	t.Setenv("SECRET_OF_THE_AGENT", "x")
	if err := driver(t, path, "--outlet", "7").Off(t.Context()); err != nil {
		t.Fatal(err)
	}
	if seen, _ := os.ReadFile(filepath.Join(p.dir, "seen")); string(seen) != "--outlet 7 off\n" {
		t.Errorf("called with %q", seen)
	}
	if env, _ := os.ReadFile(filepath.Join(p.dir, "env")); strings.Contains(string(env), "SECRET_OF_THE_AGENT") {
		t.Errorf("the agent's environment leaks:\n%s", env)
	}
}

// waitGone waits until the process pid has ended.
func waitGone(t *testing.T, pid int) {
	t.Helper()
	for end := time.Now().Add(5 * time.Second); ; time.Sleep(5 * time.Millisecond) {
		stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
		if err != nil || strings.Contains(string(stat), ") Z ") {
			return
		}
		if time.Now().After(end) {
			t.Fatalf("process %d lives on", pid)
		}
	}
}

func readPid(t *testing.T, path string) int {
	t.Helper()
	for end := time.Now().Add(5 * time.Second); ; time.Sleep(5 * time.Millisecond) {
		text, _ := os.ReadFile(path)
		if pid, err := strconv.Atoi(strings.TrimSpace(string(text))); err == nil {
			return pid
		}
		if time.Now().After(end) {
			t.Fatalf("no pid in %s", path)
		}
	}
}

func TestTheWholeGroupDiesWithTheCall(t *testing.T) {
	p := plug{dir: t.TempDir()}
	for name, end := range map[string]string{"hangs": "sleep 600", "ends": "exit 0"} {
		t.Run(name, func(t *testing.T) {
			pidFile := filepath.Join(p.dir, name+".pid")
			path := p.write(t, name, fmt.Sprintf("#!/bin/sh\nsleep 600 &\necho $! > %q\n%s\n", pidFile, end), 0o755)
			ctx, cancel := context.WithTimeout(t.Context(), 500*time.Millisecond)
			defer cancel()
			start := time.Now()
			err := driver(t, path).Off(ctx)
			if hung := errors.Is(err, context.DeadlineExceeded); hung != (name == "hangs") {
				t.Errorf("off: %v", err)
			}
			if took := time.Since(start); took > 2*time.Second {
				t.Errorf("took %v", took)
			}
			waitGone(t, readPid(t, pidFile))
		})
	}
}

// TestTheProgramDiesWithItsExecutor runs itself as the executor and kills it.
func TestTheProgramDiesWithItsExecutor(t *testing.T) {
	if program := os.Getenv("SBARBITER_TEST_EXECUTOR"); program != "" {
		_ = driver(t, program).Off(t.Context())
		return
	}
	p := plug{dir: t.TempDir()}
	pidFile := filepath.Join(p.dir, "pid")
	path := p.write(t, "sleeps", fmt.Sprintf("#!/bin/sh\necho $$ > %q\nexec sleep 600\n", pidFile), 0o755)
	executor := exec.Command(os.Args[0], "-test.run=^TestTheProgramDiesWithItsExecutor$")
	executor.Env = append(os.Environ(), "SBARBITER_TEST_EXECUTOR="+path)
	executor.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	if err := executor.Start(); err != nil {
		t.Fatal(err)
	}
	pid := readPid(t, pidFile)
	if err := executor.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = executor.Wait()
	waitGone(t, pid)
}

func TestAProgramOthersCanReplaceIsRefused(t *testing.T) {
	p := plug{dir: t.TempDir()}
	path := p.write(t, "open", "#!/bin/sh\nexit 0\n", 0o755)
	for mode, want := range map[os.FileMode]string{0o775: "chmod go-w", 0o757: "chmod go-w", 0o644: "no executable"} {
		if err := os.Chmod(path, mode); err != nil {
			t.Fatal(err)
		}
		if _, err := driver(t, path).Status(t.Context()); !errors.Is(err, fencing.ErrConfig) || !strings.Contains(err.Error(), want) {
			t.Errorf("mode %o: %v", mode, err)
		}
	}
	if _, err := driver(t, "/no/such/program").Status(t.Context()); !errors.Is(err, fencing.ErrConfig) {
		t.Errorf("missing program: %v", err)
	}
}

func TestConfigNamesTheField(t *testing.T) {
	for field, c := range map[string]Config{
		"program": {Program: "plug", Target: "node-a"},
		"target":  {Program: "/plug"},
		"timeout": {Program: "/plug", Target: "node-a", Timeout: -1},
	} {
		if _, err := New(c); err == nil || !strings.Contains(err.Error(), field+": ") {
			t.Errorf("%s: %v", field, err)
		}
	}
}
