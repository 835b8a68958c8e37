package carry

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"sbarbiter/drbd"
	"sbarbiter/internal/mutant"
	"sbarbiter/recovery"
)

// stack is what the kernel itself has built on volumes. It holds their devices and no
// process does: among those that have them open it is not found.
type stack struct {
	names   []string // the volumes' devices and all that is on them, as in /sys/block
	numbers []string // theirs, as major:minor
	holders []string // for people: what is on the volumes, and what takes it off
}

func (n *Node) sys(parts ...string) string {
	root := n.Sys
	if root == "" {
		root = "/sys"
	}
	return filepath.Join(append([]string{root}, parts...)...)
}

// volumesOf are volumes' devices, with nothing on them yet.
func volumesOf(minors []drbd.Minor) *stack {
	s := &stack{}
	for _, m := range minors {
		s.add(diskName(m), deviceNumber(m))
	}
	return s
}

// stackOn looks for what the kernel has on volumes. It reads what the kernel says of its
// devices and opens none: on a frozen one that hangs. What exports a device in other ways
// than those below is not seen.
func (n *Node) stackOn(minors []drbd.Minor) (*stack, error) {
	s := volumesOf(minors)
	for i := 0; i < len(s.names); i++ {
		name := s.names[i]
		on, err := os.ReadDir(n.sys("block", name, "holders"))
		if err != nil && (i < len(minors) || !errors.Is(err, fs.ErrNotExist)) {
			return s, fmt.Errorf("look what holds /dev/%s: %w", name, err)
		}
		for _, h := range on {
			n.put(s, h.Name())
		}
		for _, file := range n.naming([]string{name}, "block", "loop*", "loop", "backing_file") {
			loop := filepath.Base(filepath.Dir(filepath.Dir(file)))
			s.add(loop, n.line("block", loop, "dev"))
			s.holders = append(s.holders, fmt.Sprintf("/dev/%s is on it: losetup -d /dev/%[1]s", loop))
		}
	}
	if err := n.swapsOn(s); err != nil {
		return s, err
	}
	for _, where := range []string{"core/*/*/udev_path", "../nvmet/subsystems/*/namespaces/*/device_path"} {
		for _, file := range n.naming(s.names, "kernel/config/target", where) {
			s.holders = append(s.holders, fmt.Sprintf("it is exported to other hosts (%s): end that", filepath.Dir(file)))
		}
	}
	return s, nil
}

func (s *stack) add(name, number string) {
	s.names, s.numbers = append(s.names, name), append(s.numbers, number)
}

// use says of a side where its volumes are mounted, and whether they are in use at all. What
// cannot be looked for counts as use.
func (n *Node) use(side *recovery.Side, minors []drbd.Minor) error {
	s, unseen := volumesOf(minors), error(nil)
	// 8.4 lets nobody open a Secondary (drbd_open, drbd_main.c), and to look through all
	// processes takes longer than all else. 9 lets it be read.
	perhaps := side.Role == drbd.RolePrimary || side.Family == drbd.Family9
	if perhaps && !mutant.On(mutant.KernelUseIgnored) {
		s, unseen = n.stackOn(minors)
	}
	mounted, err := n.mounts(s)
	if err != nil {
		return err
	}
	for _, m := range mounted {
		side.Mounted = append(side.Mounted, m.point)
	}
	side.Open = len(mounted) > 0 || unseen != nil || len(s.holders) > 0 || perhaps && len(n.openers(minors)) > 0
	return nil
}

// users says what uses volumes' devices, and what ends that; "": nothing, where no error
// says that not all could be looked for.
func (n *Node) users(minors []drbd.Minor) (string, error) {
	s, unseen := n.stackOn(minors)
	mounted, err := n.mounts(s)
	if len(mounted) > 0 {
		m := mounted[len(mounted)-1]
		return fmt.Sprintf("it is mounted at %s: umount %s", m.point, m.point), nil
	}
	if len(s.holders) > 0 {
		return strings.Join(s.holders, "; "), nil
	}
	if open := n.openers(minors); len(open) > 0 {
		return "it is open in " + strings.Join(open, ", ") + ": end that", nil
	}
	return "", errors.Join(unseen, err)
}

// put adds a device that the kernel lists as a holder.
func (n *Node) put(s *stack, name string) {
	if slices.Contains(s.names, name) {
		return
	}
	s.add(name, n.line("block", name, "dev"))
	how := "take that down"
	if mapped := n.line("block", name, "dm", "name"); mapped != "" {
		how = fmt.Sprintf("it is /dev/mapper/%s; take that down (LVM: vgchange -an, others: dmsetup remove)", mapped)
	}
	s.holders = append(s.holders, fmt.Sprintf("/dev/%s is on it: %s", name, how))
}

// swapsOn adds the swap areas on what is there.
func (n *Node) swapsOn(s *stack) error {
	text, err := os.ReadFile(n.proc("swaps"))
	if errors.Is(err, fs.ErrNotExist) { // a kernel that does not swap
		return nil
	}
	if err != nil {
		return fmt.Errorf("look for swap areas: %w", err)
	}
	for line := range strings.Lines(string(text)) {
		if f := strings.Fields(line); len(f) > 0 && slices.Contains(s.names, deviceName(unescape(f[0]))) {
			s.holders = append(s.holders, fmt.Sprintf("%s is a swap area: swapoff %[1]s", f[0]))
		}
	}
	return nil
}

// naming are the files, of those that a pattern below /sys finds, that name one of some
// devices.
func (n *Node) naming(devices []string, pattern ...string) []string {
	files, err := filepath.Glob(n.sys(pattern...))
	if err != nil {
		return nil
	}
	return slices.DeleteFunc(files, func(f string) bool {
		text, err := os.ReadFile(f)
		return err != nil || !slices.Contains(devices, deviceName(strings.TrimSpace(string(text))))
	})
}

// line is the one line of a file below /sys; "": there is none.
func (n *Node) line(parts ...string) string {
	text, err := os.ReadFile(n.sys(parts...))
	if err != nil {
		return ""
	}
	return strings.TrimSpace(string(text))
}

// deviceName is what the kernel calls the device of a path, which may be a link, as all
// below /dev/drbd/by-res are; "": it is none.
func deviceName(path string) string {
	if to, err := filepath.EvalSymlinks(path); err == nil {
		path = to
	}
	name, below := strings.CutPrefix(path, "/dev/")
	if !below {
		return ""
	}
	return name
}
