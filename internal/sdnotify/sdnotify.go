// Package sdnotify speaks to the service manager that started this process:
// it says what state the service is in and leaves descriptors in its care, so
// that they outlive this process (sd_notify(3), sd_listen_fds(3)). What a
// descriptor means is its owner's business.
package sdnotify

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"

	"golang.org/x/sys/unix"
)

// sendSeconds bounds how long a full queue of the manager may hold us up.
const sendSeconds = 2

// Ready is the state that says that the start is complete.
const Ready = "READY=1"

// ErrNoManager says that nobody asked to be notified: NOTIFY_SOCKET is unset.
var ErrNoManager = errors.New("no service manager listens (NOTIFY_SOCKET is unset): run as a systemd service with NotifyAccess=main")

// Notify sends state lines, for example [Ready] or "STATUS=...". It returns
// [ErrNoManager] where nobody listens.
func Notify(states ...string) error {
	return send(strings.Join(states, "\n"))
}

// Store leaves descriptor fd in the service manager's care under name. The unit
// needs FileDescriptorStoreMax=1 or more: a manager whose store is full or off
// drops the descriptor without a word.
func Store(name string, fd int) error {
	// FDPOLL=0: a device that reports an error must not be closed for it
	// (systemd 246 and later; older ones ignore the line).
	return send("FDSTORE=1\nFDNAME="+name+"\nFDPOLL=0", fd)
}

// Remove tells the service manager to close what it stored under name.
func Remove(name string) error {
	return send("FDSTOREREMOVE=1\nFDNAME=" + name)
}

// Barrier returns once the service manager has worked through everything that
// was sent before: it holds the other end of a pipe until then (BARRIER=1,
// systemd 246 and later).
func Barrier(ctx context.Context) error {
	r, w, err := os.Pipe()
	if err != nil {
		return fmt.Errorf("open barrier pipe: %w", err)
	}
	defer r.Close()
	err = send("BARRIER=1", int(w.Fd()))
	w.Close()
	if err != nil {
		return err
	}
	if end, ok := ctx.Deadline(); ok {
		if err := r.SetReadDeadline(end); err != nil {
			return fmt.Errorf("limit wait for the service manager: %w", err)
		}
	}
	stop := context.AfterFunc(ctx, func() { r.Close() })
	defer stop()
	if _, err := r.Read(make([]byte, 1)); errors.Is(err, os.ErrClosed) || errors.Is(err, os.ErrDeadlineExceeded) {
		return fmt.Errorf("wait for the service manager: %w", context.DeadlineExceeded)
	}
	return nil
}

func send(state string, fds ...int) error {
	path := os.Getenv("NOTIFY_SOCKET")
	if path == "" {
		return ErrNoManager
	}
	sock, err := unix.Socket(unix.AF_UNIX, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return fmt.Errorf("open notification socket: %w", err)
	}
	defer unix.Close(sock)
	if err := unix.SetsockoptTimeval(sock, unix.SOL_SOCKET, unix.SO_SNDTIMEO, &unix.Timeval{Sec: sendSeconds}); err != nil {
		return fmt.Errorf("limit the time of a notification: %w", err)
	}
	var rights []byte
	if len(fds) > 0 {
		rights = unix.UnixRights(fds...)
	}
	// A leading @ stands for the abstract name space; package unix knows that.
	if err := unix.Sendmsg(sock, []byte(state), rights, &unix.SockaddrUnix{Name: path}, unix.MSG_NOSIGNAL); err != nil {
		return fmt.Errorf("notify the service manager at %s: %w", path, err)
	}
	return nil
}
