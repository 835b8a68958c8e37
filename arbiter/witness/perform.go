package witness

import (
	"context"
	"errors"
	"fmt"
	"time"

	"sbarbiter/arbiter"
	"sbarbiter/arbiter/engine"
	"sbarbiter/arbiter/leader"
)

// perform carries out a leadership's actions in order, without waiting.
func (o *office) perform(actions []leader.Action) {
	t := o.term
	for _, a := range actions {
		switch a := a.(type) {
		case leader.Propose:
			o.work(func() { o.propose(t, a) })
		case leader.Verify:
			o.work(func() {
				err := o.engine.VerifyLeader(t.ctx)
				_ = o.post(t.ctx, verified{t, a.Token, err == nil}) // not taken: the leadership is over
			})
		case leader.Reply:
			if answer := t.waiting[a.Ticket]; answer != nil {
				delete(t.waiting, a.Ticket)
				answer(a.Answer)
			}
		case leader.Notify:
			if s := o.sessions[who{a.Cluster, a.Node}]; s != nil {
				s.nudge(a.Why)
			}
		case leader.Look:
			o.work(func() { o.look(t, a) })
		case leader.Shoot:
			o.work(func() { o.shoot(t, a) })
		default:
			panic(fmt.Sprintf("witness: unknown action %T", a))
		}
	}
}

// apply stores one command and returns its verdict.
func (o *office) apply(ctx context.Context, c arbiter.Command) (arbiter.Verdict, error) {
	b, err := arbiter.EncodeCommand(arbiter.Entry{At: time.Now().UnixMilli(), Command: c})
	if err != nil {
		return arbiter.Verdict{}, fmt.Errorf("%w: %w", engine.ErrNotLeader, err) // it has not left
	}
	select {
	case o.slots <- struct{}{}:
		defer func() { <-o.slots }()
	case <-ctx.Done():
		return arbiter.Verdict{}, fmt.Errorf("%w: %w", engine.ErrNotLeader, context.Cause(ctx))
	}
	out, _, err := o.engine.Apply(ctx, b)
	if err != nil {
		return arbiter.Verdict{}, err
	}
	return decodeVerdict(out)
}

// propose applies a command. Where its outcome is not known, a barrier shows what
// has become of it; until then its cluster waits.
func (o *office) propose(t *term, p leader.Propose) {
	v, err := o.apply(t.ctx, p.Command)
	if err == nil {
		_ = o.post(t.ctx, applied{t, p, v}) // not taken: the leadership is over
		return
	}
	o.log.Warn("command not answered by the log", "command", fmt.Sprintf("%T", p.Command), "error", err)
	// At least once: what is not led is not asked again at full speed.
	for rest(t.ctx, pause); !errors.Is(err, engine.ErrNotLeader) && t.ctx.Err() == nil; rest(t.ctx, pause) {
		if o.engine.Barrier(t.ctx) == nil {
			break
		}
	}
	_ = o.post(t.ctx, lost{t, p}) // not taken: the leadership is over
}

// applied is a command that went through.
type applied struct {
	term    *term
	propose leader.Propose
	verdict arbiter.Verdict
}

// take hands on the state as it is now: it contains the command, and versions
// handed on never go back.
func (e applied) take(o *office) {
	l := o.leader()
	if o.term != e.term || l == nil {
		return
	}
	id, named := clusterOf(e.propose.Command)
	version, c := o.machine.cluster(id)
	actions := l.Applied(o.now(), e.propose.Token, arbiter.Outcome{Verdict: e.verdict}, version, c)
	if !named {
		actions = append(actions, o.replace(l)...)
	}
	o.perform(actions)
}

// replace hands everything over anew, after a command that is about all of it.
func (o *office) replace(l *leader.Leader) []leader.Action {
	w := o.machine.whole()
	l.Remembers(w.leads)
	return l.Replaced(o.now(), w.version, w.clusters)
}

// lost is a command whose outcome will not be known, after a barrier or with the
// certainty that it had none.
type lost struct {
	term    *term
	propose leader.Propose
}

func (e lost) take(o *office) {
	l := o.leader()
	if o.term != e.term || l == nil {
		return
	}
	id, named := clusterOf(e.propose.Command)
	version, c := o.machine.cluster(id)
	actions := l.Lost(o.now(), e.propose.Token, version, c)
	if !named {
		actions = append(actions, o.replace(l)...)
	}
	o.perform(actions)
}

// verified is the answer to a verification.
type verified struct {
	term   *term
	token  leader.Token
	leader bool
}

func (e verified) take(o *office) {
	if l := o.leader(); o.term == e.term && l != nil {
		o.perform(l.Verified(o.now(), e.token, e.leader))
	}
}

// request is a message from outside; answer is called once, in the office, and
// must not wait.
type request struct {
	message leader.Message
	answer  func(leader.Answer)
}

func (e request) take(o *office) {
	l := o.leader()
	if l == nil {
		e.answer(leader.Answer{})
		return
	}
	o.heard(e.message)
	t := o.term
	t.tickets++
	t.waiting[t.tickets] = e.answer
	o.perform(l.Request(o.now(), t.tickets, e.message))
}

// look shows the leadership to somebody, nil if there is none.
type look struct {
	at   func(*leader.Leader)
	done chan struct{}
}

func (e look) take(o *office) {
	e.at(o.leader())
	close(e.done)
}

// clusterOf returns the cluster that a command is about, false for one that is
// about all of them.
func clusterOf(c arbiter.Command) (arbiter.ClusterID, bool) {
	switch c := c.(type) {
	case arbiter.Lead, arbiter.Renounce:
		return "", false
	case arbiter.Define:
		return c.Definition.Cluster, true
	case arbiter.NodeUp:
		return c.Caller.Cluster, true
	case arbiter.Acquire:
		return c.Caller.Cluster, true
	case arbiter.Started:
		return c.Caller.Cluster, true
	case arbiter.Release:
		return c.Caller.Cluster, true
	case arbiter.Exclude:
		return c.Caller.Cluster, true
	case arbiter.OwnWord:
		return c.Caller.Cluster, true
	case arbiter.Readmit:
		return c.Caller.Cluster, true
	case arbiter.Begin:
		return c.Caller.Cluster, true
	case arbiter.ReportFence:
		return c.Caller.Cluster, true
	case arbiter.WitnessBegin:
		return c.Cluster, true
	case arbiter.WitnessReport:
		return c.Cluster, true
	case arbiter.EndMandate:
		return c.Cluster, true
	case arbiter.Order:
		return c.Cluster, true
	case arbiter.Standby:
		return c.Cluster, true
	case arbiter.Maintenance:
		return c.Cluster, true
	case arbiter.GiveUp:
		return c.Cluster, true
	case arbiter.Confirm:
		return c.Cluster, true
	case arbiter.Armed:
		return c.Caller.Cluster, true
	case arbiter.Rehearse:
		return c.Cluster, true
	case arbiter.Calm:
		return c.Cluster, true
	case arbiter.Remark:
		return c.Cluster, true
	}
	return clusterOfRecovery(c)
}

// clusterOfRecovery is the same for the commands about recoveries.
func clusterOfRecovery(c arbiter.Command) (arbiter.ClusterID, bool) {
	switch c := c.(type) {
	case arbiter.Resolve:
		return c.Cluster, true
	case arbiter.Show:
		return c.Cluster, true
	case arbiter.Measured:
		return c.Caller.Cluster, true
	case arbiter.Unmeasured:
		return c.Cluster, true
	case arbiter.MeasureAgain:
		return c.Cluster, true
	case arbiter.Approve:
		return c.Cluster, true
	case arbiter.StepDone:
		return c.Caller.Cluster, true
	case arbiter.CancelRecovery:
		return c.Cluster, true
	}
	panic(fmt.Sprintf("witness: unknown command %T", c))
}
