// Command demo shows the main job on a real pair: the node that writes loses
// its power, the other one takes over, the first one comes back. It prints one
// timeline of all hosts while it happens, and one line of figures at the end.
// Everything it starts is gone when it ends, also by Ctrl-C.
package main

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"strings"
	"sync"
	"syscall"
	"time"

	"sbarbiter/chaos-tests/lab"
	"sbarbiter/chaos-tests/pair"
)

func main() {
	bin := flag.String("bin", "", "directory of built programs (default: build them)")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	err := run(ctx, *bin)
	interrupted := ctx.Err() != nil
	stop()
	switch {
	case interrupted:
		fmt.Fprintln(os.Stderr, "demo: interrupted; everything it started is gone")
		os.Exit(130)
	case err != nil:
		fmt.Fprintln(os.Stderr, "demo:", err)
		os.Exit(1)
	}
}

// Bounds of each part; the whole is far quicker when all is well.
const (
	startWithin    = 2 * time.Minute
	takeoverWithin = time.Minute
	returnWithin   = 2 * time.Minute
	writeFor       = 2 * time.Second
)

// show is one demonstration.
type show struct {
	*pair.Pair
	screen *screen

	following sync.WaitGroup
	unfollow  context.CancelFunc
	holder    *lab.Node // that loses its power
	standby   *lab.Node
	result    result
}

func run(ctx context.Context, bin string) error {
	if err := lab.Ready(); err != nil {
		return err
	}
	s := &show{screen: newScreen(os.Stdout)}
	if err := s.start(ctx, bin); err != nil {
		return err
	}
	defer s.Close()
	defer s.quiet()
	for _, part := range []func(context.Context) error{s.write, s.cut, s.comeBack} {
		if err := part(ctx); err != nil {
			return err
		}
	}
	s.quiet()
	return s.finish(ctx)
}

func (s *show) start(ctx context.Context, bin string) error {
	s.screen.heading("Starting a gateway, a witness, two BMCs and two nodes with DRBD, about 15 s")
	ctx, cancel := context.WithTimeout(ctx, startWithin)
	defer cancel()
	var err error
	s.Pair, err = pair.Start(ctx, pair.Config{Binaries: bin, Watch: s.follow})
	if err != nil {
		s.quiet()
	}
	return err
}

// follow prints what happens from now on.
func (s *show) follow(t *pair.Timeline) {
	var ctx context.Context
	ctx, s.unfollow = context.WithCancel(context.Background())
	s.following.Go(func() { t.Follow(ctx, time.Time{}, s.screen.line) })
}

// quiet lets the timeline come to its end.
func (s *show) quiet() {
	if s.unfollow == nil {
		return
	}
	s.unfollow()
	s.following.Wait()
}

func (s *show) write(ctx context.Context) error {
	var err error
	if s.holder, err = s.Holder(ctx); err != nil {
		return err
	}
	s.standby = s.Peer(s.holder)
	s.screen.heading("All is well: %s writes numbered records, each with an fsync", s.holder.Name)
	return pause(ctx, writeFor)
}

// cut takes the holder's power away and waits until the other one writes.
func (s *show) cut(ctx context.Context) error {
	s.screen.heading("The power of %s is cut", s.holder.Name)
	ctx, cancel := context.WithTimeout(ctx, takeoverWithin)
	defer cancel()
	at := time.Now()
	if err := s.holder.PowerCut(ctx); err != nil {
		return err
	}
	for {
		if last, ok := s.Truth.LastAck(); ok && last.Node == string(s.standby.Name) {
			break
		}
		if err := pause(ctx, 20*time.Millisecond); err != nil {
			return fmt.Errorf("%s did not take over: %w", s.standby.Name, err)
		}
	}
	s.result.FailoverS = s.firstAckAfter(at)
	g, err := s.Group(ctx)
	if err != nil {
		return err
	}
	s.result.Grade = g.Basis.Grade
	return pause(ctx, writeFor)
}

func (s *show) firstAckAfter(at time.Time) float64 {
	for _, a := range s.Truth.Acks() {
		if a.Node == string(s.standby.Name) && a.At.After(at) {
			return round(a.At.Sub(at))
		}
	}
	return 0
}

// comeBack powers the first node on and waits for full redundancy.
func (s *show) comeBack(ctx context.Context) error {
	s.screen.heading("%s gets its power back", s.holder.Name)
	ctx, cancel := context.WithTimeout(ctx, returnWithin)
	defer cancel()
	at := time.Now()
	if err := s.holder.PowerOn(ctx); err != nil {
		return err
	}
	if err := s.WaitGreen(ctx); err != nil {
		return err
	}
	s.result.ReturnS = round(time.Since(at))
	return nil
}

// result is the demonstration in figures.
type result struct {
	FailoverS   float64  `json:"failover_s"` // from the cut to the first record that the other node acknowledged
	DualActiveS float64  `json:"dual_active_s"`
	Acked       int      `json:"acked"`
	AckedLost   int      `json:"acked_lost"`
	Shot        []string `json:"shot"`
	Grade       string   `json:"grade"`
	ReturnS     float64  `json:"return_s"` // from power on to full redundancy
}

// finish shows sbctl's own view and the figures, and judges them.
func (s *show) finish(ctx context.Context) error {
	s.screen.heading("sbctl status")
	a, err := s.Sbctl(ctx, "status")
	if err != nil {
		return err
	}
	fmt.Println(strings.TrimRight(a.Out, "\n"))
	r := s.Report(ctx)
	s.result.DualActiveS, s.result.Acked, s.result.AckedLost = round(r.DualActive), r.Acked, r.Lost
	s.result.Shot = r.Shots
	if s.result.Shot == nil {
		s.result.Shot = []string{}
	}
	line, err := json.Marshal(s.result)
	if err != nil {
		return err
	}
	fmt.Printf("\nRESULT %s\n", line)
	if !r.Audited {
		return errors.New("the records on the new holder could not be compared with what was acknowledged")
	}
	return r.Violations()
}

func round(d time.Duration) float64 {
	return float64(d.Round(10*time.Millisecond)) / float64(time.Second)
}

func pause(ctx context.Context, d time.Duration) error {
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-time.After(d):
		return nil
	}
}
