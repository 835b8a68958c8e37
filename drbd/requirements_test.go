package drbd

import (
	"strings"
	"testing"
)

const goodFile84 = `
common {
    net { protocol C; after-sb-0pri disconnect; rr-conflict disconnect; }
    disk { fencing resource-and-stonith; }
}
resource r0 {
    on node1 { volume 0 { device /dev/drbd0 minor 0; disk /dev/a; meta-disk internal; } address ipv4 10.0.0.1:7789; }
    on node2 { volume 0 { device /dev/drbd0 minor 0; disk /dev/a; meta-disk internal; } address ipv4 10.0.0.2:7789; }
    handlers { fence-peer "/sbin/h fence-peer"; local-io-error "/sbin/h  local-io-error"; split-brain "/sbin/h split-brain"; }
}
`

func requirements(f Family) Requirements {
	return Requirements{Family: f, Resource: "r0", HandlerCommand: "/sbin/h", Handlers: RequiredHandlers()}
}

func parseConfig(t *testing.T, text string) Section {
	t.Helper()
	s, err := ParseConfig(text)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func lines(list []Violation) string {
	var out []string
	for _, v := range list {
		out = append(out, v.String())
	}
	return strings.Join(out, "\n")
}

func TestGoodConfigurationPasses(t *testing.T) {
	if got := requirements(Family84).CheckFiles(parseConfig(t, goodFile84)); len(got) != 0 {
		t.Errorf("got\n%s", lines(got))
	}
}

func TestEachBadSettingIsNamedWithItsFix(t *testing.T) {
	for _, tc := range []struct{ old, bad, want, fix string }{
		{"protocol C", "protocol A", "protocol is A", "net { protocol C; }"},
		{"after-sb-0pri disconnect", "after-sb-0pri discard-zero-changes", "after-sb-0pri is", "net { after-sb-0pri disconnect; }"},
		{"rr-conflict disconnect", "rr-conflict violently; allow-two-primaries", "allow-two-primaries is yes", "allow-two-primaries no;"},
		{"fencing resource-and-stonith", "fencing resource-only", "fencing is resource-only", "disk { fencing resource-and-stonith; }"},
		{"disk { fencing resource-and-stonith; }", "", "fencing is dont-care", "disk { fencing resource-and-stonith; }"},
		{"meta-disk internal; }", "meta-disk internal; disk { fencing dont-care; } }", "fencing is dont-care", "volume 0"},
		{`"/sbin/h fence-peer"`, `"/usr/lib/drbd/crm-fence-peer.sh"`, "handler fence-peer runs", `fence-peer "/sbin/h fence-peer";`},
		{`split-brain "/sbin/h split-brain";`, "", "handler split-brain is not set", `split-brain "/sbin/h split-brain";`},
		{"resource r0", "resource other", "not in the configuration files", "/etc/drbd.d"},
	} {
		text := strings.Replace(goodFile84, tc.old, tc.bad, 1)
		if text == goodFile84 {
			t.Fatalf("%q is not in the good file", tc.old)
		}
		got := lines(requirements(Family84).CheckFiles(parseConfig(t, text)))
		if !strings.Contains(got, tc.want) || !strings.Contains(got, tc.fix) {
			t.Errorf("%s: got\n%s", tc.bad, got)
		}
	}
}

func TestWhatDrbdadmPrintsIsChecked(t *testing.T) {
	dump := parseConfig(t, readFile(t, "testdata/dump-common.84.txt"))
	got := lines(requirements(Family84).CheckFiles(dump))
	if strings.Contains(got, "fencing") || !strings.Contains(got, "allow-two-primaries is yes") ||
		!strings.Contains(got, `handler split-brain runs "/usr/sbin/x a \"b\" c"`) {
		t.Errorf("r0: got\n%s", got)
	}
	q := requirements(Family84)
	q.Resource = "r1"
	if got := lines(q.CheckFiles(dump)); !strings.Contains(got, "fencing is resource-only") || strings.Contains(got, "two-primaries") {
		t.Errorf("r1: got\n%s", got)
	}
	got = lines(requirements(Family9).CheckFiles(parseConfig(t, readFile(t, "testdata/dump-common.92.txt"))))
	if strings.Contains(got, "auto-promote") || strings.Contains(got, "fencing") || !strings.Contains(got, "handler fence-peer runs") {
		t.Errorf("9: got\n%s", got)
	}
}

func TestDRBD9NeedsMoreAndInTheNetSection(t *testing.T) {
	got := lines(requirements(Family9).CheckFiles(parseConfig(t, goodFile84)))
	if !strings.Contains(got, "auto-promote is yes") || !strings.Contains(got, "net { fencing resource-and-stonith; }") {
		t.Errorf("got\n%s", got)
	}
	per := `resource r0 { options { auto-promote no; quorum majority; } net { fencing resource-and-stonith; }
connection { net { protocol A; } } connection { net { after-sb-2pri call-pri-lost-after-sb; } } }`
	got = lines(requirements(Family9).CheckFiles(parseConfig(t, per)))
	for _, want := range []string{"connection 1: protocol is A", "connection 2: after-sb-2pri is", "quorum is majority"} {
		if !strings.Contains(got, want) {
			t.Errorf("%q is missing in\n%s", want, got)
		}
	}
}

func TestWhatIsInForceIsCheckedToo(t *testing.T) {
	show := parseConfig(t, one(t, "k92/04-uptodate.txt", "node1", "drbdsetup show r0"))
	got := lines(requirements(Family9).CheckKernel(show))
	if !strings.Contains(got, "fencing is dont-care") || !strings.Contains(got, "now in force") || strings.Contains(got, "handler") {
		t.Errorf("got\n%s", got)
	}
	text := one(t, "k84/90-show-defaults.txt", "node1", "drbdsetup show r0 --show-defaults")
	if got := requirements(Family84).CheckKernel(parseConfig(t, text)); len(got) != 0 {
		t.Errorf("a good resource of 8.4: got\n%s", lines(got))
	}
	second := strings.LastIndex(text, "resource-and-stonith")
	got = lines(requirements(Family84).CheckKernel(parseConfig(t, text[:second]+"resource-only"+text[second+20:])))
	if !strings.Contains(got, "volume 1, now in force: fencing is resource-only") {
		t.Errorf("one volume differs: got\n%s", got)
	}
}

func TestBrokenConfigurationIsAnError(t *testing.T) {
	for _, text := range []string{"a {", "}", "a { b }", "; x", `a "b`, "{ }", strings.Repeat("a { ", 100)} {
		if s, err := ParseConfig(text); err == nil {
			t.Errorf("%q was read as %+v", text, s)
		}
	}
}

// As drbdadm of DRBD 9 prints it: what the template says is not there, and holds.
func TestTemplateWhosePoliciesDrbdadmDoesNotPrintIsRefused(t *testing.T) {
	file := parseConfig(t, "resource r0 { template-file /etc/drbd.d/r0.tmpl; }")
	for _, got := range [][]Violation{requirements(Family9).CheckSplit(file), requirements(Family9).CheckFiles(file)} {
		if !strings.Contains(lines(got), "template-file /etc/drbd.d/r0.tmpl), which cannot be checked") {
			t.Errorf("got\n%s", lines(got))
		}
	}
}

func TestTheDeployedResourcesAreAsRequired(t *testing.T) {
	for family, file := range map[Family]string{Family84: "r0.res", Family9: "r0-drbd9.res"} {
		q := Requirements{Family: family, Resource: "r0", HandlerCommand: "/usr/sbin/sbagent handler", Handlers: RequiredHandlers()}
		if got := q.CheckFiles(parseConfig(t, readFile(t, "../deploy/drbd/"+file))); len(got) != 0 {
			t.Errorf("%s: got\n%s", file, lines(got))
		}
	}
}
