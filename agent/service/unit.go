// Package service answers "what does a group run, and is it up?": file systems,
// addresses, systemd units and commands, started in order and stopped in
// reverse. Whether this node may run them, and what to do when a stop is not
// confirmed, is decided elsewhere; DRBD below and monitors above are not its
// business either.
//
// Every unit looks at the machine before it acts, never at what it remembers:
// a restarted agent finds its services as they are.
package service

import (
	"context"
	"fmt"
	"os"
)

// State is what a look at the machine has shown.
type State int

// The states of a unit. Anything else is an error: not known.
const (
	Unknown State = iota
	Running
	Stopped
)

// String names the state.
func (s State) String() string {
	switch s {
	case Running:
		return "running"
	case Stopped:
		return "stopped"
	case Unknown:
		return "unknown"
	}
	return fmt.Sprintf("state %d", int(s))
}

// Unit is one thing that a group runs. Its methods are called by one goroutine
// at a time; Start and Stop may be repeated and first ask whether there is
// anything left to do. All of them end when the context does.
type Unit interface {
	// Name says what the unit is, for people: "filesystem /srv/nfs".
	Name() string
	// Start returns nil only if the unit runs.
	Start(ctx context.Context) error
	// Stop returns nil only if the unit was seen stopped.
	Stop(ctx context.Context) error
	// State returns Running or Stopped as seen now, or an error and Unknown.
	State(ctx context.Context) (State, error)
}

// Blocker is a unit that can turn clients away at once, before anything is
// stopped. Block may be called while another goroutine is in Start or Stop, and
// a Start that had begun before it does not undo it.
type Blocker interface {
	Block(ctx context.Context) error
}

// Scout is a unit whose start begins with a look at the world that takes time.
// Scout has that look while the units below are still being started, changes
// nothing, and ends when its context does. It returns the start that makes use
// of what it saw and that is called, if at all, in the unit's turn.
type Scout interface {
	Scout(ctx context.Context) (start func(context.Context) error)
}

// Background is a unit with work to do beside Start and Stop. Run ends when the
// context does and returns nil then.
type Background interface {
	Run(ctx context.Context) error
}

// Env is what units find on their host.
type Env struct {
	// RuntimeDir keeps what is known about running programs. It dies with the
	// boot and belongs to one group: /run/sbarbiter/nfs.
	RuntimeDir string
	// SystemdSocket is where systemd listens; /run/systemd/private if empty.
	SystemdSocket string
	// Systemctl is the program that speaks to systemd where its socket cannot
	// be reached, and explains failures; "systemctl" if empty.
	Systemctl string
	// Output takes what supervised programs print. It has to outlive the agent
	// (the journal's socket does, a pipe does not); the agent's stderr if nil.
	Output *os.File
}

// Kind is the configuration of one unit.
type Kind interface {
	// Validate names the first field that is wrong and how to mend it.
	Validate() error
	// Unit makes the unit; the configuration has been validated.
	Unit(env Env) Unit
}

// fieldError says which field is wrong and what to write instead.
func fieldError(field, format string, args ...any) error {
	return fmt.Errorf("%s: %s", field, fmt.Sprintf(format, args...))
}
