package service

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// exitError says how a program ended that was not content.
type exitError struct {
	program string
	code    int // -1: a signal ended it
	how     string
}

// Error names the program and its end.
func (e *exitError) Error() string { return e.program + ": " + e.how }

// runGroup runs a program in a process group of its own and waits for it. When
// the context ends, the whole group is killed.
func runGroup(ctx context.Context, argv []string, dir string, env []string, out *os.File) error {
	if err := ctx.Err(); err != nil {
		return fmt.Errorf("run %s: %w", argv[0], err)
	}
	cmd := exec.CommandContext(ctx, argv[0], argv[1:]...)
	cmd.Dir = workingDir(dir)
	cmd.Env = childEnv(env)
	cmd.Stdout, cmd.Stderr = out, out
	cmd.SysProcAttr = &unix.SysProcAttr{Setpgid: true}
	cmd.Cancel = func() error { return unix.Kill(-cmd.Process.Pid, unix.SIGKILL) }
	err := cmd.Run()
	var exit *exec.ExitError
	switch {
	case ctx.Err() != nil && err != nil:
		return fmt.Errorf("run %s: %w: it was killed", argv[0], ctx.Err())
	case errors.As(err, &exit):
		return &exitError{program: argv[0], code: exit.ExitCode(), how: exit.String()}
	case err != nil:
		return fmt.Errorf("run %s: %w", argv[0], err)
	}
	return nil
}

func workingDir(dir string) string {
	if dir == "" {
		return "/"
	}
	return dir
}

// ours are the variables by which the service manager speaks to the agent. A
// child that had them could speak in its name.
var ours = []string{"NOTIFY_SOCKET=", "LISTEN_PID=", "LISTEN_FDS=", "LISTEN_FDNAMES=", "WATCHDOG_PID=", "WATCHDOG_USEC=", "CREDENTIALS_DIRECTORY=", "INVOCATION_ID=", "FDSTORE="}

func childEnv(extra []string) []string {
	var env []string
next:
	for _, kv := range os.Environ() {
		for _, prefix := range ours {
			if strings.HasPrefix(kv, prefix) {
				continue next
			}
		}
		env = append(env, kv)
	}
	return append(env, extra...)
}

// tailBytes is how much of a program's output goes into an error.
const tailBytes = 1024

func tail(f *os.File) string {
	info, err := f.Stat()
	if err != nil {
		return ""
	}
	buf := make([]byte, min(info.Size(), tailBytes))
	n, err := f.ReadAt(buf, info.Size()-int64(len(buf)))
	if err != nil && !errors.Is(err, io.EOF) {
		return ""
	}
	return strings.TrimSpace(string(buf[:n]))
}

// sleep waits for d or until the context ends, and says which by its error.
func sleep(ctx context.Context, d time.Duration) error {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
