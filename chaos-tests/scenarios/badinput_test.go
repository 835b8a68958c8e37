package scenarios

import (
	"fmt"
	"net"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"
	"time"

	"sbarbiter/chaos-tests/pair"
)

// What an operator may get wrong: the agent refuses to start, and says which
// line is wrong and what to write or do instead.
func TestAgentRefusesWhatItCannotServe(t *testing.T) {
	for name, c := range map[string]struct {
		old, text string
		say       []string
	}{
		"unknown key":                   {"witnesses:", "witneses:", []string{"node.yaml:4", "witneses", "witnesses"}},
		"duration without a unit":       {"watchdog: none", "watchdog: none\ntiming: {ttl: 20}", []string{"node.yaml:10", "ttl", "20s"}},
		"timing that cannot hold":       {"watchdog: none", "watchdog: none\ntiming: {ttl: 5s}", []string{"ttl 5s is too short", "try ttl"}},
		"address of another host":       {"local: 127.0.0.1,", "local: 192.0.2.11,", []string{"node.yaml:5", "192.0.2.11 is not an address of this machine"}},
		"unknown fence driver":          {"driver: ipmi", "driver: impi", []string{"node.yaml:8", "impi", "did you mean ipmi?"}},
		"unknown fence option":          {"user: stonith", "usr: stonith", []string{"node.yaml:8", "usr: unknown key", "did you mean user?"}},
		"device that fences its host":   {"driver: ipmi, address: 127.0.0.2", "driver: ipmi, address: 127.0.0.1", []string{"node.yaml:8", "would shoot itself"}},
		"two devices with one address":  {"fencing: [", "fencing: [[{driver: ipmi, address: 127.0.0.2, user: u, password_file: /x}], ", []string{"node.yaml:8", "not in which way"}},
		"cluster not its certificate's": {"cluster: nfs1", "cluster: nfs2", []string{"nfs2", "nfs1", "sbctl pki issue"}},
		"node not its certificate's":    {"node: node-a", "node: node-c", []string{"node-c", "node-a", "sbctl pki issue"}},
	} {
		t.Run(name, func(t *testing.T) {
			refuses(t, newSite(t).agent(c.old, c.text), c.say...)
		})
	}
}

func TestAgentRefusesSecretsThatAreMissingOrReadable(t *testing.T) {
	t.Run("no password file", func(t *testing.T) {
		s := newSite(t)
		os.Remove(s.path("ipmi"))
		refuses(t, s.same(), "node.yaml:8", s.path("ipmi")+" does not exist", "chmod 600")
	})
	t.Run("password file for all to read", func(t *testing.T) {
		s := newSite(t)
		s.write("ipmi", "s3cret\n", 0o644)
		refuses(t, s.same(), "node.yaml:8", "can be used by others", "chmod 600")
	})
	t.Run("key for all to read", func(t *testing.T) {
		s := newSite(t)
		if err := os.Chmod(s.path("pki/own.key"), 0o644); err != nil {
			t.Fatal(err)
		}
		refuses(t, s.same(), "own.key", "chmod 600")
	})
}

func TestAgentRefusesCertificatesThatCannotServe(t *testing.T) {
	t.Run("none", func(t *testing.T) {
		s := newSite(t)
		os.RemoveAll(s.path("pki"))
		refuses(t, s.same(), "sbctl pki issue")
	})
	t.Run("an operator's", func(t *testing.T) {
		s := newSite(t)
		os.RemoveAll(s.path("pki"))
		s.issue("pki", "operator", "admin")
		refuses(t, s.same(), "operator admin")
	})
	t.Run("of another CA", func(t *testing.T) {
		s, other := newSite(t), newSite(t)
		for _, f := range []string{"own.crt", "own.key"} {
			data, err := os.ReadFile(other.path("pki/" + f))
			if err != nil {
				t.Fatal(err)
			}
			s.write("pki/"+f, string(data), 0o600)
		}
		refuses(t, s.same(), "signed by another CA", "sbctl pki issue")
	})
	t.Run("expired", func(t *testing.T) {
		s := newSite(t)
		s.expire("pki")
		refuses(t, s.same(), "own.crt: expired", "sbctl pki issue node node-a --cluster nfs1")
	})
}

func TestAgentRefusesAForeignOrCorruptState(t *testing.T) {
	// It runs once, so that there is a state; nobody answers it.
	seeded := func(t *testing.T) *site {
		s := newSite(t)
		first := s.same()
		if err := first.Start(); err != nil {
			t.Fatal(err)
		}
		eventually(t, 10*time.Second, "there is a state", func() bool {
			entries, err := os.ReadDir(s.path("state"))
			return err == nil && len(entries) > 1
		})
		_ = first.Process.Signal(syscall.SIGTERM)
		_ = first.Wait()
		return s
	}
	t.Run("of another node", func(t *testing.T) {
		s := seeded(t)
		os.RemoveAll(s.path("pki"))
		s.issue("pki", "node", "node-c", "--cluster", "nfs1")
		refuses(t, s.agent("node: node-a", "node: node-c"), s.path("state"), "node-a")
	})
	t.Run("corrupt", func(t *testing.T) {
		s := seeded(t)
		entries, err := os.ReadDir(s.path("state"))
		if err != nil {
			t.Fatal(err)
		}
		spoilt := 0
		for _, e := range entries {
			info, err := e.Info()
			if err != nil || !e.Type().IsRegular() || info.Size() == 0 {
				continue
			}
			data, err := os.ReadFile(s.path("state/" + e.Name()))
			if err != nil {
				t.Fatal(err)
			}
			data[len(data)/2] ^= 0xff
			s.write("state/"+e.Name(), string(data), 0o600)
			spoilt++
		}
		if spoilt == 0 {
			t.Fatal("the agent has left no state")
		}
		refuses(t, s.same(), s.path("state"))
	})
}

func TestWitnessRefusesAForeignOrCorruptState(t *testing.T) {
	t.Run("not its own directory", func(t *testing.T) {
		w := newWitness(t)
		w.write("state/letters.txt", "not ours", 0o644)
		refuses(t, w.cmd(), w.path("state"))
	})
	t.Run("of another witness", func(t *testing.T) {
		w := newWitness(t)
		w.runFor(2 * time.Second)
		os.RemoveAll(w.path("pki"))
		w.issue("pki", "witness", "other")
		w.name = "other"
		refuses(t, w.cmd(), w.path("state"), "arb")
	})
	t.Run("with another's certificate", func(t *testing.T) {
		w := newWitness(t)
		w.name = "other"
		refuses(t, w.cmd(), "witness arb", "witness other")
	})
}

// witness is a site for a witness on a port of its own.
type witness struct {
	*site
	name string
	port int
}

func newWitness(t *testing.T) *witness {
	t.Helper()
	s := newSite(t)
	os.RemoveAll(s.path("pki"))
	s.issue("pki", "witness", "arb")
	s.issue("operator", "operator", "admin")
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	addr, ok := l.Addr().(*net.TCPAddr)
	if !ok {
		t.Fatalf("no TCP address: %v", l.Addr())
	}
	return &witness{s, "arb", addr.Port}
}

func (w *witness) cmd() *exec.Cmd {
	w.t.Helper()
	w.write("witness.yaml", fmt.Sprintf("name: %s\nlisten: 127.0.0.1:%d\nstate_dir: %s\npki: %s\n",
		w.name, w.port, w.path("state"), w.path("pki")), 0o644)
	return exec.Command(program(w.t, "sbwitness"), "--config", w.path("witness.yaml"))
}

func (w *witness) runFor(d time.Duration) {
	w.t.Helper()
	cmd := w.cmd()
	if err := cmd.Start(); err != nil {
		w.t.Fatal(err)
	}
	time.Sleep(d)
	if err := cmd.Process.Signal(syscall.SIGTERM); err != nil {
		w.t.Fatal(err)
	}
	_ = cmd.Wait()
}

// operator runs sbctl as the operator.
func (w *witness) operator(args ...string) pair.Answer {
	w.t.Helper()
	all := append([]string{"--witness", fmt.Sprintf("127.0.0.1:%d", w.port), "--pki", w.path("operator")}, args...)
	return run(w.t, exec.Command(program(w.t, "sbctl"), all...))
}

func (w *witness) declare(cluster string) pair.Answer {
	w.t.Helper()
	w.write(cluster+".yaml", "cluster: "+cluster+"\nnodes: [a, b]\nfencing: stonith\ngroups:\n  web: {drbd: false}\n", 0o644)
	return w.operator("cluster", "add", "-f", w.path(cluster+".yaml"))
}

// A full disk: what was accepted stays, what cannot be stored is not accepted,
// and it goes on once there is room.
func TestWitnessWithAFullDiskLosesNothingAndSaysSo(t *testing.T) {
	needsLab(t)
	w := newWitness(t)
	cmd := w.cmd()
	script := `mkdir -p "$1" && mount -t tmpfs -o size=1m,mode=0700 none "$1" && shift && exec "$@"`
	cmd = exec.Command("unshare", append([]string{"--mount", "--propagation", "private", "sh", "-c", script, "sh", w.path("state")}, cmd.Args...)...)
	out, err := os.Create(w.path("log"))
	if err != nil {
		t.Fatal(err)
	}
	defer out.Close()
	cmd.Stderr = out
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() { ended <- cmd.Wait() }()
	defer func() { _ = cmd.Process.Kill() }()
	root := fmt.Sprintf("/proc/%d/root%s", cmd.Process.Pid, w.path("state"))

	eventually(t, 10*time.Second, "the first cluster is declared", func() bool { return w.declare("first").Exit == 0 })
	if err := fill(root + "/filler"); err != nil {
		t.Fatal(err)
	}
	var refused pair.Answer
	for i := range 50 {
		if refused = w.declare(fmt.Sprintf("c%02d", i)); refused.Exit != 0 {
			break
		}
	}
	t.Logf("with a full disk: exit %d: %s", refused.Exit, refused.Text())
	if refused.Exit == 0 {
		t.Error("50 clusters were accepted although nothing could be stored")
	}
	os.Remove(root + "/filler")
	select {
	case err := <-ended:
		t.Logf("the witness ended: %v", err)
	default:
		eventually(t, 20*time.Second, "it goes on once there is room", func() bool { return w.declare("last").Exit == 0 })
	}
	log, err := os.ReadFile(w.path("log"))
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("its log: %s", log)
	if !strings.Contains(string(log), "disk full") {
		t.Error("the log does not say that the disk is full")
	}
}

// fill writes a file until nothing fits any more.
func fill(path string) error {
	f, err := os.OpenFile(path, os.O_CREATE|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	defer f.Close()
	for size := 64 << 10; size > 0; size /= 2 {
		for {
			if _, err := f.Write(make([]byte, size)); err != nil {
				break
			}
		}
	}
	return nil
}

func eventually(t *testing.T, limit time.Duration, what string, f func() bool) {
	t.Helper()
	for began := time.Now(); !f(); time.Sleep(100 * time.Millisecond) {
		if time.Since(began) > limit {
			t.Fatalf("%s: not within %v", what, limit)
		}
	}
}

func TestHandlerWithoutAnAgentLeavesDRBDAsCarefulAsItIs(t *testing.T) {
	cmd := exec.Command(program(t, "sbagent"), "handler", "--socket="+t.TempDir()+"/none.sock", "fence-peer")
	cmd.Env = append(os.Environ(), "DRBD_RESOURCE=r0", "DRBD_PEER=node-b")
	refuses(t, cmd, "resource r0", "systemctl start sbagent")
}

func TestHandlerForAnUnknownResourceIsRefused(t *testing.T) {
	s := begin(t)
	out, code, err := s.standby.Run(s.ctx, "DRBD_RESOURCE=r9 DRBD_PEER=node-b /usr/sbin/sbagent handler fence-peer")
	s.must("call the handler", err)
	t.Logf("exit %d: %s", code, out)
	if code != 1 || !strings.Contains(out, "r9") {
		t.Errorf("exit %d, want 1, and the resource's name: %s", code, out)
	}
	s.must("nothing has changed", s.heldBy(s.holder)())
}

func TestOperatorIsToldWhatIsWrong(t *testing.T) {
	w := newWitness(t)
	cmd := w.cmd()
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	defer func() {
		_ = cmd.Process.Signal(syscall.SIGTERM)
		_ = cmd.Wait()
	}()
	eventually(t, 10*time.Second, "a cluster is declared", func() bool { return w.declare("first").Exit == 0 })

	a := w.operator("--cluster", "frist", "status")
	if a.Exit == 0 || !strings.Contains(a.Err, "frist") || !strings.Contains(a.Err, "first") {
		t.Errorf("a wrong cluster name: exit %d: %s", a.Exit, a.Text())
	}
	w.write("bad.yaml", "cluster: x\nnodes: [a, b]\nfencing: stonith\ngroup:\n  web: {drbd: false}\n", 0o644)
	a = w.operator("cluster", "add", "-f", w.path("bad.yaml"))
	if a.Exit != 2 && a.Exit != 1 || !strings.Contains(a.Err, "bad.yaml:4") {
		t.Errorf("an unknown key: exit %d: %s", a.Exit, a.Text())
	}
}
