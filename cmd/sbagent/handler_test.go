package main

import (
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"sbarbiter/agent/runner/handler"
)

// TestMain lets the test's own program stand for sbagent.
func TestMain(m *testing.M) {
	if os.Getenv("SBAGENT_TEST_MAIN") != "" {
		main()
		return
	}
	os.Exit(m.Run())
}

// sbagent is a call of the program, as drbdadm makes it.
func sbagent(t *testing.T, args ...string) *exec.Cmd {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(t.Context(), self, args...)
	cmd.Env = []string{
		"SBAGENT_TEST_MAIN=1", "HOME=/", "TERM=linux", "PATH=/sbin:/usr/sbin:/bin:/usr/bin:/lib/drbd",
		"DRBD_RESOURCE=r0", "DRBD_MINOR=0", "DRBD_LL_DISK=/dev/sdb1", "DRBD_PEER=node-b", "DRBD_PEERS=node-b",
		"DRBD_PEER_ADDRESS=10.91.0.2", "DRBD_PEER_AF=ipv4", "DRBD_CONF=/etc/drbd.conf",
	}
	return cmd
}

// agent answers handler calls until the test ends.
func agent(t *testing.T, socket string, answer func(context.Context, handler.Request) handler.Answer) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- handler.Serve(ctx, socket, answer) }()
	t.Cleanup(func() {
		cancel()
		if err := <-ended; err != nil {
			t.Errorf("serve handler calls: %v", err)
		}
	})
}

func socketPath(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "sbh")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	return filepath.Join(dir, handler.SocketName)
}

func exitOf(t *testing.T, cmd *exec.Cmd) (code int, said string) {
	t.Helper()
	out, err := cmd.CombinedOutput()
	if cmd.ProcessState == nil {
		t.Fatalf("run sbagent: %v", err)
	}
	return cmd.ProcessState.ExitCode(), string(out)
}

func TestHandlerEndsWithTheAgentsAnswer(t *testing.T) {
	socket := socketPath(t)
	asked := make(chan handler.Request, 1)
	agent(t, socket, func(_ context.Context, r handler.Request) handler.Answer {
		asked <- r
		return handler.Answer{Exit: 4}
	})
	// The program waits for an agent that is only about to listen.
	code, said := exitOf(t, sbagent(t, "handler", "--socket="+socket, "fence-peer"))
	if code != 4 {
		t.Fatalf("exit %d, want 4: %s", code, said)
	}
	r := <-asked
	if len(r.Args) != 1 || r.Args[0] != "fence-peer" || r.Env["DRBD_RESOURCE"] != "r0" || r.Env["DRBD_PEER"] != "node-b" || r.Env["HOME"] != "" {
		t.Errorf("the agent was asked %+v", r)
	}
}

func TestHandlerWithoutAgentLeavesDRBDAsItIs(t *testing.T) {
	t.Parallel()
	began := time.Now()
	code, said := exitOf(t, sbagent(t, "handler", "--socket="+socketPath(t), "fence-peer"))
	if code != 1 || !strings.Contains(said, "systemctl start sbagent") {
		t.Errorf("exit %d, want 1 and what to do: %s", code, said)
	}
	if took := time.Since(began); took > 30*time.Second {
		t.Errorf("the resource was stalled for %v", took)
	}
}

func TestHandlerAsksAnAgentThatWasRestartedAgain(t *testing.T) {
	socket := socketPath(t)
	ctx, kill := context.WithCancel(context.Background())
	reached, ended := make(chan struct{}), make(chan error, 1)
	go func() {
		ended <- handler.Serve(ctx, socket, func(ctx context.Context, _ handler.Request) handler.Answer {
			close(reached)
			<-ctx.Done() // killed before it answers
			return handler.Answer{Exit: 4}
		})
	}()
	cmd := sbagent(t, "handler", "--socket="+socket, "fence-peer")
	done := make(chan int, 1)
	go func() { code, _ := exitOf(t, cmd); done <- code }()
	<-reached
	kill()
	if err := <-ended; err != nil {
		t.Fatal(err)
	}
	agent(t, socket, func(context.Context, handler.Request) handler.Answer { return handler.Answer{Exit: 6, Why: "refused"} })
	if code := <-done; code != 6 {
		t.Errorf("exit %d, want the second agent's 6", code)
	}
}

func TestOnlyRootMayAnswerForDRBD(t *testing.T) {
	socket := socketPath(t)
	agent(t, socket, func(context.Context, handler.Request) handler.Answer { return handler.Answer{} })
	code, said := exitOf(t, sbagent(t, "handler", "--socket="+socket, "split-brain"))
	if code != 0 {
		t.Fatalf("exit %d: %s", code, said)
	}
	info, err := os.Stat(socket)
	if err != nil {
		t.Fatal(err)
	}
	if mode := info.Mode().Perm(); mode != 0o600 {
		t.Errorf("the socket's mode is %o, want 600", mode)
	}
}

func TestBadCallsSayWhatIsMeant(t *testing.T) {
	for name, c := range map[string]struct {
		args []string
		want string
		code int
	}{
		"handler without a name": {[]string{"handler"}, "usage: sbagent handler", exitFailed},
		"no node file":           {[]string{"check", "--config", "/nonexistent/node.yaml"}, "/nonexistent/node.yaml", exitFailed},
		"a word too many":        {[]string{"start"}, "there is no command", exitUsage},
	} {
		t.Run(name, func(t *testing.T) {
			if code, said := exitOf(t, sbagent(t, c.args...)); code != c.code || !strings.Contains(said, c.want) {
				t.Errorf("exit %d, want %d and %q: %s", code, c.code, c.want, said)
			}
		})
	}
}
