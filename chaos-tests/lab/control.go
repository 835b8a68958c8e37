package lab

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"strconv"
	"strings"
	"time"
)

// Run performs a shell script in the node, over a network that no fault
// touches, and returns what it printed, stdout and stderr alike, and its exit
// status. Background jobs of the script go on. An error means only that the
// outcome is unknown: the node is off, frozen or busy.
func (n *Node) Run(ctx context.Context, script string) (out string, exit int, err error) {
	conn, err := n.lab.net.sw.dial(ctx, "tcp4", net.JoinHostPort(n.Name.controlAddr(), "2222"))
	if err != nil {
		return "", 0, fmt.Errorf("reach shell of %s: %w", n.Name, err)
	}
	defer conn.Close()
	stop := context.AfterFunc(ctx, func() { _ = conn.SetDeadline(time.Unix(1, 0)) })
	defer stop()
	if _, err := io.WriteString(conn, frame(script)); err != nil {
		return "", 0, fmt.Errorf("send script to %s: %w", n.Name, err)
	}
	out, code, err := readAnswer(conn)
	if err != nil {
		return out, 0, fmt.Errorf("run script on %s: %w", n.Name, errors.Join(ctx.Err(), err))
	}
	return out, code, nil
}

// each runs a script on both nodes at once; a non-zero exit is an error.
func (l *Lab) each(ctx context.Context, script string) error {
	return l.both(func(n *Node) error { return n.Must(ctx, script) })
}

// Must runs a script in the node; anything but exit 0 is an error that tells
// what the script printed.
func (n *Node) Must(ctx context.Context, script string) error {
	out, code, err := n.Run(ctx, script)
	if err != nil {
		return err
	}
	if code != 0 {
		return fmt.Errorf("%s: %s: exit %d: %s", n.Name, script, code, strings.TrimSpace(out))
	}
	return nil
}

// frame wraps a script so that its end is told from its output: a zero byte,
// the exit status, a newline.
func frame(script string) string {
	return "( eval " + quote(script) + " ) </dev/null 2>&1; printf '\\0%d\\n' $?; exit\n"
}

func readAnswer(r io.Reader) (string, int, error) {
	var all strings.Builder
	buf := make([]byte, 32<<10)
	for {
		k, err := r.Read(buf)
		all.Write(buf[:k])
		out, tail, found := strings.Cut(all.String(), "\x00")
		if found && strings.HasSuffix(tail, "\n") {
			code, err := strconv.Atoi(strings.TrimSpace(tail))
			return out, code, err
		}
		if err != nil {
			return out, 0, fmt.Errorf("read answer: %w", err)
		}
	}
}

// quote makes one word of s for a shell.
func quote(s string) string { return "'" + strings.ReplaceAll(s, "'", `'\''`) + "'" }
