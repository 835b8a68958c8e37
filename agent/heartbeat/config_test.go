package heartbeat

import (
	"bytes"
	"errors"
	"net/netip"
	"strings"
	"testing"
)

var testKey = bytes.Repeat([]byte{7}, MinKey)

func goodConfig() Config {
	return Config{
		Cluster: "shop", Self: "node-a", Peer: "node-b", Boot: "boot-a", Incarnation: 1, Key: testKey,
		Links: []Link{
			{Name: "v4", Local: netip.MustParseAddrPort("127.0.0.1:7001"), Peer: netip.MustParseAddrPort("127.0.0.2:7001")},
			{Name: "v6", Local: netip.MustParseAddrPort("[::1]:7001"), Peer: netip.MustParseAddrPort("[::1]:7002")},
		},
	}
}

func TestConfigSaysWhatIsWrong(t *testing.T) {
	if err := goodConfig().check(); err != nil {
		t.Fatalf("a good config: %v", err)
	}
	cases := map[string]struct {
		spoil func(*Config)
		says  string
	}{
		"no cluster":        {func(c *Config) { c.Cluster = "" }, `cluster ""`},
		"talks to itself":   {func(c *Config) { c.Peer = c.Self }, "name two nodes"},
		"no incarnation":    {func(c *Config) { c.Incarnation = 0 }, "incarnation is 0"},
		"short key":         {func(c *Config) { c.Key = c.Key[1:] }, "31 bytes"},
		"one link":          {func(c *Config) { c.Links = c.Links[:1] }, "allow a single link"},
		"no link":           {func(c *Config) { c.Links = nil; c.AllowSingleLink = true }, "no links"},
		"same name twice":   {func(c *Config) { c.Links[1].Name = "v4" }, `two links are named "v4"`},
		"same local twice":  {func(c *Config) { c.Links[1].Local = c.Links[0].Local }, "link v4's already"},
		"families differ":   {func(c *Config) { c.Links[0].Peer = c.Links[1].Peer }, "one is IPv4"},
		"no port":           {func(c *Config) { c.Links[0].Peer = netip.AddrPort{} }, "address:port"},
		"any address":       {func(c *Config) { c.Links[0].Local = netip.MustParseAddrPort("0.0.0.0:1") }, "unicast"},
		"peer is ourselves": {func(c *Config) { c.Links[0].Peer = c.Links[0].Local }, "local and peer are both"},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			c := goodConfig()
			tc.spoil(&c)
			if err := c.check(); err == nil || !strings.Contains(err.Error(), tc.says) {
				t.Fatalf("got %v, want it to say %q", err, tc.says)
			}
		})
	}
}

func TestOneLinkCanBeAllowed(t *testing.T) {
	c := goodConfig()
	c.Links, c.AllowSingleLink = c.Links[:1], true
	if err := c.check(); err != nil {
		t.Fatal(err)
	}
}

func TestMissingAddressIsNamedWithWhatTheHostHas(t *testing.T) {
	c := goodConfig()
	c.Links[0].Local = netip.MustParseAddrPort("203.0.113.9:7001")
	c.Links[0].Peer = netip.MustParseAddrPort("203.0.113.10:7001")
	err := c.Validate()
	var missing *MissingAddressError
	if !errors.As(err, &missing) || missing.Link != "v4" {
		t.Fatalf("got %v", err)
	}
	for _, says := range []string{"203.0.113.9", "127.0.0.1"} {
		if !strings.Contains(err.Error(), says) {
			t.Errorf("%v does not name %s", err, says)
		}
	}
	if _, err := New(c, quiet()); err != nil {
		t.Errorf("an address that may come later must not stop the agent: %v", err)
	}
}
