package config

import (
	"fmt"
	"maps"
	"net/netip"
	"path"
	"slices"
	"strconv"
	"strings"

	"sbarbiter/internal/secret"
)

// CipherSuite is an IPMI 2.0 cipher suite id (3, 17, ...); 0 leaves the choice to
// the driver. Suite 0 itself, which asks for no password, cannot be chosen.
type CipherSuite uint8

// IPMI is a BMC reached over the network.
type IPMI struct {
	Address     netip.AddrPort
	User        string
	Password    secret.Source
	CipherSuite CipherSuite
}

// IPMITool is the same, spoken to by the program ipmitool.
type IPMITool struct{ IPMI }

// Redfish is one system of a management controller.
type Redfish struct {
	Address     netip.AddrPort
	User        string
	Password    secret.Source
	System      string // "": the only one
	Auth        RedfishAuth
	CAFile      string // either this or Fingerprint
	Name        string // in the certificate; "": the address
	Fingerprint string
}

// RedfishAuth is how a Redfish service is told who asks.
type RedfishAuth string

// The two ways.
const (
	AuthSession RedfishAuth = "session"
	AuthBasic   RedfishAuth = "basic"
)

// SSH is the target itself.
type SSH struct {
	Address    netip.AddrPort
	User       string
	Key        secret.Source
	KnownHosts string
	Command    []string // nil: shut down in order
}

// FenceAgent is a ClusterLabs fence agent.
type FenceAgent struct {
	Agent   string
	Options map[string]string
	Secrets map[string]secret.Source
}

// FenceCommand is a program that is called with on, off or status after its
// arguments.
type FenceCommand struct {
	Program string
	Args    []string
}

var fenceDrivers = []string{"ipmi", "ipmitool", "redfish", "ssh", "fenceagent", "command"}

// driverKeys are the keys of each driver, besides those of all.
var driverKeys = map[string][]string{
	"ipmi":       {"address", "user", "password_file", "password_credential", "cipher_suite"},
	"ipmitool":   {"address", "user", "password_file", "password_credential", "cipher_suite"},
	"redfish":    {"address", "user", "password_file", "password_credential", "system", "auth", "ca_file", "name", "fingerprint"},
	"ssh":        {"address", "user", "key_file", "key_credential", "known_hosts", "command"},
	"fenceagent": {"agent", "options", "password_file", "password_credential", "secret_files"},
	"command":    {"program", "args"},
}

func fenceKeys() []string {
	var keys []string
	for _, driver := range fenceDrivers {
		for _, k := range driverKeys[driver] {
			if !slices.Contains(keys, k) {
				keys = append(keys, k)
			}
		}
	}
	return keys
}

// foreign reports keys that belong to another driver.
func (m mapping) foreign(driver string) {
	for _, key := range fenceKeys() {
		if v := m.get(key); !v.absent() && !slices.Contains(driverKeys[driver], key) {
			v.fail("remove it", "the %s driver has no %s", driver, key)
		}
	}
}

// Driver is "ipmi".
func (IPMI) Driver() string { return "ipmi" }

// Driver is "ipmitool".
func (IPMITool) Driver() string { return "ipmitool" }

// Driver is "redfish".
func (Redfish) Driver() string { return "redfish" }

// Driver is "ssh".
func (SSH) Driver() string { return "ssh" }

// Driver is "fenceagent".
func (FenceAgent) Driver() string { return "fenceagent" }

// Driver is "command".
func (FenceCommand) Driver() string { return "command" }

// Device is "ipmi 10.0.0.242:623".
func (d IPMI) Device() string { return "ipmi " + d.Address.String() }

// Device is "ipmitool 10.0.0.242:623".
func (d IPMITool) Device() string { return "ipmitool " + d.Address.String() }

// Device is "redfish 10.0.0.242:443 System".
func (d Redfish) Device() string {
	return strings.TrimSpace("redfish " + d.Address.String() + " " + d.System)
}

// Device is "ssh 10.0.0.2:22".
func (d SSH) Device() string { return "ssh " + d.Address.String() }

// Device is the agent with the options that are no secrets.
func (d FenceAgent) Device() string {
	words := []string{d.Agent}
	for _, k := range slices.Sorted(maps.Keys(d.Options)) {
		words = append(words, k+"="+d.Options[k])
	}
	return strings.Join(words, " ")
}

// Device is the program with its arguments.
func (d FenceCommand) Device() string {
	return strings.Join(append([]string{d.Program}, d.Args...), " ")
}

func (d IPMI) unit() (netip.Addr, string)         { return d.Address.Addr(), "" }
func (d Redfish) unit() (netip.Addr, string)      { return d.Address.Addr(), d.System }
func (d SSH) unit() (netip.Addr, string)          { return d.Address.Addr(), "" }
func (d FenceCommand) unit() (netip.Addr, string) { return netip.Addr{}, "" }

// unit of an agent is the option that most of them have for it, with the outlet.
func (d FenceAgent) unit() (netip.Addr, string) {
	for _, k := range []string{"ip", "ipaddr"} {
		if a, err := netip.ParseAddr(d.Options[k]); err == nil {
			return a, d.Options["plug"] + d.Options["port"]
		}
	}
	return netip.Addr{}, ""
}

func (m mapping) ipmi(driver string) IPMI {
	m.foreign(driver)
	return IPMI{
		Address:     addrPort(defaultIPMIPort)(m.need("address", "10.0.0.242")),
		User:        m.need("user", "stonith").text(),
		Password:    m.secret("password", "/etc/sbarbiter/node-b.ipmi"),
		CipherSuite: m.get("cipher_suite").cipherSuite(),
	}
}

// cipherSuites are those of IPMI 2.0 table 22-20 that the drivers take: they
// sign and encrypt, and do not rest on MD5.
var cipherSuites = []CipherSuite{3, 17}

func (v value) cipherSuite() CipherSuite {
	if v.absent() {
		return 0
	}
	n, err := strconv.ParseUint(v.text(), 10, 8)
	if err != nil || !slices.Contains(cipherSuites, CipherSuite(n)) {
		v.fail("try 17, or 3 for an older BMC", "is not a cipher suite that is safe to use")
		return 0
	}
	return CipherSuite(n)
}

func (m mapping) redfish() Redfish {
	m.foreign("redfish")
	d := Redfish{
		Address:     addrPort(defaultRedfishPort)(m.need("address", "10.0.0.242")),
		User:        m.need("user", "stonith").text(),
		Password:    m.secret("password", "/etc/sbarbiter/node-b.redfish"),
		System:      m.get("system").text(),
		Auth:        or(m.get("auth"), AuthSession, func(v value) RedfishAuth { return RedfishAuth(v.oneOf(string(AuthSession), string(AuthBasic))) }),
		CAFile:      m.get("ca_file").absolute(),
		Name:        m.get("name").text(),
		Fingerprint: m.get("fingerprint").fingerprint(),
	}
	ca, pin := m.get("ca_file"), m.get("fingerprint")
	switch {
	case ca.absent() && pin.absent() && m.isMapping():
		m.fail("add ca_file: /etc/sbarbiter/bmc-ca.pem, or fingerprint: with what openssl x509 -noout -fingerprint -sha256 shows",
			"nothing says whose word is believed")
	case !ca.absent() && !pin.absent():
		pin.fail("keep one", "ca_file and fingerprint are both given")
	case !pin.absent() && !m.get("name").absent():
		m.get("name").fail("remove it", "with a fingerprint no name is compared")
	}
	return d
}

func (v value) fingerprint() string {
	s := strings.ToLower(strings.ReplaceAll(v.text(), ":", ""))
	if v.absent() {
		return ""
	}
	if len(s) != 64 || strings.Trim(s, "0123456789abcdef") != "" {
		v.fail("write what openssl x509 -noout -fingerprint -sha256 shows, in quotes", "is not a SHA-256 in hex")
		return ""
	}
	return s
}

func (m mapping) ssh() SSH {
	m.foreign("ssh")
	return SSH{
		Address:    addrPort(defaultSSHPort)(m.need("address", "10.0.0.2")),
		User:       m.need("user", "root").text(),
		Key:        m.secret("key", "/etc/sbarbiter/fence.key"),
		KnownHosts: or(m.get("known_hosts"), defaultKnownHosts, value.absolute),
		Command:    m.get("command").words(),
	}
}

// words reads a command that another machine runs: it need not be a path here.
func (v value) words() []string {
	if !v.absent() && v.isScalar() {
		return v.argv()
	}
	return list(v, value.text)
}

func (m mapping) fenceAgent() FenceAgent {
	m.foreign("fenceagent")
	d := FenceAgent{
		Agent: m.need("agent", "fence_ipmilan").agent(), Options: map[string]string{}, Secrets: map[string]secret.Source{},
	}
	for _, e := range m.get("options").keys() {
		switch {
		case slices.Contains(reservedOptions, e.name):
			m.src.add(e.value.path, e.at, e.name+" cannot be set here: sbarbiter sets it itself, or the agent would write passwords down", "remove it")
		case strings.Contains(e.name, "passw") && !strings.HasSuffix(e.name, "_script"):
			m.src.add(e.value.path, e.at, "a password does not belong into this file", "write password_file: PATH beside options, or secret_files: {"+e.name+": PATH}")
		default:
			d.Options[e.name] = e.value.option()
		}
	}
	for _, e := range m.get("secret_files").keys() {
		d.Secrets[e.name] = secret.Source{File: e.value.absolute()}
	}
	if !m.get("password_file").absent() || !m.get("password_credential").absent() {
		d.Secrets["password"] = m.secret("password", "")
	}
	return d
}

// reservedOptions are the driver's own, or make an agent write passwords down.
var reservedOptions = []string{"action", "option", "verbose", "verbose_level", "debug", "debug_file"}

// powerless are agents that keep a machine from a shared disk or a network, or take
// somebody's word. A copy on the machine's own disk is out of their reach.
var powerless = []string{
	"fence_ack_manual", "fence_brocade", "fence_cisco_mds", "fence_heuristics_ping", "fence_heuristics_resource", "fence_ifmib",
	"fence_kdump", "fence_mpath", "fence_sanbox2", "fence_sbd", "fence_scsi",
}

// agent reads the name of a fence agent, or its path.
func (v value) agent() string {
	s := v.text()
	switch {
	case slices.Contains(powerless, path.Base(s)):
		v.fail("use the agent of the machine's BMC or power switch", "%s cuts no power: what it calls off may run on and write to its own disk", path.Base(s))
		return ""
	case s == "" || strings.HasPrefix(s, "/"):
		return s
	case strings.Contains(s, "/"):
		v.fail("write its name, or the whole path", "%q does not begin with /", s)
		return ""
	}
	return defaultAgentDir + s
}

// option reads the value of an agent's option: true and false as it wants them.
func (v value) option() string {
	switch {
	case v.isList() || v.isMapping():
		v.fail("", "must be a word, not %s", kind(v.node))
		return ""
	case v.node.GetToken().Value == "true":
		return "1"
	case v.node.GetToken().Value == "false":
		return "0"
	}
	return v.text()
}

func (m mapping) fenceCommand() FenceCommand {
	m.foreign("command")
	return FenceCommand{
		Program: m.need("program", "/usr/local/sbin/fence-pdu").absolute(),
		Args:    list(m.get("args"), value.text),
	}
}

// secret reads where a secret is kept: KEY_file or KEY_credential.
func (m mapping) secret(key, example string) secret.Source {
	file, credential := m.get(key+"_file"), m.get(key+"_credential")
	if !credential.absent() {
		if !file.absent() {
			credential.fail("keep one", "%s_file and %s_credential are both given", key, key)
		}
		return secret.Source{Credential: credential.name()}
	}
	return secret.Source{File: m.need(key+"_file", example).absolute()}
}

// count reads a whole number.
func (v value) count(least, most int) int {
	n, err := strconv.Atoi(v.text())
	if err != nil || n < least || n > most {
		v.fail(fmt.Sprintf("a number from %d to %d", least, most), "%q cannot be used", v.text())
		return least
	}
	return n
}
