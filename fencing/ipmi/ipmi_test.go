package ipmi

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"sbarbiter/fencing"
	"sbarbiter/fencing/fencetest"
	"sbarbiter/fencing/shooter"
	"sbarbiter/internal/boottime"
	"sbarbiter/internal/secret"
)

func TestDriverPassesTheSuiteAgainstARealBMC(t *testing.T) {
	fencetest.Run(t, func(t *testing.T, s fencetest.Setup) fencetest.Rig {
		t.Parallel()
		b := fencetest.StartBMC(t, s)
		return fencetest.Rig{Fencer: driver(t, b, b.Front(), b.Password), Power: b.Power, Secret: b.Password}
	})
}

func driver(t *testing.T, b *fencetest.BMC, address, password string) *Driver {
	t.Helper()
	d, err := New(Config{
		Address: address, User: fencetest.BMCUser, Password: secret.Source{File: b.PasswordFile(t, password)}, Timeout: 8 * time.Second,
	})
	if err != nil {
		t.Fatal(err)
	}
	return d
}

func TestNewPasswordNeedsNoRestart(t *testing.T) {
	b := fencetest.StartBMC(t, fencetest.Setup{Power: fencing.PowerOn})
	d := driver(t, b, b.Address, "stale")
	if _, err := d.Status(t.Context()); !errors.Is(err, fencing.ErrAuth) {
		t.Fatalf("with a stale password: %v", err)
	}
	if err := os.WriteFile(d.cfg.Password.File, []byte(fencetest.BMCPassword+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if p, err := d.Status(t.Context()); err != nil || p != fencing.PowerOn {
		t.Errorf("after the file was corrected: %s, %v", p, err)
	}
}

func TestAnswersThatAreNotSignedAreNotBelieved(t *testing.T) {
	b := fencetest.StartBMC(t, fencetest.Setup{Power: fencing.PowerOn})
	for _, c := range []struct {
		name  string
		forge func([]byte) []byte
	}{
		{"a bit of the ciphertext flipped", func(p []byte) []byte {
			if p[offType] == sealed {
				p[offPayload+20] ^= 1
			}
			return p
		}},
		{"in plain text", func(p []byte) []byte {
			if p[offType] != sealed {
				return p
			}
			// "chassis status: off", neither encrypted nor signed.
			answer := []byte{0x81, 0x04, 0x7b, 0x20, 0x08, 0x01, 0x00, 0x00, 0x00, 0x00, 0x00}
			forged := append([]byte{0x06, 0x00, 0xff, 0x07, 0x06, 0x00}, p[offSession:offSession+8]...)
			forged = append(forged, byte(len(answer)), 0)
			return append(forged, answer...)
		}},
		{"cut short", func(p []byte) []byte {
			if p[offType] == sealed {
				return p[:offPayload+5]
			}
			return p
		}},
	} {
		t.Run(c.name, func(t *testing.T) {
			d := driver(t, b, fencetest.StartWire(t, &fencetest.Wire{BMC: b.Address, OnWay: c.forge}), fencetest.BMCPassword)
			ctx, cancel := context.WithTimeout(t.Context(), 700*time.Millisecond)
			defer cancel()
			if p, err := d.Status(ctx); err == nil || p != fencing.PowerUnknown {
				t.Errorf("believed: %s, %v", p, err)
			}
		})
	}
}

func TestRepeatedAnswersDoNoHarm(t *testing.T) {
	b := fencetest.StartBMC(t, fencetest.Setup{Power: fencing.PowerOn})
	w := &fencetest.Wire{BMC: b.Address}
	var first []byte
	w.OnWay = func(p []byte) []byte {
		if first == nil {
			first = append(first, p...)
		}
		return p
	}
	d := driver(t, b, fencetest.StartWire(t, w), fencetest.BMCPassword)
	if _, err := d.Status(t.Context()); err != nil {
		t.Fatal(err)
	}
	l := &line{want: 0x13}
	if l.admits(first) {
		t.Error("a copy of the first answer is taken for the second")
	}
}

func TestOffIsFast(t *testing.T) {
	b := fencetest.StartBMC(t, fencetest.Setup{Power: fencing.PowerOn})
	d := driver(t, b, b.Address, fencetest.BMCPassword)
	start := time.Now()
	if err := d.Off(t.Context()); err != nil {
		t.Fatal(err)
	}
	if took := time.Since(start); took > 2*time.Second {
		t.Errorf("off took %v: a cipher suite was waited for", took)
	} else {
		t.Logf("off took %v", took)
	}
}

func TestAPasswordThatCannotBeUsedIsTheConfigurationsFault(t *testing.T) {
	dir := t.TempDir()
	for text, want := range map[string]string{"\n": "first line is empty", strings.Repeat("x", 21): "longer than the 20 bytes"} {
		path := filepath.Join(dir, "password")
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		d, err := New(Config{Address: "127.0.0.1:1", User: "u", Password: secret.Source{File: path}})
		if err != nil {
			t.Fatal(err)
		}
		if _, err := d.Status(t.Context()); !errors.Is(err, fencing.ErrConfig) || !strings.Contains(err.Error(), want) {
			t.Errorf("%v, want %q", err, want)
		}
	}
}

func TestConfigNamesTheField(t *testing.T) {
	good := Config{Address: "10.90.0.254", User: "stonith", Password: secret.Source{File: "/etc/sbarbiter/bmc"}}
	if err := good.Validate(); err != nil {
		t.Fatalf("a good one: %v", err)
	}
	for _, c := range []struct {
		field  string
		change func(*Config)
	}{
		{"address", func(c *Config) { c.Address = "" }},
		{"address", func(c *Config) { c.Address = "bmc:notaport" }},
		{"address", func(c *Config) { c.Address = "bmc:70000" }},
		{"user", func(c *Config) { c.User = "" }},
		{"user", func(c *Config) { c.User = strings.Repeat("u", 17) }},
		{"password", func(c *Config) { c.Password.File = "bmc.password" }},
		{"cipher suite", func(c *Config) { c.CipherSuite = 1 }},
		{"timeout", func(c *Config) { c.Timeout = -1 }},
	} {
		bad := good
		c.change(&bad)
		if err := bad.Validate(); err == nil || !strings.HasPrefix(err.Error(), c.field+": ") {
			t.Errorf("%+v: %v, want %s", bad, err, c.field)
		}
	}
	for address, want := range map[string]string{
		"bmc": "bmc:623", "10.0.0.1:9621": "10.0.0.1:9621", "fd00::1": "[fd00::1]:623", "[fd00::1]:700": "[fd00::1]:700",
	} {
		good.Address = address
		if got, err := good.hostPort(); err != nil || got != want {
			t.Errorf("%s: %s, %v", address, got, err)
		}
	}
}

func TestAShotThroughARealBMCIsProven(t *testing.T) {
	for _, fault := range []fencetest.Fault{fencetest.Honest, fencetest.Late} {
		t.Run(fault.String(), func(t *testing.T) {
			b := fencetest.StartBMC(t, fencetest.Setup{Power: fencing.PowerOn, Fault: fault, Delay: 800 * time.Millisecond})
			s := &shooter.Shooter{
				Fencers:  map[fencing.DeviceName]fencing.Fencer{"bmc-a": driver(t, b, b.Address, fencetest.BMCPassword)},
				Executor: "node-b", Now: boottime.Now,
			}
			before := shooter.Readings(s.Read(t.Context()))
			now := boottime.Now()
			res, err := s.Shoot(t.Context(), fencing.Spec{
				Target: "node-a", Topology: fencing.Topology{Levels: [][]fencing.DeviceName{{"bmc-a"}}}, Before: before,
				Start: now, StartBy: now.Add(2 * time.Second), Deadline: now.Add(15 * time.Second), MaxGap: fencing.DefaultMaxGap,
			}, nil)
			if err != nil || !res.Proven || res.Grade != fencing.E3 || b.Power() != fencing.PowerOff {
				t.Errorf("%v: %s, the machine is %s", err, res, b.Power())
			}
			t.Log(strings.Join(res.Explain(), "\n"))
		})
	}
}

func TestTheBMCTellsWhichMachineItSwitches(t *testing.T) {
	b := fencetest.StartBMC(t, fencetest.Setup{Power: fencing.PowerOn})
	got, err := serverDriver(t, b.Address, 3).Machine(t.Context())
	if err != nil || got != "a123456789abcdefa123456789abcde1" {
		t.Errorf("%q, %v", got, err)
	}
}
