package remote

import (
	"context"
	"fmt"
	"time"

	"sbarbiter/agent"
	"sbarbiter/arbiter"
	"sbarbiter/arbiter/leader"
	"sbarbiter/arbiter/wire"
	sbv1 "sbarbiter/proto/sb/v1"
)

// Call carries one request to the leader and returns its answer, within timeout.
// Err in it means that nothing is known: the request may have been carried out,
// and is asked again under the same number. Without a session it waits for one,
// no longer than timeout. A message that no witness takes is an error too.
func (c *Client) Call(ctx context.Context, request arbiter.RequestID, m leader.Message, timeout time.Duration) agent.CallDone {
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	done := agent.CallDone{Request: request}
	s, err := c.await(ctx)
	if err != nil {
		done.Err = fmt.Errorf("ask witness (%T): %w", m, err)
		return done
	}
	answer, err := ask(ctx, sbv1.NewArbiterClient(s.conn), m)
	if err == nil {
		done.Verdict, done.Version, err = wire.FromVerdict(answer)
	}
	if err != nil {
		done.Verdict = arbiter.Verdict{}
		done.Err = fmt.Errorf("ask witness (%T): %w", m, err)
	}
	return done
}

// await returns the session, or the next one.
func (c *Client) await(ctx context.Context) (*session, error) {
	for {
		s, changed := c.current()
		if s != nil {
			return s, nil
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return nil, ErrNoSession
		}
	}
}

func ask(ctx context.Context, to sbv1.ArbiterClient, m leader.Message) (*sbv1.Verdict, error) {
	switch m := m.(type) {
	case leader.Acquire:
		return to.Acquire(ctx, wire.ToAcquire(m))
	case leader.Release:
		return to.Release(ctx, wire.ToRelease(m))
	case leader.Exclude:
		return to.Exclude(ctx, wire.ToExclude(m))
	case leader.Readmit:
		return to.Readmit(ctx, wire.ToReadmit(m))
	case leader.Begin:
		return to.Begin(ctx, wire.ToBegin(m))
	case leader.ReportFence:
		return to.ReportFence(ctx, wire.ToReportFence(m))
	case leader.Measured:
		return to.ReportSide(ctx, wire.ToMeasured(m))
	case leader.StepDone:
		return to.ReportStep(ctx, wire.ToStepDone(m))
	}
	return nil, fmt.Errorf("%T is no request of a node", m)
}
