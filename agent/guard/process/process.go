// Package process is the guard as a process: one goroutine that owns the guard's
// core, the watchdog and the way to reset the machine. It answers "who acts when
// the agent does not?". The agent's words come to it over a socket; what takes
// time is done by child processes that are killed when their time is over, and
// nothing is ever waited for.
//
// It keeps the watchdog's descriptor with the service manager, so that a guard
// that is started anew goes on with the same opening. Such a guard knows of
// nothing that runs here and feeds nothing before an agent has told it.
package process

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/netip"
	"os"
	"path/filepath"
	"runtime"
	"time"

	"golang.org/x/sys/unix"

	"sbarbiter/agent/guard"
	"sbarbiter/agent/guard/filter"
	"sbarbiter/agent/guard/line"
	"sbarbiter/agent/watchdog"
	"sbarbiter/internal/boottime"
	"sbarbiter/internal/sdnotify"
)

const (
	tickEvery   = 25 * time.Millisecond
	eventBuffer = 64
	// managerWithin bounds what the service manager takes to keep or drop the
	// watchdog's descriptor. Nothing is fed meanwhile.
	managerWithin = time.Second
)

// Config says where a guard works. The fields below Log are for tests; nil
// stands for this machine's own.
type Config struct {
	RuntimeDir string // dies with the boot; the socket is there
	Boot       string // this boot's id
	Log        *slog.Logger

	Resetter watchdog.Resetter
	Open     func(watchdog.Config) (watchdog.Watchdog, error)
	Clock    func() guard.Clock
	Filter   Filter
	Notify   func(...string) error
	Dead     func(context.Context) bool // whether nobody starts the agent, which has ended, again
}

// Filter blocks addresses, lets them through again, or leaves nothing behind; see
// package filter.
type Filter interface {
	Bar(group string, addresses []netip.Addr) error
	Lift(group string, addresses []netip.Addr) error
	Clear(group string, addresses []netip.Addr) error
}

// Process is one guard.
type Process struct {
	cfg    Config
	log    *slog.Logger
	core   *guard.Guard
	events chan any
	gate   *gate
	hands  *hands

	// What follows belongs to the goroutine of Run.
	dog     watchdog.Watchdog // nil: none was asked for yet
	asked   line.Hello        // what the dog was opened for
	conns   map[guard.ConnID]*conn
	plans   map[guard.GroupID]line.Plan
	inquiry context.CancelFunc // ends the question for an agent that is away; nil: none
}

// New prepares a guard.
func New(cfg Config) (*Process, error) {
	if cfg.Resetter == nil {
		r, err := watchdog.OpenSysrq()
		if err != nil {
			return nil, err
		}
		cfg.Resetter = r
	}
	if cfg.Open == nil {
		cfg.Open = (&opener{}).open
	}
	if cfg.Clock == nil {
		cfg.Clock = clock
	}
	if cfg.Dead == nil {
		cfg.Dead = dead
	}
	if cfg.Notify == nil {
		cfg.Notify = sdnotify.Notify
	}
	if cfg.Filter == nil {
		f, err := filter.Open()
		if err != nil {
			cfg.Log.Warn("no packet filter", "error", err, "why", "addresses are removed instead")
			cfg.Filter = filter.NewRemoval()
		} else {
			cfg.Filter = f
		}
	}
	p := &Process{
		cfg: cfg, log: cfg.Log, core: guard.New(cfg.Clock(), cuts(cfg.RuntimeDir)...), events: make(chan any, eventBuffer),
		conns: map[guard.ConnID]*conn{}, plans: map[guard.GroupID]line.Plan{},
	}
	p.hands = newHands(p.log, cfg, p.post)
	return p, nil
}

// clock reads both clocks at once, or as nearly as it can: who is held up between
// the two looks as if the machine had slept.
func clock() guard.Clock {
	const tries, near = 5, time.Millisecond
	best := guard.Clock{}
	least := time.Hour
	for range tries {
		before := boottime.Now()
		var ts unix.Timespec
		if err := unix.ClockGettime(unix.CLOCK_MONOTONIC, &ts); err != nil {
			panic("guard: read CLOCK_MONOTONIC: " + err.Error()) // every Linux has it
		}
		if took := boottime.Now().Sub(before); took < least {
			best, least = guard.Clock{Boot: before, Mono: time.Duration(ts.Nano())}, took
		}
		if least < near {
			break
		}
	}
	return best
}

// Run guards until ctx ends. What runs goes on then, and so does the watchdog's
// countdown: the next guard takes over within its time.
func (p *Process) Run(ctx context.Context) error {
	path := filepath.Join(p.cfg.RuntimeDir, line.SocketName)
	g, err := listen(path, p.post)
	if err != nil {
		return err
	}
	p.gate = g
	defer func() {
		g.close()
		for id := range p.conns {
			p.drop(id)
		}
		p.found()
	}()
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	if err := p.cfg.Notify(sdnotify.Ready); err != nil && !errors.Is(err, sdnotify.ErrNoManager) {
		p.log.Debug("service manager not told", "error", err)
	}
	p.log.Info("guard started", "socket", path)
	tick := time.NewTicker(tickEvery)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			p.log.Info("guard stops", "why", "the next one takes the watchdog over, or it resets this machine")
			return nil
		case ev := <-p.events:
			p.take(ev)
		case <-tick.C:
			p.step(guard.Tick{})
		}
	}
}

// post hands something to the loop.
func (p *Process) post(ev any) { p.events <- ev }

func (p *Process) step(ev guard.Event) {
	for _, a := range p.core.Step(p.cfg.Clock(), ev) {
		p.perform(a)
	}
}

// perform carries out one action; whatever takes time is only begun.
func (p *Process) perform(a guard.Action) {
	switch a := a.(type) {
	case guard.Feed:
		p.feed(a)
	case guard.Bar, guard.Lift, guard.Clear, guard.Run, guard.Halt:
		p.hands.do(a)
	case guard.Welcome:
		p.welcome(a)
	case guard.Drop:
		p.log.Warn("agent dropped", "why", a.Why)
		p.reply(a.Conn, line.Reply{Welcome: &line.Welcome{Err: a.Why}})
		p.drop(a.Conn)
	case guard.Took:
		p.reply(a.Conn, line.Reply{Took: a.Group})
	case guard.Reset:
		p.reset(a.Why)
	case guard.Note:
		p.log.Info(a.What, "group", a.Group, "why", a.Why)
	case guard.Alarm:
		p.log.Warn(a.What, "group", a.Group, "why", a.Why, "alarm", true)
	default:
		panic(fmt.Sprintf("guard: unknown action %T", a))
	}
}

// feed keeps the machine from being reset. Whoever is late here has fed a
// machine that should be dying.
func (p *Process) feed(a guard.Feed) {
	if p.dog == nil {
		return
	}
	switch err := p.dog.Feed(a.Before); {
	case err == nil:
	case errors.Is(err, watchdog.ErrLate):
		p.reset(err.Error())
	default:
		p.log.Error("watchdog not fed", "error", err, "alarm", true)
	}
}

// reset does not come back on a real machine. If it does, the watchdog is not
// fed any more.
func (p *Process) reset(why string) {
	p.dog = nil
	p.log.Error("resetting this machine", "why", why, "alarm", true)
	err := p.cfg.Resetter.Reset()
	p.log.Error("reset has not worked; the watchdog is not fed any more", "error", err, "alarm", true)
}

// Quiet is a writer for the log that never makes the guard wait: what the log's
// reader does not take in time is lost.
func Quiet(out io.Writer) io.Writer {
	q := quiet(make(chan []byte, 256))
	go func() {
		for b := range q {
			_, _ = out.Write(b)
		}
	}()
	return q
}

type quiet chan []byte

func (q quiet) Write(b []byte) (int, error) {
	select {
	case q <- append([]byte(nil), b...):
	default:
	}
	return len(b), nil
}

// makeDir makes the runtime directory.
func makeDir(dir string) error {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return fmt.Errorf("make runtime directory: %w", err)
	}
	return nil
}
