package remote

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"net"
	"sync"
	"time"

	"google.golang.org/grpc"

	"sbarbiter/agent"
	"sbarbiter/arbiter/leader"
	"sbarbiter/arbiter/wire"
	"sbarbiter/internal/boottime"
	"sbarbiter/internal/pki"
	"sbarbiter/internal/rpc"
	sbv1 "sbarbiter/proto/sb/v1"
)

const (
	// A witness that is back must be found within a fraction of a lease.
	redialAfter, redialAtMost = 100 * time.Millisecond, time.Second
	// defaultSilence is four beats of the default timing: less would end sessions
	// for a slow fsync at the witness, more would keep the agent from another one.
	defaultSilence = time.Second
	// outbox is how many messages may wait for the connection; the next beat says
	// everything again.
	outbox = 8
)

// ErrNoSession means that no witness answers at present.
var ErrNoSession = errors.New("no witness answers")

// Config is what a client is made of.
type Config struct {
	Addresses []string // of the witnesses, host:port, tried in turn
	Creds     *pki.Source
	Log       *slog.Logger

	// Emit takes events, one at a time and in order. It must not wait for the
	// client. Requests are answered by [Client.Call] and not here.
	Emit func(agent.Event)

	// Silence is how long a message may go unanswered before the session counts
	// as dead; 0 is one second.
	Silence time.Duration

	// Dial makes a connection to a witness; nil is TCP.
	Dial func(ctx context.Context, addr string) (net.Conn, error)
	// Now reads the boot-time clock; nil is boottime.Now.
	Now func() boottime.Instant
}

// Client is an agent's way to its witnesses. Its methods may be called from any
// goroutine.
type Client struct {
	conf Config

	mu      sync.Mutex    // guards the rest; never held while waiting
	session *session      // nil while there is none
	changed chan struct{} // closed when session changes
}

// New makes a client; nothing runs before [Client.Run].
func New(conf Config) (*Client, error) {
	if len(conf.Addresses) == 0 {
		return nil, errors.New("make witness client: no address of a witness; name one")
	}
	if conf.Silence == 0 {
		conf.Silence = defaultSilence
	}
	if conf.Now == nil {
		conf.Now = boottime.Now
	}
	return &Client{conf: conf, changed: make(chan struct{})}, nil
}

// Run keeps a session until ctx ends, then it returns nil.
func (c *Client) Run(ctx context.Context) error {
	wait, told := redialAfter, map[string]boottime.Instant{}
	for next := 0; ; next++ {
		addr := c.conf.Addresses[next%len(c.conf.Addresses)]
		stood, err := c.once(ctx, addr)
		if ctx.Err() != nil {
			return nil
		}
		if stood {
			wait = redialAfter
		}
		c.tell(told, stood, addr, err)
		// Both agents lose a witness at the same moment: they must not come back
		// in step.
		pause := wait/2 + rand.N(wait/2)
		select {
		case <-ctx.Done():
			return nil
		case <-time.After(pause):
		}
		if next%len(c.conf.Addresses) == len(c.conf.Addresses)-1 {
			wait = min(2*wait, redialAtMost)
		}
	}
}

// tell logs a failure, the same witness's not more often than once a minute.
func (c *Client) tell(told map[string]boottime.Instant, stood bool, addr string, err error) {
	now := c.conf.Now()
	if at := told[addr]; !stood && !at.IsZero() && now.Sub(at) < time.Minute {
		return
	}
	told[addr] = now
	c.conf.Log.Warn("no session with witness", "witness", addr, "error", err)
}

// once keeps one session with one witness until it breaks. stood says that there
// was one.
func (c *Client) once(ctx context.Context, addr string) (stood bool, err error) {
	// A connection of its own: one that has gone silent is not waited for again.
	conn, err := rpc.Dial(addr, c.conf.Creds, pki.RoleWitness, c.conf.Log, c.dialer()...)
	if err != nil {
		return false, err
	}
	defer conn.Close()
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	stream, err := c.open(ctx, cancel, conn)
	if err != nil {
		return false, fmt.Errorf("open session with %s: %w", addr, err)
	}
	s := newSession(conn, stream, c.conf)
	c.set(s) // first: the agent's answer to the event is a hello
	c.conf.Emit(agent.SessionUp{})
	err = s.run(ctx, cancel)
	c.set(nil)
	c.conf.Emit(agent.SessionDown{Why: fmt.Sprintf("session with witness %s: %v", addr, err)})
	return true, err
}

// dialer is how connections are made, if not the usual way.
func (c *Client) dialer() []grpc.DialOption {
	if c.conf.Dial == nil {
		return nil
	}
	return []grpc.DialOption{grpc.WithContextDialer(c.conf.Dial)}
}

// open starts a stream and waits until a leader has accepted it.
func (c *Client) open(ctx context.Context, cancel context.CancelCauseFunc, conn *grpc.ClientConn) (stream, error) {
	slow := time.AfterFunc(c.conf.Silence, func() { cancel(fmt.Errorf("no answer within %v", c.conf.Silence)) })
	defer slow.Stop()
	st, err := sbv1.NewArbiterClient(conn).Session(ctx)
	if err == nil {
		err = accepted(st)
	}
	if err == nil && !slow.Stop() {
		err = context.Cause(ctx)
	}
	if err == nil {
		return st, nil
	}
	if cause := context.Cause(ctx); cause != nil {
		return nil, cause
	}
	return nil, err
}

// accepted waits for the header. A stream that was refused has none, and the
// reason comes with the first message.
func accepted(st stream) error {
	header, err := st.Header()
	if err == nil && header == nil {
		_, err = st.Recv()
	}
	return err
}

func (c *Client) set(s *session) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.session = s
	close(c.changed)
	c.changed = make(chan struct{})
}

func (c *Client) current() (*session, <-chan struct{}) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.session, c.changed
}

// SendHello introduces the agent on the session, if there is one.
func (c *Client) SendHello(h leader.Hello) {
	c.send(&sbv1.FromAgent{Message: &sbv1.FromAgent_Hello{Hello: wire.ToHello(h)}})
}

// SendBeat sends a beat, made at clock, on the session, if there is one. A beat
// that the connection cannot take is dropped: the next one says more.
func (c *Client) SendBeat(b leader.Beat, clock boottime.Instant) {
	c.send(&sbv1.FromAgent{Message: &sbv1.FromAgent_Beat{Beat: wire.ToBeat(b, clock)}})
}

func (c *Client) send(m *sbv1.FromAgent) {
	if s, _ := c.current(); s != nil {
		select {
		case s.out <- m:
		default:
		}
	}
}
