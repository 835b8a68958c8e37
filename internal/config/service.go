package config

import (
	"net/netip"
	"regexp"
	"strings"
	"time"
)

// Service is one thing that a group runs, started in the order of the file and
// stopped in reverse.
type Service struct {
	Spec         ServiceSpec
	StartTimeout time.Duration // never 0 in a parsed file
	StopTimeout  time.Duration // never 0 in a parsed file; all of a group fit in its own
}

// ServiceSpec is what to run: [Filesystem], [Address], [Systemd] or [Command].
type ServiceSpec interface {
	Kind() string // the key in the file
	Name() string // what tells it from others of its kind
	service()
}

// Filesystem is a file system to mount.
type Filesystem struct {
	Device, Mount, Type string
	Options             string // as mount -o takes them; may be empty
}

// Address is an address to add to an interface and to announce.
type Address struct {
	Address   netip.Prefix // the host's address with the network's length
	Interface string
}

// Systemd is a unit to start and stop.
type Systemd struct {
	Unit string
}

// Command is the operator's own: either Start, Stop and perhaps Status, which
// return; or Run, which stays in the foreground while the group runs.
type Command struct {
	Start, Stop, Status []string
	Run                 []string
}

// Kind is "filesystem".
func (Filesystem) Kind() string { return "filesystem" }

// Kind is "address".
func (Address) Kind() string { return "address" }

// Kind is "systemd".
func (Systemd) Kind() string { return "systemd" }

// Kind is "command".
func (Command) Kind() string { return "command" }

// Name is the mount point.
func (f Filesystem) Name() string { return f.Mount }

// Name is the address without the length.
func (a Address) Name() string {
	if !a.Address.IsValid() {
		return ""
	}
	return a.Address.Addr().String()
}

// Name is the unit's.
func (s Systemd) Name() string { return s.Unit }

// Name is the command line that starts it.
func (c Command) Name() string {
	if len(c.Run) > 0 {
		return strings.Join(c.Run, " ")
	}
	return strings.Join(c.Start, " ")
}

func (Filesystem) service() {}
func (Address) service()    {}
func (Systemd) service()    {}
func (Command) service()    {}

// share weighs a service without its own stop timeout against the others.
func (s Service) share() int {
	if _, ok := s.Spec.(Address); ok {
		return quickShare
	}
	return slowShare
}

var serviceKinds = []string{"filesystem", "address", "systemd", "command"}

func (v value) service() Service {
	before := len(v.src.errs)
	m := v.mapping(append([]string{"start_timeout", "stop_timeout"}, serviceKinds...)...)
	s := Service{
		StartTimeout: m.get("start_timeout").duration(),
		StopTimeout:  m.get("stop_timeout").duration(),
	}
	found := 0
	for _, kind := range serviceKinds {
		at := m.get(kind)
		if at.absent() {
			continue
		}
		if found++; found > 1 {
			at.fail("begin a new list entry with -", "a second service in one entry")
			break
		}
		s.Spec = at.spec(kind)
	}
	if found == 0 && len(v.src.errs) == before {
		m.fail("one of "+strings.Join(serviceKinds, ", "), "names no service")
	}
	return s
}

func (v value) spec(kind string) ServiceSpec {
	switch kind {
	case "filesystem":
		return v.filesystem()
	case "address":
		return v.address()
	case "systemd":
		return v.systemd()
	default:
		return v.command()
	}
}

func (v value) filesystem() Filesystem {
	m := v.mapping("device", "mount", "type", "options")
	f := Filesystem{
		Device:  m.need("device", "/dev/drbd0").absolute(),
		Mount:   m.need("mount", "/srv/nfs").absolute(),
		Type:    m.need("type", "ext4").name(),
		Options: m.get("options").text(),
	}
	if f.Mount == "/" {
		m.get("mount").fail("", "is the root of this machine")
	}
	return f
}

func (v value) address() Address {
	m := v.mapping("address", "interface")
	return Address{
		Address:   m.need("address", "10.0.0.100/24").prefix(),
		Interface: m.need("interface", "eth0").interfaceName(),
	}
}

// prefix reads a host's address with the length of its network.
func (v value) prefix() netip.Prefix {
	before := len(v.src.errs)
	s := v.text()
	if v.absent() || len(v.src.errs) > before {
		return netip.Prefix{}
	}
	if a, err := netip.ParseAddr(s); err == nil {
		v.fail("did you mean "+s+map[bool]string{true: "/24", false: "/64"}[a.Is4()]+"?", "%s lacks the length of its network", s)
		return netip.Prefix{}
	}
	p, err := netip.ParsePrefix(s)
	a := p.Addr()
	switch {
	case err != nil:
		v.fail("write it as 10.0.0.100/24", "%q is not an address with length", s)
	case a.IsUnspecified() || a.IsMulticast() || a.Is4In6():
		v.fail("", "%v is not one host's address", a)
	case p == p.Masked() && !p.IsSingleIP() && p.Bits() < a.BitLen()-1:
		v.fail("write the address that clients use", "%v is the network, not a host in it", p)
	default:
		return p
	}
	return netip.Prefix{}
}

// interfaceRule is what the kernel takes: IFNAMSIZ less one, no slash, no space.
var interfaceRule = regexp.MustCompile(`^[^/\s:]{1,15}$`)

func (v value) interfaceName() string {
	return v.matching(interfaceRule, "an interface's name as ip link shows it")
}

// unitRule is a systemd unit name with its type, see systemd.unit(5).
var unitRule = regexp.MustCompile(`^[A-Za-z0-9:_.\\-]+(@[A-Za-z0-9:_.\\-]*)?\.(service|socket|target|mount|path|timer|scope|slice)$`)

func (v value) systemd() Systemd {
	before := len(v.src.errs)
	s := v.text()
	if len(v.src.errs) == before && !unitRule.MatchString(s) {
		v.fail("did you mean "+s+".service?", "%q is not a unit's whole name", s)
	}
	return Systemd{Unit: s}
}

func (v value) command() Command {
	m := v.mapping("start", "stop", "status", "run")
	run := m.get("run")
	c := Command{Run: run.argv(), Status: m.get("status").argv()}
	if !run.absent() {
		m.refuse("a command with run", "start", "stop")
		return c
	}
	c.Start = m.need("start", "[/usr/local/sbin/app, start]").argv()
	c.Stop = m.need("stop", "[/usr/local/sbin/app, stop]").argv()
	return c
}

// refuse reports keys that belong to another kind of thing.
func (m mapping) refuse(kind string, keys ...string) {
	for _, key := range keys {
		if v := m.get(key); !v.absent() {
			v.fail("remove it", "%s has no %s", kind, key)
		}
	}
}
