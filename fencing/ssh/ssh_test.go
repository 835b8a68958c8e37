package ssh

import (
	"crypto/ed25519"
	"crypto/rand"
	"encoding/pem"
	"errors"
	"net"
	"net/netip"
	"os"
	"strings"
	"testing"

	"golang.org/x/crypto/ssh"

	"sbarbiter/fencing"
	"sbarbiter/fencing/fencetest"
	"sbarbiter/internal/secret"
)

func TestDriverPassesTheSuite(t *testing.T) {
	fencetest.Run(t, func(t *testing.T, s fencetest.Setup) fencetest.Rig {
		m, f := rig(t, s)
		c := f.config(m.address)
		switch s.Fault {
		case fencetest.WrongPassword:
			_, text := signer(t)
			c.Key.File = keep(t, "other", string(text), 0o600)
		case fencetest.Unreachable:
			c.Address = closed(t)
			c.KnownHosts = keep(t, "known_hosts", knownLine(c.Address, m.host.PublicKey()), 0o644)
		}
		text, err := os.ReadFile(c.Key.File)
		if err != nil {
			t.Fatal(err)
		}
		return fencetest.Rig{Fencer: driver(t, c), Power: m.power, Secret: strings.Split(string(text), "\n")[1], Words: fencetest.OfTarget}
	})
}

func closed(t *testing.T) netip.AddrPort {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return netip.MustParseAddrPort(l.Addr().String())
}

func TestTheTargetMustShowAKnownKey(t *testing.T) {
	m, f := rig(t, fencetest.Setup{Power: fencing.PowerOn})
	other, _ := signer(t)
	for name, c := range map[string]struct {
		text string
		mode os.FileMode
		want string // "": it is let in
	}{
		"known":                   {knownLine(m.address, m.host.PublicKey()), 0o644, ""},
		"known by its host alone": {knownLine(netip.AddrPortFrom(m.address.Addr(), 22), m.host.PublicKey()), 0o644, "right one"},
		"another key":             {knownLine(m.address, other.PublicKey()), 0o644, "right one"},
		"revoked":                 {"@revoked " + knownLine(m.address, m.host.PublicKey()), 0o644, "right one"},
		"nobody is known":         {"", 0o644, "right one"},
		"nonsense":                {"hello\n", 0o644, "known hosts"},
		"open to others":          {knownLine(m.address, m.host.PublicKey()), 0o666, "chmod go-w"},
	} {
		t.Run(name, func(t *testing.T) {
			conf := f.config(m.address)
			conf.KnownHosts = keep(t, "known_hosts", c.text, c.mode)
			p, err := driver(t, conf).Status(t.Context())
			switch {
			case c.want == "" && (err != nil || p != fencing.PowerOn):
				t.Errorf("%s, %v", p, err)
			case c.want != "" && (!errors.Is(err, fencing.ErrConfig) || !strings.Contains(err.Error(), c.want)):
				t.Errorf("%s, %v; want %q", p, err, c.want)
			}
		})
	}
	if len(m.commands) > 0 {
		t.Errorf("ran %q", m.commands)
	}
}

func TestOurKeyMustBePrivateAndOpen(t *testing.T) {
	m, f := rig(t, fencetest.Setup{Power: fencing.PowerOn})
	text, err := os.ReadFile(f.key)
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		name, path, want string
	}{
		{"readable by others", keep(t, "key", string(text), 0o644), "chmod 600"},
		{"no key", keep(t, "key", "hello", 0o600), "no private key"},
		{"with a passphrase", keep(t, "key", locked(t), 0o600), "passphrase"},
	} {
		conf := f.config(m.address)
		conf.Key.File = c.path
		if err := driver(t, conf).Off(t.Context()); !errors.Is(err, fencing.ErrConfig) || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v", c.name, err)
		}
	}
}

func TestTheTargetShutsDownInOrder(t *testing.T) {
	m, f := rig(t, fencetest.Setup{Power: fencing.PowerOn})
	if err := driver(t, f.config(m.address)).Off(t.Context()); err != nil {
		t.Fatal(err)
	}
	if got := strings.Join(m.commands, ";"); got != "'systemctl' 'poweroff'" {
		t.Errorf("ran %q", got)
	}
}

func TestACommandThatFailsIsNotTaken(t *testing.T) {
	m, f := rig(t, fencetest.Setup{Power: fencing.PowerOn})
	m.exit = 1
	c := f.config(m.address)
	c.Command = []string{"/sbin/it's", "off now"}
	err := driver(t, c).Off(t.Context())
	if err == nil || !strings.Contains(err.Error(), "exit code 1: Failed to talk to init daemon.") {
		t.Errorf("got %v", err)
	}
	if got := strings.Join(m.commands, ";"); got != `'/sbin/it'\''s' 'off now'` {
		t.Errorf("ran %q", got)
	}
}

// A level of this driver alone takes the target's word and proves nothing.
func TestItsWordIsNeverProof(t *testing.T) {
	topology := fencing.Topology{Levels: [][]fencing.DeviceName{{"ssh a"}}, Weak: []fencing.DeviceName{"ssh a"}}
	grade, why := fencing.Judge(fencing.Evidence{
		Topology: topology, Taken: []fencing.DeviceName{"ssh a"},
		Before: []fencing.Reading{{Device: "ssh a", Power: fencing.PowerOn}},
		During: []fencing.Reading{{Device: "ssh a", Power: fencing.PowerOff}}, // a driver that says so is wrong
	})
	if grade != fencing.E1 || !strings.Contains(why, "stop receipt") {
		t.Errorf("%s: %s", grade, why)
	}
}

func TestConfigNamesTheField(t *testing.T) {
	good := Config{Address: netip.MustParseAddrPort("10.0.0.1:22"), User: "root", Key: secret.Source{Credential: "k"}, KnownHosts: "/known"}
	if err := good.Validate(); err != nil {
		t.Fatal(err)
	}
	for field, change := range map[string]func(*Config){
		"address":     func(c *Config) { c.Address = netip.AddrPort{} },
		"user":        func(c *Config) { c.User = "" },
		"key":         func(c *Config) { c.Key = secret.Source{} },
		"known hosts": func(c *Config) { c.KnownHosts = "known" },
		"timeout":     func(c *Config) { c.Timeout = -1 },
	} {
		bad := good
		change(&bad)
		if err := bad.Validate(); err == nil || !strings.HasPrefix(err.Error(), field+": ") {
			t.Errorf("%s: %v", field, err)
		}
	}
}

// locked is a private key with a passphrase.
func locked(t *testing.T) string {
	t.Helper()
	_, key, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	block, err := ssh.MarshalPrivateKeyWithPassphrase(key, "test", []byte("open sesame"))
	if err != nil {
		t.Fatal(err)
	}
	return string(pem.EncodeToMemory(block))
}
