package handler

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/syslog"
	"net"
	"strings"
	"time"

	"sbarbiter/drbd"
	"sbarbiter/timing"
)

const (
	// answerWithin is long, for the resource is frozen meanwhile, and well below
	// drbdadm's patience.
	answerWithin = timing.HandlerLimit
	// reachWithin is how long an agent that is being restarted is waited for.
	reachWithin = 5 * time.Second
	reachEvery  = 50 * time.Millisecond
)

// DefaultSocket is where the agent listens unless its configuration names
// another runtime directory.
const DefaultSocket = "/run/sbarbiter/" + SocketName

const usage = "usage: sbagent handler [--socket=PATH] fence-peer|unfence-peer|after-resync-target|split-brain|local-io-error\n" +
	"DRBD calls this; see the handlers section of drbd.conf(5)"

// Main is the handler program: it asks the agent and returns the exit code.
// Nobody reads the stderr of a program that the kernel starts, so what went
// wrong goes to the system's log as well.
func Main(args, environ []string, stderr io.Writer) int {
	socket := DefaultSocket
	if len(args) > 0 && strings.HasPrefix(args[0], "--socket=") {
		socket, args = strings.TrimPrefix(args[0], "--socket="), args[1:]
	}
	if len(args) == 0 || strings.HasPrefix(args[0], "-") {
		fmt.Fprintln(stderr, usage)
		return NoAnswer
	}
	req := Request{Args: args, Env: facts(environ)}
	if wrong := mistake(req); wrong != "" {
		complain(stderr, wrong)
		fmt.Fprintln(stderr, usage)
		return NoAnswer
	}
	ctx, cancel := context.WithTimeout(context.Background(), answerWithin)
	defer cancel()
	a, err := Ask(ctx, socket, req)
	if err != nil {
		a = Answer{Exit: NoAnswer, Why: err.Error()}
	}
	if a.Why != "" {
		complain(stderr, fmt.Sprintf("handler %s of resource %s: exit %d: %s", args[0], req.Env["DRBD_RESOURCE"], a.Exit, a.Why))
	}
	return a.Exit
}

// mistake says what makes a call one that no agent could answer. It is said at
// once: waiting for an agent would only keep the kernel's I/O frozen for longer.
// Handlers of DRBD that the agent has no use for are left to it: it passes them.
func mistake(req Request) string {
	switch {
	case !drbd.Handler(req.Args[0]).Known():
		return fmt.Sprintf("there is no handler %q; look at the handlers section of the resource's configuration", req.Args[0])
	case req.Env["DRBD_RESOURCE"] == "":
		return fmt.Sprintf("handler %s: DRBD_RESOURCE, the resource's name, is not in the environment; DRBD sets it when it calls", req.Args[0])
	}
	return ""
}

// facts are what DRBD says about a call.
func facts(environ []string) map[string]string {
	env := map[string]string{}
	for _, e := range environ {
		if k, v, ok := strings.Cut(e, "="); ok && strings.HasPrefix(k, "DRBD_") {
			env[k] = v
		}
	}
	return env
}

func complain(stderr io.Writer, text string) {
	fmt.Fprintln(stderr, "sbagent:", text)
	if w, err := syslog.New(syslog.LOG_DAEMON|syslog.LOG_WARNING, "sbagent"); err == nil {
		// The text is on stderr already.
		_ = w.Warning(text)
		_ = w.Close()
	}
}

// Ask puts the question to the agent and waits for the answer. An agent that is
// not there is waited for a moment, and one that was restarted meanwhile is
// asked again: nobody else will ask for the kernel.
func Ask(ctx context.Context, socket string, req Request) (Answer, error) {
	lost := time.Now()
	for {
		a, reached, err := askOnce(ctx, socket, req)
		if err == nil {
			return a, nil
		}
		if reached {
			lost = time.Now()
		}
		if ctx.Err() != nil {
			return Answer{}, fmt.Errorf("the agent has not answered in time: %w", ctx.Err())
		}
		if time.Since(lost) > reachWithin {
			return Answer{}, fmt.Errorf("ask the agent: %w; start it (systemctl start sbagent), DRBD stays as it is until then", err)
		}
		select {
		case <-ctx.Done():
		case <-time.After(reachEvery):
		}
	}
}

var errHungUp = errors.New("the agent ended before it answered")

func askOnce(ctx context.Context, socket string, req Request) (a Answer, reached bool, err error) {
	conn, err := (&net.Dialer{}).DialContext(ctx, "unix", socket)
	if err != nil {
		return Answer{}, false, err
	}
	defer conn.Close()
	stop := context.AfterFunc(ctx, func() { conn.Close() })
	defer stop()
	if err := json.NewEncoder(conn).Encode(req); err != nil {
		return Answer{}, true, fmt.Errorf("ask on %s: %w", socket, err)
	}
	a, err = read[Answer](bufio.NewReader(conn))
	if err != nil {
		return Answer{}, true, fmt.Errorf("%w: %w", errHungUp, err)
	}
	return a, true, nil
}
