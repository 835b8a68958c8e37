package scenarios

import (
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"sbarbiter/chaos-tests/pair"
)

// built builds the programs once.
var built = sync.OnceValues(func() (string, error) {
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Minute)
	defer cancel()
	return pair.Programs(ctx, os.Getenv("LAB_BIN"))
})

// program is a built program's path.
func program(t *testing.T, name string) string {
	t.Helper()
	dir, err := built()
	if err != nil {
		t.Fatal(err)
	}
	return filepath.Join(dir, name)
}

// run runs a program and returns how it ended; it must not go on for long.
func run(t *testing.T, cmd *exec.Cmd) pair.Answer {
	t.Helper()
	timer := time.AfterFunc(20*time.Second, func() {
		if cmd.Process != nil {
			_ = cmd.Process.Kill()
		}
	})
	defer timer.Stop()
	a, err := pair.Run(cmd)
	if err != nil {
		t.Fatal(err)
	}
	return a
}

// refuses wants a program to end with exit 1 and to say all these words.
func refuses(t *testing.T, cmd *exec.Cmd, words ...string) {
	t.Helper()
	a := run(t, cmd)
	t.Logf("exit %d: %s", a.Exit, a.Text())
	if a.Exit != 1 {
		t.Errorf("exit %d, want 1", a.Exit)
	}
	for _, w := range words {
		if !strings.Contains(a.Err, w) {
			t.Errorf("it does not say %q", w)
		}
	}
}

// site is a directory with credentials and a node file for this machine.
type site struct {
	t    *testing.T
	dir  string
	node string // text of the node file
}

func newSite(t *testing.T) *site {
	t.Helper()
	s := &site{t: t, dir: t.TempDir()}
	s.sbctl("pki", "init", "--dir", s.path("ca"))
	s.issue("pki", "node", "node-a", "--cluster", "nfs1")
	s.write("ipmi", "s3cret\n", 0o600)
	s.node = `cluster: nfs1
node: node-a
peer: node-b
witnesses: [127.0.0.1:7443]
links: [{local: 127.0.0.1, peer: 127.0.0.2}]
allow_single_link: true
references: [127.0.0.1]
fencing: [{driver: ipmi, address: 127.0.0.2, user: stonith, password_file: ` + s.path("ipmi") + `}]
watchdog: none
state_dir: ` + s.path("state") + `
runtime_dir: ` + s.path("run") + `
pki: ` + s.path("pki") + `
groups:
  web:
    services:
      - command: {run: [/bin/sleep, "1000"]}
`
	return s
}

func (s *site) path(name string) string { return filepath.Join(s.dir, name) }

func (s *site) write(name, text string, mode os.FileMode) {
	s.t.Helper()
	if err := os.MkdirAll(filepath.Dir(s.path(name)), 0o755); err != nil {
		s.t.Fatal(err)
	}
	if err := os.WriteFile(s.path(name), []byte(text), mode); err != nil {
		s.t.Fatal(err)
	}
	if err := os.Chmod(s.path(name), mode); err != nil {
		s.t.Fatal(err)
	}
}

func (s *site) sbctl(args ...string) {
	s.t.Helper()
	if a := run(s.t, exec.Command(program(s.t, "sbctl"), args...)); a.Exit != 0 {
		s.t.Fatalf("sbctl %v: exit %d: %s", args, a.Exit, a.Text())
	}
}

// issue makes credentials in a directory.
func (s *site) issue(dir string, args ...string) {
	s.t.Helper()
	s.sbctl(append(append([]string{"pki", "issue"}, args...), "--dir", s.path("ca"), "--out", s.path(dir))...)
}

// agent is the agent with the node file, in which old is replaced by text.
func (s *site) agent(old, text string) *exec.Cmd {
	s.t.Helper()
	if !strings.Contains(s.node, old) {
		s.t.Fatalf("the node file has no %q", old)
	}
	s.write("node.yaml", strings.Replace(s.node, old, text, 1), 0o644)
	return exec.Command(program(s.t, "sbagent"), "--config", s.path("node.yaml"))
}

// same is the agent with the node file as it is.
func (s *site) same() *exec.Cmd { return s.agent("cluster: nfs1", "cluster: nfs1") }
