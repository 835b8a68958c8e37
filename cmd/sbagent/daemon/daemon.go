// Package daemon is the node agent as a value: it turns a node's configuration
// into the parts of a runner, refuses to start where it could not keep its word,
// and runs. What the agent decides, and how it is carried out, is found in
// packages agent and runner.
package daemon

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"path/filepath"

	"sbarbiter/agent"
	"sbarbiter/agent/heartbeat"
	"sbarbiter/agent/probe"
	"sbarbiter/agent/runner"
	"sbarbiter/agent/runner/handler"
	"sbarbiter/agent/store"
	"sbarbiter/agent/watchdog"
	"sbarbiter/arbiter"
	"sbarbiter/cmd/internal/fences"
	"sbarbiter/internal/boottime"
	"sbarbiter/internal/config"
	"sbarbiter/internal/pki"
	"sbarbiter/internal/sdnotify"
)

// Daemon is one agent. The fields below File are for tests; nil and "" stand for
// this machine's own.
type Daemon struct {
	Node config.Node
	Log  *slog.Logger
	File string // the node file, for the guard's steps; "" in tests

	Boot     string            // the machine's boot id
	Resetter watchdog.Resetter // resets the machine
	Notify   func(...string) error
	Host     func(config.Node) error // says what this machine does not bear out
	Closing  func() agent.Leave      // why groups are left when the agent is told to end; no reason: they are not
}

// Run starts the agent and runs it until ctx ends. Then the services go on, and
// so does the watchdog, unless nothing runs here: whoever is started next within
// its time takes over, and else the machine is reset.
func (d *Daemon) Run(ctx context.Context) (err error) {
	d.defaults()
	st, err := store.Open(d.Node.StateDir, store.Identity{Cluster: d.Node.Cluster, Node: d.Node.Name})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, st.Close()) }()
	mem, err := d.remember(st)
	if err != nil {
		return err
	}
	var s *sentry
	if mem.holding() { // the first thing that is due: the guard waits for a sign of life
		if s, err = d.meet(ctx, mem); err != nil {
			return err
		}
	}
	r, err := d.prepare(ctx, st, mem, &s)
	if err != nil {
		return errors.Join(err, d.leave(s, mem.holding()))
	}
	err = d.untilTold(ctx, r)
	return errors.Join(err, d.leave(s, r.Holds()))
}

// prepare makes a runner, and refuses where this agent could not keep its word.
// The watchdog is opened last of all, because it has to be fed from then on.
func (d *Daemon) prepare(ctx context.Context, st *store.Store, mem memory, s **sentry) (*runner.Runner, error) {
	parts, src, err := d.parts(st, mem)
	if err != nil {
		return nil, err
	}
	if err := d.examine(ctx, src, parts.DRBD, mem); err != nil {
		return nil, err
	}
	if parts.Witness, err = d.witness(src); err != nil {
		return nil, err
	}
	if parts.Resetter = d.Resetter; parts.Resetter == nil {
		if parts.Resetter, err = watchdog.OpenSysrq(); err != nil {
			return nil, err
		}
	}
	groups, err := d.groups()
	if err != nil {
		return nil, err
	}
	if *s == nil {
		if *s, err = d.meet(ctx, mem); err != nil {
			return nil, err
		}
	}
	return d.guarded(ctx, mem, groups, parts, *s)
}

// guarded hands over what an agent before this one may have left running, and
// makes the runner.
func (d *Daemon) guarded(ctx context.Context, mem memory, groups []runner.Group, parts runner.Parts, s *sentry) (*runner.Runner, error) {
	reported := s.reported()
	if err := d.fits(reported); err != nil {
		return nil, err
	}
	cfg := d.agentConfig(mem, reported)
	d.caches(ctx, parts.DRBD, cfg.Groups)
	parts.Watchdog, parts.Gauge = watchdog.None{}, d.gauge(mem.measured, reported, parts.DRBD, parts.Power) // the guard has the watchdog
	if s.line != nil {
		parts.Guard = s.line
		if err := s.line.Hand(runner.Rights(cfg, mem.boot)); err != nil {
			return nil, err
		}
	}
	d.Log.Info("agent started", "incarnation", mem.incarnation, "boot", mem.bootID, "watchdog", s.dog.Driver, "holding", mem.holding())
	return runner.New(runner.Config{
		Agent: cfg, Groups: groups, Handlers: filepath.Join(d.Node.RuntimeDir, handler.SocketName), Holding: mem.holding(),
	}, agent.New(boottime.Now(), cfg, mem.agent, mem.boot), parts), nil
}

func (d *Daemon) defaults() {
	if d.Notify == nil {
		d.Notify = sdnotify.Notify
	}
	if d.Host == nil {
		d.Host = func(n config.Node) error { return config.CheckHost(n, fences.Describe) }
	}
	if d.Closing == nil {
		d.Closing = closing
	}
}

// agentConfig is what the machine knows from the start.
func (d *Daemon) agentConfig(mem memory, dog arbiter.Watchdog) agent.Config {
	n := d.Node
	cfg := agent.Config{
		Cluster: arbiter.ClusterID(n.Cluster), Node: arbiter.NodeID(n.Name), Peer: arbiter.NodeID(n.Peer),
		Boot: arbiter.BootID(mem.bootID), Incarnation: arbiter.Incarnation(mem.incarnation),
		Needed: n.References.Need, Timing: durations(n), Watchdog: dog, CanFence: len(n.Fencing) > 0,
	}
	for _, g := range n.Groups {
		cfg.Groups = append(cfg.Groups, agent.GroupConfig{ID: arbiter.GroupID(g.Name), Resources: g.DRBD, Start: g.StartTimeout})
	}
	return cfg
}

// parts makes everything but the watchdog and the client to the witness. Nothing
// is started yet.
func (d *Daemon) parts(st *store.Store, mem memory) (runner.Parts, *pki.Source, error) {
	src, err := d.credentials()
	if err != nil {
		return runner.Parts{}, nil, err
	}
	p := runner.Parts{
		Durable: mem.durable, Boot: mem.lease, Starts: st, Notify: d.Notify, Log: d.Log, Now: boottime.Now,
		References: probe.Prober{Targets: targets(d.Node.References)},
	}
	if p.Peer, err = d.heartbeat(mem); err != nil {
		return runner.Parts{}, nil, err
	}
	if p.Power, err = d.power(); err != nil {
		return runner.Parts{}, nil, err
	}
	driver, err := d.drbd()
	if err != nil {
		return runner.Parts{}, nil, err
	}
	if driver != nil {
		p.DRBD = driver
		if err := d.takePart(&p, driver); err != nil {
			return runner.Parts{}, nil, err
		}
	}
	return p, src, nil
}

// credentials says who this node is, and refuses another node's certificate.
func (d *Daemon) credentials() (*pki.Source, error) {
	src, err := pki.Open(d.Node.PKIDir)
	if err != nil {
		return nil, err
	}
	c, err := src.Current()
	if err != nil {
		return nil, err
	}
	want := pki.Identity{Role: pki.RoleNode, Cluster: d.Node.Cluster, Name: d.Node.Name}
	if c.Identity != want {
		return nil, fmt.Errorf("certificate %s is for %s, and this is %s: copy the right one here (%s), or correct cluster: and node: in the node file",
			filepath.Join(d.Node.PKIDir, pki.CertFile), c.Identity, want, d.issue())
	}
	return src, nil
}

func (d *Daemon) heartbeat(mem memory) (*heartbeat.Heartbeat, error) {
	key, err := pki.LoadHeartbeatKey(d.Node.HeartbeatKey)
	if err != nil {
		return nil, err
	}
	return heartbeat.New(heartbeat.Config{
		Cluster: d.Node.Cluster, Self: d.Node.Name, Peer: d.Node.Peer, Boot: mem.bootID, Incarnation: mem.incarnation,
		Key: key[:], Links: links(d.Node.Links), AllowSingleLink: d.Node.AllowSingleLink,
	}, d.Log)
}
