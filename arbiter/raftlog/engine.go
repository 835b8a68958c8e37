package raftlog

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/hashicorp/raft"

	"sbarbiter/arbiter/engine"
)

// Election timeouts where the configuration names none. Raft wants them well
// above the time of one round trip plus one fsync.
const (
	// A single voter waits for nobody: this is only how long a start takes.
	aloneElection = 100 * time.Millisecond
	// Several voters must ride out a slow fsync and a lost packet or two.
	groupElection = 500 * time.Millisecond
	// Raft refuses timeouts below 5 ms; anything near that is a mistake.
	leastElection = 20 * time.Millisecond
)

// Config says where an engine lives and who it is.
type Config struct {
	// Dir is the state directory, made by [Init] on a local disk.
	Dir string

	// Name is this witness's name, the same as at [Init].
	Name string

	// Transport carries raft's messages between voters; the engine closes it.
	// Nil is right for a single voter: nothing listens then.
	Transport raft.Transport

	// Election is how long a voter hears no leader before it stands for
	// election, and an upper bound of how long a cut-off leader still thinks
	// that it leads. Zero means 100 ms without a transport, 500 ms with one.
	Election time.Duration

	// Wrap puts something between the engine and its bolt file: a disk that
	// fails, for tests. Nil is nothing.
	Wrap func(Store) Store

	// Log receives what raft has to say. Nil discards it.
	Log *slog.Logger
}

// Engine is one voter's log and the machine behind it. All methods may be
// called from any goroutine; they answer ErrNotLeader until Run has won an
// election.
type Engine struct {
	conf  Config
	disk  *disk
	snaps raft.SnapshotStore
	fsm   *replayer

	leadership chan engine.Leadership
	blank      bool // no command was stored when the directory was opened

	raft    atomic.Pointer[raft.Raft]
	canvass atomic.Pointer[canvass] // set before raft
	broken  *breaker

	mu      sync.Mutex // guards the rest; never held while waiting
	state   lifecycle
	calls   int
	drained chan struct{} // closed when no call is left after stopping
}

// lifecycle is how far an engine has come; it never goes back.
type lifecycle int

const (
	opened lifecycle = iota
	running
	stopping
	ended
)

// Open takes the directory's lock, examines what is in it and prepares the
// engine; nothing runs before [Engine.Run]. The errors say what is wrong with
// the directory and what to do: see [ErrNoState], [ErrForeign], [ErrDamaged],
// [ErrInUse].
func Open(conf Config, machine engine.Machine) (*Engine, error) {
	conf, err := conf.withDefaults()
	if err != nil {
		return nil, err
	}
	if err := checkIdentity(conf.Dir, conf.Name); err != nil {
		return nil, err
	}
	log := newRaftLogger(conf.Log)
	snaps, newest, err := openSnapshots(conf.Dir, log)
	if err != nil {
		return nil, err
	}
	bolt, blank, err := openBolt(conf.Dir, newest)
	if err != nil {
		return nil, err
	}
	var file Store = bolt
	if conf.Wrap != nil {
		file = conf.Wrap(bolt)
	}
	broken := newBreaker()
	return &Engine{
		conf:       conf,
		disk:       newDisk(file, conf.Dir, conf.Log, broken),
		snaps:      snaps,
		fsm:        &replayer{machine: machine, broken: broken, dir: conf.Dir},
		leadership: make(chan engine.Leadership, 1),
		blank:      blank && newest == 0,
		broken:     broken,
		drained:    make(chan struct{}),
	}, nil
}

func (c Config) withDefaults() (Config, error) {
	if c.Log == nil {
		c.Log = slog.New(slog.DiscardHandler)
	}
	switch {
	case c.Election != 0 && c.Election < leastElection:
		return c, fmt.Errorf("open witness log: election timeout %v is below %v: raft would depose leaders for a slow fsync", c.Election, leastElection)
	case c.Election != 0:
	case c.Transport == nil:
		c.Election = aloneElection
	default:
		c.Election = groupElection
	}
	if c.Transport == nil {
		// It connects nothing and listens nowhere; its close has no effect.
		_, c.Transport = raft.NewInmemTransport(raft.ServerAddress(c.Name))
	}
	return c, nil
}

// Close gives back the directory of an engine that was never run. After Run
// there is nothing left to close.
func (e *Engine) Close() error {
	e.mu.Lock()
	never := e.state == opened
	if never {
		e.state = ended
	}
	e.mu.Unlock()
	if !never {
		return nil
	}
	return e.disk.Close()
}

// Apply stores a command in the log and returns what the machine made of it,
// with the command's index, once it is committed, durable and applied here.
// After ErrNotLeader the command has no effect, ever; after ErrUnknown (also
// when ctx ends first) it may have one: ask again, or wait for a Barrier.
func (e *Engine) Apply(ctx context.Context, cmd []byte) (outcome []byte, index uint64, err error) {
	framed := frame(cmd)
	got, err := ask(ctx, e, func(r *raft.Raft) (applied, error) {
		future := r.Apply(framed, enqueueLimit(ctx))
		if err := future.Error(); err != nil {
			return applied{}, err
		}
		response, ok := future.Response().(applied)
		if !ok {
			return applied{}, fmt.Errorf("machine answered %T", future.Response())
		}
		return response, response.err
	})
	if err != nil {
		return nil, 0, fmt.Errorf("apply command: %w", err)
	}
	return got.outcome, got.index, nil
}

// Barrier returns once everything that was accepted before it is applied here.
// For a new leader that includes every entry of earlier leaders.
func (e *Engine) Barrier(ctx context.Context) error {
	_, err := ask(ctx, e, func(r *raft.Raft) (struct{}, error) {
		return struct{}{}, r.Barrier(enqueueLimit(ctx)).Error()
	})
	if err != nil {
		return fmt.Errorf("pass barrier: %w", err)
	}
	return nil
}

// VerifyLeader returns nil only if this engine was the leader at some moment
// after the call began, by the word of a majority that was asked after it.
func (e *Engine) VerifyLeader(ctx context.Context) error {
	_, err := ask(ctx, e, func(*raft.Raft) (struct{}, error) {
		return struct{}{}, e.canvass.Load().confirm()
	})
	if err != nil {
		return fmt.Errorf("verify leadership: %w", err)
	}
	return nil
}

// Leadership tells of leadership won and lost, to one reader. A reader that is
// late finds only the newest edge, never an old one; Term tells it of a loss
// that it missed. The channel is closed when Run ends.
func (e *Engine) Leadership() <-chan engine.Leadership { return e.leadership }

// Leader returns the leader's name and address as far as this voter knows;
// both are empty when it knows of none.
func (e *Engine) Leader() (name, addr string) {
	r := e.raft.Load()
	if r == nil {
		return "", ""
	}
	a, id := r.LeaderWithID()
	return string(id), string(a)
}

// LastIndex is the index of the last command that the machine has applied
// here, whichever way it came: by replay, from a snapshot or anew.
func (e *Engine) LastIndex() uint64 { return e.fsm.last.Load() }

// Fresh reports that no command has ever been stored in this directory. It is
// the new leader's cue, after a Barrier, to store the first one.
func (e *Engine) Fresh() bool { return e.blank && e.LastIndex() == 0 }

// ask puts one question to raft and waits for the answer no longer than ctx,
// or the engine, lasts.
func ask[T any](ctx context.Context, e *Engine, question func(*raft.Raft) (T, error)) (T, error) {
	var none T
	if ctx.Err() != nil {
		return none, fmt.Errorf("%w: %w", engine.ErrUnknown, context.Cause(ctx))
	}
	r, err := e.enter()
	if err != nil {
		return none, err
	}
	type reply struct {
		value T
		err   error
	}
	replied := make(chan reply, 1)
	go func() {
		defer e.leave()
		v, err := question(r)
		replied <- reply{v, err}
	}()
	select {
	case got := <-replied:
		if cause := e.broken.cause(); cause != nil {
			return none, fmt.Errorf("%w: %w", engine.ErrUnknown, cause)
		}
		return got.value, classify(got.err)
	case <-e.broken.tripped:
		return none, fmt.Errorf("%w: %w", engine.ErrUnknown, e.broken.cause())
	case <-ctx.Done():
		return none, fmt.Errorf("%w: %w", engine.ErrUnknown, context.Cause(ctx))
	}
}

// enter admits one call to raft, or says why it certainly had no effect.
func (e *Engine) enter() (*raft.Raft, error) {
	if cause := e.broken.cause(); cause != nil {
		return nil, fmt.Errorf("%w: the log has stopped: %w", engine.ErrNotLeader, cause)
	}
	r := e.raft.Load()
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.state != running || r == nil {
		return nil, fmt.Errorf("%w: the log is not running", engine.ErrNotLeader)
	}
	if r.State() != raft.Leader {
		return nil, engine.ErrNotLeader
	}
	e.calls++
	return r, nil
}

func (e *Engine) leave() {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.calls--
	if e.calls == 0 && e.state == stopping {
		close(e.drained)
	}
}

// classify sorts raft's errors by the one question that matters: can the
// request still take effect?
func classify(err error) error {
	switch {
	case err == nil:
		return nil
	case errors.Is(err, raft.ErrNotLeader), errors.Is(err, raft.ErrLeadershipTransferInProgress):
		return fmt.Errorf("%w: %w", engine.ErrNotLeader, err)
	default:
		return fmt.Errorf("%w: %w", engine.ErrUnknown, err)
	}
}

// enqueueLimit bounds how long a request waits for raft's attention: a request
// that its caller gave up must not be accepted minutes later.
func enqueueLimit(ctx context.Context) time.Duration {
	const most = 10 * time.Second
	deadline, ok := ctx.Deadline()
	if !ok {
		return most
	}
	// Zero would mean "wait for ever" to raft.
	return max(time.Millisecond, min(most, time.Until(deadline)))
}
