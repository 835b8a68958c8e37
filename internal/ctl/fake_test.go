package ctl

import (
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"net"
	"strings"
	"sync"
	"testing"

	"google.golang.org/grpc"

	"sbarbiter/internal/pki"
	"sbarbiter/internal/rpc"
	sbv1 "sbarbiter/proto/sb/v1"
)

// fake is a witness that plays a scene, over the same mutual TLS as a real one.
type fake struct {
	sbv1.UnimplementedOperatorServer

	addr string
	stop func()

	mu    sync.Mutex
	scene scene
	no    string // reason of all refusals; "": none
	asked []string
}

// scene is what a witness answers.
type scene struct {
	status  *sbv1.StatusAnswer
	records []*sbv1.Record
	now     string
	timing  *sbv1.TimingAnswer
	doctor  *sbv1.DoctorAnswer
	live    []*sbv1.Record // come while somebody follows
	pair    *judged        // judges recoveries; nil: there is none
}

func newFake(t testing.TB, credentials string) *fake {
	t.Helper()
	own, err := pki.Open(credentials)
	if err != nil {
		t.Fatal(err)
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	f := &fake{addr: l.Addr().String(), scene: healthy()}
	server := grpc.NewServer(rpc.ServerOptions(own, slog.New(slog.DiscardHandler))...)
	sbv1.RegisterOperatorServer(server, f)
	done := make(chan struct{})
	go func() {
		defer close(done)
		_ = server.Serve(l)
	}()
	f.stop = func() { server.Stop(); <-done }
	return f
}

func asExit(err error, target *interface{ ExitCode() int }) bool { return errors.As(err, target) }

func (f *fake) play(s scene) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.scene = s
}

func (f *fake) refuse(reason string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.no = reason
}

func (f *fake) questions() string {
	f.mu.Lock()
	defer f.mu.Unlock()
	return strings.Join(f.asked, "\n")
}

func (f *fake) current() scene {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.scene
}

// answer notes the question as a line of JSON and gives the verdict.
func (f *fake) answer(name string, question any, sentence string) (*sbv1.Verdict, error) {
	text, err := json.Marshal(question)
	if err != nil {
		return nil, err
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	f.asked = append(f.asked, name+" "+string(text))
	if f.no != "" {
		return &sbv1.Verdict{Kind: "refused", Reason: f.no, Sentence: "the witness says no"}, nil
	}
	return &sbv1.Verdict{Kind: "done", Sentence: sentence}, nil
}

func (f *fake) Status(context.Context, *sbv1.StatusRequest) (*sbv1.StatusAnswer, error) {
	return f.current().status, nil
}

func (f *fake) Why(_ context.Context, q *sbv1.WhyRequest) (*sbv1.WhyAnswer, error) {
	s := f.current()
	if _, err := f.answer("why", q, ""); err != nil {
		return nil, err
	}
	return &sbv1.WhyAnswer{Records: s.records, Now: s.now}, nil
}

func (f *fake) Doctor(context.Context, *sbv1.DoctorRequest) (*sbv1.DoctorAnswer, error) {
	return f.current().doctor, nil
}

func (f *fake) Timing(context.Context, *sbv1.TimingRequest) (*sbv1.TimingAnswer, error) {
	return f.current().timing, nil
}

func (f *fake) Events(q *sbv1.EventsRequest, stream grpc.ServerStreamingServer[sbv1.Record]) error {
	s := f.current()
	all := s.records
	if q.GetFollow() {
		all = append(all, s.live...)
	}
	for _, r := range all {
		if r.GetIndex() > q.GetAfter() {
			if err := stream.Send(r); err != nil {
				return err
			}
		}
	}
	if q.GetFollow() {
		<-stream.Context().Done()
	}
	return nil
}

func (f *fake) AddCluster(_ context.Context, q *sbv1.AddClusterRequest) (*sbv1.Verdict, error) {
	return f.answer("add", q.GetDefinition(), "cluster "+q.GetDefinition().GetCluster()+" is declared by alice")
}

func (f *fake) Switchover(_ context.Context, q *sbv1.SwitchoverRequest) (*sbv1.Verdict, error) {
	return f.answer("switchover", q, q.GetGroup()+" is to move to "+q.GetTo()+", says alice")
}

func (f *fake) Standby(_ context.Context, q *sbv1.StandbyRequest) (*sbv1.Verdict, error) {
	return f.answer("standby", q, "so be it")
}

func (f *fake) Maintenance(_ context.Context, q *sbv1.MaintenanceRequest) (*sbv1.Verdict, error) {
	return f.answer("maintenance", q, "so be it")
}

func (f *fake) RehearseFence(_ context.Context, q *sbv1.RehearseFenceRequest) (*sbv1.Verdict, error) {
	v, err := f.answer("rehearse", q, "mandate 3: node-a is to switch "+q.GetNode()+" off and on again, to see that it can, says alice")
	f.mu.Lock()
	defer f.mu.Unlock()
	f.scene.records = append(f.scene.records, f.scene.live...)
	return v, err
}

func (f *fake) GiveUp(_ context.Context, q *sbv1.GiveUpRequest) (*sbv1.Verdict, error) {
	return f.answer("give up", q, q.GetNode()+"'s copy of "+q.GetGroup()+" is given up (1.4)")
}

func (f *fake) ConfirmFence(_ context.Context, q *sbv1.ConfirmFenceRequest) (*sbv1.Verdict, error) {
	return f.answer("confirm", q, q.GetNode()+" is off, says alice; 1 lease(s) ended with grade E1")
}
