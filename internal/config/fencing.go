package config

import (
	"net/netip"
	"slices"
	"strconv"
	"time"
)

// Fencing is how to power off one machine: levels, tried in order until one
// succeeds. All devices of a level must succeed.
type Fencing [][]FenceDevice

// FenceDevice is one driver with its settings: [IPMI] or [FenceCommand].
type FenceDevice interface {
	// Driver is the name that the file has for it.
	Driver() string
	fenceDevice()
}

// CipherSuite is an IPMI 2.0 cipher suite id (3, 17, ...); 0 leaves the choice to
// the driver. Suite 0 itself, which asks for no password, cannot be chosen.
type CipherSuite uint8

// IPMI is a BMC reached over the network.
type IPMI struct {
	Address      netip.AddrPort
	User         string
	PasswordFile string
	CipherSuite  CipherSuite
	Timeout      time.Duration // for power off and the proof that it is off
}

// FenceCommand is a program that is called with on, off or status after its
// arguments.
type FenceCommand struct {
	Program string
	Args    []string
	Timeout time.Duration // for power off and the proof that it is off
}

// Driver is "ipmi".
func (IPMI) Driver() string { return "ipmi" }

// Driver is "command".
func (FenceCommand) Driver() string { return "command" }

func (IPMI) fenceDevice()         {}
func (FenceCommand) fenceDevice() {}

const defaultFenceTimeout = 10 * time.Second

// fencing reads the levels. A flat list of several devices is refused: taken the
// wrong way, one of two power supplies off would count as the machine being off.
func (v value) fencing() Fencing {
	if v.absent() || !v.isList() {
		if !v.absent() && v.isScalar() {
			v.oneOf("none")
			return nil
		}
		list(v, value.fenceDevice) // says that a list is wanted
		return nil
	}
	var out Fencing
	flat := 0
	for _, level := range list(v, func(v value) []FenceDevice {
		if !v.isList() {
			flat++
			return []FenceDevice{v.fenceDevice()}
		}
		devices := list(v, value.fenceDevice)
		if len(devices) == 0 {
			v.fail("", "is empty")
		}
		return devices
	}) {
		out = append(out, level)
	}
	if len(out) == 0 {
		v.fail("write fencing: none if there is no fence device", "is empty")
	}
	if flat > 0 && len(out) > 1 {
		v.fail("write [[a], [b]] for \"b where a fails\", [[a, b]] for \"both must succeed\"", "several devices, but not in which way")
	}
	return out
}

func (v value) fenceDevice() FenceDevice {
	m := v.mapping("driver", "address", "user", "password_file", "cipher_suite", "program", "args", "timeout")
	switch m.need("driver", "ipmi").oneOf("ipmi", "command") {
	case "ipmi":
		return m.ipmi()
	case "command":
		return m.fenceCommand()
	}
	return nil
}

func (m mapping) ipmi() IPMI {
	m.refuse("the ipmi driver", "program", "args")
	return IPMI{
		Address:      addrPort(defaultIPMIPort)(m.need("address", "10.0.0.242")),
		User:         m.need("user", "stonith").text(),
		PasswordFile: m.need("password_file", "/etc/sbarbiter/node-b.ipmi").absolute(),
		CipherSuite:  m.get("cipher_suite").cipherSuite(),
		Timeout:      or(m.get("timeout"), defaultFenceTimeout, value.duration),
	}
}

// cipherSuites are those of IPMI 2.0 table 22-20 that authenticate the session.
var cipherSuites = []CipherSuite{1, 2, 3, 6, 7, 8, 11, 12, 15, 16, 17}

func (v value) cipherSuite() CipherSuite {
	if v.absent() {
		return 0
	}
	n, err := strconv.ParseUint(v.text(), 10, 8)
	if err != nil || !slices.Contains(cipherSuites, CipherSuite(n)) {
		v.fail("try 17, or 3 for an older BMC", "is not a cipher suite that asks for the password")
		return 0
	}
	return CipherSuite(n)
}

func (m mapping) fenceCommand() FenceCommand {
	m.refuse("the command driver", "address", "user", "password_file", "cipher_suite")
	return FenceCommand{
		Program: m.need("program", "/usr/local/sbin/fence-pdu").absolute(),
		Args:    list(m.get("args"), value.text),
		Timeout: or(m.get("timeout"), defaultFenceTimeout, value.duration),
	}
}

// refuse reports keys that belong to another kind of thing.
func (m mapping) refuse(kind string, keys ...string) {
	for _, key := range keys {
		if v := m.get(key); !v.absent() {
			v.fail("remove it", "%s has no %s", kind, key)
		}
	}
}
