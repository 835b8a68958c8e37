package runner

import (
	"context"
	"maps"
	"slices"
	"sync"
	"time"

	"sbarbiter/agent"
	"sbarbiter/arbiter"
	"sbarbiter/arbiter/leader"
	"sbarbiter/doctor"
	"sbarbiter/internal/boottime"
	"sbarbiter/timing"
)

const (
	// reportSoon is the pause between two reports when something has changed,
	// reportAnyway when nothing has: a witness that has not read one asks for none.
	reportSoon   = 10 * time.Second
	reportAnyway = time.Minute
	// examineEvery is how often this node examines itself.
	examineEvery  = 5 * time.Minute
	examineWithin = time.Minute
	// timesEvery is how often DRBD's times are read while nothing happens: drbdadm
	// adjust changes them without a word.
	timesEvery = time.Minute
	// fewBeats bounds the beats whose answer is awaited.
	fewBeats = 64
)

// Examination is what this node finds when it looks at itself.
type Examination struct {
	Findings []doctor.Finding
	Machine  string            // DMI's UUID of this node
	Switches map[string]string // the machine of each fence device that tells one
}

// Gauge is what a node reports of itself. The zero value reports nothing.
type Gauge struct {
	// Report is what does not change while the agent runs: the hash and the
	// numbers of the node file, and the watchdog as it was opened.
	Report leader.Report
	// Kept stores what was measured; nil: it dies with the agent.
	Kept    File
	Samples timing.Samples // measured by agents before this one
	// Examine looks at the node, read-only. It may be nil.
	Examine func(context.Context) Examination
	// Times reads what DRBD's kernel goes by, of the resources that have been let
	// connect. It may be nil.
	Times func(context.Context) []timing.DRBD
}

// gauge measures, and says what is new. Many measure, the loop asks.
type gauge struct {
	Gauge

	mu      sync.Mutex
	answers timing.Sample
	sent    map[uint64]boottime.Instant // beats without an answer
	told    boottime.Instant            // the latest report; 0: none on this session
	news    bool
	save    chan struct{} // holds one: there is something to store
	met     chan struct{} // holds one: a resource has found its peer
}

func newGauge(g Gauge) *gauge {
	if g.Samples == nil {
		g.Samples = timing.Samples{}
	}
	return &gauge{Gauge: g, sent: map[uint64]boottime.Instant{}, save: make(chan struct{}, 1), met: make(chan struct{}, 1)}
}

// What is measured, and kept across restarts.
func startOf(g arbiter.GroupID) string { return "start " + string(g) }
func stopOf(g arbiter.GroupID) string  { return "stop " + string(g) }

const shotMeasured = "shot"

// took notes how long something took.
func (g *gauge) took(what string, d time.Duration) {
	g.mu.Lock()
	g.Samples.Add(what, d)
	g.news = true
	g.mu.Unlock()
	select {
	case g.save <- struct{}{}:
	default: // it will be stored with what is being stored
	}
}

// beat notes that a beat leaves, and returns the report that goes with it.
func (g *gauge) beat(now boottime.Instant, b leader.Beat) *leader.Report {
	if g.Report.ConfigHash == "" {
		return nil
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	g.sent[b.Number] = now
	delete(g.sent, b.Number-fewBeats)
	since := now.Sub(g.told)
	if !g.told.IsZero() && since < reportAnyway && (!g.news || since < reportSoon) {
		return nil
	}
	g.told, g.news = now, false
	return g.report()
}

// report is what is known now. The caller holds the lock.
func (g *gauge) report() *leader.Report {
	r := g.Report
	r.Findings = slices.Clone(r.Findings)
	r.Timing.Answer, r.Timing.Shot = g.answers.Measured(), g.Samples.Measured(shotMeasured)
	r.Timing.Groups = slices.Clone(r.Timing.Groups)
	for i := range r.Timing.Groups {
		group := &r.Timing.Groups[i]
		group.Start = g.Samples.Measured(startOf(arbiter.GroupID(group.Name)))
		group.Stop = g.Samples.Measured(stopOf(arbiter.GroupID(group.Name)))
	}
	return &r
}

// hear measures an answer, and notices a session that has been told nothing.
func (g *gauge) hear(now boottime.Instant, ev agent.Event) {
	g.mu.Lock()
	defer g.mu.Unlock()
	switch ev := ev.(type) {
	case agent.Welcomed:
		g.told = 0
		clear(g.sent)
	case agent.Answered:
		if at, ok := g.sent[ev.Answer.Number]; ok {
			delete(g.sent, ev.Answer.Number)
			g.answers.Add(now.Sub(at))
			g.news = true
		}
	}
}

// found takes what the node has seen of itself.
func (g *gauge) found(e Examination) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.Report.Examined, g.Report.Findings, g.news = true, e.Findings, true
	g.Report.Machine, g.Report.Switches = e.Machine, e.Switches
}

// timed takes the times that DRBD's kernel goes by, of the resources that show any. 8.4
// shows none of one that is StandAlone: it keeps those that were read last, which it will
// most likely be told again when it is connected.
func (g *gauge) timed(list []timing.DRBD, owner map[string]arbiter.GroupID) {
	g.mu.Lock()
	defer g.mu.Unlock()
	for i := range g.Report.Timing.Groups {
		group := &g.Report.Timing.Groups[i]
		was, known := group.DRBD, map[string]timing.DRBD{}
		for _, d := range slices.Concat(was, list) {
			if owner[d.Resource] == arbiter.GroupID(group.Name) {
				known[d.Resource] = d
			}
		}
		group.DRBD = nil // a report that is on its way keeps its own
		for _, name := range slices.Sorted(maps.Keys(known)) {
			group.DRBD = append(group.DRBD, known[name])
		}
		g.news = g.news || !slices.Equal(was, group.DRBD)
	}
}

// connects notes that a resource has found its peer.
func (g *gauge) connects() {
	select {
	case g.met <- struct{}{}:
	default: // the times are about to be read anyway
	}
}

func (g *gauge) encode() []byte {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.Samples.Encode()
}

// examine looks at this node now and then.
func (r *Runner) examine() error {
	look := func() {
		ctx, cancel := context.WithTimeout(r.ctx, examineWithin)
		defer cancel()
		r.gauge.found(r.gauge.Examine(ctx))
	}
	look()
	return every(r.ctx, examineEvery, look)
}

// watchTimes reads DRBD's times now and then, and whenever a resource has found its
// peer: it is let look for it with the times of the configuration files of that moment.
func (r *Runner) watchTimes() error {
	t := time.NewTicker(timesEvery)
	defer t.Stop()
	for {
		ctx, cancel := context.WithTimeout(r.ctx, examineWithin)
		r.gauge.timed(r.gauge.Times(ctx), r.owner)
		cancel()
		select {
		case <-r.ctx.Done():
			return nil
		case <-t.C:
		case <-r.gauge.met:
		}
	}
}

// keepMeasured stores what was measured.
func (r *Runner) keepMeasured() error {
	for {
		select {
		case <-r.ctx.Done():
			return nil
		case <-r.gauge.save:
			if err := r.gauge.Kept.Save(r.gauge.encode()); err != nil {
				r.log.Warn("measurements not stored", "error", err)
			}
		}
	}
}
