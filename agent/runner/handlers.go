package runner

import (
	"context"
	"fmt"
	"sync"

	"sbarbiter/agent"
	"sbarbiter/agent/runner/handler"
	"sbarbiter/drbd"
)

// callers are the handler calls that wait for the machine's answer.
type callers struct {
	mu      *sync.Mutex
	last    agent.CallID
	waiting map[agent.CallID]chan<- agent.Exit
}

func newCallers() callers {
	return callers{mu: &sync.Mutex{}, waiting: map[agent.CallID]chan<- agent.Exit{}}
}

func (c *callers) open() (agent.CallID, <-chan agent.Exit) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.last++
	answer := make(chan agent.Exit, 1)
	c.waiting[c.last] = answer
	return c.last, answer
}

func (c *callers) close(id agent.CallID) (chan<- agent.Exit, bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	answer, ok := c.waiting[id]
	delete(c.waiting, id)
	return answer, ok
}

// serveHandlers takes the calls of DRBD's handlers.
func (r *Runner) serveHandlers() error {
	return handler.Serve(r.ctx, r.cfg.Handlers, r.answerHandler)
}

func (r *Runner) answerHandler(ctx context.Context, req handler.Request) handler.Answer {
	call, err := drbd.ParseHandlerCall(req.Args, req.Env)
	if err != nil {
		r.log.Warn("handler call not understood", "error", err)
		return handler.Answer{Exit: handler.NoAnswer, Why: err.Error()}
	}
	group, ours := r.owner[call.Resource]
	r.log.Info("handler called", "group", group, "resource", call.Resource, "handler", string(call.Handler))
	if !ours {
		return handler.Answer{Exit: handler.NoAnswer, Why: fmt.Sprintf(
			"resource %s belongs to no group of this node: add it to one in the node file, or take our handlers out of its configuration", call.Resource)}
	}
	switch call.Handler {
	case drbd.HandlerFencePeer:
		return r.fencePeer(ctx, call.Resource)
	case drbd.HandlerLocalIOError:
		if err := r.deliver(agent.DiskFailed{Resource: call.Resource}); err != nil {
			return handler.Answer{Exit: handler.NoAnswer, Why: fmt.Sprintf("the loss of the disk of %s is not recorded: %v", call.Resource, err)}
		}
	case drbd.HandlerSplitBrain:
		r.log.Error("split brain", "group", group, "resource", call.Resource, "alarm", true,
			"why", "DRBD found that both copies were Primary without each other, and has cut the connection")
	}
	return handler.Answer{}
}

// fencePeer waits for the machine's answer for as long as whoever asked does.
func (r *Runner) fencePeer(ctx context.Context, resource string) handler.Answer {
	id, answer := r.calls.open()
	defer r.calls.close(id)
	r.post(agent.FencePeer{Call: id, Resource: resource})
	select {
	case a := <-answer:
		return handler.Answer{Exit: a.Code, Why: a.Why}
	case <-ctx.Done():
		return handler.Answer{Exit: handler.NoAnswer, Why: "the agent is being stopped"}
	}
}

// exit answers a fence-peer call.
func (r *Runner) exit(a agent.Exit) {
	r.log.Info("handler answered", "handler", "fence-peer", "exit", a.Code, "why", a.Why)
	if answer, waiting := r.calls.close(a.Call); waiting {
		answer <- a
	}
}
