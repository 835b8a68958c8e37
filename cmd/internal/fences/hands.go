package fences

import (
	"context"
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

	"sbarbiter/arbiter"
	"sbarbiter/arbiter/leader"
	"sbarbiter/fencing"
	"sbarbiter/fencing/shooter"
	"sbarbiter/internal/boottime"
	"sbarbiter/internal/config"
)

// shootWithin is how soon after the permission was asked for a shot must have
// begun.
const shootWithin = 2 * time.Second

type who struct {
	cluster arbiter.ClusterID
	node    arbiter.NodeID
}

// Hands holds the fence devices of a witness's own host, and what they said while their
// nodes were alive.
type Hands struct {
	sets map[who]*Set
	log  *slog.Logger

	mu    sync.Mutex // guards the rest, never held while waiting
	track map[who]*fencing.Track
	ill   map[fencing.DeviceName]bool
}

// NewHands makes the drivers of a witness's own host, nil where the file names none. It refuses what
// would fail on the day it is needed.
func NewHands(conf config.Witness, log *slog.Logger) (*Hands, error) {
	if len(conf.Fencing) == 0 {
		return nil, nil
	}
	if err := config.CheckWitnessHost(conf, Describe); err != nil {
		return nil, err
	}
	p := &Hands{sets: map[who]*Set{}, log: log, track: map[who]*fencing.Track{}, ill: map[fencing.DeviceName]bool{}}
	for cluster, nodes := range conf.Fencing {
		for node, levels := range nodes {
			if len(levels) == 0 {
				continue
			}
			set, err := New(levels, node, conf.Name)
			if err != nil {
				return nil, fmt.Errorf("fencing.%s.%s: %w", cluster, node, err)
			}
			w := who{arbiter.ClusterID(cluster), arbiter.NodeID(node)}
			p.sets[w], p.track[w] = set, &fencing.Track{}
		}
	}
	return p, nil
}

// Run reads the devices now and then, until ctx ends: a password that has expired
// is known before it is needed.
func (p *Hands) Run(ctx context.Context) error {
	g, ctx := errgroup.WithContext(ctx)
	for w, set := range p.sets {
		m := shooter.Monitor{
			Shooter: set.Shooter, Observe: func(o shooter.Observation) { p.observe(w, o) },
			Soon: func(d fencing.DeviceName) bool { return p.wanting(w, d) },
		}
		g.Go(func() error { return m.Run(ctx) })
	}
	return g.Wait()
}

func (p *Hands) observe(w who, o shooter.Observation) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.track[w].Observe(o.Reading)
	if is := o.Err != nil; is != p.ill[o.Device] {
		p.ill[o.Device] = is
		log := p.log.With("cluster", string(w.cluster), "node", string(w.node), "device", string(o.Device))
		if is {
			log.Warn("fence device does not tell the power", "error", o.Err, "alarm", true,
				"why", "until it does, this host cannot prove that the node is off when its peer cannot")
		} else {
			log.Info("fence device answers again")
		}
	}
}

// wanting: no "on" of the node is known that its "off" would be held against.
func (p *Hands) wanting(w who, d fencing.DeviceName) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.track[w].Wanting(d, p.sets[w].Shooter.Now())
}

// aimed keeps what was read for a shot, for the one after it.
func (p *Hands) aimed(w who, readings []fencing.Reading) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.track[w].Aimed(readings)
}

// Reaches names the nodes that this host can shoot.
func (p *Hands) Reaches() map[arbiter.ClusterID][]arbiter.NodeID {
	out := map[arbiter.ClusterID][]arbiter.NodeID{}
	for w := range p.sets {
		out[w.cluster] = append(out[w.cluster], w.node)
	}
	for _, nodes := range out {
		slices.Sort(nodes)
	}
	return out
}

// Heard says that a sign of life of a node has arrived.
func (p *Hands) Heard(c arbiter.ClusterID, node arbiter.NodeID, at boottime.Instant) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if t := p.track[who{c, node}]; t != nil {
		t.Heard(at)
	}
}

func (p *Hands) known(w who) (seenOn []fencing.Reading, contradicted []fencing.DeviceName) {
	p.mu.Lock()
	defer p.mu.Unlock()
	t := p.track[w]
	return t.SeenOn(), t.Contradicted()
}

// Read returns what a node's devices say now, after what they said while it was
// heard.
func (p *Hands) Read(ctx context.Context, c arbiter.ClusterID, node arbiter.NodeID) []arbiter.Reading {
	w := who{c, node}
	set := p.sets[w]
	if set == nil {
		return nil
	}
	seenOn, _ := p.known(w)
	now := shooter.Readings(set.Shooter.Read(ctx))
	p.aimed(w, now)
	return ToReadings(append(seenOn, now...))
}

// Shoot powers a node off.
func (p *Hands) Shoot(ctx context.Context, a leader.Shoot) leader.ShotDone {
	w := who{a.Cluster, a.Target}
	done := leader.ShotDone{Cluster: a.Cluster, Mandate: a.Mandate}
	set := p.sets[w]
	if set == nil {
		done.Failure = "this host has no fence device for it"
		return done
	}
	seenOn, contradicted := p.known(w)
	res, err := set.Shooter.Shoot(ctx, fencing.Spec{
		Target: set.Target, Topology: set.Topology, Limits: set.Limits,
		Start: a.Asked, StartBy: a.Asked.Add(shootWithin), Deadline: a.Before, MaxGap: fencing.DefaultMaxGap,
		Before:       append(FromReadings(a.Readings), seenOn...),
		Contradicted: contradicted,
	}, nil)
	p.aimed(w, res.Readings)
	for _, line := range res.Explain() {
		p.log.Info("shot", "device", line)
	}
	done.Grade, done.Readings = arbiter.Grade(res.Grade), ToReadings(res.Readings)
	done.InFlight = res.InFlight
	switch {
	case err != nil:
		done.Failure = err.Error()
	case !res.Proven:
		done.Failure = res.Reason
	}
	return done
}
