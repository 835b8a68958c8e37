package redfish

import (
	"crypto/ed25519"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"math/big"
	"net"
	"net/http"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"sbarbiter/fencing"
	"sbarbiter/fencing/fencetest"
	"sbarbiter/internal/secret"
)

func TestDriverPassesTheSuite(t *testing.T) {
	for _, auth := range []Auth{Session, Basic} {
		t.Run(string(auth), func(t *testing.T) {
			fencetest.Run(t, func(t *testing.T, s fencetest.Setup) fencetest.Rig {
				if auth == Basic && (s.Fault == fencetest.Slow || s.Fault == fencetest.Late || s.Fault == fencetest.Hanging) {
					t.Skip("the way to show who one is plays no part; seen with a session")
				}
				r := newService(t, s)
				c := r.config(t)
				c.Auth = auth
				said := password
				switch s.Fault {
				case fencetest.WrongPassword:
					said = "not-the-password"
					c.Password = secret.Source{File: keep(t, "password", said)}
				case fencetest.Unreachable:
					c.Address = closed(t)
				}
				return fencetest.Rig{Fencer: driver(t, c), Power: r.power, Secret: said, Shown: r.requests}
			})
		})
	}
}

func (r *service) requests() string {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.shown.String()
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

func TestWhoAnswersMustBeKnown(t *testing.T) {
	r := newService(t, fencetest.Setup{Power: fencing.PowerOn})
	for name, c := range map[string]struct {
		change func(*Config)
		want   string // "": it is believed
	}{
		"the pinned certificate": {func(*Config) {}, ""},
		"a pinned one with colons and capitals": {func(c *Config) {
			c.Fingerprint = strings.ToUpper(c.Fingerprint[:2] + ":" + c.Fingerprint[2:])
		}, ""},
		"another pinned one":               {func(c *Config) { c.Fingerprint = strings.Repeat("00", 32) }, "set fingerprint right"},
		"signed by the authority":          {func(c *Config) { c.Fingerprint, c.CAFile = "", r.caFile(t) }, ""},
		"signed, under its name":           {func(c *Config) { c.Fingerprint, c.CAFile, c.Name = "", r.caFile(t), "example.com" }, ""},
		"signed, made out for another":     {func(c *Config) { c.Fingerprint, c.CAFile, c.Name = "", r.caFile(t), "other.example.org" }, "right one"},
		"signed by nobody that is known":   {func(c *Config) { c.Fingerprint, c.CAFile = "", otherCA(t) }, "right one"},
		"authority's file is not there":    {func(c *Config) { c.Fingerprint, c.CAFile = "", "/no/such/file" }, "ca file"},
		"authority's file is no authority": {func(c *Config) { c.Fingerprint, c.CAFile = "", keep(t, "ca", "hello") }, "no certificate"},
	} {
		t.Run(name, func(t *testing.T) {
			conf := r.config(t)
			c.change(&conf)
			p, err := driver(t, conf).Status(t.Context())
			switch {
			case c.want == "" && (err != nil || p != fencing.PowerOn):
				t.Errorf("%s, %v", p, err)
			case c.want != "" && (!errors.Is(err, fencing.ErrConfig) || !strings.Contains(err.Error(), c.want) || p != fencing.PowerUnknown):
				t.Errorf("%s, %v; want %q", p, err, c.want)
			}
		})
	}
}

// otherCA is the certificate of an authority that has signed nothing here.
func otherCA(t *testing.T) string {
	t.Helper()
	_, key, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	who := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "other"}, IsCA: true, BasicConstraintsValid: true,
		NotAfter: time.Now().Add(time.Hour),
	}
	raw, err := x509.CreateCertificate(rand.Reader, who, who, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	return keep(t, "other.pem", string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: raw})))
}

func TestSessionsAreGivenBack(t *testing.T) {
	r := newService(t, fencetest.Setup{Power: fencing.PowerOn})
	d := driver(t, r.config(t))
	for range 3 {
		if _, err := d.Status(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	if err := d.Off(t.Context()); err != nil {
		t.Fatal(err)
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.sessions != 0 {
		t.Errorf("%d sessions are left open", r.sessions)
	}
}

func TestTheSystemIsFound(t *testing.T) {
	r := newService(t, fencetest.Setup{Power: fencing.PowerOn})
	r.systems = []string{"Node1", "System"}
	c := r.config(t)
	if _, err := driver(t, c).Status(t.Context()); !errors.Is(err, fencing.ErrConfig) || !strings.Contains(err.Error(), "Node1, System") {
		t.Errorf("one of two without a name: %v", err)
	}
	c.System = "System"
	if p, err := driver(t, c).Status(t.Context()); err != nil || p != fencing.PowerOn {
		t.Errorf("%s, %v", p, err)
	}
	if m, err := driver(t, c).Machine(t.Context()); err != nil || m != machine {
		t.Errorf("it is machine %q, %v", m, err)
	}
	c.System = "Sytsem"
	if err := driver(t, c).Off(t.Context()); !errors.Is(err, fencing.ErrConfig) || !errors.Is(err, fencing.ErrNotSent) {
		t.Errorf("one that is not there: %v", err)
	}
}

func TestOnlyWhatTheServiceTakesIsSent(t *testing.T) {
	r := newService(t, fencetest.Setup{Power: fencing.PowerOn})
	r.allow = []string{"On", "GracefulShutdown"}
	d := driver(t, r.config(t))
	if err := d.Off(t.Context()); !errors.Is(err, fencing.ErrConfig) || !errors.Is(err, fencing.ErrNotSent) || !strings.Contains(err.Error(), "GracefulShutdown") {
		t.Errorf("got %v", err)
	}
	if len(r.resets) > 0 {
		t.Errorf("sent %v", r.resets)
	}
	r.allow = nil // the action is described elsewhere
	if err := d.Off(t.Context()); err != nil || !slices.Equal(r.resets, []string{"ForceOff"}) || r.power() != fencing.PowerOff {
		t.Errorf("%v; sent %v", err, r.resets)
	}
}

func TestWhatIsSoAlreadyMayBeRefused(t *testing.T) {
	r := newService(t, fencetest.Setup{Power: fencing.PowerOff})
	r.refuse = http.StatusConflict
	d := driver(t, r.config(t))
	if err := d.Off(t.Context()); err != nil {
		t.Errorf("off of what is off: %v", err)
	}
	if err := d.On(t.Context()); err == nil || fencing.Permanent(err) || !strings.Contains(err.Error(), "not possible in this state") {
		t.Errorf("a refusal that matters: %v", err)
	}
	r.refuse = http.StatusForbidden
	if err := d.On(t.Context()); !errors.Is(err, fencing.ErrAuth) || !strings.Contains(err.Error(), "ConfigureComponents") {
		t.Errorf("without the privilege: %v", err)
	}
}

func TestAServiceCannotSendTheDriverElsewhere(t *testing.T) {
	r := newService(t, fencetest.Setup{Power: fencing.PowerOn})
	for _, target := range []string{"https://192.0.2.1/reset", "//192.0.2.1/reset", "reset"} {
		r.target = target
		if err := driver(t, r.config(t)).Off(t.Context()); err == nil || !strings.Contains(err.Error(), "not a path of its own") {
			t.Errorf("%s: %v", target, err)
		}
	}
}

func TestPowerStatesOnTheWayAreOn(t *testing.T) {
	for state, want := range map[string]fencing.Power{
		"On": fencing.PowerOn, "PoweringOff": fencing.PowerOn, "PoweringOn": fencing.PowerOn, "Paused": fencing.PowerOn,
		"Off": fencing.PowerOff, "": fencing.PowerUnknown, "off": fencing.PowerUnknown,
	} {
		if p, err := (&system{PowerState: state}).power(); p != want || (err == nil) != (want != fencing.PowerUnknown) {
			t.Errorf("%q: %s, %v", state, p, err)
		}
	}
}

func TestConfigNamesTheField(t *testing.T) {
	good := Config{
		Address: netip.MustParseAddrPort("10.0.0.1:443"), User: "u", Password: secret.Source{Credential: "bmc"}, CAFile: "/ca.pem",
	}
	if err := good.Validate(); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		field  string
		change func(*Config)
	}{
		{"address", func(c *Config) { c.Address = netip.AddrPort{} }},
		{"user", func(c *Config) { c.User = "a:b" }},
		{"password", func(c *Config) { c.Password = secret.Source{} }},
		{"system", func(c *Config) { c.System = "../Chassis" }},
		{"auth", func(c *Config) { c.Auth = "none" }},
		{"ca file", func(c *Config) { c.CAFile = "" }},
		{"ca file", func(c *Config) { c.CAFile = "ca.pem" }},
		{"ca file", func(c *Config) { c.Fingerprint = strings.Repeat("0", 64) }},
		{"fingerprint", func(c *Config) { c.CAFile, c.Fingerprint = "", "abc" }},
		{"timeout", func(c *Config) { c.Timeout = -1 }},
	} {
		bad := good
		c.change(&bad)
		if err := bad.Validate(); err == nil || !strings.HasPrefix(err.Error(), c.field+": ") {
			t.Errorf("%s: %v", c.field, err)
		}
	}
}
