package doctor

import (
	"net/netip"
	"strings"
	"testing"
	"time"
)

// well is a node that nothing is wrong with.
func well() Node {
	return Node{
		Name: "node-a", Peer: "node-b", Cluster: "nfs1", Power: true,
		DRBD:     DRBD{Used: true, Helper: File{Path: "/usr/sbin/sbagent", What: "what DRBD's handlers run", Kind: Program, Mode: 0o755}},
		Watchdog: Watchdog{Wanted: true, Device: "/dev/watchdog", Driver: "iTCO_wdt", Owner: "sbagent", Ours: true},
		Devices:  []Device{{Name: "ipmi 10.0.0.242", Address: netip.MustParseAddr("10.0.0.242"), Path: Path{Interface: "eno3"}, Power: "on"}},
		Links:    []Path{{Interface: "eno1"}, {Interface: "eno2"}},
		Files:    []File{{Path: "/etc/sbarbiter/node-b.ipmi", What: "a password", Kind: Secret, Mode: 0o600}},
		Clock:    Clock{Known: true, Synchronised: true},
		Cert:     Certificate{Path: "/etc/sbarbiter/pki/cert.pem", Left: 300 * 24 * time.Hour},
	}
}

func TestNothingIsWrongWithAWellNode(t *testing.T) {
	if got := well().Examine(); len(got) != 0 {
		t.Errorf("%+v", got)
	}
}

func TestEachFaultIsFoundWithItsFix(t *testing.T) {
	for want, c := range map[string]struct {
		severity Severity
		fix      string
		spoil    func(*Node)
	}{
		"not an address of this machine": {Critical, "sbagent check", func(n *Node) { n.Refused = []string{"node.yaml:4: 10.0.0.9 is not an address of this machine"} }},
		"fencing is dont-care": {Critical, "resource-and-stonith", func(n *Node) {
			n.DRBD.Violations = []Violation{{"r0, volume 0", "fencing is dont-care", "disk { fencing resource-and-stonith; }", ""}}
		}},
		"could not be attached: busy":       {Warning, "drbdadm attach r0", func(n *Node) { n.DRBD.Unattached = []Unattached{{"r0", "busy"}} }},
		"cannot be checked: no driver":      {Critical, "drbdadm dump", func(n *Node) { n.DRBD.Err = "no driver" }},
		"/usr/sbin/sbagent: it does not":    {Critical, "put it there", func(n *Node) { n.DRBD.Helper.Err = "it does not exist" }},
		"not executable (mode 0644)":        {Critical, "chmod 755 /usr/sbin/sbagent", func(n *Node) { n.DRBD.Helper.Mode = 0o644 }},
		"may write to it (mode 0775)":       {Critical, "chmod go-w", func(n *Node) { n.DRBD.Helper.Mode = 0o775 }},
		"there is no watchdog":              {Warning, "watchdog: {device", func(n *Node) { n.Watchdog = Watchdog{} }},
		"does not exist":                    {Critical, "modprobe", func(n *Node) { n.Watchdog.Missing = "it does not exist" }},
		"watchdogd has it open":             {Critical, "stop watchdogd", func(n *Node) { n.Watchdog.Owner, n.Watchdog.Ours = "watchdogd", false }},
		"stands still with its machine":     {Warning, "accept_pause_risk", func(n *Node) { n.Watchdog.Software, n.Watchdog.Driver = true, "softdog" }},
		"no fence device for node-b":        {Warning, "fencing: in node.yaml", func(n *Node) { n.Devices = nil }},
		"does not tell the power of node-b": {Critical, "password", func(n *Node) { n.Devices[0].Err = "wrong password" }},
		"it switches node-a itself": {Critical, "write the address of node-b's device", func(n *Node) {
			n.Machine, n.Devices[0].Machine = "4c4c4544-0031-4210-8052-b4c04f4e3632", "44454c4c310010428052b4c04f4e3632"
		}},
		"by the name bmc-b":               {Warning, "write its address", func(n *Node) { n.Devices[0].Address, n.Devices[0].HostName = netip.Addr{}, "bmc-b" }},
		"no route to 10.0.0.242":          {Critical, "ip route get", func(n *Node) { n.Devices[0].Path.Interface = "" }},
		"as the only heartbeat links are": {Warning, "another interface", func(n *Node) { n.Links = []Path{{Interface: "eno3"}} }},
		"may use it (mode 0644)":          {Critical, "chmod 600", func(n *Node) { n.Files[0].Mode = 0o644 }},
		"/etc/sbarbiter/node-b.ipmi: it does not": {Critical, "write it into the file", func(n *Node) {
			n.Files[0].Err, n.Files[0].Mend = "it does not exist", "write it into the file"
		}},
		"400 days old":                          {Note, "change it", func(n *Node) { n.Files[0].Changed = 400 * 24 * time.Hour }},
		"connects DRBD when the machine starts": {Critical, "systemctl disable drbd.service", func(n *Node) { n.DRBD.StartedBy = []string{"drbd.service"} }},
		"another cluster manager":               {Critical, "systemctl disable --now corosync pacemaker", func(n *Node) { n.Managers = []string{"corosync", "pacemaker"} }},
		"has expired":                           {Critical, "sbctl pki issue node node-a --cluster nfs1,", func(n *Node) { n.Cert.Left = -time.Hour }},
		"expires in 3 days":                     {Warning, "sbctl pki issue", func(n *Node) { n.Cert.Left = 80 * time.Hour }},
		"expires in 20 days":                    {Note, "sbctl pki issue", func(n *Node) { n.Cert.Left = 20 * 24 * time.Hour }},
		"kept by recovery 1.3 is lost: it has overflown": {Warning, "sbagent recovery release nfs --recovery 1.3 --yes", func(n *Node) {
			n.Kept = Kept{Quota: 1 << 30, Free: 1 << 29, Copies: []Copy{{Group: "nfs", Volume: "r0/0", Recovery: "1.3", Lost: "it has overflown"}}}
		}},
		"its snapshot is 71% full": {Warning, "sbctl salvage nfs --recovery 1.3 --everything", func(n *Node) {
			n.Kept = Kept{Quota: 1 << 30, Free: 1 << 29, Copies: []Copy{{Group: "nfs", Volume: "r0/0", Recovery: "1.3", Filled: 71}}}
		}},
		"kept by recovery 1.3 is 31 days old": {Note, "sbctl salvage nfs --recovery 1.3", func(n *Node) {
			n.Kept = Kept{Quota: 1 << 30, Free: 1 << 29, Remind: 30 * 24 * time.Hour, Copies: []Copy{
				{Group: "nfs", Volume: "r0/0", Recovery: "1.3", Age: 31 * 24 * time.Hour}, {Group: "nfs", Volume: "r0/1", Recovery: "1.4", Age: 29 * 24 * time.Hour},
			}}
		}},
		"they take 900 of the 1000 MiB": {Warning, "raise snapshots.quota", func(n *Node) {
			n.Kept = Kept{Quota: 1000 << 20, Free: 100 << 20, Copies: []Copy{{Group: "nfs", Volume: "r0/0", Recovery: "1.3"}}}
		}},
		"cannot be looked into": {Warning, "look into /srv/kept", func(n *Node) {
			n.Kept = Kept{Directory: "/srv/kept", Err: "it cannot be looked into"}
		}},
		"not synchronised": {Note, "chrony", func(n *Node) { n.Clock.Synchronised = false }},
	} {
		n := well()
		c.spoil(&n)
		got := n.Examine()
		if len(got) != 1 {
			t.Errorf("%q: %d findings: %+v", want, len(got), got)
			continue
		}
		f := got[0]
		if !strings.Contains(f.Subject+": "+f.What, want) || f.Severity != c.severity || !strings.Contains(f.Fix, c.fix) || f.Why == "" {
			t.Errorf("%q: %+v", want, f)
		}
	}
}

// What DRBD would decide by itself is not known by a setting's name alone.
func TestSettingThatResolvesASplitSaysWhatItCosts(t *testing.T) {
	n := well()
	n.DRBD.Violations = []Violation{
		{"r0", "after-sb-0pri is discard-zero-changes, must be disconnect", "net { after-sb-0pri disconnect; }", ResolvesSplits},
		{"r0", "protocol is A, must be C", "net { protocol C; }", ""},
	}
	got := n.Examine()
	if len(got) != 2 || !strings.Contains(got[0].Why, "gives one copy up by itself") || !strings.Contains(got[0].Fix, "recovery: in cluster.yaml") {
		t.Errorf("%+v", got)
	}
	if len(got) == 2 && (strings.Contains(got[1].Why, "by itself") || got[1].Fix != "net { protocol C; }") {
		t.Errorf("%+v", got)
	}
}

// A password that is not there is the reason for a refusal, for a device that is not
// asked, and a missing file: one finding.
func TestOneCauseIsFoundOnce(t *testing.T) {
	const path = "/etc/sbarbiter/node-b.ipmi"
	n := well()
	n.Devices[0].Secrets, n.Devices[0].Err = []string{path}, "password: "+path+" does not exist"
	n.Files[0].Err = "it does not exist"
	if got := n.Examine(); len(got) != 1 || got[0].Subject != path {
		t.Errorf("a running agent: %+v", got)
	}
	n.Refused = []string{"node.yaml:11: fencing[0].password_file: " + path + " does not exist\n  11 | fencing: ..."}
	if got := n.Examine(); len(got) != 1 || got[0].What != n.Refused[0] {
		t.Errorf("sbagent check: %+v", got)
	}
	n.Refused[0] += "; " + path + ".old"
	n.Files[0].Err, n.Files[0].Changed = "", 2*oldSecret
	if got := n.Examine(); len(got) != 3 { // it is there, and old; and the device does not answer
		t.Errorf("another cause: %+v", got)
	}
}

func TestTheWorstComesFirst(t *testing.T) {
	n := well()
	n.Clock.Synchronised, n.Cert.Left, n.Managers = false, 80*time.Hour, []string{"keepalived"}
	got := n.Examine()
	if len(got) != 3 || got[0].Severity != Critical || got[1].Severity != Warning || got[2].Severity != Note {
		t.Errorf("%+v", got)
	}
}

func TestOneLinkBesideTheFenceDeviceIsEnough(t *testing.T) {
	n := well()
	n.Links[0].Interface = "eno3"
	if got := n.Examine(); len(got) != 0 {
		t.Errorf("the second link is another cable: %+v", got)
	}
}

func TestOneMachineHasItsUUIDInManyOrders(t *testing.T) {
	const dmi = "4c4c4544-0031-4210-8052-b4c04f4e3632"
	for order, s := range map[string]string{
		"as printed":                 "4C4C4544-0031-4210-8052-B4C04F4E3632",
		"as stored by the PC":        "44454c4c310010428052b4c04f4e3632",
		"in reverse":                 "32364e4fc0b452801042310044454c4c",
		"in reverse, fields as well": "4f4e3632b4c080521042310044454c4c",
	} {
		if !SameMachine(dmi, s) {
			t.Errorf("%s: %s", order, s)
		}
	}
	for _, s := range []string{"", "none", "4c4c4544-0031-4210-8052-b4c04f4e3633", "00000000-0000-0000-0000-000000000000"} {
		if SameMachine(dmi, s) || SameMachine(s, s) && !Machine(s) {
			t.Errorf("%q is taken for %s", s, dmi)
		}
	}
}

func TestPairsAreComparedByTheWitness(t *testing.T) {
	good := func() Pair {
		m := Member{Heard: true, Reported: true, Examined: true, ConfigHash: "h", Proven: map[string]time.Duration{"ipmi": time.Hour}}
		a, b := m, m
		a.Name, b.Name = "node-a", "node-b"
		a.Groups, b.Groups = map[string]Copies{"nfs": true, "web": false}, map[string]Copies{"nfs": false, "web": false} // its DRBD is not up yet
		p := Pair{Members: [2]Member{a, b}, STONITH: true, Groups: map[string]Copies{"nfs": true, "web": false}}
		p.Timing.SuspectAfter, p.Timing.Renew, p.Timing.RPCTimeout = time.Second, 250*time.Millisecond, 250*time.Millisecond
		return p
	}
	if got := good().Examine(); len(got) != 0 {
		t.Errorf("%+v", got)
	}
	for want, spoil := range map[string]func(*Pair){
		"do not say the same":         func(p *Pair) { p.Members[1].ConfigHash = "other" },
		"it is not heard":             func(p *Pair) { p.Members[1].Heard = false },
		"has not reported":            func(p *Pair) { p.Members[1].Reported = false },
		"has not examined itself":     func(p *Pair) { p.Members[0].Examined = false },
		"was ever seen switching":     func(p *Pair) { p.Members[0].Proven = nil },
		"switching node-b off 91 day": func(p *Pair) { p.Members[1].Proven = map[string]time.Duration{"ipmi": 91*24*time.Hour + 1} },
		"has another machine's UUID": func(p *Pair) {
			p.Members[1].Machine = "4c4c4544-0031-4210-8052-b4c04f4e3632"
			p.Members[0].Switches = map[string]string{"ipmi": "4c4c4544-0031-4210-8052-b4c04f4e3633"}
		},
		"does not have group web":             func(p *Pair) { delete(p.Members[1].Groups, "web") },
		"group db, which is not declared":     func(p *Pair) { p.Members[0].Groups["db"] = true },
		"DRBD resources there, and is declar": func(p *Pair) { p.Members[0].Groups["web"] = true },
		"suspect_after 500ms <":               func(p *Pair) { p.Timing.SuspectAfter = 500 * time.Millisecond },
	} {
		p := good()
		spoil(&p)
		if got := p.Examine(); len(got) != 1 || !strings.Contains(got[0].What, want) || got[0].Fix == "" {
			t.Errorf("%q: %+v", want, got)
		}
	}
	p := good()
	p.Members[0].Proven, p.STONITH = nil, false
	if got := p.Examine(); len(got) != 0 {
		t.Errorf("without STONITH no device is needed: %+v", got)
	}
}
