package line

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"slices"
	"sync"
	"time"

	"sbarbiter/agent/guard"
	"sbarbiter/internal/boottime"
)

const (
	// answerWithin bounds the wait for an answer: opening a watchdog and leaving
	// it with the service manager may take its time.
	answerWithin = 5 * time.Second
	redialAfter  = 50 * time.Millisecond
)

// ErrNoGuard says that no guard can be reached.
var ErrNoGuard = errors.New("no guard answers (systemctl start sbagent-guard)")

// Agent is the agent's end of the line. [Agent.Hand] and [Agent.Speak] belong to
// one goroutine, [Agent.Run] to another.
type Agent struct {
	path  string
	hello Hello
	log   *slog.Logger
	now   func() boottime.Instant

	mu     sync.Mutex // held for one short write at most
	conn   *net.UnixConn
	number uint64
	spoke  boottime.Instant
	rights []guard.Right
	ready  bool // there is something to say
	handed bool // the guard has been sent the present rights
}

// Dial introduces an agent to its guard and returns when that has opened the
// watchdog. What may be running here it does not say yet: [Agent.Hand] does.
func Dial(ctx context.Context, path string, hello Hello, log *slog.Logger) (*Agent, Welcome, error) {
	a := &Agent{path: path, hello: hello, log: log, now: boottime.Now}
	a.hello.Version = Version
	w, err := a.dial(ctx)
	return a, w, err
}

// dial connects and introduces the agent.
func (a *Agent) dial(ctx context.Context) (Welcome, error) {
	ctx, cancel := context.WithTimeout(ctx, answerWithin)
	defer cancel()
	var d net.Dialer
	c, err := d.DialContext(ctx, "unixpacket", a.path)
	if err != nil {
		return Welcome{}, fmt.Errorf("reach the guard: %w: %w", ErrNoGuard, err)
	}
	conn := c.(*net.UnixConn)
	w, err := a.introduce(ctx, conn)
	if err != nil {
		conn.Close()
		return w, err
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	a.conn, a.number = conn, 0
	if !a.ready {
		return w, nil
	}
	return w, a.send()
}

func (a *Agent) introduce(ctx context.Context, conn *net.UnixConn) (Welcome, error) {
	end, _ := ctx.Deadline()
	if err := conn.SetDeadline(end); err != nil {
		return Welcome{}, fmt.Errorf("reach the guard: %w", err)
	}
	if _, err := conn.Write(Encode(Message{Hello: &a.hello})); err != nil {
		return Welcome{}, fmt.Errorf("speak to the guard: %w", err)
	}
	r, err := read(conn)
	switch {
	case err != nil:
		return Welcome{}, fmt.Errorf("wait for the guard's answer: %w", err)
	case r.Welcome == nil:
		return Welcome{}, errors.New("wait for the guard's answer: it said something else")
	case r.Welcome.Err != "":
		return *r.Welcome, errors.New(r.Welcome.Err)
	}
	return *r.Welcome, conn.SetDeadline(time.Time{})
}

func read(conn *net.UnixConn) (Reply, error) {
	buf := make([]byte, MaxPacket)
	n, err := conn.Read(buf)
	if err != nil {
		return Reply{}, err
	}
	var r Reply
	err = decode(buf[:n], &r)
	return r, err
}

// Hand tells the guard what may be running here from now on. nil says that the
// guard will know it, whatever becomes of this agent: only then a group may be
// started.
func (a *Agent) Hand(rights []guard.Right) error {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.rights, a.ready = slices.Clone(rights), true
	return a.send()
}

// Handed reports whether the guard knows what was handed over last.
func (a *Agent) Handed() bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.handed
}

// Speak says the same again when it is time to: a sign of life.
func (a *Agent) Speak() {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.ready && a.now().Sub(a.spoke) >= a.hello.Terms.Renew {
		_ = a.send() // said once by send
	}
}

// send says a word. The lock is held.
func (a *Agent) send() error {
	if a.conn == nil {
		a.handed = false
		return ErrNoGuard
	}
	a.spoke = a.now()
	a.number++
	err := Send(a.conn, Encode(Message{Word: &Word{Number: a.number, At: a.spoke, Rights: a.rights}}))
	if err != nil && a.handed {
		a.log.Error("guard not told", "error", err, "alarm", true, "why", "nothing is started until it is")
	}
	a.handed = err == nil
	if err != nil {
		return fmt.Errorf("tell the guard: %w", err)
	}
	return nil
}

// Run hears the guard and looks for it again when it is gone, until ctx ends.
func (a *Agent) Run(ctx context.Context, took func(guard.GroupID)) error {
	for ctx.Err() == nil {
		err := a.hear(ctx, took)
		if ctx.Err() != nil {
			return nil
		}
		a.log.Error("guard lost", "error", err, "alarm", true, "why", "nobody feeds the watchdog, and nothing is started, until it is back")
		if !a.redial(ctx) {
			return nil
		}
		a.log.Info("guard found again")
	}
	return nil
}

// hear reads what the guard says until the line breaks.
func (a *Agent) hear(ctx context.Context, took func(guard.GroupID)) error {
	conn := a.line()
	if conn == nil {
		return ErrNoGuard
	}
	stop := context.AfterFunc(ctx, func() { _ = conn.SetReadDeadline(time.Unix(1, 0)) })
	defer stop()
	for {
		r, err := read(conn)
		if err != nil {
			if ctx.Err() == nil {
				a.hangUp()
			}
			return err
		}
		if r.Took != "" {
			took(r.Took)
		}
	}
}

func (a *Agent) line() *net.UnixConn {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.conn
}

func (a *Agent) hangUp() {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.conn.Close()
	a.conn, a.handed = nil, false
}

func (a *Agent) redial(ctx context.Context) bool {
	last := ""
	for {
		select {
		case <-ctx.Done():
			return false
		case <-time.After(redialAfter):
		}
		_, err := a.dial(ctx)
		if err == nil {
			return true
		}
		if ctx.Err() == nil && !errors.Is(err, ErrNoGuard) && err.Error() != last {
			last = err.Error()
			a.log.Error("guard refuses", "error", err, "alarm", true)
		}
	}
}

// Leave says farewell, after Run has ended. It returns once the guard has
// answered.
func (a *Agent) Leave(f Farewell) error {
	conn := a.line()
	if conn == nil {
		return ErrNoGuard
	}
	defer conn.Close()
	if err := conn.SetDeadline(time.Now().Add(answerWithin)); err != nil {
		return fmt.Errorf("take leave of the guard: %w", err)
	}
	if _, err := conn.Write(Encode(Message{Farewell: f})); err != nil {
		return fmt.Errorf("take leave of the guard: %w", err)
	}
	for {
		r, err := read(conn)
		switch {
		case errors.Is(err, io.EOF):
			return errors.New("take leave of the guard: it hung up")
		case err != nil:
			return fmt.Errorf("take leave of the guard: %w", err)
		case r.Done == nil:
		case r.Done.Err != "":
			return errors.New(r.Done.Err)
		default:
			return nil
		}
	}
}
