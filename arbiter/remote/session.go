package remote

import (
	"context"
	"errors"
	"fmt"
	"io"
	"sync"
	"sync/atomic"
	"time"

	"google.golang.org/grpc"

	"sbarbiter/agent"
	"sbarbiter/arbiter/wire"
	"sbarbiter/internal/boottime"
	sbv1 "sbarbiter/proto/sb/v1"
)

type stream = grpc.BidiStreamingClient[sbv1.FromAgent, sbv1.FromWitness]

// session is one stream that a leader has accepted.
type session struct {
	conn *grpc.ClientConn
	on   stream
	conf Config
	out  chan *sbv1.FromAgent

	asked atomic.Int64 // when the first message without an answer left; 0: none waits
}

func newSession(conn *grpc.ClientConn, on stream, conf Config) *session {
	return &session{conn: conn, on: on, conf: conf, out: make(chan *sbv1.FromAgent, outbox)}
}

// run carries messages until the stream breaks or goes silent.
func (s *session) run(ctx context.Context, cancel context.CancelCauseFunc) error {
	var parts sync.WaitGroup
	for _, part := range []func(context.Context) error{s.listen, s.speak, s.watch} {
		// The first to end takes the stream, and with it the others, down.
		parts.Go(func() { cancel(part(ctx)) })
	}
	parts.Wait()
	return context.Cause(ctx)
}

func (s *session) speak(ctx context.Context) error {
	for {
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case m := <-s.out:
			s.asked.CompareAndSwap(0, int64(s.conf.Now()))
			if err := s.on.Send(m); err != nil {
				if errors.Is(err, io.EOF) {
					<-ctx.Done() // listen learns why
					return context.Cause(ctx)
				}
				return fmt.Errorf("send: %w", err)
			}
		}
	}
}

func (s *session) listen(context.Context) error {
	for {
		m, err := s.on.Recv()
		if errors.Is(err, io.EOF) {
			return errors.New("the witness has ended it")
		}
		if err != nil {
			return err
		}
		s.asked.Store(0)
		ev, err := heard(m)
		if err != nil {
			return err
		}
		s.conf.Emit(ev)
	}
}

// watch ends a session on which nothing is answered. TCP would take many seconds
// to notice that.
func (s *session) watch(ctx context.Context) error {
	look := time.NewTicker(s.conf.Silence / 8)
	defer look.Stop()
	for {
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-look.C:
			asked := boottime.Instant(s.asked.Load())
			if asked != 0 && s.conf.Now().Sub(asked) > s.conf.Silence {
				return fmt.Errorf("no answer for %v", s.conf.Silence)
			}
		}
	}
}

// heard turns a message of the witness into an event.
func heard(m *sbv1.FromWitness) (agent.Event, error) {
	switch m := m.GetMessage().(type) {
	case *sbv1.FromWitness_Welcome:
		v, version, err := wire.FromVerdict(m.Welcome)
		if err != nil {
			return nil, fmt.Errorf("read welcome: %w", err)
		}
		return agent.Welcomed{Verdict: v, Version: version}, nil
	case *sbv1.FromWitness_Answer:
		a, version, clock, err := wire.FromBeatAnswer(m.Answer)
		if err != nil {
			return nil, fmt.Errorf("read answer: %w", err)
		}
		return agent.Answered{Answer: a, Version: version, Clock: clock}, nil
	case *sbv1.FromWitness_Notice:
		return agent.Nudged{Why: m.Notice.GetWhy()}, nil
	}
	return nil, errors.New("read message: neither welcome, answer nor notice")
}
