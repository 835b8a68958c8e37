package ipmitool

import (
	"errors"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"sbarbiter/fencing"
	"sbarbiter/fencing/fencetest"
	"sbarbiter/internal/secret"
)

// watched returns a program that notes how it was called and becomes ipmitool,
// and what it has noted.
func watched(t *testing.T) (path string, shown func() string) {
	t.Helper()
	dir := t.TempDir()
	real := fencetest.Program(t, "ipmitool", "ipmitool")
	path = filepath.Join(dir, "ipmitool")
	script := fmt.Sprintf("#!/bin/sh\n{ tr '\\0' ' ' < /proc/$$/cmdline; tr '\\0' '\\n' < /proc/$$/environ; } >> %q\nexec %q \"$@\"\n", filepath.Join(dir, "shown"), real)
	if err := os.WriteFile(path, []byte(script), 0o755); err != nil {
		t.Fatal(err)
	}
	return path, func() string {
		text, err := os.ReadFile(filepath.Join(dir, "shown"))
		if err != nil {
			t.Error(err)
		}
		return string(text)
	}
}

func TestDriverPassesTheSuiteAgainstARealBMC(t *testing.T) {
	fencetest.Run(t, func(t *testing.T, s fencetest.Setup) fencetest.Rig {
		t.Parallel()
		path, shown := watched(t)
		if s.Fault == fencetest.Slow {
			s.Delay /= 4 // of each datagram: this program sends many before the one that counts
		}
		b := fencetest.StartBMC(t, s)
		d, err := New(Config{
			Address: netip.MustParseAddrPort(b.Front()), User: fencetest.BMCUser,
			Password: secret.Source{File: b.PasswordFile(t, b.Password)}, Program: path, Timeout: 8 * time.Second,
		})
		if err != nil {
			t.Fatal(err)
		}
		return fencetest.Rig{Fencer: d, Power: b.Power, Secret: b.Password, Shown: shown}
	})
}

func TestAForeignCipherSuiteIsNamed(t *testing.T) {
	path, _ := watched(t)
	b := fencetest.StartBMC(t, fencetest.Setup{Power: fencing.PowerOn})
	d, err := New(Config{
		Address: netip.MustParseAddrPort(b.Address), User: fencetest.BMCUser, CipherSuite: 17,
		Password: secret.Source{File: b.PasswordFile(t, b.Password)}, Program: path,
	})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := d.Status(t.Context()); !errors.Is(err, fencing.ErrConfig) || !strings.Contains(err.Error(), "cipher suites [17]") {
		t.Errorf("got %v", err)
	}
}

func TestTheMachineIsReadFromWhatIpmitoolPrints(t *testing.T) {
	dir := t.TempDir()
	password, path := filepath.Join(dir, "password"), filepath.Join(dir, "ipmitool")
	for file, text := range map[string]string{password: "x", path: "#!/bin/sh\necho 'System GUID  : 4c4c4544-0031-4210-8052-b4c04f4e3632'\necho 'Timestamp    : 01/01/1999 00:00:00'\n"} {
		if err := os.WriteFile(file, []byte(text), 0o700); err != nil {
			t.Fatal(err)
		}
	}
	d, err := New(Config{Address: netip.MustParseAddrPort("127.0.0.1:623"), User: "u", Password: secret.Source{File: password}, Program: path})
	if err != nil {
		t.Fatal(err)
	}
	if got, err := d.Machine(t.Context()); err != nil || got != "4c4c4544-0031-4210-8052-b4c04f4e3632" {
		t.Errorf("%q, %v", got, err)
	}
}

func TestAnAnswerThatIsNotUnderstoodProvesNothing(t *testing.T) {
	dir := t.TempDir()
	password := filepath.Join(dir, "password")
	if err := os.WriteFile(password, []byte("x"), 0o600); err != nil {
		t.Fatal(err)
	}
	for said, want := range map[string]fencing.Power{
		"Chassis Power is on": fencing.PowerOn, "Chassis Power is off": fencing.PowerOff,
		"Chassis Power is offline": fencing.PowerUnknown, "": fencing.PowerUnknown,
	} {
		path := filepath.Join(dir, "ipmitool")
		if err := os.WriteFile(path, []byte("#!/bin/sh\necho '"+said+"'\n"), 0o755); err != nil {
			t.Fatal(err)
		}
		d, err := New(Config{Address: netip.MustParseAddrPort("127.0.0.1:623"), User: "u", Password: secret.Source{File: password}, Program: path})
		if err != nil {
			t.Fatal(err)
		}
		if p, err := d.Status(t.Context()); p != want || (err == nil) != (want != fencing.PowerUnknown) {
			t.Errorf("%q is read as %s (%v)", said, p, err)
		}
	}
}

func TestConfigNamesTheField(t *testing.T) {
	good := Config{Address: netip.MustParseAddrPort("10.0.0.1:623"), User: "u", Password: secret.Source{Credential: "bmc"}}
	if err := good.Validate(); err != nil {
		t.Fatal(err)
	}
	for field, change := range map[string]func(*Config){
		"address":      func(c *Config) { c.Address = netip.AddrPort{} },
		"user":         func(c *Config) { c.User = "-P" },
		"password":     func(c *Config) { c.Password = secret.Source{} },
		"cipher suite": func(c *Config) { c.CipherSuite = 1 },
		"program":      func(c *Config) { c.Program = "ipmitool" },
		"timeout":      func(c *Config) { c.Timeout = -1 },
	} {
		bad := good
		change(&bad)
		if err := bad.Validate(); err == nil || !strings.HasPrefix(err.Error(), field+": ") {
			t.Errorf("%s: %v", field, err)
		}
	}
}
