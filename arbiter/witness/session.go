package witness

import (
	"context"
	"errors"
	"fmt"
	"io"
	"reflect"
	"sync"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"

	"sbarbiter/arbiter"
	"sbarbiter/arbiter/leader"
	"sbarbiter/arbiter/wire"
	"sbarbiter/internal/pki"
	"sbarbiter/internal/rpc"
	sbv1 "sbarbiter/proto/sb/v1"
)

// outbox is how many answers a client may be behind before it is sent away: four
// seconds of beats.
const outbox = 16

// session is one agent's stream. The office fills it, the stream's own goroutine
// empties it.
type session struct {
	who    who
	out    chan *sbv1.FromWitness
	asked  chan struct{} // holds one for each message without an answer yet
	nudges chan string   // holds one: several changes are one reason to beat
	over   chan struct{}
	once   sync.Once
	err    error // why it is over; set before over is closed

	told *arbiter.Definition // last sent; the office's
}

func newSession(w who) *session {
	return &session{
		who: w, out: make(chan *sbv1.FromWitness, outbox), asked: make(chan struct{}, outbox), nudges: make(chan string, 1), over: make(chan struct{}),
	}
}

// end ends the stream with err, nil for a client that has said goodbye.
func (s *session) end(err error) {
	s.once.Do(func() {
		s.err = err
		close(s.over)
	})
}

// push queues a message; a client that does not read is sent away.
func (s *session) push(m *sbv1.FromWitness) {
	select {
	case s.out <- m:
	default:
		s.end(status.Error(codes.ResourceExhausted, "this client does not read its answers"))
	}
}

func (s *session) nudge(why string) {
	select {
	case s.nudges <- why:
	default: // one is waiting to be sent
	}
}

func unavailable(why string) error { return status.Error(codes.Unavailable, why) }

// Session serves one agent until either side ends the stream.
func (s *Server) Session(stream grpc.BidiStreamingServer[sbv1.FromAgent, sbv1.FromWitness]) error {
	id, ok := rpc.IdentityFrom(stream.Context())
	if !ok || id.Role != pki.RoleNode {
		return status.Errorf(codes.PermissionDenied, "a session needs a node's certificate; this one is for %s", id)
	}
	if !s.office.open.Load() {
		return unavailable(s.notLeading())
	}
	// The agent speaks once it knows that somebody who leads listens.
	if err := stream.SendHeader(metadata.MD{}); err != nil {
		return err
	}
	one := newSession(who{arbiter.ClusterID(id.Cluster), arbiter.NodeID(id.Name)})
	// Both wait for the client, who may never come back; they end with the stream,
	// which ends when this returns.
	s.streams.Go(func() { one.end(s.listen(stream, one)) })
	s.streams.Go(func() { one.end(s.speak(stream, one)) })
	defer s.detach(one)
	select {
	case <-one.over:
		return one.err
	case <-stream.Context().Done():
		return status.FromContextError(stream.Context().Err()).Err()
	case <-s.stopping:
		return unavailable("this witness is stopping")
	}
}

// speak sends what the office has put into the outbox.
func (s *Server) speak(stream grpc.BidiStreamingServer[sbv1.FromAgent, sbv1.FromWitness], one *session) error {
	for {
		var m *sbv1.FromWitness
		select {
		case m = <-one.out:
		case why := <-one.nudges:
			m = &sbv1.FromWitness{Message: &sbv1.FromWitness_Notice{Notice: &sbv1.Notice{Why: why}}}
		case <-stream.Context().Done():
			return stream.Context().Err()
		}
		if err := stream.Send(m); err != nil {
			return err
		}
	}
}

// listen hands what the agent says to the office, until the stream ends.
func (s *Server) listen(stream grpc.BidiStreamingServer[sbv1.FromAgent, sbv1.FromWitness], one *session) error {
	for greeted := false; ; {
		m, err := stream.Recv()
		switch {
		case errors.Is(err, io.EOF):
			return nil
		case err != nil:
			return err
		}
		message, caller, err := heard(m)
		if err != nil {
			return status.Errorf(codes.InvalidArgument, "%s/%s: %v", one.who.cluster, one.who.node, err)
		}
		if (who{caller.Cluster, caller.Node}) != one.who {
			return status.Errorf(codes.PermissionDenied, "the certificate is for node %s/%s, which cannot speak for %s/%s; set cluster and node in its configuration right, or issue another certificate",
				one.who.cluster, one.who.node, caller.Cluster, caller.Node)
		}
		if _, hello := message.(leader.Hello); hello && !greeted {
			greeted = true
			if err := s.office.post(stream.Context(), attached{one}); err != nil {
				return unavailable(s.notLeading())
			}
		}
		if !greeted {
			return status.Error(codes.InvalidArgument, "a session begins with a hello")
		}
		select {
		case one.asked <- struct{}{}: // a client that says more than is answered waits, and its connection with it
		case <-stream.Context().Done():
			return stream.Context().Err()
		}
		if err := s.office.post(stream.Context(), request{message, s.reply(one)}); err != nil {
			return unavailable(s.notLeading())
		}
	}
}

func heard(m *sbv1.FromAgent) (leader.Message, arbiter.Caller, error) {
	switch m := m.GetMessage().(type) {
	case *sbv1.FromAgent_Hello:
		h, err := wire.FromHello(m.Hello)
		return h, h.Caller, wrong("hello", err)
	case *sbv1.FromAgent_Beat:
		b, _, err := wire.FromBeat(m.Beat)
		return b, b.Caller, wrong("beat", err)
	}
	return nil, arbiter.Caller{}, errors.New("neither hello nor beat")
}

func wrong(what string, err error) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf("read %s: %w", what, err)
}

// reply returns what sends an answer to the session. It runs in the office. A
// verdict answers a hello, or says that a beat needs one first; an unknown answer
// is no answer.
func (s *Server) reply(one *session) func(leader.Answer) {
	return func(a leader.Answer) {
		select {
		case <-one.asked:
		default: // the office never waits
		}
		switch {
		case a.Verdict != nil:
			if a.Verdict.Kind == arbiter.Refused {
				s.log.Warn("node refused", "cluster", one.who.cluster, "node", one.who.node, "reason", a.Verdict.Reason, "sentence", a.Verdict.Sentence)
			}
			one.push(&sbv1.FromWitness{Message: &sbv1.FromWitness_Welcome{Welcome: wire.ToVerdict(*a.Verdict, a.Version)}})
		case a.Beat != nil:
			answer := *a.Beat
			if reflect.DeepEqual(one.told, answer.Definition) {
				answer.Definition = nil
			} else {
				one.told = answer.Definition
			}
			one.push(&sbv1.FromWitness{Message: &sbv1.FromWitness_Answer{Answer: wire.ToBeatAnswer(answer, a.Version, s.conf.Now())}})
		}
	}
}

// detach lets the office forget a session that is over.
func (s *Server) detach(one *session) {
	_ = s.office.post(context.Background(), detached{one}) // an office that has ended has forgotten it
}

// attached is an agent that has greeted. A session of the same node that is still
// there belongs to a connection that the node has given up.
type attached struct{ session *session }

func (e attached) take(o *office) {
	s := e.session
	if o.leader() == nil {
		s.end(unavailable("this witness has lost the lead"))
		return
	}
	if older := o.sessions[s.who]; older != nil && older != s {
		older.end(status.Error(codes.Aborted, "the node has opened a newer session"))
	}
	o.sessions[s.who] = s
	o.log.Info("session begins", "cluster", s.who.cluster, "node", s.who.node)
}

type detached struct{ session *session }

func (e detached) take(o *office) {
	s := e.session
	if o.sessions[s.who] == s {
		delete(o.sessions, s.who)
		o.log.Info("session ends", "cluster", s.who.cluster, "node", s.who.node, "reason", fmt.Sprint(s.reason()))
	}
}

// reason says why the session is over, as far as this side knows.
func (s *session) reason() error {
	select {
	case <-s.over:
		return s.err
	default:
		return errors.New("the connection is gone")
	}
}
