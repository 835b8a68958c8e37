package sdnotify

import (
	"fmt"
	"os"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// firstFD is the first descriptor that a service manager hands over
// (SD_LISTEN_FDS_START in sd_listen_fds(3)).
const firstFD = 3

// Stored returns the descriptors that the service manager handed to this
// process under name, in its order. They are marked close-on-exec, so that no
// child inherits them, and otherwise left alone; descriptors of other names are
// not touched, and neither is the environment.
func Stored(name string) ([]int, error) {
	if os.Getenv("LISTEN_PID") != strconv.Itoa(os.Getpid()) {
		return nil, nil
	}
	n, err := strconv.Atoi(os.Getenv("LISTEN_FDS"))
	if err != nil {
		return nil, fmt.Errorf("read LISTEN_FDS: %w", err)
	}
	names := strings.Split(os.Getenv("LISTEN_FDNAMES"), ":")
	var fds []int
	for i := range min(n, len(names)) {
		if names[i] != name {
			continue
		}
		fd := firstFD + i
		if _, err := unix.FcntlInt(uintptr(fd), unix.F_SETFD, unix.FD_CLOEXEC); err != nil {
			return nil, fmt.Errorf("take over descriptor %d %q: %w", fd, name, err)
		}
		fds = append(fds, fd)
	}
	return fds, nil
}
