package service

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"time"
)

// Command is a program of the operator's. Either Start, Stop and Status, which
// return once they are done, or Run, which goes on until it is stopped.
type Command struct {
	// Label names the unit among the group's: letters, digits, dot, dash and
	// underscore. It also names the unit's files.
	Label string
	Start []string
	Stop  []string
	// Status exits with 0 if running and 3 if stopped, as the Linux Standard
	// Base has it for init scripts; anything else means not known.
	Status []string
	// Run is a program that stays in the foreground. It outlives the agent,
	// and a restarted agent finds it again.
	Run []string
	Dir string   // working directory; / if empty
	Env []string // KEY=value, added to the agent's environment
	// Settle is how long Run has to stay up to count as started; 100 ms if 0.
	Settle time.Duration
}

var labelPattern = regexp.MustCompile(`^[A-Za-z0-9_][A-Za-z0-9_.-]*$`)

// Validate names the first field that is wrong and how to mend it.
func (c Command) Validate() error {
	if !labelPattern.MatchString(c.Label) {
		return fieldError("label", "%q: write a short name of letters, digits, dot, dash and underscore", c.Label)
	}
	if len(c.Run) > 0 && len(c.Start)+len(c.Stop)+len(c.Status) > 0 {
		return fieldError("run", "cannot go with start, stop or status: write either run, or all of those three")
	}
	if err := c.validatePrograms(); err != nil {
		return err
	}
	if c.Dir != "" && !filepath.IsAbs(c.Dir) {
		return fieldError("dir", "%q is no absolute path", c.Dir)
	}
	for _, e := range c.Env {
		if k, _, ok := strings.Cut(e, "="); !ok || k == "" {
			return fieldError("env", "%q: write KEY=value", e)
		}
	}
	if c.Settle < 0 {
		return fieldError("settle", "%v is negative", c.Settle)
	}
	return nil
}

func (c Command) validatePrograms() error {
	programs := map[string][]string{"start": c.Start, "stop": c.Stop, "status": c.Status}
	if len(c.Run) > 0 {
		programs = map[string][]string{"run": c.Run}
	}
	for _, field := range []string{"run", "start", "stop", "status"} {
		argv, asked := programs[field]
		switch {
		case !asked:
		case len(argv) == 0:
			return fieldError(field, "is missing: write the program and its arguments (status: exit 0 running, 3 stopped), or only run")
		case !filepath.IsAbs(argv[0]):
			return fieldError(field, "%q is no absolute path: the agent searches no PATH", argv[0])
		}
	}
	return nil
}

// Unit returns the unit that runs the program.
func (c Command) Unit(env Env) Unit {
	if len(c.Run) > 0 {
		return newSupervised(c, env)
	}
	return &command{Command: c, dir: env.RuntimeDir}
}

// statusStopped is the LSB's exit status for "program is not running".
const statusStopped = 3

// command is a unit whose programs return once they are done.
type command struct {
	Command
	dir string
}

// Name is "command LABEL".
func (c *command) Name() string { return "command " + c.Label }

// State runs Status.
func (c *command) State(ctx context.Context) (State, error) {
	out, err := c.run(ctx, "status", c.Command.Status)
	if err == nil {
		return Running, nil
	}
	var exit *exitError
	if errors.As(err, &exit) && exit.code == statusStopped {
		return Stopped, nil
	}
	return Unknown, withOutput(fmt.Errorf("status of %s: %w (0 means running, 3 stopped)", c.Name(), err), out)
}

// Start runs Start unless Status says that it runs, and asks again afterwards.
func (c *command) Start(ctx context.Context) error {
	return c.reach(ctx, Running, "start", c.Command.Start)
}

// Stop runs Stop unless Status says that it is stopped, and asks again
// afterwards. It runs Stop also where Status does not know.
func (c *command) Stop(ctx context.Context) error {
	return c.reach(ctx, Stopped, "stop", c.Command.Stop)
}

func (c *command) reach(ctx context.Context, want State, verb string, argv []string) error {
	if state, err := c.State(ctx); err == nil && state == want {
		return nil
	}
	out, err := c.run(ctx, verb, argv)
	if err != nil {
		return withOutput(err, out)
	}
	state, err := c.State(ctx)
	if err != nil {
		return err
	}
	if state != want {
		return withOutput(fmt.Errorf("%s succeeded and status says %v", argv[0], state), out)
	}
	return nil
}

// run runs one program and returns the end of what it printed. That goes to a
// file and not to a pipe, because a daemon that Start leaves behind keeps it.
func (c *command) run(ctx context.Context, verb string, argv []string) (string, error) {
	if err := os.MkdirAll(c.dir, 0o700); err != nil {
		return "", fmt.Errorf("make runtime directory: %w", err)
	}
	out, err := os.OpenFile(filepath.Join(c.dir, c.Label+"."+verb+".out"), os.O_CREATE|os.O_TRUNC|os.O_RDWR|os.O_APPEND, 0o600)
	if err != nil {
		return "", fmt.Errorf("open output file: %w", err)
	}
	defer out.Close()
	err = runGroup(ctx, argv, c.Dir, c.Env, out)
	return tail(out), err
}

func withOutput(err error, out string) error {
	if out == "" {
		return err
	}
	return fmt.Errorf("%w\n%s", err, out)
}
