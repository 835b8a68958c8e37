package fenceagent

import (
	"errors"
	"fmt"
	"maps"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"sbarbiter/fencing"
	"sbarbiter/fencing/fencetest"
	"sbarbiter/internal/secret"
)

func keep(t *testing.T, name, text string, mode os.FileMode) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), name)
	if err := os.WriteFile(path, []byte(text), mode); err != nil {
		t.Fatal(err)
	}
	return path
}

func driver(t *testing.T, c Config) *Driver {
	t.Helper()
	d, err := New(c)
	if err != nil {
		t.Fatal(err)
	}
	return d
}

// watched returns a program that notes how it was called and becomes the agent,
// and what it has noted.
func watched(t *testing.T, agent string) (path string, shown func() string) {
	t.Helper()
	log := filepath.Join(t.TempDir(), "shown")
	script := fmt.Sprintf("#!/bin/sh\n{ tr '\\0' ' ' < /proc/$$/cmdline; tr '\\0' '\\n' < /proc/$$/environ; } >> %q\nexec %q \"$@\"\n", log, agent)
	return keep(t, "agent", script, 0o755), func() string {
		text, err := os.ReadFile(log)
		if err != nil {
			t.Error(err)
		}
		return string(text)
	}
}

// The real fence_ipmilan, through the real ipmitool, to a real BMC.
func TestFenceIPMILANPassesTheSuite(t *testing.T) {
	agent := fencetest.Program(t, "fence_ipmilan", "fence-agents")
	fencetest.Program(t, "ipmitool", "ipmitool")
	fencetest.Run(t, func(t *testing.T, s fencetest.Setup) fencetest.Rig {
		t.Parallel()
		if s.Fault == fencetest.Slow {
			s.Delay /= 7 // of each datagram: ipmitool sends many before the one that counts, and is called three times
		}
		b := fencetest.StartBMC(t, s)
		path, shown := watched(t, agent)
		host, port, err := net.SplitHostPort(b.Front())
		if err != nil {
			t.Fatal(err)
		}
		d := driver(t, Config{
			Agent: path, Timeout: 9 * time.Second,
			Options: map[string]string{
				"ip": host, "ipport": port, "username": fencetest.BMCUser, "lanplus": "1", "cipher": "3",
				"privlvl": "operator", "power_wait": "0", "power_timeout": "3",
			},
			Secrets: map[string]secret.Source{"password": {File: b.PasswordFile(t, b.Password)}},
		})
		return fencetest.Rig{Fencer: d, Power: b.Power, Secret: b.Password, Shown: shown, Words: fencetest.Vague}
	})
}

// The real fence_dummy keeps the machine's power in a file.
func TestFenceDummySwitches(t *testing.T) {
	agent := fencetest.Program(t, "fence_dummy", "fence-agents")
	file := keep(t, "power", "on", 0o600)
	d := driver(t, Config{Agent: agent, Options: map[string]string{"status_file": file}})
	want := func(p fencing.Power) {
		t.Helper()
		if got, err := d.Status(t.Context()); err != nil || got != p {
			t.Errorf("status: %s, %v; want %s", got, err, p)
		}
	}
	want(fencing.PowerOn)
	if err := d.Off(t.Context()); err != nil {
		t.Error(err)
	}
	want(fencing.PowerOff)
	if text, _ := os.ReadFile(file); string(text) != "off" {
		t.Errorf("the file says %q", text)
	}
	if err := d.On(t.Context()); err != nil {
		t.Error(err)
	}
	want(fencing.PowerOn)

	broken := driver(t, Config{Agent: agent, Options: map[string]string{"type": "fail", "plug": "1", "power_timeout": "1"}})
	if err := broken.Off(t.Context()); err == nil || !strings.Contains(err.Error(), "exit code 1") {
		t.Errorf("an agent that fails: %v", err)
	}
}

// A shell that cannot read the agent, and a program that does not know an option,
// end with the code of "off".
func TestAnAgentThatCannotRunDoesNotSayOff(t *testing.T) {
	for text, want := range map[string]fencing.Power{
		"if then\n": fencing.PowerUnknown,
		"echo 'usage: agent: unknown option' >&2; exit 2\n": fencing.PowerUnknown,
		"echo 'Status: ON'; exit 2\n":                       fencing.PowerUnknown,
		"echo warning >&2; echo 'Status: OFF'; exit 2\n":    fencing.PowerOff,
		"exit 2\n": fencing.PowerOff,
	} {
		d := driver(t, Config{Agent: keep(t, "agent", "#!/bin/sh\n"+text, 0o755)})
		if got, err := d.Status(t.Context()); got != want || (err == nil) != (want == fencing.PowerOff) {
			t.Errorf("%q: %s, %v", text, got, err)
		}
	}
}

func TestAgentsDescribeTheirOptions(t *testing.T) {
	for name, want := range map[string][]string{
		"fence_dummy":   {"status_file", "type", "random_sleep_range"},
		"fence_ipmilan": {"ip", "ipport", "username", "password", "cipher", "lanplus"},
	} {
		params, err := Describe(t.Context(), fencetest.Program(t, name, "fence-agents"))
		if err != nil {
			t.Fatal(err)
		}
		known := map[string]Parameter{}
		for _, p := range params {
			known[p.Name] = p
		}
		for _, w := range want {
			if _, ok := known[w]; !ok {
				t.Errorf("%s: %s is missing in %v", name, w, slices.Sorted(maps.Keys(known)))
			}
		}
		if name == "fence_ipmilan" && (!known["password"].Secret() || known["password_script"].Secret() || !known["ipaddr"].Deprecated || !slices.Contains(known["auth"].Choice, "md5")) {
			t.Errorf("%s: %+v, %+v, %+v", name, known["password"], known["ipaddr"], known["auth"])
		}
		if _, ok := known["action"]; ok {
			t.Errorf("%s: the action can be set", name)
		}
	}
}

func TestRequiredMeansWithoutADefault(t *testing.T) {
	agent := keep(t, "agent", `#!/bin/sh
cat <<X
<resource-agent name="x"><parameters>
<parameter name="action" required="1"><content type="string"/></parameter>
<parameter name="plug" required="1"><content type="string"/></parameter>
<parameter name="port" required="1"><content type="integer" default="22"/></parameter>
</parameters></resource-agent>
X
`, 0o755)
	params, err := Describe(t.Context(), agent)
	if err != nil || len(params) != 2 || !params[0].Required || params[1].Required {
		t.Errorf("%+v, %v", params, err)
	}
	for name, text := range map[string]string{"no XML": "echo hello", "no options": "echo '<resource-agent/>'", "fails": "exit 1"} {
		if _, err := Describe(t.Context(), keep(t, "agent", "#!/bin/sh\n"+text+"\n", 0o755)); err == nil {
			t.Errorf("%s: described", name)
		}
	}
}

func TestAStatusThatContradictsItselfIsUnknown(t *testing.T) {
	for script, want := range map[string]fencing.Power{
		"exit 0": fencing.PowerOn, "exit 2": fencing.PowerOff, "echo Status: OFF; exit 2": fencing.PowerOff,
		"echo Status: ON; exit 2": fencing.PowerUnknown, "echo Status: OFF; exit 0": fencing.PowerUnknown, "exit 1": fencing.PowerUnknown,
	} {
		d := driver(t, Config{Agent: keep(t, "agent", "#!/bin/sh\n"+script+"\n", 0o755)})
		if p, err := d.Status(t.Context()); p != want || (err == nil) != (want != fencing.PowerUnknown) {
			t.Errorf("%s: %s, %v", script, p, err)
		}
	}
}

// An agent that fails may print what it was given.
func TestASecretThatIsPrintedIsNotShown(t *testing.T) {
	agent := keep(t, "agent", "#!/bin/sh\nwhile read -r line; do echo \"bad option $line\" >&2; done\nexit 1\n", 0o755)
	d := driver(t, Config{Agent: agent, Secrets: map[string]secret.Source{"password": {File: keep(t, "p", "hush-hush\n", 0o600)}}})
	err := d.Off(t.Context())
	if err == nil || strings.Contains(err.Error(), "hush-hush") || !strings.Contains(err.Error(), "password=***") {
		t.Errorf("got %v", err)
	}
	gone := driver(t, Config{Agent: agent, Secrets: map[string]secret.Source{"password": {File: "/no/such/file"}}})
	if err := gone.Off(t.Context()); !errors.Is(err, fencing.ErrConfig) {
		t.Errorf("without the file: %v", err)
	}
}

func TestConfigNamesTheField(t *testing.T) {
	for want, c := range map[string]Config{
		"agent: ":                {Agent: "fence_dummy"},
		"options: action":        {Agent: "/a", Options: map[string]string{"action": "on"}},
		"options: verbose":       {Agent: "/a", Options: map[string]string{"verbose": "1"}},
		"options: \"a b\"":       {Agent: "/a", Options: map[string]string{"a b": "1"}},
		"options: \"plug\"":      {Agent: "/a", Options: map[string]string{"plug": "1\naction=on"}},
		"options: password":      {Agent: "/a", Options: map[string]string{"password": "x"}, Secrets: map[string]secret.Source{"password": {File: "/p"}}},
		"password: \"relative\"": {Agent: "/a", Secrets: map[string]secret.Source{"password": {File: "relative"}}},
		"timeout: ":              {Agent: "/a", Timeout: -1},
	} {
		if _, err := New(c); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v", want, err)
		}
	}
}
