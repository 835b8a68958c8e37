package process

import (
	"context"
	"errors"
	"fmt"
	"time"

	"sbarbiter/agent/guard"
	"sbarbiter/agent/guard/line"
	"sbarbiter/agent/service"
	"sbarbiter/agent/watchdog"
	"sbarbiter/internal/sdnotify"
)

// take brings what has come in to the core.
func (p *Process) take(ev any) {
	switch ev := ev.(type) {
	case came:
		p.conns[ev.id] = ev.conn
	case ended:
		if c := p.conns[ev.conn]; c != nil {
			c.sock.Close()
			delete(p.conns, ev.conn)
		}
		p.step(guard.Lost{Conn: ev.conn})
		p.inquire()
	case said:
		p.hear(ev)
	case guard.Event:
		p.step(ev)
	default:
		panic(fmt.Sprintf("guard: unknown event %T", ev))
	}
}

// hear takes one message. Whoever says what is not understood is hung up on, and
// nothing of it counts.
func (p *Process) hear(s said) {
	c := p.conns[s.conn]
	switch {
	case c == nil:
	case s.err != nil:
		p.refuse(c, s.err)
	case s.message.Hello != nil:
		p.greet(c, *s.message.Hello)
	case !c.said:
		p.refuse(c, errors.New("it has not introduced itself"))
	case s.message.Word != nil:
		w := s.message.Word
		p.step(guard.Told{Conn: c.id, Number: w.Number, At: w.At, Rights: w.Rights})
	case s.message.Farewell == line.Stays:
		p.step(guard.Left{Conn: c.id})
		p.reply(c.id, line.Reply{Done: &line.Done{}})
	default:
		p.reply(c.id, line.Reply{Done: p.disarm(c)})
	}
}

func (p *Process) refuse(c *conn, err error) {
	p.log.Error("agent not served", "error", err, "alarm", true)
	p.reply(c.id, line.Reply{Welcome: &line.Welcome{Err: err.Error()}})
	c.sock.Close()
}

// greet opens the watchdog for an agent, once, and introduces it to the core.
func (p *Process) greet(c *conn, h line.Hello) {
	terms, err := p.serve(h)
	if err != nil {
		p.refuse(c, err)
		return
	}
	c.said, c.plans = true, h.Plans
	p.step(guard.Joined{Conn: c.id, Incarnation: h.Incarnation, Terms: terms})
}

const (
	inquireEvery  = 150 * time.Millisecond
	inquireWithin = 2 * time.Second
)

// inquire asks whether the agent, whose connection was lost, is being started
// again, until it is back or nobody starts it.
func (p *Process) inquire() {
	if len(p.conns) > 0 || p.inquiry != nil {
		return
	}
	ctx, cancel := context.WithCancel(context.Background())
	p.inquiry = cancel
	go func() {
		for ctx.Err() == nil {
			time.Sleep(inquireEvery)
			look, done := context.WithTimeout(ctx, inquireWithin)
			dead := p.cfg.Dead(look)
			done()
			if dead && ctx.Err() == nil {
				p.post(guard.Buried{})
				return
			}
		}
	}()
}

// found ends the inquiry.
func (p *Process) found() {
	if p.inquiry != nil {
		p.inquiry()
		p.inquiry = nil
	}
}

// agentUnit is the agent as the service manager knows it.
const agentUnit = "sbagent.service"

// dead asks systemd. What it does not say is no death.
func dead(ctx context.Context) bool {
	state, err := service.Systemd{UnitName: agentUnit}.Unit(service.Env{}).State(ctx)
	return err == nil && state == service.Stopped
}

// welcome takes an agent's plans with it: not those of one that was overtaken.
func (p *Process) welcome(a guard.Welcome) {
	p.found()
	if c := p.conns[a.Conn]; c != nil {
		for _, plan := range c.plans {
			p.plans[plan.Group] = plan
		}
		p.hands.learn(p.plans)
	}
	p.reply(a.Conn, line.Reply{Welcome: &line.Welcome{Down: a.Down, Dog: p.counted()}})
}

// serve says on what terms an agent is served.
func (p *Process) serve(h line.Hello) (guard.Terms, error) {
	t := h.Terms
	switch {
	case h.Version != line.Version:
		return t, fmt.Errorf("this guard speaks version %d and the agent %d: systemctl restart sbagent-guard sbagent", line.Version, h.Version)
	case h.Boot != p.cfg.Boot:
		return t, fmt.Errorf("the agent speaks of boot %s, and this is %s", h.Boot, p.cfg.Boot)
	case t.Renew <= 0 || t.Silence <= t.Renew || t.Gap <= 0 || t.Watchdog != 0:
		return t, fmt.Errorf("the agent's terms do not hold: %+v", t)
	}
	if p.dog == nil {
		if err := p.arm(h); err != nil {
			return t, err
		}
	}
	if p.asked.Device != h.Device || p.asked.Timeout != h.Timeout {
		return t, fmt.Errorf("this guard feeds watchdog %q (%v) and the node file names %q (%v): "+
			"stop sbagent where nothing runs, then systemctl restart sbagent-guard, then start sbagent", p.asked.Device, p.asked.Timeout, h.Device, h.Timeout)
	}
	if p.dog != nil {
		t.Watchdog = p.dog.Timeout()
	}
	return t, nil
}

// arm opens the device, or takes over the descriptor that the service manager
// kept. From here on it has to be fed.
func (p *Process) arm(h line.Hello) error {
	p.asked = h
	if h.Device == "" {
		return nil
	}
	dog, err := p.cfg.Open(watchdog.Config{Path: h.Device, Timeout: h.Timeout, RuntimeDir: p.cfg.RuntimeDir})
	if err != nil {
		return err
	}
	p.dog = dog
	p.log.Info("watchdog armed", "driver", dog.Identity().Driver, "timeout", dog.Timeout().String())
	return nil
}

// kept is a watchdog of which the service manager has a descriptor or has not.
type kept struct {
	watchdog.Watchdog
	twice bool // its owner's death feeds it once more
}

// opener is how a real machine's watchdog is had.
type opener struct {
	asked bool // for what the service manager kept: a number is good for one use
}

func (o *opener) open(cfg watchdog.Config) (watchdog.Watchdog, error) {
	fd, stored, err := watchdog.Stored()
	if err != nil {
		return nil, err
	}
	if stored && !o.asked {
		o.asked = true
		dog, err := watchdog.Adopt(fd, cfg)
		return kept{dog, false}, err
	}
	dog, err := watchdog.Open(cfg)
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(context.Background(), managerWithin)
	defer cancel()
	return kept{dog, dog.Store(ctx) != nil}, nil
}

// counted is the watchdog as the agent has to count it: without a service
// manager, the death of this process closes and thereby feeds it once more.
func (p *Process) counted() line.Dog {
	if p.dog == nil {
		return line.Dog{Driver: "none"}
	}
	id := p.dog.Identity()
	d := line.Dog{Path: id.Path, Driver: id.Driver, Software: id.Software, Timeout: p.dog.Timeout()}
	if k, ok := p.dog.(kept); ok && k.twice {
		p.log.Warn("watchdog not kept across a restart", "why", "no service manager keeps its descriptor: its timeout counts twice, and a guard that is restarted cannot go on")
		d.Timeout *= 2
	}
	return d
}

// disarm stops the watchdog's countdown for an agent that ends where nothing
// runs.
func (p *Process) disarm(c *conn) *line.Done {
	if p.core.Running() {
		return &line.Done{Err: "stop agent: the guard knows of groups that run here, and goes on"}
	}
	p.step(guard.Left{Conn: c.id})
	if p.dog == nil {
		return &line.Done{}
	}
	ctx, cancel := context.WithTimeout(context.Background(), managerWithin)
	defer cancel()
	if err := p.dog.Disarm(ctx); err != nil && !errors.Is(err, sdnotify.ErrNoManager) {
		p.log.Error("watchdog not stopped", "error", err, "alarm", true)
		return &line.Done{Err: fmt.Sprintf("stop agent: the watchdog goes on counting down: %v", err)}
	}
	p.dog = nil
	p.log.Info("watchdog stopped", "why", "the agent ends, and nothing runs here")
	return &line.Done{}
}
