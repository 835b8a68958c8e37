package config

import (
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// hostFile is a node file for a machine that has loopback and nothing else; dir
// holds what the test put there.
const hostFile = `cluster: nfs1
peer: node-b
witnesses: [127.0.0.9]
links: [{local: %[2]s, peer: 127.0.0.2}, {local: 127.0.0.1:7695, peer: 127.0.0.2}]
references: [127.0.0.9]
watchdog: %[3]s
fencing:
  - [{driver: ipmi, address: %[5]s, user: u, password_file: %[1]s/password}]
  - [{driver: command, program: %[1]s/program}]
  - [{driver: fenceagent, agent: %[1]s/agent, options: {plug: "7", %[6]s}}]
groups:
  nfs:
    drbd: [r0]
    services:
      - filesystem: {device: /dev/drbd4711, mount: %[1]s, type: ext4}
      - address: {address: 127.0.0.3/8, interface: %[4]s}
      - command: {run: [%[1]s/program]}
`

func hostCase(t *testing.T, link, watchdog, iface, fence, option string) Node {
	t.Helper()
	dir := t.TempDir()
	write(t, dir, "agent", "#!/bin/sh", 0o755)
	write(t, dir, "password", "secret", 0o600)
	write(t, dir, "program", "#!/bin/sh", 0o755)
	n, err := ParseNode("node.yaml", fmt.Appendf(nil, hostFile, dir, link, watchdog, iface, fence, option), "node-a")
	if err != nil {
		t.Fatal(err)
	}
	return n
}

// describe stands for an agent that knows three options.
func describe(string) ([]AgentOption, error) {
	return []AgentOption{{Name: "plug"}, {Name: "method", Choice: []string{"onoff", "cycle"}}, {Name: "username", Required: true}}, nil
}

func write(t *testing.T, dir, name, text string, mode os.FileMode) {
	t.Helper()
	path := filepath.Join(dir, name)
	if err := os.WriteFile(path, []byte(text), mode); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(path, mode); err != nil {
		t.Fatal(err)
	}
}

func dirOf(n Node) string { return n.Groups[0].Services[0].Spec.(Filesystem).Mount }

func TestAHostThatHasEverythingPasses(t *testing.T) {
	if err := CheckHost(hostCase(t, "127.0.0.1", "none", "lo", "127.0.0.9", "username: u"), describe); err != nil {
		t.Errorf("refused:\n%v", err)
	}
	if err := CheckHost(Node{Watchdog: Watchdog{Device: "/dev/null"}}, nil); err != nil {
		t.Errorf("a node made in memory: %v", err)
	}
}

func TestCheckHostPointsAtTheLine(t *testing.T) {
	for name, c := range map[string]struct {
		link, watchdog, iface string
		fence, option         string
		change                func(t *testing.T, n Node)
		line                  int
		says, hint            string
	}{
		"address of another host": {
			link: "192.0.2.1", line: 4, says: "links[0].local: 192.0.2.1 is not an address of this machine",
		},
		"no such interface": {
			iface: "eth4711", line: 16, says: "eth4711 is not an interface of this machine", hint: "it has lo",
		},
		"no watchdog": {
			watchdog: "{device: /dev/watchdog4711}", line: 6, says: "watchdog.device: /dev/watchdog4711 does not exist", hint: "watchdog: none",
		},
		"watchdog is a file": {
			watchdog: "{device: /etc/passwd}", line: 6, says: "/etc/passwd is not a character device",
		},
		"password readable by others": {
			change: func(t *testing.T, n Node) { write(t, dirOf(n), "password", "secret", 0o644) },
			line:   8, says: "fencing[0][0].password_file", hint: "chmod 600 /",
		},
		"password missing": {
			change: func(t *testing.T, n Node) { remove(t, n, "password") },
			line:   8, says: "password does not exist", hint: "chmod 600 it",
		},
		"password empty": {
			change: func(t *testing.T, n Node) { write(t, dirOf(n), "password", "", 0o600) },
			line:   8, says: "password is empty",
		},
		"a device of this machine itself": {
			fence: `"::1"`, line: 8, says: "fencing[0][0].address: ::1 is an address of this machine itself", hint: "other machine",
		},
		"an agent's option misspelt": {
			option: "usernmae: u", line: 10, says: "agent has no option usernmae", hint: "did you mean username?",
		},
		"an agent's option missing": {
			option: "method: cycle", line: 10, says: "needs the option username", hint: "add username:",
		},
		"an agent's option with a wrong word": {
			option: "username: u, method: onof", line: 10, says: `"onof" is not known`, hint: "did you mean onoff?",
		},
		"agent missing": {
			change: func(t *testing.T, n Node) { remove(t, n, "agent") },
			line:   10, says: "agent does not exist", hint: "fence-agents",
		},
		"fence program missing": {
			change: func(t *testing.T, n Node) { remove(t, n, "program") },
			line:   9, says: "fencing[1][0].program", hint: "",
		},
		"service program not executable": {
			change: func(t *testing.T, n Node) { write(t, dirOf(n), "program", "text", 0o644) },
			line:   17, says: "groups.nfs.services[2].command.run[0]", hint: "chmod +x",
		},
	} {
		t.Run(name, func(t *testing.T) {
			if have, err := net.InterfaceAddrs(); strings.Contains(c.fence, "::1") && (err != nil || !strings.Contains(fmt.Sprint(have), "::1/128")) {
				t.Skip("this machine has no IPv6 loopback")
			}
			n := hostCase(t, other(c.link, "127.0.0.1"), other(c.watchdog, "none"), other(c.iface, "lo"), other(c.fence, "127.0.0.9"), other(c.option, "username: u"))
			if c.change != nil {
				c.change(t, n)
			}
			var all Errors
			if err := CheckHost(n, describe); !errors.As(err, &all) {
				t.Fatalf("got %v", err)
			}
			for _, e := range all {
				if e.Line == c.line && strings.Contains(e.Error(), c.says) && strings.Contains(e.Hint, c.hint) {
					return
				}
			}
			t.Errorf("nothing of line %d, %q, %q in:\n%v", c.line, c.says, c.hint, all)
		})
	}
}

func remove(t *testing.T, n Node, name string) {
	t.Helper()
	if err := os.Remove(filepath.Join(dirOf(n), name)); err != nil {
		t.Fatal(err)
	}
}

func other(s, fallback string) string {
	if s == "" {
		return fallback
	}
	return s
}

func TestLoadReadsTheFileAndNamesTheNodeAfterTheHost(t *testing.T) {
	dir := t.TempDir()
	text, err := os.ReadFile("testdata/nfs-pair.yaml")
	if err != nil {
		t.Fatal(err)
	}
	write(t, dir, "node.yaml", string(text), 0o644)
	n, err := LoadNode(filepath.Join(dir, "node.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	if host, err := os.Hostname(); err != nil || n.Name != host {
		t.Errorf("named %q on %q (%v)", n.Name, host, err)
	}
	if _, err := LoadCluster(filepath.Join(dir, "none")); !errors.Is(err, os.ErrNotExist) || !strings.Contains(err.Error(), "deploy/") {
		t.Errorf("a missing file: %v", err)
	}
	write(t, dir, "disk.img", strings.Repeat("#", maxFileSize+1), 0o644)
	if _, err := LoadWitness(filepath.Join(dir, "disk.img")); err == nil || !strings.Contains(err.Error(), "larger than 64 KiB") {
		t.Errorf("an enormous file: %v", err)
	}
}
