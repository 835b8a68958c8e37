package drbd

import (
	"fmt"
	"regexp"
	"strconv"
	"strings"
)

// Program is one of DRBD's tools.
type Program string

// drbdsetup talks to the kernel; drbdadm reads the configuration first and
// runs drbdsetup, which costs another process or two. drbdmeta reads metadata off
// disks.
const (
	Drbdsetup Program = "drbdsetup"
	Drbdadm   Program = "drbdadm"
	Drbdmeta  Program = "drbdmeta"
)

// Command is one command line, ready to run without a shell.
type Command struct {
	Program Program
	Args    []string
}

// String formats the command as a person would type it.
func (c Command) String() string { return string(c.Program) + " " + strings.Join(c.Args, " ") }

func setup(args ...string) Command { return Command{Program: Drbdsetup, Args: args} }
func adm(args ...string) Command   { return Command{Program: Drbdadm, Args: args} }

// Target names a resource in all the ways that a command may need.
type Target struct {
	Resource string
	Minors   []Minor // every volume's, in volume order
	Peer     NodeID  // NoNodeID on 8.4, or if DRBD shows no connection
}

// TargetOf returns the names of a resource as it was seen.
func TargetOf(f Family, r Resource) Target {
	t := Target{Resource: r.Name, Minors: r.Minors(), Peer: NoNodeID}
	if f == Family9 && r.Peer != nil {
		t.Peer = r.Peer.NodeID
	}
	return t
}

// ConnectOption says what happens to this node's data when the two sides turn
// out to have split.
type ConnectOption string

const (
	// KeepMyData connects without giving anything up.
	KeepMyData ConnectOption = ""
	// DiscardMyData gives this node's changes up in a split brain. It holds for
	// one handshake only, and DRBD asks for it only if its own after-sb
	// policies did not decide.
	DiscardMyData ConnectOption = "--discard-my-data"
)

// Commands builds the command lines of one family. None of them forces anything
// but [Commands.Sever], and none resumes I/O. A list of several is run in order
// until one fails.
type Commands struct{ family Family }

// For returns the command lines of a family.
func For(f Family) Commands { return Commands{family: f} }

// Family is the one whose command lines they are.
func (c Commands) Family() Family { return c.family }

// Status reads one resource in full.
func (c Commands) Status(resource string) Command {
	return setup("status", resource, "--verbose", "--statistics")
}

// Events follows every resource: the present state first, then each change.
func (c Commands) Events() Command { return setup("events2", "--timestamps", "--statistics") }

// Primary promotes. On 8.4 each volume is promoted by itself, so a later one
// can be refused after an earlier one was promoted.
func (c Commands) Primary(t Target) []Command { return c.role("primary", t) }

// PrimaryForced promotes a copy that DRBD has recorded as outdated, and begins a new
// generation with it. It is promoted also where fence-peer says no.
func (c Commands) PrimaryForced(t Target) []Command {
	list := c.Primary(t)
	for i := range list {
		list[i].Args = append(list[i].Args, "--force")
	}
	return list
}

// Secondary demotes, on 8.4 each volume by itself.
func (c Commands) Secondary(t Target) []Command { return c.role("secondary", t) }

func (c Commands) role(verb string, t Target) []Command {
	if c.family == Family9 {
		return []Command{setup(verb, t.Resource)}
	}
	return perMinor(verb, t)
}

// Outdate marks this node's own copy as outdated. While connected 8.4's kernel
// changes nothing and still says done: read the disk state back. 9's refuses.
func (c Commands) Outdate(t Target) []Command { return perMinor("outdate", t) }

// Invalidate declares this node's whole copy bad, for a full resync. There is
// no way back.
func (c Commands) Invalidate(t Target) []Command { return perMinor("invalidate", t) }

func perMinor(verb string, t Target) []Command {
	var list []Command
	for _, m := range t.Minors {
		list = append(list, setup(verb, strconv.Itoa(int(m))))
	}
	return list
}

// Disconnect ends the connection to the peer. 8.4 wants both addresses, which
// only the configuration has.
func (c Commands) Disconnect(t Target) []Command {
	if c.family == Family9 && t.Peer != NoNodeID {
		return []Command{setup("disconnect", t.Resource, nodeID(t.Peer))}
	}
	return []Command{adm("disconnect", t.Resource)}
}

// Sever ends the connections of resources without a word to the peer, as a cut
// cable would: a Primary with fencing freezes its writes in the same step and
// asks fence-peer, and the peer's copy is recorded as nothing. Both families
// take it alike.
func (c Commands) Sever(resources []string) Command {
	return adm(append([]string{"disconnect", "--force"}, resources...)...)
}

// Connect begins to look for the peer.
func (c Commands) Connect(t Target, o ConnectOption) []Command {
	cmd := adm("connect")
	if c.family == Family9 && t.Peer != NoNodeID {
		cmd = setup("connect", t.Resource, nodeID(t.Peer))
	}
	if o != KeepMyData {
		cmd.Args = append(cmd.Args, string(o))
	}
	if cmd.Program == Drbdadm {
		cmd.Args = append(cmd.Args, t.Resource)
	}
	return []Command{cmd}
}

// ConnectLine has drbdadm print the command with which it would connect, and connect
// nothing.
func (c Commands) ConnectLine(resource string) Command {
	return adm("--dry-run", "connect", resource)
}

// plainWord is one that means the same to a shell.
var plainWord = regexp.MustCompile(`^[A-Za-z0-9_./:=,+@-]+$`)

// ParseConnectLine reads what ConnectLine has printed on 8.4, as "drbdsetup-84 connect r0
// ipv4:... --protocol=C"; ok is false where it is anything else, or has a secret in it.
func ParseConnectLine(text, resource string, o ConnectOption) (cmd Command, ok bool) {
	words := strings.Fields(text)
	lines := strings.Count(strings.TrimSpace(text), "\n")
	if lines > 0 || len(words) < 5 || words[0] != "drbdsetup-84" || words[1] != "connect" || words[2] != resource {
		return Command{}, false
	}
	for _, w := range words {
		if !plainWord.MatchString(w) || strings.Contains(w, "secret") {
			return Command{}, false
		}
	}
	if o != KeepMyData {
		words = append(words, string(o))
	}
	return setup(words[1:]...), true
}

// Attach configures the resource and attaches its disks, as "up" does, but lets
// it look for nobody. What the kernel has already is only attached.
func (c Commands) Attach(t Target) []Command {
	switch {
	case len(t.Minors) > 0:
		return each(t.Resource, "attach")
	case c.family == Family9:
		return each(t.Resource, "new-resource", "new-minor", "new-peer", "new-path", "peer-device-options", "attach")
	}
	return each(t.Resource, "new-resource", "sh-new-minor", "attach")
}

func each(resource string, verbs ...string) []Command {
	list := make([]Command, len(verbs))
	for i, v := range verbs {
		list[i] = adm(v, resource)
	}
	return list
}

// Down takes the resource out of the kernel.
func (c Commands) Down(resource string) []Command { return []Command{setup("down", resource)} }

// Generations reads each volume's generation identifiers. It needs attached
// disks, and on DRBD 9 the peer's node id.
func (c Commands) Generations(r Resource) ([]Command, error) {
	var list []Command
	for _, v := range r.Volumes {
		switch {
		case c.family == Family84 && v.Minor != NoMinor:
			list = append(list, setup("get-gi", strconv.Itoa(int(v.Minor))))
		case c.family == Family9 && r.Peer != nil && r.Peer.NodeID != NoNodeID:
			list = append(list, setup("get-gi", r.Name, nodeID(r.Peer.NodeID), strconv.Itoa(v.Number)))
		default:
			return nil, fmt.Errorf("address volume %d of %s: its minor or the peer's node id is not known", v.Number, r.Name)
		}
	}
	return list, nil
}

// MetadataAccess prints, for each of this node's volumes of a resource, how drbdmeta
// finds its metadata. Nothing is run.
func (c Commands) MetadataAccess(resource string) Command {
	return adm("--dry-run", "dump-md", resource)
}

// Disks prints the devices that hold this node's data of a resource, in volume
// order.
func (c Commands) Disks(resource string) Command { return adm("sh-ll-dev", resource) }

// StoredGenerations reads a volume's generations from the driver or, where that
// has no disk, from the disk.
func (c Commands) StoredGenerations(resource string, volume int) Command {
	return adm("get-gi", fmt.Sprintf("%s/%d", resource, volume))
}

// DumpMetadata prints a volume's metadata, found by the words that
// [ParseMetadataAccess] returns, also while the disk is attached.
func (c Commands) DumpMetadata(access []string) Command {
	args := append([]string{"--force"}, access...)
	return Command{Program: Drbdmeta, Args: append(args, "dump-md")}
}

// Show prints what is in force in the kernel, defaults included.
func (c Commands) Show(resource string) Command {
	return setup("show", resource, "--show-defaults")
}

// Dump prints the configuration files as drbdadm understands them. Only the
// dump of everything has the common section in it.
func (c Commands) Dump() Command { return adm("dump") }

func nodeID(n NodeID) string { return strconv.Itoa(int(n)) }
