package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"sbarbiter/arbiter"
	"sbarbiter/arbiter/wire"
	"sbarbiter/internal/pki"
	"sbarbiter/internal/rpc"
	sbv1 "sbarbiter/proto/sb/v1"
)

const patience = 20 * time.Second

// asDaemon makes the test binary be the daemon.
const asDaemon = "SBWITNESS_TEST_DAEMON"

func TestMain(m *testing.M) {
	if os.Getenv(asDaemon) != "" {
		main()
	}
	os.Exit(m.Run())
}

// site is an arbiter host: certificates, a configuration, a state directory.
type site struct {
	t      *testing.T
	ca     *pki.CA
	dir    string
	listen string
}

func newSite(t *testing.T) *site {
	t.Helper()
	s := &site{t: t, dir: t.TempDir(), listen: freeAddress(t)}
	ca, err := pki.Init(filepath.Join(s.dir, "ca"))
	if err != nil {
		t.Fatal(err)
	}
	s.ca = ca
	s.issue("pki", pki.Request{Identity: pki.Identity{Role: pki.RoleWitness, Name: "w1"}})
	s.configure("")
	return s
}

func freeAddress(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().String()
}

func (s *site) path(name string) string { return filepath.Join(s.dir, name) }

func (s *site) issue(dir string, r pki.Request) {
	s.t.Helper()
	if err := os.RemoveAll(s.path(dir)); err != nil {
		s.t.Fatal(err)
	}
	if _, err := s.ca.Issue(s.path(dir), r); err != nil {
		s.t.Fatal(err)
	}
}

// configure writes the file, with more at its end.
func (s *site) configure(more string) {
	s.t.Helper()
	text := fmt.Sprintf("name: w1\nlisten: %s\nstate_dir: %s\npki: %s\n%s", s.listen, s.path("state"), s.path("pki"), more)
	if err := os.WriteFile(s.path("witness.yaml"), []byte(text), 0o600); err != nil {
		s.t.Fatal(err)
	}
}

// process is a daemon of this test.
type process struct {
	*exec.Cmd
	stderr *bytes.Buffer
	ended  chan error
}

func (s *site) start(args ...string) *process {
	s.t.Helper()
	p := &process{stderr: &bytes.Buffer{}, ended: make(chan error, 1)}
	p.Cmd = exec.Command(os.Args[0], append([]string{"--config", s.path("witness.yaml")}, args...)...)
	p.Env = append(os.Environ(), asDaemon+"=1")
	p.Stderr, p.Stdout = p.stderr, p.stderr
	if err := p.Start(); err != nil {
		s.t.Fatal(err)
	}
	go func() { p.ended <- p.Wait() }()
	s.t.Cleanup(func() { _ = p.Process.Kill() }) // most have ended long since
	return p
}

// end waits for the process and returns its exit code and what it said.
func (s *site) end(p *process) (code int, said string) {
	s.t.Helper()
	select {
	case err := <-p.ended:
		var exit *exec.ExitError
		if err != nil && !errors.As(err, &exit) {
			s.t.Fatal(err)
		}
		return p.ProcessState.ExitCode(), p.stderr.String()
	case <-time.After(patience):
		s.t.Fatalf("the daemon does not end")
		return 0, ""
	}
}

func (s *site) run(args ...string) (code int, said string) {
	s.t.Helper()
	return s.end(s.start(args...))
}

// operator is alice's way to a daemon that leads.
func (s *site) operator() sbv1.OperatorClient {
	s.t.Helper()
	s.issue("alice", pki.Request{Identity: pki.Identity{Role: pki.RoleOperator, Name: "alice"}})
	src, err := pki.Open(s.path("alice"))
	if err != nil {
		s.t.Fatal(err)
	}
	conn, err := rpc.Dial(s.listen, src, pki.RoleWitness, slog.New(slog.DiscardHandler))
	if err != nil {
		s.t.Fatal(err)
	}
	s.t.Cleanup(func() { conn.Close() })
	op := sbv1.NewOperatorClient(conn)
	for end := time.Now().Add(patience); ; time.Sleep(20 * time.Millisecond) {
		if _, err := op.Status(s.t.Context(), &sbv1.StatusRequest{}); err == nil {
			return op
		} else if time.Now().After(end) {
			s.t.Fatalf("the daemon does not answer: %v", err)
		}
	}
}

func (s *site) status(op sbv1.OperatorClient) *sbv1.StatusAnswer {
	s.t.Helper()
	got, err := op.Status(s.t.Context(), &sbv1.StatusRequest{})
	if err != nil {
		s.t.Fatal(err)
	}
	return got
}

func (s *site) declare(op sbv1.OperatorClient, id arbiter.ClusterID) {
	s.t.Helper()
	def := arbiter.Definition{
		Cluster: id, Nodes: [2]arbiter.NodeID{"node-a", "node-b"}, Groups: map[arbiter.GroupID]arbiter.GroupDefinition{"data": {DRBD: true}},
		Timing: arbiter.Timing{
			TTL: 20 * time.Second, Promise: 20 * time.Second, Renew: 250 * time.Millisecond, RPCTimeout: 250 * time.Millisecond,
			SuspectAfter: time.Second, FenceTimeout: 10 * time.Second,
		},
	}
	v, err := op.AddCluster(s.t.Context(), &sbv1.AddClusterRequest{Definition: wire.ToDefinition(def)})
	if err != nil || v.GetKind() != "done" {
		s.t.Fatal(v, err)
	}
}

func TestKilledWitnessGoesOnWhereItWas(t *testing.T) {
	s := newSite(t)
	p := s.start()
	op := s.operator()
	for _, id := range []arbiter.ClusterID{"c1", "c2", "c3"} {
		s.declare(op, id)
	}
	before := s.status(op)
	if err := p.Process.Signal(syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	s.end(p)
	p = s.start()
	op = s.operator()
	after := s.status(op)
	if len(after.GetClusters()) != 3 {
		t.Errorf("after being killed it knows %d clusters of 3", len(after.GetClusters()))
	}
	a, b := before.GetWitness().GetVersion(), after.GetWitness().GetVersion()
	if b.GetIncarnation() != a.GetIncarnation() || b.GetStarts() != a.GetStarts()+1 || b.GetNonce() == a.GetNonce() {
		t.Errorf("version %v is followed by %v", a, b)
	}
	if err := p.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	if code, said := s.end(p); code != 0 || strings.Contains(said, `"level":"ERROR"`) {
		t.Errorf("asked to end, it ends with %d:\n%s", code, said)
	}
	audit, err := os.ReadFile(s.path("state/audit.log"))
	if err != nil || bytes.Count(audit, []byte("\n")) != 3 {
		t.Errorf("three decisions are in the audit log as %d lines (%v)", bytes.Count(audit, []byte("\n")), err)
	}
}

func TestServiceManagerIsTold(t *testing.T) {
	s := newSite(t)
	path := filepath.Join(t.TempDir(), "notify")
	socket, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: path, Net: "unixgram"})
	if err != nil {
		t.Fatal(err)
	}
	defer socket.Close()
	t.Setenv("NOTIFY_SOCKET", path)
	expect := func(want string) {
		t.Helper()
		b := make([]byte, 256)
		if err := socket.SetReadDeadline(time.Now().Add(patience)); err != nil {
			t.Fatal(err)
		}
		n, err := socket.Read(b)
		if err != nil || !strings.HasPrefix(string(b[:n]), want) {
			t.Fatalf("the service manager is told %q (%v), not %s", b[:n], err, want)
		}
	}
	p := s.start()
	expect("READY=1")
	if err := p.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	expect("STOPPING=1")
	s.end(p)
}

func TestWhatIsWrongIsSaidWithWhatToDo(t *testing.T) {
	own := pki.Identity{Role: pki.RoleWitness, Name: "w1"}
	for name, c := range map[string]struct {
		prepare func(s *site)
		args    []string
		code    int
		says    []string
	}{
		"no such file":    {func(s *site) { _ = os.Remove(s.path("witness.yaml")) }, nil, 1, []string{"witness.yaml", "write it first"}},
		"an unknown key":  {func(s *site) { s.configure("speed: 3\n") }, nil, 1, []string{"witness.yaml:5", "speed"}},
		"an argument":     {func(*site) {}, []string{"now"}, 2, []string{"now", "--help"}},
		"an unknown flag": {func(*site) {}, []string{"--fast"}, 2, []string{"fast", "--help"}},
		"no certificate":  {func(s *site) { _ = os.RemoveAll(s.path("pki")) }, nil, 1, []string{"sbctl pki issue"}},
		"another's":       {func(s *site) { s.issue("pki", pki.Request{Identity: pki.Identity{Role: pki.RoleWitness, Name: "w2"}}) }, nil, 1, []string{"witness w2", "witness w1", "issue"}},
		"a node's": {func(s *site) {
			s.issue("pki", pki.Request{Identity: pki.Identity{Role: pki.RoleNode, Cluster: "c", Name: "w1"}})
		}, nil, 1, []string{"node c/w1", "sbctl pki issue witness w1"}},
		"an expired one": {func(s *site) {
			s.issue("pki", pki.Request{Identity: own, At: time.Now().Add(-time.Hour), Validity: time.Minute})
		}, nil, 1, []string{"expired", "sbctl pki issue witness w1"}},
		"a foreign directory": {func(s *site) { s.write("state/photo.jpg", "x") }, nil, 1, []string{"photo.jpg", "empty directory"}},
		"a damaged directory": {func(s *site) { s.run("--init"); s.write("state/raft.bolt", strings.Repeat("x", 40000)) }, nil, 1, []string{"damaged", "move"}},
		"another's directory": {func(s *site) { s.run("--init"); s.rename("w9") }, nil, 1, []string{`"w1"`, `"w9"`}},
		"a strange audit log": {func(s *site) { s.run("--init"); s.write("state/audit.log", "dear diary\n") }, nil, 1, []string{"audit.log", "move it away"}},
		"a second init":       {func(s *site) { s.run("--init") }, []string{"--init"}, 1, []string{"there already"}},
		"an address in use":   {(*site).occupy, nil, 1, []string{"another process", "witness.yaml"}},
	} {
		t.Run(name, func(t *testing.T) {
			s := newSite(t)
			c.prepare(s)
			code, said := s.run(c.args...)
			if code != c.code {
				t.Errorf("ends with %d, not %d", code, c.code)
			}
			for _, word := range c.says {
				if !strings.Contains(said, word) {
					t.Errorf("it does not say %q:\n%s", word, said)
				}
			}
			if strings.Contains(said, "goroutine ") {
				t.Errorf("it panics:\n%s", said)
			}
		})
	}
}

func (s *site) write(name, text string) {
	s.t.Helper()
	if err := os.MkdirAll(filepath.Dir(s.path(name)), 0o700); err != nil {
		s.t.Fatal(err)
	}
	if err := os.WriteFile(s.path(name), []byte(text), 0o600); err != nil {
		s.t.Fatal(err)
	}
}

// rename calls the witness something else, certificate and all.
func (s *site) rename(name string) {
	s.t.Helper()
	s.issue("pki", pki.Request{Identity: pki.Identity{Role: pki.RoleWitness, Name: name}})
	b, err := os.ReadFile(s.path("witness.yaml"))
	if err != nil {
		s.t.Fatal(err)
	}
	s.write("witness.yaml", strings.Replace(string(b), "w1", name, 1))
}

func (s *site) occupy() {
	s.t.Helper()
	l, err := net.Listen("tcp", s.listen)
	if err != nil {
		s.t.Fatal(err)
	}
	s.t.Cleanup(func() { l.Close() })
}

func TestSecondWitnessOnADirectoryIsRefused(t *testing.T) {
	s := newSite(t)
	p := s.start()
	s.operator()
	s.listen = freeAddress(t)
	s.configure("")
	if code, said := s.run(); code != 1 || !strings.Contains(said, "another sbwitness") {
		t.Errorf("a second one ends with %d:\n%s", code, said)
	}
	if err := p.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	s.end(p)
}

func TestVersionIsSaid(t *testing.T) {
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	c := exec.CommandContext(ctx, os.Args[0], "--version")
	c.Env = append(os.Environ(), asDaemon+"=1")
	if out, err := c.Output(); err != nil || !strings.HasPrefix(string(out), "sbwitness version") {
		t.Errorf("--version says %q (%v)", out, err)
	}
}
