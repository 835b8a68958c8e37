package linear

import (
	"context"
	"flag"
	"fmt"
	"math/rand/v2"
	"path/filepath"
	"testing"
	"time"

	"sbarbiter/arbiter"
	"sbarbiter/internal/bubble"
	"sbarbiter/internal/faketime"
)

var (
	rounds = flag.Int("rounds", 1, "histories of each kind; make linear makes many")
	// An order that is not carried out within a minute is withdrawn by the
	// witness, which no client would have asked: histories are shorter.
	lasts = flag.Duration("lasts", 10*time.Second, "fake time of each history")
)

// kept is where the picture of a history that failed is.
var kept = filepath.Join("..", "..", "build", "linearizability")

// record makes one history: two nodes with two askers each and two operators,
// while trouble is made.
func record(t *testing.T, n int, prepare func(*bubble.Witnesses), trouble func(context.Context, *bubble.Witnesses), forgets bool) *traffic {
	t.Helper()
	var tr *traffic
	faketime.Test(t, func(t *testing.T) {
		ws := bubble.NewWitnesses(t, n)
		prepare(ws)
		ws.Start()
		ctx, stop := context.WithCancel(context.Background())
		defer func() { stop(); tr.askers.Wait() }()
		tr = &traffic{t: t, ws: ws, silence: 3 * time.Second, forgets: forgets}
		tr.begin(ctx)
		during, enough := context.WithTimeout(ctx, *lasts)
		defer enough()
		for _, p := range tr.nodes {
			tr.askers.Go(func() { p.run(during) })
			tr.askers.Go(func() { p.run(during) })
		}
		for _, name := range []string{"alice", "bob"} {
			tr.askers.Go(func() { tr.operate(during, name) })
		}
		trouble(during, ws)
		<-during.Done()
	})
	return tr
}

// clients are the ends of routes to the witnesses.
var clients = []string{"node-a", "node-b", "alice", "bob"}

// troubles are what is done to witnesses, again and again, until ctx ends.
var troubles = map[string]func(ctx context.Context, ws *bubble.Witnesses){
	"nothing": func(context.Context, *bubble.Witnesses) {},
	"kill": often(func(ctx context.Context, ws *bubble.Witnesses, w *bubble.Witness) {
		w.Kill()
		rest(ctx, rand.N(time.Second))
		w.Start()
	}),
	"pause": often(func(ctx context.Context, ws *bubble.Witnesses, w *bubble.Witness) {
		goOn := w.Pause(clients...)
		rest(ctx, rand.N(2*time.Second))
		goOn()
	}),
	"partition": often(func(ctx context.Context, ws *bubble.Witnesses, w *bubble.Witness) {
		w.Cut()
		for _, name := range clients {
			if rand.N(2) == 0 { // the others may still reach it
				ws.Net.Hold(name, w.Name)
			}
		}
		rest(ctx, time.Second+rand.N(3*time.Second))
		w.Join()
		for _, name := range clients {
			ws.Net.Free(name, w.Name)
		}
	}),
}

func often(do func(context.Context, *bubble.Witnesses, *bubble.Witness)) func(context.Context, *bubble.Witnesses) {
	return func(ctx context.Context, ws *bubble.Witnesses) {
		for ctx.Err() == nil {
			rest(ctx, rand.N(2*time.Second))
			w := ws.Leader()
			if rand.N(3) == 0 {
				w = ws.All()[rand.N(len(ws.All()))]
			}
			do(ctx, ws, w)
			rest(ctx, rand.N(2*time.Second))
		}
	}
}

func TestClientsSeeOneWitness(t *testing.T) {
	for _, n := range []int{1, 3} {
		for name, trouble := range troubles {
			for round := range *rounds {
				t.Run(fmt.Sprintf("%d witnesses, %s", n, name), func(t *testing.T) {
					t.Parallel()
					tr := record(t, n, func(ws *bubble.Witnesses) { ws.Engine = newSlowEdges(2 * time.Second) }, trouble, false)
					asked, unanswered := tr.h.Len()
					grants := tr.h.Count(Acquire, func(a Told) bool { return a.Verdict == arbiter.Granted })
					stale := tr.h.Count(Exclude, func(a Told) bool { return a.Verdict == arbiter.Done })
					moved := tr.h.Count(Order, func(a Told) bool { return a.Verdict == arbiter.Done })
					t.Logf("%d asked, %d unanswered; %d grants, %d exclusions, %d orders", asked, unanswered, grants, stale, moved)
					if grants == 0 {
						t.Error("nothing happened")
					}
					if tr.highest.Incarnation != 1 {
						t.Errorf("a witness took itself for rolled back: %+v", tr.highest)
					}
					if err := tr.h.Check(kept, fmt.Sprintf("%s-%d", t.Name(), round), time.Minute); err != nil {
						t.Error(err)
					}
				})
			}
		}
	}
}
