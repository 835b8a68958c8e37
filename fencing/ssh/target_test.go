package ssh

import (
	"crypto/ed25519"
	"crypto/rand"
	"encoding/pem"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"golang.org/x/crypto/ssh"
	"golang.org/x/crypto/ssh/knownhosts"

	"sbarbiter/fencing"
	"sbarbiter/fencing/fencetest"
	"sbarbiter/internal/boottime"
	"sbarbiter/internal/secret"
)

// target is a machine with an SSH server: off means that nobody answers.
type target struct {
	address netip.AddrPort
	host    ssh.Signer
	allowed ssh.PublicKey // whose key is let in

	mu       sync.Mutex
	device   fencetest.Device
	commands []string
	exit     uint32
	conns    map[net.Conn]bool
	done     sync.WaitGroup
}

func signer(t *testing.T) (ssh.Signer, []byte) {
	t.Helper()
	_, key, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	s, err := ssh.NewSignerFromKey(key)
	if err != nil {
		t.Fatal(err)
	}
	block, err := ssh.MarshalPrivateKey(key, "test")
	if err != nil {
		t.Fatal(err)
	}
	return s, pem.EncodeToMemory(block)
}

func startTarget(t *testing.T, s fencetest.Setup, allowed ssh.PublicKey) *target {
	t.Helper()
	host, _ := signer(t)
	m := &target{
		host: host, allowed: allowed, conns: map[net.Conn]bool{},
		device: fencetest.Device{Outlet: fencetest.NewOutlet(s.Power), Fault: s.Fault, Delay: s.Delay},
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	m.address = netip.MustParseAddrPort(l.Addr().String())
	m.done.Go(func() { m.accept(l) })
	t.Cleanup(func() {
		l.Close()
		m.mu.Lock()
		for c := range m.conns {
			c.Close()
		}
		m.mu.Unlock()
		m.done.Wait()
	})
	return m
}

func (m *target) power() fencing.Power {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.device.Outlet.Power(boottime.Now())
}

func (m *target) accept(l net.Listener) {
	for {
		conn, err := l.Accept()
		if err != nil {
			return
		}
		if m.power() == fencing.PowerOff {
			conn.Close()
			continue
		}
		m.mu.Lock()
		m.conns[conn] = true
		m.mu.Unlock()
		m.done.Go(func() { m.serve(conn) })
	}
}

func (m *target) serve(conn net.Conn) {
	defer conn.Close()
	switch m.device.Fault {
	case fencetest.Hanging:
		_, _ = conn.Read(make([]byte, 1<<16))
		_, _ = conn.Read(make([]byte, 1))
		return
	case fencetest.Slow:
		time.Sleep(m.device.Delay)
	}
	conf := &ssh.ServerConfig{PublicKeyCallback: func(_ ssh.ConnMetadata, key ssh.PublicKey) (*ssh.Permissions, error) {
		if string(key.Marshal()) != string(m.allowed.Marshal()) {
			return nil, os.ErrPermission
		}
		return nil, nil
	}}
	conf.AddHostKey(m.host)
	c, channels, requests, err := ssh.NewServerConn(conn, conf)
	if err != nil {
		return
	}
	defer c.Close()
	go ssh.DiscardRequests(requests)
	for nc := range channels {
		ch, reqs, err := nc.Accept()
		if err != nil {
			return
		}
		if gone := m.session(ch, reqs); gone {
			return
		}
	}
}

// session runs what is asked for and reports whether the machine is gone.
func (m *target) session(ch ssh.Channel, reqs <-chan *ssh.Request) bool {
	defer ch.Close()
	for r := range reqs {
		var cmd struct{ Command string }
		if r.Type != "exec" || ssh.Unmarshal(r.Payload, &cmd) != nil {
			_ = r.Reply(false, nil)
			continue
		}
		_ = r.Reply(true, nil)
		m.mu.Lock()
		m.commands = append(m.commands, cmd.Command)
		if m.exit == 0 {
			_, _ = m.device.Command(boottime.Now(), fencing.PowerOff)
		}
		m.mu.Unlock()
		if m.power() == fencing.PowerOff {
			return true
		}
		if m.exit != 0 {
			_, _ = ch.Stderr().Write([]byte("Failed to talk to init daemon.\n"))
		}
		_, _ = ch.SendRequest("exit-status", false, ssh.Marshal(struct{ Code uint32 }{m.exit}))
		return false
	}
	return false
}

// files are what a driver is given.
type files struct{ key, known string }

func keep(t *testing.T, name, text string, mode os.FileMode) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), name)
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(path, mode); err != nil {
		t.Fatal(err)
	}
	return path
}

func knownLine(address netip.AddrPort, key ssh.PublicKey) string {
	return knownhosts.Line([]string{address.String()}, key) + "\n"
}

func (f files) config(address netip.AddrPort) Config {
	return Config{Address: address, User: "root", Key: secret.Source{File: f.key}, KnownHosts: f.known}
}

func driver(t *testing.T, c Config) *Driver {
	t.Helper()
	d, err := New(c)
	if err != nil {
		t.Fatal(err)
	}
	return d
}

// rig starts a target and what is needed to log into it.
func rig(t *testing.T, s fencetest.Setup) (*target, files) {
	t.Helper()
	own, text := signer(t)
	m := startTarget(t, s, own.PublicKey())
	return m, files{key: keep(t, "key", string(text), 0o600), known: keep(t, "known_hosts", knownLine(m.address, m.host.PublicKey()), 0o644)}
}
