package carry

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"sbarbiter/drbd"
)

// drbdMajor is the major number of all of DRBD's devices (linux/major.h).
const drbdMajor = 147

// mount is where a volume is mounted.
type mount struct {
	device string // major:minor
	point  string
	fstype string
	source string // as the file system calls it
}

// of reports whether it is of one of some devices. A btrfs has no device number of its
// disk's: it is known by the name alone.
func (m mount) of(s *stack) bool {
	return slices.Contains(s.numbers, m.device) || m.fstype == "btrfs" && slices.Contains(s.names, deviceName(m.source))
}

func (n *Node) proc(parts ...string) string {
	root := n.Proc
	if root == "" {
		root = "/proc"
	}
	return filepath.Join(append([]string{root}, parts...)...)
}

// mountsOf lists where volumes are mounted themselves, oldest first.
func (n *Node) mountsOf(minors []drbd.Minor) ([]mount, error) { return n.mounts(volumesOf(minors)) }

// mounts lists where devices are mounted, oldest first. It looks from the first process's
// place: what this one sees may be narrower.
func (n *Node) mounts(s *stack) ([]mount, error) {
	text, err := os.ReadFile(n.proc("1", "mountinfo"))
	if err != nil {
		return nil, fmt.Errorf("look where it is mounted: %w", err)
	}
	var out []mount
	for line := range strings.Lines(string(text)) {
		m, ok := parseMount(line)
		if ok && m.of(s) {
			out = append(out, m)
		}
	}
	return out, nil
}

func deviceNumber(m drbd.Minor) string { return fmt.Sprintf("%d:%d", drbdMajor, m) }

// diskName is what the kernel calls a volume's device.
func diskName(m drbd.Minor) string { return "drbd" + strconv.Itoa(int(m)) }

// parseMount reads a line of mountinfo (proc_pid_mountinfo(5)).
func parseMount(line string) (mount, bool) {
	left, right, found := strings.Cut(line, " - ")
	l, r := strings.Fields(left), strings.Fields(right)
	if !found || len(l) < 5 || len(r) < 2 {
		return mount{}, false
	}
	return mount{device: l[2], point: unescape(l[4]), fstype: r[0], source: unescape(r[1])}, true
}

var unescape = strings.NewReplacer(`\040`, " ", `\011`, "\t", `\012`, "\n", `\134`, `\`, `\043`, "#").Replace

// openers names the processes that have a volume's device open.
func (n *Node) openers(minors []drbd.Minor) []string {
	var wanted []string
	for _, m := range minors {
		wanted = append(wanted, "/dev/"+diskName(m))
	}
	return n.processes(func(to string) bool { return slices.Contains(wanted, to) })
}

// usersOf names the processes that have a file below a mount open.
func (n *Node) usersOf(m mount) []string {
	below := strings.TrimSuffix(m.point, "/") + "/"
	return n.processes(func(to string) bool { return to == m.point || strings.HasPrefix(to, below) })
}

// processes names those that hold something that is held, a few at the most. It
// reads links alone and never what they lead to: on a frozen device that hangs.
func (n *Node) processes(held func(string) bool) []string {
	const most = 8
	dirs, err := filepath.Glob(n.proc("[0-9]*"))
	if err != nil {
		return nil
	}
	var out []string
	for _, dir := range dirs {
		if len(out) < most && holds(dir, held) {
			name, err := os.ReadFile(filepath.Join(dir, "comm"))
			if err == nil {
				out = append(out, strings.TrimSpace(string(name))+" (process "+filepath.Base(dir)+")")
			}
		}
	}
	return out
}

func holds(dir string, held func(string) bool) bool {
	links := []string{filepath.Join(dir, "cwd"), filepath.Join(dir, "root")}
	open, err := os.ReadDir(filepath.Join(dir, "fd"))
	if err == nil { // else it has just ended
		for _, fd := range open {
			links = append(links, filepath.Join(dir, "fd", fd.Name()))
		}
	}
	return slices.ContainsFunc(links, func(l string) bool {
		to, err := os.Readlink(l)
		return err == nil && held(strings.TrimSuffix(to, " (deleted)"))
	})
}
