package config

import (
	"errors"
	"fmt"
	"io/fs"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// AgentOption is an option that a fence agent knows.
type AgentOption struct {
	Name     string
	Required bool     // and without a default
	Choice   []string // what it may be; empty: anything
}

// DescribeAgent asks a fence agent for its options.
type DescribeAgent func(agent string) ([]AgentOption, error)

// CheckHost reports what the node file says that this machine does not bear out:
// addresses and interfaces that it does not have, devices and programs that are
// missing, secrets that others may read, a fence device that would power off
// this machine itself. The error is of type [Errors].
func CheckHost(n Node, describe DescribeAgent) error {
	h, err := observe(NodeFile, n.src)
	if err != nil {
		return err
	}
	h.describe = describe
	h.links(n.Links)
	h.fencing("fencing", n.Fencing)
	if !n.Watchdog.None() {
		h.device("watchdog.device", n.Watchdog.Device, fs.ModeDevice|fs.ModeCharDevice, "modprobe the driver of this machine's watchdog, or write watchdog: none")
	}
	for _, g := range n.Groups {
		for i, s := range g.Services {
			h.service(fmt.Sprintf("groups.%s.services[%d].", g.Name, i), s.Spec, g.DRBD)
		}
	}
	return h.src.err()
}

// CheckWitnessHost reports what the witness file says that this machine does not
// bear out. The error is of type [Errors].
func CheckWitnessHost(w Witness, describe DescribeAgent) error {
	if len(w.Fencing) == 0 {
		return nil
	}
	h, err := observe(WitnessFile, w.src)
	if err != nil {
		return err
	}
	h.describe = describe
	for cluster, nodes := range w.Fencing {
		for node, f := range nodes {
			h.fencing("fencing."+cluster+"."+node, f)
		}
	}
	return h.src.err()
}

// host is what this machine has, and what was found missing.
type host struct {
	src        *source
	addrs      []netip.Addr
	interfaces []string
	describe   DescribeAgent
}

// observe looks at this machine; src is what is to be checked, nil for data that
// was made in memory.
func observe(file string, src *source) (*host, error) {
	h := &host{src: &source{file: file}}
	if src != nil {
		h.src = &source{file: src.file, lines: src.lines, at: src.at}
	}
	interfaces, err := net.Interfaces()
	if err != nil {
		return nil, fmt.Errorf("list this machine's interfaces: %w", err)
	}
	for _, i := range interfaces {
		h.interfaces = append(h.interfaces, i.Name)
	}
	addrs, err := net.InterfaceAddrs()
	if err != nil {
		return nil, fmt.Errorf("list this machine's addresses: %w", err)
	}
	for _, a := range addrs {
		if p, err := netip.ParsePrefix(a.String()); err == nil {
			h.addrs = append(h.addrs, p.Addr().Unmap())
		}
	}
	return h, nil
}

func (h *host) links(links []Link) {
	for i, l := range links {
		addr := l.Local.Addr().WithZone("")
		if slices.Contains(h.addrs, addr) {
			continue
		}
		h.src.addAt(fmt.Sprintf("links[%d].local", i), fmt.Sprintf("%v is not an address of this machine", addr), h.sameFamily(addr))
	}
}

func (h *host) sameFamily(addr netip.Addr) string {
	var have []string
	for _, a := range h.addrs {
		if a.Is4() == addr.Is4() && !a.IsLoopback() && !a.IsLinkLocalUnicast() {
			have = append(have, a.String())
		}
	}
	if len(have) == 0 {
		return "see ip address show"
	}
	return "it has " + strings.Join(have, ", ")
}

func (h *host) service(at string, spec ServiceSpec, drbd []string) {
	switch s := spec.(type) {
	case Filesystem:
		// DRBD makes its device nodes when it brings the resource up.
		if len(drbd) == 0 || !strings.HasPrefix(s.Device, "/dev/drbd") || exists(s.Device) {
			h.device(at+"filesystem.device", s.Device, fs.ModeDevice, "see lsblk")
		}
		h.directory(at+"filesystem.mount", s.Mount)
	case Address:
		if !slices.Contains(h.interfaces, s.Interface) {
			h.src.addAt(at+"address.interface", s.Interface+" is not an interface of this machine", "it has "+strings.Join(h.interfaces, ", "))
		}
	case Command:
		h.command(at+"command.start", s.Start)
		h.command(at+"command.stop", s.Stop)
		h.command(at+"command.status", s.Status)
		h.command(at+"command.run", s.Run)
	case Systemd: // only systemd itself can tell
	}
}

func exists(path string) bool {
	_, err := os.Stat(path)
	return err == nil
}

func (h *host) command(at string, argv []string) {
	if len(argv) > 0 {
		h.program(at+"[0]", argv[0])
	}
}

func (h *host) program(at, path string) {
	info, err := os.Stat(path)
	switch {
	case err != nil:
		h.src.addAt(at, missing(path, err), "")
	case !info.Mode().IsRegular() || info.Mode().Perm()&0o111 == 0:
		h.src.addAt(at, path+" is not a program", "chmod +x "+path)
	}
}

// device wants a device node of exactly that type.
func (h *host) device(at, path string, kind fs.FileMode, hint string) {
	info, err := os.Stat(path)
	switch {
	case err != nil:
		h.src.addAt(at, missing(path, err), hint)
	case info.Mode()&(fs.ModeDevice|fs.ModeCharDevice) != kind:
		what := "block device"
		if kind&fs.ModeCharDevice != 0 {
			what = "character device"
		}
		h.src.addAt(at, path+" is not a "+what, hint)
	}
}

func (h *host) directory(at, path string) {
	info, err := os.Stat(path)
	switch {
	case err != nil:
		h.src.addAt(at, missing(path, err), "mkdir -p "+filepath.Clean(path))
	case !info.IsDir():
		h.src.addAt(at, path+" is not a directory", "")
	}
}

func missing(path string, err error) string {
	if errors.Is(err, fs.ErrNotExist) {
		return path + " does not exist"
	}
	return err.Error()
}
