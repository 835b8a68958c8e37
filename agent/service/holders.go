package service

import (
	"bufio"
	"errors"
	"fmt"
	"os"
	"slices"
	"strconv"
	"strings"
)

// pinned describes the mounts whose users are looked for.
type pinned struct {
	points  []string // mount points as we see them
	ids     []int
	devices []string // major:minor
}

func pin(mounts []mount) pinned {
	var p pinned
	for _, m := range mounts {
		p.points = append(p.points, m.point)
		p.ids = append(p.ids, m.id)
		p.devices = append(p.devices, m.device)
	}
	return p
}

// holders finds the processes that keep the mounts busy: by an open file, the
// working or root directory, the program they run or a mapped file. It reads
// names and numbers in /proc only and never touches the files themselves: on a
// frozen device that would hang.
func (p pinned) holders() ([]process, error) {
	all, err := allProcesses()
	if err != nil {
		return nil, err
	}
	var found []process
	for _, proc := range all {
		if !proc.kernel() && !proc.gone() && p.heldBy(proc.pid) {
			found = append(found, proc)
		}
	}
	return found, nil
}

func (p pinned) heldBy(pid int) bool {
	for _, link := range []string{"cwd", "root", "exe"} {
		if to, err := os.Readlink(procPath(pid, link)); err == nil && p.inside(to) {
			return true
		}
	}
	return p.openIn(pid) || p.mappedIn(pid)
}

func (p pinned) inside(path string) bool {
	path = strings.TrimSuffix(path, " (deleted)")
	return slices.ContainsFunc(p.points, func(point string) bool { return below(point, path) })
}

// openIn goes by the mount id of each descriptor, which is right for every
// mount name space and for deleted files (proc_pid_fdinfo(5)).
func (p pinned) openIn(pid int) bool {
	fds, err := os.ReadDir(procPath(pid, "fdinfo"))
	if err != nil {
		return false // it has just ended
	}
	for _, fd := range fds {
		raw, err := os.ReadFile(procPath(pid, "fdinfo", fd.Name()))
		if err != nil {
			continue
		}
		for line := range strings.Lines(string(raw)) {
			v, ok := strings.CutPrefix(line, "mnt_id:")
			if !ok {
				continue
			}
			if id, err := strconv.Atoi(strings.TrimSpace(v)); err == nil && slices.Contains(p.ids, id) {
				return true
			}
		}
	}
	return false
}

// mappedIn compares the device column, which survives deletion and renaming of
// the mapped file (proc_pid_maps(5)).
func (p pinned) mappedIn(pid int) bool {
	f, err := os.Open(procPath(pid, "maps"))
	if err != nil {
		return false
	}
	defer f.Close()
	lines := bufio.NewScanner(f)
	for lines.Scan() {
		c := strings.Fields(lines.Text())
		if len(c) >= 6 && c[4] != "0" && slices.Contains(p.devices, decimalDevice(c[3])) {
			return true
		}
	}
	return false
}

// decimalDevice turns the hexadecimal device of maps into that of mountinfo.
func decimalDevice(hex string) string {
	a, b, _ := strings.Cut(hex, ":")
	major, err1 := strconv.ParseUint(a, 16, 32)
	minor, err2 := strconv.ParseUint(b, 16, 32)
	if err := errors.Join(err1, err2); err != nil {
		return ""
	}
	return fmt.Sprintf("%d:%d", major, minor)
}

// foreignMounts finds the device's mounts in other mount name spaces, with one
// process of each: a container or a service with a private one may keep a
// device in use that we see nowhere.
func foreignMounts(is func(mount) bool) ([]process, []mount, error) {
	own, err := os.Readlink("/proc/self/ns/mnt")
	if err != nil {
		return nil, nil, fmt.Errorf("look at own mount name space: %w", err)
	}
	pids, err := allPIDs()
	if err != nil {
		return nil, nil, err
	}
	seen := map[string]bool{own: true}
	var owners []process
	var mounts []mount
	for _, pid := range pids {
		// One link tells for nearly all; each further file costs a takeover time.
		ns, err := os.Readlink(procPath(pid, "ns", "mnt"))
		if err != nil || seen[ns] {
			continue
		}
		p, err := readProcess(pid)
		if err != nil && !errors.Is(err, errNoProcess) {
			return nil, nil, err
		}
		if err != nil || p.kernel() {
			continue
		}
		theirs, err := readMounts(strconv.Itoa(pid))
		if err != nil {
			continue // it has just ended; ask the next one in there
		}
		seen[ns] = true
		for _, m := range theirs {
			if is(m) {
				owners, mounts = append(owners, p), append(mounts, m)
			}
		}
	}
	return owners, mounts, nil
}

// nameProcesses lists a few processes for an error message.
func nameProcesses(ps []process) string {
	const most = 8
	var names []string
	for _, p := range ps[:min(len(ps), most)] {
		names = append(names, p.String())
	}
	if len(ps) > most {
		names = append(names, fmt.Sprintf("and %d more", len(ps)-most))
	}
	return strings.Join(names, ", ")
}
