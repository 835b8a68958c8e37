package config

import (
	"net/netip"
	"path"
	"regexp"
	"strings"
)

// Ports where none is written.
const (
	defaultLinkPort    = 7694
	defaultWitnessPort = 7443
	defaultIPMIPort    = 623 // RMCP, IPMI 2.0 section 13.1
	defaultRedfishPort = 443
	defaultSSHPort     = 22
)

var (
	plainName    = regexp.MustCompile(`^[A-Za-z0-9]([A-Za-z0-9_-]{0,61}[A-Za-z0-9])?$`)
	hostName     = regexp.MustCompile(`^[A-Za-z0-9]([A-Za-z0-9._-]{0,61}[A-Za-z0-9])?$`)
	resourceName = regexp.MustCompile(`^[A-Za-z0-9_][A-Za-z0-9_.-]{0,127}$`)
)

// name reads a word that is safe in file names, certificates and log lines.
func (v value) name() string {
	return v.matching(plainName, "letters, digits, - and _, at most 63")
}

// host reads a node's name as uname -n gives it.
func (v value) host() string {
	return v.matching(hostName, "letters, digits, -, . and _, at most 63")
}

// resource reads the name of a DRBD resource.
func (v value) resource() string {
	return v.matching(resourceName, "letters, digits, -, . and _")
}

func (v value) matching(rule *regexp.Regexp, allowed string) string {
	before := len(v.src.errs)
	s := v.text()
	if !v.absent() && len(v.src.errs) == before && !rule.MatchString(s) {
		v.fail("use "+allowed, "%q is not a name", s)
		return ""
	}
	return s
}

// absolute reads a path from the root.
func (v value) absolute() string {
	before := len(v.src.errs)
	s := v.text()
	if v.absent() || len(v.src.errs) > before {
		return ""
	}
	if !strings.HasPrefix(s, "/") {
		v.fail("write the whole path", "%q does not begin with /", s)
		return ""
	}
	return path.Clean(s)
}

// addr reads an address without a port. Host names are refused: their look-up
// fails on the day it is needed.
func (v value) addr() netip.Addr {
	before := len(v.src.errs)
	s := v.text()
	if v.absent() || len(v.src.errs) > before {
		return netip.Addr{}
	}
	a, err := netip.ParseAddr(s)
	if err != nil {
		v.fail("write an IPv4 or IPv6 address without port; names are not looked up", "%q is not an address", s)
		return netip.Addr{}
	}
	return a.Unmap()
}

// addrPort returns a reader of address:port, with a port to fall back on.
func addrPort(port uint16) func(value) netip.AddrPort {
	return func(v value) netip.AddrPort {
		before := len(v.src.errs)
		s := v.text()
		if v.absent() || len(v.src.errs) > before {
			return netip.AddrPort{}
		}
		if a, err := netip.ParseAddr(s); err == nil {
			return netip.AddrPortFrom(a.Unmap(), port)
		}
		ap, err := netip.ParseAddrPort(s)
		if err != nil {
			v.fail("write it as 10.0.0.1:7443 or \"[fd00::1]:7443\"; names are not looked up", "%q is not an address with port", s)
			return netip.AddrPort{}
		}
		if ap.Port() == 0 {
			v.fail("", "port 0 is no port")
		}
		return netip.AddrPortFrom(ap.Addr().Unmap(), ap.Port())
	}
}

// argv reads a command as a list, program first. No shell comes between.
func (v value) argv() []string {
	if !v.absent() && v.isScalar() {
		s := v.text()
		v.fail("write it as ["+strings.Join(strings.Fields(s), ", ")+"]", "must be a list: no shell splits it")
		return nil
	}
	out := list(v, value.text)
	if v.isList() && len(out) == 0 {
		v.fail("write it as [/path/of/program, argument]", "is empty")
		return nil
	}
	if len(out) > 0 && out[0] != "" && !strings.HasPrefix(out[0], "/") {
		v.fail("write the whole path", "the program %q does not begin with /", out[0])
	}
	return out
}
