package runner

import (
	"context"
	"time"

	"sbarbiter/agent"
	"sbarbiter/agent/guard"
	"sbarbiter/agent/heartbeat"
	"sbarbiter/agent/probe"
	"sbarbiter/agent/service"
	"sbarbiter/arbiter"
	"sbarbiter/arbiter/leader"
	"sbarbiter/drbd"
	"sbarbiter/drbd/kernel"
	"sbarbiter/internal/boottime"
)

// File is stored whole or not at all; see package store.
type File interface{ Save(body []byte) error }

// Starts counts the agent's starts; see store.Store.
type Starts interface {
	RaiseIncarnation(n uint64) error
}

// Witness talks to whichever witness leads; see remote.Client.
type Witness interface {
	// Run keeps one session until ctx ends, and emits SessionUp, SessionDown,
	// Welcomed, Answered and Nudged.
	Run(ctx context.Context, emit func(agent.Event)) error
	// SendHello and SendBeat put a message on the session, or drop it where
	// there is none. They never wait.
	SendHello(h leader.Hello)
	SendBeat(b leader.Beat, clock boottime.Instant)
	// Call asks once, and answers within timeout. Err in it means that nothing is
	// known.
	Call(ctx context.Context, request arbiter.RequestID, m leader.Message, timeout time.Duration) agent.CallDone
}

// Heartbeat carries beats between the two agents; see heartbeat.Heartbeat.
type Heartbeat interface {
	Run(ctx context.Context, emit func(heartbeat.Event)) error
	Send(payload []byte) (uint64, error)
	Stats() []heartbeat.LinkStats
}

// Guard stops what runs here when this agent cannot, and feeds the watchdog; see
// line.Agent.
type Guard interface {
	// Run hears the guard until ctx ends. took is told of a group that it has
	// begun to stop.
	Run(ctx context.Context, took func(guard.GroupID)) error
	// Hand tells it everything that may be running here. nil says that the guard
	// will know, whatever becomes of this agent.
	Hand(rights []guard.Right) error
	// Handed reports whether it knows what was handed over last.
	Handed() bool
	// Speak is a sign of life, given when it is time to. It does not wait.
	Speak()
}

// Prober asks the reference addresses; see probe.Prober.
type Prober interface {
	Run(ctx context.Context, emit func(probe.Observation)) error
}

// Services is what a group runs; see service.Stack.
type Services interface {
	Run(ctx context.Context) error
	Start(ctx context.Context, below func(context.Context) error, report func(service.Step)) error
	Stop(ctx context.Context, report func(service.Step)) service.StopResult
	Barrier(ctx context.Context, report func(service.Step)) error
	State(ctx context.Context) service.Survey
}

// DRBD drives the kernel's part; see kernel.Driver.
type DRBD interface {
	Run(ctx context.Context, emit func(kernel.Observation)) error
	Read(ctx context.Context, resource string) (drbd.Resource, error)
	Generations(ctx context.Context, resource string) ([]drbd.Generations, error)
	Attach(ctx context.Context, resource string) error
	Promote(ctx context.Context, resource string) error
	PromoteOutdated(ctx context.Context, resource string) error
	Demote(ctx context.Context, resource string) error
	Outdate(ctx context.Context, resource string) error
	Invalidate(ctx context.Context, resource string) error
	Disconnect(ctx context.Context, resource string) error
	Connect(ctx context.Context, resource string, option drbd.ConnectOption) error
}
