package runner

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"

	"sbarbiter/agent"
	"sbarbiter/agent/watchdog"
)

// step hands one event to the machine and performs what it answers.
func (r *Runner) step(ev agent.Event) {
	if r.dead {
		return // only the watchdog helps now, and it is not fed any more
	}
	now := r.now()
	if r.complain(now) {
		r.performAll(r.machine.Step(now, agent.SaveFailed{Err: r.unsaved.err}))
	}
	r.gauge.hear(now, ev)
	r.observe(ev)
	r.performAll(r.machine.Step(r.now(), ev))
	if r.parts.Guard != nil && !r.dead {
		r.parts.Guard.Speak()
	}
}

func (r *Runner) performAll(actions []agent.Action) {
	if r.unsaved.err != nil {
		r.retrySave()
	}
	for _, a := range actions {
		switch {
		case r.dead:
			return
		case r.unsaved.err == nil || stores(a) || agent.Safer(a):
			r.perform(a)
		default:
			r.withhold(a)
		}
	}
}

// stores reports whether a only writes something down.
func stores(a agent.Action) bool {
	switch a.(type) {
	case agent.Save, agent.SaveBoot, agent.Adopt:
		return true
	}
	return false
}

// perform carries out one action; whatever takes time is only begun.
func (r *Runner) perform(a agent.Action) {
	switch a := a.(type) {
	case agent.Save:
		r.save(a.Memory)
	case agent.SaveBoot:
		r.saveBoot(a.Memory)
	case agent.Adopt:
		r.adopt(a)
	case agent.Hello:
		r.parts.Witness.SendHello(a.Hello)
	case agent.Beat:
		a.Beat.Report = r.gauge.beat(a.Clock, a.Beat)
		r.parts.Witness.SendBeat(a.Beat, a.Clock)
	case agent.Call:
		r.call(a)
	case agent.Tell:
		r.tell(a.Beat)
	case agent.Left:
		close(r.left)
	case agent.Start:
		r.start(a)
	case agent.Stop:
		r.forgetLift(a.Group)
		r.stop(a)
	case agent.Barrier:
		r.forgetLift(a.Group)
		r.barrier(a)
	case agent.Lift:
		r.lift(a)
	case agent.Demote:
		r.demote(a)
	case agent.Outdate:
		r.outdate(a)
	case agent.Invalidate:
		r.invalidate(a)
	case agent.Part:
		r.part(a)
	case agent.Join:
		r.lookForPeer(a)
	case agent.Measure:
		r.measure(a)
	case agent.Carry:
		r.carry(a)
	case agent.BreakOff:
		r.breakOff(a.Group)
	case agent.ReadPower, agent.Shoot, agent.Hold, agent.SwitchOn:
		r.power(a)
	case agent.Exit:
		r.exit(a)
	case agent.Feed:
		r.feed(a)
	case agent.Reset:
		r.reset(a.Reason)
	case *agent.Note:
		r.note(a)
	default:
		panic(fmt.Sprintf("runner: unknown action %T", a))
	}
}

func (r *Runner) saveBoot(memory *agent.BootMemory) {
	r.holds = len(memory.Groups) > 0
	r.rights(memory)
	if r.parts.Guard != nil {
		_ = r.parts.Guard.Hand(Rights(r.cfg.Agent, memory)) // nothing is started until it has worked
	}
	if err := r.parts.Boot.Save(memory.Encode()); err != nil {
		r.log.Error("cannot store the rights held", "error", err, "alarm", true,
			"why", "an agent that is restarted now goes by older ones; make room in the runtime directory")
	}
}

// call asks the witness beside the loop.
func (r *Runner) call(a agent.Call) {
	r.tasks.Go(func() error {
		r.post(r.parts.Witness.Call(r.ctx, a.Request, a.Message, a.Timeout))
		return nil
	})
}

// feed keeps the machine from being reset. Whoever is late here has fed a
// machine that should be dying.
func (r *Runner) feed(a agent.Feed) {
	if r.parts.Guard != nil {
		return // that feeds, by the same deadlines
	}
	switch err := r.parts.Watchdog.Feed(a.Before); {
	case err == nil:
	case errors.Is(err, watchdog.ErrLate):
		r.reset(err.Error())
	default:
		r.log.Error("watchdog not fed", "error", err, "alarm", true)
	}
}

// reset does not come back on a real machine, unless every way has failed.
func (r *Runner) reset(reason string) {
	r.log.Error("resetting this machine", "why", reason, "alarm", true)
	err := r.parts.Resetter.Reset()
	r.dead = true
	r.log.Error("reset has not worked; the watchdog is not fed any more", "error", err, "alarm", true)
}

// note writes a line of the timeline.
func (r *Runner) note(n *agent.Note) {
	level := slog.LevelInfo
	attrs := make([]slog.Attr, 0, 3)
	if n.Group != "" {
		attrs = append(attrs, slog.String("group", string(n.Group)))
	}
	attrs = append(attrs, slog.String("why", n.Why))
	if n.Alarm {
		level = slog.LevelWarn
		attrs = append(attrs, slog.Bool("alarm", true))
	}
	r.log.LogAttrs(context.Background(), level, n.What, attrs...)
}

// showStatus tells the service manager what runs here, when it has changed.
func (r *Runner) showStatus(b agent.PeerBeat) {
	var words []string
	for _, g := range b.Groups {
		s := fmt.Sprintf("%s %s", g.Group, g.Phase)
		if g.Epoch != 0 {
			s += fmt.Sprintf(" under epoch %d", g.Epoch)
		}
		words = append(words, s)
	}
	if s := strings.Join(words, "; "); s != r.status {
		r.status = s
		r.notify("STATUS=" + s)
	}
}
