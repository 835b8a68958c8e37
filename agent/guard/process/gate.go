package process

import (
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"time"

	"golang.org/x/sys/unix"

	"sbarbiter/agent/guard"
	"sbarbiter/agent/guard/line"
)

// conn is one agent's connection.
type conn struct {
	id    guard.ConnID
	sock  *net.UnixConn
	said  bool // it has introduced itself
	plans []line.Plan
}

// What comes from the gate, besides the core's own events.
type (
	came struct{ *conn }
	said struct {
		conn    guard.ConnID
		message line.Message
		err     error
	}
	ended struct{ conn guard.ConnID }
)

// gate lets agents in: root's processes alone.
type gate struct {
	listener *net.UnixListener
	post     func(any)
}

// listen opens the socket. A socket that an earlier guard has left is replaced, but
// not one at which somebody listens.
func listen(path string, post func(any)) (*gate, error) {
	if err := makeDir(filepath.Dir(path)); err != nil {
		return nil, err
	}
	if other, err := net.Dial("unixpacket", path); err == nil {
		other.Close()
		return nil, fmt.Errorf("open the guard's socket: another guard listens at %s: systemctl status sbagent-guard", path)
	}
	if err := os.Remove(path); err != nil && !errors.Is(err, os.ErrNotExist) {
		return nil, fmt.Errorf("open the guard's socket: %w", err)
	}
	l, err := net.ListenUnix("unixpacket", &net.UnixAddr{Name: path, Net: "unixpacket"})
	if err != nil {
		return nil, fmt.Errorf("open the guard's socket: %w", err)
	}
	g := &gate{listener: l, post: post}
	if err := os.Chmod(path, 0o600); err != nil {
		l.Close()
		return nil, fmt.Errorf("open the guard's socket: %w", err)
	}
	go g.accept()
	return g, nil
}

func (g *gate) close() { g.listener.Close() }

func (g *gate) accept() {
	for id := guard.ConnID(1); ; id++ {
		sock, err := g.listener.AcceptUnix()
		if errors.Is(err, net.ErrClosed) {
			return
		}
		if err != nil {
			time.Sleep(tickEvery)
			continue
		}
		if !trusted(sock) {
			sock.Close()
			continue
		}
		c := &conn{id: id, sock: sock}
		g.post(came{c})
		go g.read(c)
	}
}

// trusted reports whether the other end is a process of root's, or of whoever
// runs this guard.
func trusted(sock *net.UnixConn) bool {
	raw, err := sock.SyscallConn()
	if err != nil {
		return false
	}
	var cred *unix.Ucred
	asked := raw.Control(func(fd uintptr) { cred, err = unix.GetsockoptUcred(int(fd), unix.SOL_SOCKET, unix.SO_PEERCRED) })
	return asked == nil && err == nil && (cred.Uid == 0 || int(cred.Uid) == os.Geteuid())
}

func (g *gate) read(c *conn) {
	buf := make([]byte, line.MaxPacket)
	for {
		n, err := c.sock.Read(buf)
		if err != nil {
			g.post(ended{c.id})
			return
		}
		m, err := line.DecodeMessage(buf[:n])
		g.post(said{c.id, m, err})
	}
}

// reply answers an agent, or does not where that does not read: nobody holds the
// guard up.
func (p *Process) reply(id guard.ConnID, r line.Reply) {
	c := p.conns[id]
	if c == nil {
		return
	}
	if err := line.Send(c.sock, line.Encode(r)); err != nil {
		p.log.Debug("agent not answered", "error", err)
	}
}

func (p *Process) drop(id guard.ConnID) {
	if c := p.conns[id]; c != nil {
		c.sock.Close()
	}
}
