package config

import (
	"net/netip"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"sbarbiter/internal/secret"
	"sbarbiter/recovery"
	"sbarbiter/timing"
)

var byValue = cmp.Options{
	cmpopts.IgnoreUnexported(Node{}, Witness{}),
	cmpopts.EquateComparable(netip.Addr{}, netip.AddrPort{}, netip.Prefix{}),
}

func nodeFrom(t *testing.T, file, hostname string) Node {
	t.Helper()
	data, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	n, err := ParseNode(file, data, hostname)
	if err != nil {
		t.Fatalf("refused:\n%v", err)
	}
	return n
}

func TestAnNFSPairWithIPMITakesFifteenLines(t *testing.T) {
	text, err := os.ReadFile("testdata/nfs-pair.yaml")
	if err != nil {
		t.Fatal(err)
	}
	if lines := strings.Count(string(text), "\n"); lines > 15 {
		t.Errorf("it takes %d lines", lines)
	}
	profile, _ := timing.Profile(timing.ProfileSTONITH)
	want := Node{
		Cluster:   "nfs1",
		Name:      "node-a",
		Peer:      "node-b",
		Witnesses: []netip.AddrPort{netip.MustParseAddrPort("10.90.0.250:7443")},
		Links: []Link{
			{netip.MustParseAddrPort("10.90.0.11:7694"), netip.MustParseAddrPort("10.90.0.12:7694")},
			{netip.MustParseAddrPort("[fd91::1]:7694"), netip.MustParseAddrPort("[fd91::2]:7694")},
		},
		References: References{Addresses: []netip.Addr{netip.MustParseAddr("10.90.0.254")}, Need: 1},
		Fencing: Fencing{{{
			Spec: IPMI{
				Address: netip.MustParseAddrPort("10.90.0.242:623"), User: "stonith",
				Password: secret.Source{File: "/etc/sbarbiter/node-b.ipmi"},
			},
			Timeout: 10 * time.Second, CallTimeout: 3 * time.Second, Attempts: 3, Cuts: CutsMachine,
		}}},
		FenceAction: FenceOff,
		Watchdog:    Watchdog{Device: "/dev/watchdog", Timeout: 5 * time.Second},
		Timing:      profile,
		Groups: []Group{{
			Name: "nfs", DRBD: []string{"r0"},
			Services: []Service{
				{Filesystem{Device: "/dev/drbd0", Mount: "/srv/nfs", Type: "ext4"}, time.Minute, 4 * time.Second},
				{Address{netip.MustParsePrefix("10.90.0.100/24"), "eth0"}, time.Minute, time.Second},
				{Systemd{"nfs-server.service"}, time.Minute, 4 * time.Second},
			},
			StartTimeout: time.Minute, StopTimeout: 10 * time.Second,
		}},
		Snapshots: Snapshots{Driver: SnapshotAuto, Directory: "/var/lib/sbarbiter/kept", Quota: 64 << 30, CopyUpTo: 4 << 30, RemindAfter: 720 * time.Hour},
		StateDir:  "/var/lib/sbarbiter", RuntimeDir: "/run/sbarbiter",
		PKIDir: "/etc/sbarbiter/pki", HeartbeatKey: "/etc/sbarbiter/pki/heartbeat.key",
	}
	if d := cmp.Diff(want, nodeFrom(t, "testdata/nfs-pair.yaml", "node-a"), byValue); d != "" {
		t.Errorf("-want +got:\n%s", d)
	}
}

func TestEveryKeyIsRead(t *testing.T) {
	want := Node{
		Cluster: "web2", Name: "alpha.example.org", Peer: "beta.example.org",
		Witnesses:       []netip.AddrPort{netip.MustParseAddrPort("10.0.0.250:7443"), netip.MustParseAddrPort("[fd00::250]:7444")},
		Links:           []Link{{netip.MustParseAddrPort("10.0.0.1:7694"), netip.MustParseAddrPort("10.0.0.2:7700")}},
		AllowSingleLink: true,
		References: References{
			Addresses: []netip.Addr{netip.MustParseAddr("10.0.0.254"), netip.MustParseAddr("10.0.0.253"), netip.MustParseAddr("fd00::fe")},
			Need:      2,
		},
		Fencing: Fencing{
			{
				{FenceCommand{"/usr/sbin/pdu", []string{"left", "7"}}, 20 * time.Second, 3 * time.Second, 3, CutsSupply},
				{FenceCommand{"/usr/sbin/pdu", []string{"right", "7"}}, 20 * time.Second, 3 * time.Second, 3, CutsSupply},
			},
			{{
				IPMI{netip.MustParseAddrPort("10.0.0.242:6230"), "admin", secret.Source{File: "/root/bmc"}, 3},
				5 * time.Second, 2 * time.Second, 1, CutsMachine,
			}},
			{{
				IPMITool{IPMI{netip.MustParseAddrPort("10.0.0.243:623"), "admin", secret.Source{Credential: "bmc"}, 0}},
				10 * time.Second, 4 * time.Second, 3, CutsMachine,
			}},
			{
				{
					Redfish{
						netip.MustParseAddrPort("10.0.0.244:443"), "admin",
						secret.Source{File: "/root/redfish"},
						"Node1", AuthBasic,
						"/etc/ssl/bmc.pem", "bmc.example.org", "",
					},
					10 * time.Second, 3 * time.Second, 3, CutsMachine,
				},
				{
					Redfish{
						netip.MustParseAddrPort("10.0.0.245:8443"), "admin",
						secret.Source{File: "/root/redfish"},
						"", AuthSession,
						"", "", strings.Repeat("0a", 32),
					},
					10 * time.Second, 3 * time.Second, 3, CutsMachine,
				},
			},
			{{
				SSH{netip.MustParseAddrPort("10.0.0.2:22"), "root", secret.Source{File: "/root/key"}, "/etc/known", []string{"halt", "-f"}},
				10 * time.Second, 3 * time.Second, 3, "",
			}},
			{{
				FenceAgent{
					"/usr/sbin/fence_apc",
					map[string]string{"ip": "10.0.0.246", "plug": "7", "ssh": "1"},
					map[string]secret.Source{"password": {File: "/root/apc"}, "snmp_priv_passwd": {File: "/root/snmp"}},
				},
				30 * time.Second, 8 * time.Second, 3, CutsMachine,
			}},
		},
		FenceAction: FenceReboot,
		OwnBMC:      netip.MustParseAddr("10.0.0.241"),
		Watchdog:    Watchdog{"/dev/watchdog1", 8 * time.Second},
		Timing: timing.Plan{
			TTL: 30 * time.Second, Promise: 25 * time.Second, Renew: 300 * time.Millisecond, RPCTimeout: 400 * time.Millisecond,
			SuspectAfter: 2 * time.Second, Stop: 8 * time.Second, Watchdog: 8 * time.Second, Reset: 3 * time.Second, Late: time.Second,
		},
		Groups: []Group{
			{
				Name: "web", StartTimeout: 20 * time.Second, StopTimeout: 6 * time.Second,
				Probes: []Probe{{"gtid", []string{"/usr/bin/gtid", "-q"}, 2 * time.Second}},
				Services: []Service{
					{Address{netip.MustParsePrefix("fd00::100/64"), "bond0.7"}, 20 * time.Second, time.Second},
					{Command{Run: []string{"/usr/bin/httpd", "-f"}}, 20 * time.Second, 5 * time.Second},
				},
			},
			{
				Name: "jobs", StartTimeout: time.Minute, StopTimeout: 8 * time.Second,
				Services: []Service{
					{Command{
						Start:  []string{"/opt/jobs", "start"},
						Stop:   []string{"/opt/jobs", "stop"},
						Status: []string{"/opt/jobs", "status"},
					}, 10 * time.Second, 8 * time.Second},
				},
			},
		},
		Snapshots: Snapshots{SnapshotCommand, "/srv/kept", 10 << 30, 1 << 30, []string{"/usr/sbin/keep", "-x"}, 2160 * time.Hour},
		StateDir:  "/srv/state", RuntimeDir: "/run/sb", PKIDir: "/srv/pki", HeartbeatKey: "/srv/hb.key",
	}
	if d := cmp.Diff(want, nodeFrom(t, "testdata/everything.yaml", "unused"), byValue); d != "" {
		t.Errorf("-want +got:\n%s", d)
	}
}

func TestBothNodesFilesHaveOneHash(t *testing.T) {
	a := nodeFrom(t, "testdata/nfs-pair.yaml", "node-a")
	b := nodeFrom(t, "testdata/nfs-pair-other.yaml", "unused")
	if a.Hash() != b.Hash() {
		t.Error("two views of one pair differ")
	}
	for what, change := range map[string]func(*Node){
		"cluster":           func(n *Node) { n.Cluster = "nfs2" },
		"peer":              func(n *Node) { n.Peer = "node-c" },
		"witness":           func(n *Node) { n.Witnesses = nil },
		"link":              func(n *Node) { n.Links = n.Links[:1] },
		"timing":            func(n *Node) { n.Timing.Promise++ },
		"DRBD resources":    func(n *Node) { n.Groups[0].DRBD = []string{"r1"} },
		"services":          func(n *Node) { n.Groups[0].Services = n.Groups[0].Services[:2] },
		"a service's place": func(n *Node) { s := n.Groups[0].Services; s[1], s[2] = s[2], s[1] },
		"an address": func(n *Node) {
			n.Groups[0].Services[1].Spec = Address{Address: netip.MustParsePrefix("10.90.0.101/24")}
		},
		"a stop timeout": func(n *Node) { n.Groups[0].Services[0].StopTimeout++ },
	} {
		n := nodeFrom(t, "testdata/nfs-pair.yaml", "node-a")
		change(&n)
		if n.Hash() == a.Hash() {
			t.Errorf("another %s goes unnoticed", what)
		}
	}
}

func TestWatchdogNoneCountsAsNothing(t *testing.T) {
	text, err := os.ReadFile("testdata/nfs-pair.yaml")
	if err != nil {
		t.Fatal(err)
	}
	n, err := ParseNode("node.yaml", append(text, "watchdog: none\ntiming: {ttl: 14s}\n"...), "node-a")
	if err != nil {
		t.Fatal(err)
	}
	if !n.Watchdog.None() || n.Timing.Watchdog != 0 || n.Timing.Promise != 14*time.Second {
		t.Errorf("watchdog %+v, timing %+v", n.Watchdog, n.Timing)
	}
}

func TestStopTimeoutsOfAGroupFit(t *testing.T) {
	for _, file := range []string{"testdata/nfs-pair.yaml", "testdata/everything.yaml"} {
		for _, g := range nodeFrom(t, file, "node-a").Groups {
			sum := time.Duration(0)
			for _, s := range g.Services {
				sum += s.StopTimeout
			}
			if sum > g.StopTimeout {
				t.Errorf("%s: services of %s need %v of %v", file, g.Name, sum, g.StopTimeout)
			}
		}
	}
}

func TestWitnessAndClusterDefaults(t *testing.T) {
	w, err := ParseWitness("witness.yaml", []byte("name: w1\n"), "unused")
	if err != nil {
		t.Fatal(err)
	}
	wantWitness := Witness{
		Name: "w1", Listen: netip.MustParseAddrPort("0.0.0.0:7443"), StateDir: "/var/lib/sbarbiter", PKIDir: "/etc/sbarbiter/pki",
	}
	if d := cmp.Diff(wantWitness, w, byValue); d != "" {
		t.Errorf("-want +got:\n%s", d)
	}
	c, err := ParseCluster("cluster.yaml", []byte("cluster: nfs1\nnodes: [node-a, node-b]\nfencing: [watchdog, stonith]\naccept_pause_risk: true\ngroups:\n"+
		"  nfs: {drbd: true, preferred: node-a, minimum_grade: E3, mode: manual, takeover_delay: 5s, move_after: 30s, recovery: [discard-zero-changes, {policy: discard-node, node: node-b, require_snapshot: true}]}\n  web: {drbd: false, promote_isolated: when_peer_gone}\n"))
	if err != nil {
		t.Fatal(err)
	}
	profile, _ := timing.Profile(timing.ProfileSTONITH)
	want := Cluster{
		Name: "nfs1", Nodes: [2]string{"node-a", "node-b"}, Fencing: []FencingMethod{FencingSTONITH, FencingWatchdog},
		Timing: profile, AcceptPauseRisk: true, StartGate: 30 * time.Second, FenceTimeout: 15 * time.Second,
		HoldTime: time.Minute, ShotsPerHour: 4,
		Groups: []ClusterGroup{
			{"nfs", true, "node-a", GradeE3, ModeManual, 5 * time.Second, 30 * time.Second, PromoteIsolatedNever, []recovery.Policy{
				{Name: recovery.DiscardZeroChanges},
				{Name: recovery.DiscardNode, Node: "node-b", Guards: recovery.Guards{RequireSnapshot: true}},
			}},
			{"web", false, "", GradeE1, ModeAuto, 0, 0, PromoteIsolatedWhenPeerGone, nil},
		},
	}
	if d := cmp.Diff(want, c); d != "" {
		t.Errorf("-want +got:\n%s", d)
	}
	if got := GradeE3.String(); got != "E3" {
		t.Errorf("grade three reads %s", got)
	}
}

func TestAWitnessMayHaveFenceDevicesOfItsOwn(t *testing.T) {
	w, err := ParseWitness("witness.yaml", []byte(`name: w1
fencing:
  nfs1:
    node-a: [{driver: ipmi, address: 10.0.0.241, user: u, password_file: /a}]
    node-b: [[{driver: ipmi, address: 10.0.0.242, user: u, password_credential: b}], [{driver: command, program: /pdu, args: [7]}]]
`), "unused")
	if err != nil {
		t.Fatal(err)
	}
	b := w.Fencing["nfs1"]["node-b"]
	if len(w.Fencing["nfs1"]["node-a"]) != 1 || len(b) != 2 || b[0][0].Name() != "ipmi 10.0.0.242:623" || b[0][0].Cuts != CutsMachine {
		t.Errorf("%+v", w.Fencing)
	}
}

func TestATinyGroupStopLeavesNoServiceWithoutTime(t *testing.T) {
	text, err := os.ReadFile("testdata/nfs-pair.yaml")
	if err != nil {
		t.Fatal(err)
	}
	tiny := strings.Replace(string(text), "    drbd: [r0]", "    drbd: [r0]\n    stop_timeout: 9ms", 1)
	if _, err := ParseNode("node.yaml", []byte(tiny), "node-a"); err == nil || !strings.Contains(err.Error(), "leave") {
		t.Errorf("got %v", err)
	}
}

func TestAMachineWithoutAUsableNameMustBeNamed(t *testing.T) {
	text, err := os.ReadFile("testdata/nfs-pair.yaml")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := ParseNode("node.yaml", text, "(none)"); err == nil || !strings.Contains(err.Error(), "add node:") {
		t.Errorf("got %v", err)
	}
}

// A file made to hurt must cost an error, not the daemon.
func TestDeepNestingIsSurvived(t *testing.T) {
	for _, text := range []string{strings.Repeat("[", 5000), strings.Repeat("{a: ", 5000), strings.Repeat("- ", 5000)} {
		if _, err := ParseNode("node.yaml", []byte(text), "node-a"); err == nil {
			t.Errorf("accepted %.10q...", text)
		}
	}
}
