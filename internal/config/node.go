package config

import (
	"fmt"
	"net/netip"
	"path"
	"slices"
	"strconv"
	"time"

	"sbarbiter/timing"
)

// Node is what one data node is told: who it is, whom it talks to, how it proves
// its peer gone and what it runs.
type Node struct {
	Cluster   string
	Name      string // this node, as uname -n has it
	Peer      string // the other one
	Witnesses []netip.AddrPort
	Links     []Link
	// AllowSingleLink is set where the operator wrote that one link must do.
	AllowSingleLink bool
	References      References
	Fencing         Fencing // how to power off the peer; empty: no power fencing
	FenceAction     FenceAction
	// OwnBMC is the power controller of this machine itself, which is no fence
	// device of its; the zero value where the file does not say.
	OwnBMC   netip.Addr
	Watchdog Watchdog
	Timing   timing.Plan
	Groups   []Group // in the order of the file
	// Snapshots is how a copy is kept before a recovery gives it up.
	Snapshots Snapshots

	StateDir     string // survives the boot
	RuntimeDir   string // dies with the boot
	PKIDir       string
	HeartbeatKey string // path of the file

	src *source
}

// Link is one path on which the nodes hear each other, UDP unicast.
type Link struct {
	Local, Peer netip.AddrPort
}

// References are addresses outside the pair that tell whether this node is
// isolated.
type References struct {
	Addresses []netip.Addr
	Need      int // so many must answer, at least 1
}

// Watchdog is the kernel watchdog; the zero value means that there is none.
type Watchdog struct {
	Device  string
	Timeout time.Duration // whole seconds; Timing.Watchdog says the same
}

// None reports that the node runs without a watchdog.
func (w Watchdog) None() bool { return w.Device == "" }

// ParseNode reads the text of a node file. file is its name in errors, hostname
// the node's name where the file gives none. The error is of type [Errors] and
// holds everything that is wrong.
func ParseNode(file string, data []byte, hostname string) (Node, error) {
	src, top, err := parse(file, data)
	if err != nil {
		return Node{}, err
	}
	n := top.readNode(hostname)
	n.src = src
	if err := src.err(); err != nil {
		return Node{}, err
	}
	return n, nil
}

func (v value) readNode(hostname string) Node {
	m := v.mapping("cluster", "node", "peer", "witnesses", "links", "allow_single_link", "references", "fencing",
		"fence_action", "own_bmc", "watchdog", "timing", "groups", "snapshots", "state_dir", "runtime_dir", "pki", "heartbeat_key")
	n := Node{
		Cluster:         m.need("cluster", "nfs1").name(),
		Name:            or(m.get("node"), hostname, value.host),
		Peer:            m.need("peer", "node-b").host(),
		Witnesses:       m.need("witnesses", "[10.0.0.250:7443]").witnesses(),
		AllowSingleLink: m.get("allow_single_link").bool(),
		References:      m.need("references", "[10.0.0.254]").references(),
		Fencing:         m.get("fencing").fencing(),
		FenceAction: or(m.get("fence_action"), FenceOff, func(v value) FenceAction {
			return FenceAction(v.oneOf(string(FenceOff), string(FenceReboot)))
		}),
		OwnBMC:     m.get("own_bmc").addr(),
		StateDir:   or(m.get("state_dir"), defaultStateDir, value.absolute),
		RuntimeDir: or(m.get("runtime_dir"), defaultRuntimeDir, value.absolute),
		PKIDir:     or(m.get("pki"), defaultPKIDir, value.absolute),
	}
	n.Snapshots = m.get("snapshots").snapshots(n.StateDir)
	n.HeartbeatKey = or(m.get("heartbeat_key"), path.Join(n.PKIDir, "heartbeat.key"), value.absolute)
	n.Links = m.need("links", "[{local: 10.0.0.1:7694, peer: 10.0.0.2:7694}]").links(linkRule(n.AllowSingleLink))
	m.get("fencing").notOwn(n)
	n.Timing, n.Watchdog = m.clock()
	n.Groups = m.need("groups", "{nfs: {...}}").groups(n.Timing)
	if m.get("node").absent() && m.isMapping() && !hostName.MatchString(n.Name) {
		m.fail("add node: with the name that DRBD's configuration has for it", "this machine's own name %q cannot be used", n.Name)
	}
	if n.Name == n.Peer && n.Peer != "" {
		m.get("peer").fail("name the other node here; node: names this one", "%s is this node itself", n.Peer)
	}
	return n
}

func (v value) witnesses() []netip.AddrPort {
	return v.someOf(list(v, addrPort(defaultWitnessPort)))
}

// someOf refuses an empty list and one that names the same address twice.
func (v value) someOf(addrs []netip.AddrPort) []netip.AddrPort {
	if v.isList() && len(addrs) == 0 {
		v.fail("", "is empty")
	}
	for i, a := range addrs {
		if a.IsValid() && slices.Contains(addrs[:i], a) {
			v.item(i).fail("remove one", "%v is listed twice", a)
		}
	}
	return addrs
}

// item is the i-th element's place, for complaints about it.
func (v value) item(i int) value {
	p := fmt.Sprintf("%s[%d]", v.path, i)
	return value{src: v.src, path: p, pos: v.src.nearest(p)}
}

func (v value) links(rule linkRule) []Link {
	links := list(v, value.link)
	switch {
	case v.isList() && len(links) == 0:
		v.fail("", "is empty")
	case len(links) == 1 && rule == twoLinks:
		v.fail("add a second link, or write allow_single_link: true beside links", "one link is one cable away from silence")
	}
	seen := map[netip.AddrPort]bool{}
	for i, l := range links {
		if l.Local.IsValid() && seen[l.Local] {
			v.item(i).fail("each link needs its own", "%v is used by another link", l.Local)
		}
		seen[l.Local] = true
	}
	return links
}

// linkRule says how many links the operator wants at least.
type linkRule bool

const (
	twoLinks   linkRule = false
	singleLink linkRule = true
)

func (v value) link() Link {
	m := v.mapping("local", "peer")
	l := Link{
		Local: addrPort(defaultLinkPort)(m.need("local", "10.0.0.1:7694")),
		Peer:  addrPort(defaultLinkPort)(m.need("peer", "10.0.0.2:7694")),
	}
	if !l.Local.IsValid() || !l.Peer.IsValid() {
		return l
	}
	switch {
	case l.Local.Addr().Is4() != l.Peer.Addr().Is4():
		m.get("peer").fail("", "%v and %v are not of one IP version", l.Peer.Addr(), l.Local.Addr())
	case l.Local.Addr() == l.Peer.Addr():
		m.get("peer").fail("write the other node's address", "%v is this node's own address", l.Peer.Addr())
	}
	for _, key := range []string{"local", "peer"} {
		a := map[string]netip.AddrPort{"local": l.Local, "peer": l.Peer}[key].Addr()
		if a.IsUnspecified() || a.IsMulticast() {
			m.get(key).fail("write the address of one interface", "%v is not one host's address", a)
		}
	}
	return l
}

func (v value) references() References {
	if v.absent() {
		return References{}
	}
	if v.isList() || v.isScalar() { // a lone address is told that a list is wanted
		return References{Addresses: v.referenceList(), Need: 1}
	}
	m := v.mapping("addresses", "need")
	r := References{Addresses: m.need("addresses", "[10.0.0.254]").referenceList()}
	r.Need = or(m.get("need"), 1, func(v value) int { return v.needed(len(r.Addresses)) })
	return r
}

func (v value) referenceList() []netip.Addr {
	addrs := list(v, value.addr)
	if v.isList() && len(addrs) == 0 {
		v.fail("name the gateway", "is empty")
	}
	for i, a := range addrs {
		if a.IsValid() && slices.Contains(addrs[:i], a) {
			v.item(i).fail("remove one", "%v is listed twice", a)
		}
	}
	return addrs
}

// needed reads "any", "all" or a number, of so many.
func (v value) needed(of int) int {
	switch s := v.text(); s {
	case "any":
		return 1
	case "all":
		return max(of, 1)
	default:
		n, err := strconv.Atoi(s)
		if err != nil || n < 1 || n > of {
			v.fail(fmt.Sprintf("any, all, or a number from 1 to %d", of), "%q of %d addresses cannot be needed", s, of)
			return 1
		}
		return n
	}
}

// clock reads watchdog and timing, which say one thing in two places: the
// device's timeout is part of the sums.
func (m mapping) clock() (timing.Plan, Watchdog) {
	t := m.get("timing").timing()
	if at := "timing.watchdog"; m.src.has(at) {
		m.src.addAt(at, "the watchdog's timeout has its own place", "write watchdog: {timeout: ...} beside timing")
	}
	w := m.get("watchdog").watchdog(t.Watchdog)
	t.Watchdog = w.Timeout
	m.src.checkTiming(t)
	return t, w
}

func (v value) watchdog(timeout time.Duration) Watchdog {
	w := Watchdog{Device: "/dev/watchdog", Timeout: timeout}
	if v.absent() {
		return w
	}
	if v.isScalar() {
		v.oneOf("none")
		return Watchdog{}
	}
	m := v.mapping("device", "timeout")
	w.Device = or(m.get("device"), w.Device, value.absolute)
	w.Timeout = or(m.get("timeout"), w.Timeout, value.duration)
	return w
}
