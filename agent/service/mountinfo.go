package service

import (
	"errors"
	"fmt"
	"os"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// mount is one line of mountinfo (proc_pid_mountinfo(5)).
type mount struct {
	id     int    // unique on the machine while it lasts
	device string // major:minor, as /proc/*/maps has it too
	point  string
	fsType string
	source string
}

// readMounts lists the mounts that process pid sees ("self" for our own),
// oldest first.
func readMounts(pid string) ([]mount, error) {
	raw, err := os.ReadFile("/proc/" + pid + "/mountinfo")
	if err != nil {
		return nil, fmt.Errorf("list mounts: %w", err)
	}
	var all []mount
	for line := range strings.Lines(string(raw)) {
		m, err := parseMount(strings.TrimSuffix(line, "\n"))
		if err != nil {
			return nil, err
		}
		all = append(all, m)
	}
	return all, nil
}

func parseMount(line string) (mount, error) {
	left, right, ok := strings.Cut(line, " - ")
	l, r := strings.Fields(left), strings.Split(right, " ")
	if !ok || len(l) < 6 || len(r) < 2 {
		return mount{}, fmt.Errorf("list mounts: cannot read %q", line)
	}
	id, err := strconv.Atoi(l[0])
	if err != nil {
		return mount{}, fmt.Errorf("list mounts: cannot read %q: %w", line, err)
	}
	return mount{id: id, device: l[2], point: unescape(l[4]), fsType: r[0], source: unescape(r[1])}, nil
}

// unescape undoes the kernel's octal escapes of blank, tab, newline, backslash
// and hash.
var unescape = strings.NewReplacer(`\040`, " ", `\011`, "\t", `\012`, "\n", `\134`, `\`, `\043`, "#").Replace

// below says that path is dir or lies inside it.
func below(dir, path string) bool {
	return path == dir || strings.HasPrefix(path, strings.TrimSuffix(dir, "/")+"/")
}

// blockNumber is the device number of a block device as mountinfo writes it;
// empty for anything that is none, such as the source of a tmpfs.
func blockNumber(path string) (string, error) {
	if !strings.HasPrefix(path, "/") {
		return "", nil
	}
	var st unix.Stat_t
	err := unix.Stat(path, &st)
	if errors.Is(err, unix.ENOENT) {
		return "", nil
	}
	if err != nil {
		return "", fmt.Errorf("look at device %s: %w", path, err)
	}
	if st.Mode&unix.S_IFMT != unix.S_IFBLK {
		return "", nil
	}
	return fmt.Sprintf("%d:%d", unix.Major(st.Rdev), unix.Minor(st.Rdev)), nil
}
