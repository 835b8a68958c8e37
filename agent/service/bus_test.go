package service

import (
	"bufio"
	"context"
	"encoding/binary"
	"errors"
	"math"
	"net"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/godbus/dbus/v5"
)

// busSystemd is a systemd on a socket of its own, with one unit.
type busSystemd struct {
	socket string

	mu     sync.Mutex
	active string
	tasks  uint64
	result string // of jobs; "" for none, ever
	deaf   bool   // accepts and says nothing
	hangUp bool   // at the next job
	calls  []string
	conns  map[net.Conn]bool // those that get signals, as all private ones do
}

func newBusSystemd(t *testing.T) *busSystemd {
	t.Helper()
	s := &busSystemd{socket: filepath.Join(t.TempDir(), "private"), active: "inactive", tasks: math.MaxUint64, result: "done", conns: map[net.Conn]bool{}}
	l, err := net.Listen("unix", s.socket)
	must(t, err)
	var all sync.WaitGroup
	t.Cleanup(func() {
		l.Close()
		s.hangUpAll()
		all.Wait()
	})
	all.Go(func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			all.Go(func() { s.serve(c) })
		}
	})
	return s
}

func (s *busSystemd) unit(program string) Unit {
	return Systemd{UnitName: "nfs.service"}.Unit(Env{SystemdSocket: s.socket, Systemctl: program})
}

func (s *busSystemd) hangUpAll() {
	s.mu.Lock()
	defer s.mu.Unlock()
	for c := range s.conns {
		c.Close()
	}
}

// serve authenticates as the D-Bus specification has it and answers calls.
func (s *busSystemd) serve(c net.Conn) {
	defer c.Close()
	s.mu.Lock()
	s.conns[c] = true
	deaf := s.deaf
	s.mu.Unlock()
	in := bufio.NewReader(c)
	for {
		line, err := in.ReadString('\n')
		if err != nil {
			return
		}
		if deaf {
			continue
		}
		answer := "OK 00000000000000000000000000000000\r\n"
		switch words := strings.Fields(strings.TrimLeft(line, "\x00")); {
		case words[0] == "BEGIN":
			s.answer(c, in)
			return
		case words[0] == "NEGOTIATE_UNIX_FD":
			answer = "ERROR\r\n"
		case len(words) == 1:
			answer = "REJECTED EXTERNAL\r\n"
		}
		if _, err := c.Write([]byte(answer)); err != nil {
			return
		}
	}
}

func (s *busSystemd) answer(c net.Conn, in *bufio.Reader) {
	for {
		m, err := dbus.DecodeMessage(in)
		if err != nil {
			return
		}
		s.mu.Lock()
		s.handle(c, m)
		s.mu.Unlock()
	}
}

func (s *busSystemd) handle(c net.Conn, m *dbus.Message) {
	member, _ := m.Headers[dbus.FieldMember].Value().(string)
	const job = dbus.ObjectPath("/org/freedesktop/systemd1/job/7")
	switch member {
	case "Get":
		values := map[any]any{"ActiveState": s.active, "SubState": "x", "TasksCurrent": s.tasks}
		reply(c, m, dbus.MakeVariant(values[m.Body[1]]))
	case "StartUnit", "StopUnit":
		s.calls = append(s.calls, member+" "+m.Body[1].(string))
		if s.hangUp {
			c.Close()
			return
		}
		if s.result != "" {
			if s.result == "done" {
				s.active = map[string]string{"StartUnit": "active", "StopUnit": "inactive"}[member]
			}
			for to := range s.conns { // before the reply, which is the harder order
				emit(to, "JobRemoved", uint32(7), job, m.Body[0], s.result)
			}
		}
		reply(c, m, job)
	case "KillUnit":
		s.calls = append(s.calls, member)
		s.active, s.result = "failed", "done"
		reply(c, m)
	default:
		reply(c, m)
	}
}

func reply(c net.Conn, to *dbus.Message, body ...any) {
	write(c, dbus.TypeMethodReply, map[dbus.HeaderField]dbus.Variant{dbus.FieldReplySerial: dbus.MakeVariant(to.Serial())}, body)
}

func emit(c net.Conn, member string, body ...any) {
	write(c, dbus.TypeSignal, map[dbus.HeaderField]dbus.Variant{
		dbus.FieldPath:      dbus.MakeVariant(dbus.ObjectPath("/org/freedesktop/systemd1")),
		dbus.FieldInterface: dbus.MakeVariant("org.freedesktop.systemd1.Manager"),
		dbus.FieldMember:    dbus.MakeVariant(member),
	}, body)
}

func write(c net.Conn, kind dbus.Type, headers map[dbus.HeaderField]dbus.Variant, body []any) {
	if len(body) > 0 {
		headers[dbus.FieldSignature] = dbus.MakeVariant(dbus.SignatureOf(body...))
	}
	m := &dbus.Message{Type: kind, Headers: headers, Body: body}
	_ = m.EncodeTo(c, binary.LittleEndian) // the other side may have gone
}

func (s *busSystemd) set(change func()) {
	s.mu.Lock()
	defer s.mu.Unlock()
	change()
}

func (s *busSystemd) wantCalls(t *testing.T, want ...string) {
	t.Helper()
	s.mu.Lock()
	defer s.mu.Unlock()
	if !slices.Equal(s.calls, want) {
		t.Errorf("systemd was asked for %q, want %q", s.calls, want)
	}
}

// noSystemctl is a program that must not be started.
const noSystemctl = "/nonexistent/systemctl"

func TestSystemdIsSpokenToWithoutItsProgram(t *testing.T) {
	s := newBusSystemd(t)
	u := s.unit(noSystemctl)
	wantState(t, u, Stopped)
	mustStart(t, u)
	mustStart(t, u)
	wantState(t, u, Running)
	mustStop(t, u)
	mustStop(t, u)
	wantState(t, u, Stopped)
	s.wantCalls(t, "StartUnit replace", "StartUnit replace", "StopUnit replace")
}

func TestFailedJobShowsTheUnitsStatus(t *testing.T) {
	s := newBusSystemd(t)
	s.set(func() { s.result = "failed" })
	err := s.unit(script(t, `echo "nfs.service: it has a headache"`)).Start(within(t, 5*time.Second))
	if err == nil || !strings.Contains(err.Error(), "headache") || !strings.Contains(err.Error(), `"failed"`) {
		t.Errorf("got %v, want the job's result and the status lines", err)
	}
}

func TestUnitWhoseStopJobDoesNotEndIsKilled(t *testing.T) {
	s := newBusSystemd(t)
	s.set(func() { s.active, s.result = "active", "" })
	if err := s.unit(noSystemctl).Stop(within(t, time.Second)); err != nil {
		t.Fatal(err)
	}
	s.wantCalls(t, "StopUnit replace", "KillUnit")
}

func TestInactiveUnitWithTasksLeftIsNotStopped(t *testing.T) {
	s := newBusSystemd(t)
	u := s.unit(noSystemctl)
	s.set(func() { s.active, s.tasks = "failed", 3 })
	if got, err := u.State(t.Context()); err == nil || !strings.Contains(err.Error(), "3 tasks") {
		t.Errorf("got %v, %v", got, err)
	}
	s.set(func() { s.tasks = 0 })
	wantState(t, u, Stopped)
	for _, active := range []string{"activating", "deactivating", "maintenance", ""} {
		s.set(func() { s.active = active })
		if got, err := u.State(t.Context()); err == nil {
			t.Errorf("%q counts as %v", active, got)
		}
	}
}

func TestDeafSystemdHoldsNobodyUpBeyondTheDeadline(t *testing.T) {
	s := newBusSystemd(t)
	s.set(func() { s.deaf = true })
	began := time.Now()
	if got, err := s.unit("systemctl").State(within(t, 100*time.Millisecond)); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("got %v, %v; want the deadline", got, err)
	}
	if d := time.Since(began); d > 5*time.Second {
		t.Errorf("took %v", d)
	}
}

func TestConnectionLostInAJobIsMadeUpForBySystemctl(t *testing.T) {
	s := newBusSystemd(t)
	s.set(func() { s.active, s.hangUp = "active", true })
	state := filepath.Join(t.TempDir(), "stopped")
	u := s.unit(script(t, `case $1 in stop) touch `+state+` ;; show) [ -e `+state+` ] && echo ActiveState=inactive ;; esac`))
	if err := u.Stop(within(t, 5*time.Second)); err != nil {
		t.Fatal(err)
	}
	s.wantCalls(t, "StopUnit replace")
}
