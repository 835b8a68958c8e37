// Package host looks up on this machine what package doctor judges: who has a
// device open, which way packets leave, what else runs. It changes nothing and
// sends nothing.
package host

import (
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"sbarbiter/doctor"
)

// managers are the programs of other cluster managers, as the kernel names them
// (at most 15 bytes), and the units that start them.
var managers = map[string]string{
	"heartbeat": "heartbeat", "corosync": "corosync", "pacemakerd": "pacemaker", "keepalived": "keepalived",
	"drbd-reactor": "drbd-reactor", "cman": "cman", "ha_logd": "heartbeat",
}

// Managers returns the units of other cluster managers that run.
func Managers() []string { return managersIn("/proc") }

// wants are the links of units that systemd starts with the machine.
const wants = "/etc/systemd/system/*.wants/drbd*.service"

// StartsDRBD returns the units that bring DRBD up when the machine starts.
func StartsDRBD() []string { return unitsOf(wants) }

func unitsOf(pattern string) []string {
	links, _ := filepath.Glob(pattern) // the pattern is a constant, and well formed
	var out []string
	for _, l := range links {
		if unit := filepath.Base(l); !slices.Contains(out, unit) {
			out = append(out, unit)
		}
	}
	return out
}

func managersIn(proc string) []string {
	var out []string
	for _, pid := range processes(proc) {
		if unit := managers[nameOf(proc, pid)]; unit != "" && !slices.Contains(out, unit) {
			out = append(out, unit)
		}
	}
	slices.Sort(out)
	return out
}

func processes(proc string) []string {
	entries, _ := os.ReadDir(proc) // without /proc nothing is known to run
	var out []string
	for _, e := range entries {
		if _, err := strconv.Atoi(e.Name()); err == nil {
			out = append(out, e.Name())
		}
	}
	return out
}

func nameOf(proc, pid string) string {
	name, _ := os.ReadFile(filepath.Join(proc, pid, "comm")) // it may have ended meanwhile
	return strings.TrimSpace(string(name))
}

// OpenedBy returns the name of a program that has the device open, "" for none.
// Two names of one device are one device.
func OpenedBy(device string) string { return openedBy("/proc", device) }

func openedBy(proc, device string) string {
	want := numbers(device)
	for _, pid := range processes(proc) {
		fds, _ := os.ReadDir(filepath.Join(proc, pid, "fd"))
		for _, fd := range fds {
			var have unix.Stat_t
			if unix.Stat(filepath.Join(proc, pid, "fd", fd.Name()), &have) == nil && slices.Contains(want, have.Rdev) && have.Mode&unix.S_IFMT == unix.S_IFCHR {
				return nameOf(proc, pid)
			}
		}
	}
	return ""
}

// numbers are those of a device. The first watchdog is there twice, with two of them,
// and who has one open has the other.
func numbers(device string) []uint64 {
	names := []string{device}
	if real, err := filepath.EvalSymlinks(device); err == nil {
		for _, other := range []string{"watchdog", "watchdog0"} {
			if base := filepath.Base(real); base != other && (base == "watchdog" || base == "watchdog0") {
				names = append(names, filepath.Join(filepath.Dir(real), other))
			}
		}
	}
	var out []uint64
	for _, name := range names {
		var st unix.Stat_t
		if unix.Stat(name, &st) == nil && st.Rdev != 0 {
			out = append(out, st.Rdev)
		}
	}
	return out
}

// Path returns the interface by which packets to an address leave. Connecting a
// UDP socket asks the routing table and sends nothing.
func Path(to netip.Addr) doctor.Path {
	p := doctor.Path{To: to}
	conn, err := net.Dial("udp", netip.AddrPortFrom(to, 9).String())
	if err != nil {
		return p
	}
	defer conn.Close()
	local, ok := conn.LocalAddr().(*net.UDPAddr)
	if !ok {
		return p
	}
	p.Interface = holderOf(local.IP)
	return p
}

func holderOf(ip net.IP) string {
	all, _ := net.Interfaces()
	for _, i := range all {
		addrs, _ := i.Addrs()
		for _, a := range addrs {
			if n, ok := a.(*net.IPNet); ok && n.IP.Equal(ip) {
				return i.Name
			}
		}
	}
	return ""
}

// Clock asks the kernel whether something keeps its time of day right.
func Clock() doctor.Clock {
	var t unix.Timex
	state, err := unix.Adjtimex(&t)
	return doctor.Clock{Known: err == nil, Synchronised: doctor.Watched(state != unix.TIME_ERROR && t.Status&unix.STA_UNSYNC == 0)}
}

// Machine is DMI's UUID of this machine, "" where it has none.
func Machine() string {
	raw, _ := os.ReadFile("/sys/class/dmi/id/product_uuid")
	return strings.ToLower(strings.TrimSpace(string(raw)))
}

// Driver is what the kernel calls the driver of a watchdog device, "" where it
// does not say.
func Driver(device string) string {
	real, err := filepath.EvalSymlinks(device)
	if err != nil {
		return ""
	}
	name := filepath.Base(real)
	if name == "watchdog" {
		name = "watchdog0" // the first has two names
	}
	raw, _ := os.ReadFile(filepath.Join("/sys/class/watchdog", name, "identity"))
	return strings.TrimSpace(string(raw))
}

// File looks at a file.
func File(path, what string, kind doctor.Kind) doctor.File {
	f := doctor.File{Path: path, What: what, Kind: kind}
	info, err := os.Stat(path)
	if err != nil {
		f.Err = "it does not exist"
		if !os.IsNotExist(err) {
			f.Err = err.Error()
		}
		return f
	}
	f.Mode = uint32(info.Mode().Perm())
	f.Changed = time.Since(info.ModTime())
	if s, ok := info.Sys().(*syscall.Stat_t); ok {
		f.Owner = s.Uid
	}
	return f
}
