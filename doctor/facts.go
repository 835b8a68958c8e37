package doctor

import (
	"net/netip"
	"time"
)

// Node is what was looked up on one node.
type Node struct {
	Name, Peer, Cluster string
	// Refused is what keeps an agent from starting: addresses, programs, secrets
	// and services that the node file names and the machine does not bear out.
	Refused  []string
	DRBD     DRBD
	Watchdog Watchdog
	Power    Watched
	Devices  []Device
	Links    []Path // heartbeat links
	Files    []File
	Clock    Clock
	Machine  string // DMI's UUID of this machine, "" where it cannot be read
	Managers []string
	Cert     Certificate
	Kept     Kept
}

// Watched says whether fence devices were asked at all.
type Watched bool

// DRBD is what the kernel and the configuration files say.
type DRBD struct {
	Used       Watched // there are resources
	Err        string  // why nothing can be said
	Violations []Violation
	Unattached []Unattached
	Helper     File // the program that DRBD's handlers run
	// StartedBy are the units that bring resources up when the machine starts.
	StartedBy []string
}

// Unattached is a resource whose disks could not be attached.
type Unattached struct{ Resource, Err string }

// Violation is a setting that must be another one.
type Violation struct {
	Where, What, Fix string
	Danger           Danger
}

// Danger is what a setting threatens.
type Danger string

// ResolvesSplits is that DRBD may end a split brain by itself. All else threatens writes.
const ResolvesSplits Danger = "resolves splits"

// File is a file that should be there, private or executable.
type File struct {
	Path, What string // what it is for
	Mend       string // where it comes from, if it is not there; may be empty
	Kind       Kind
	Err        string // why it cannot be looked at
	Mode       uint32
	Owner      uint32
	Changed    time.Duration // ago
}

// Kind is what a file must be.
type Kind string

// The kinds of files.
const (
	Program Kind = "program" // executable, written by its owner alone
	Secret  Kind = "secret"  // read by its owner alone
)

// Watchdog is the device that resets this machine.
type Watchdog struct {
	Wanted   Watched
	Device   string
	Missing  string // why it cannot be looked at
	Driver   string
	Software Watched
	Owner    string  // the program that has it open, "" for none
	Ours     Watched // that program is sbagent, or systemd for it
}

// Device is one fence device of the other node.
type Device struct {
	Name     string
	Address  netip.Addr // invalid: not told, as for a program
	Secrets  []string   // the files of its passwords and keys
	HostName string     // that has to be looked up to reach it; "": none
	Path     Path
	Err      string // it did not tell the power
	Power    string
	Machine  string // the UUID that it has for its host, "" if it tells none
}

// Path is the way to an address: the interface that packets leave by.
type Path struct {
	To        netip.Addr
	Interface string // "" where there is no route
}

// Clock is the machine's time of day.
type Clock struct {
	Known        Watched
	Synchronised Watched
}

// Certificate is the node's own.
type Certificate struct {
	Path string
	Err  string
	Left time.Duration
}
