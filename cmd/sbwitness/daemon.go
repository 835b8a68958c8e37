package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"runtime/debug"
	"syscall"

	"sbarbiter/arbiter/raftlog"
	"sbarbiter/arbiter/witness"
	"sbarbiter/cmd/internal/fences"
	"sbarbiter/internal/config"
	"sbarbiter/internal/pki"
	"sbarbiter/internal/sdnotify"
	"sbarbiter/internal/telemetry"
)

const (
	auditName = "audit.log"
	gcPercent = 40
)

// daemon is a witness as the command line describes it.
type daemon struct {
	file string
	init bool
	log  *slog.Logger
}

// run serves until ctx ends.
func (d *daemon) run(ctx context.Context) error {
	conf, err := config.LoadWitness(d.file)
	if err != nil {
		return err
	}
	// What is kept is some tens of kilobytes a cluster: time is cheaper than memory.
	debug.SetGCPercent(gcPercent)
	d.log = telemetry.New(os.Stderr, telemetry.Level(os.Getenv("SBARBITER_LOG")), slog.String("witness", conf.Name))
	if d.init {
		return d.found(conf)
	}
	creds, err := credentials(conf)
	if err != nil {
		return err
	}
	hands, err := fences.NewHands(conf, d.log.With("part", "power"))
	if err != nil {
		return err
	}
	machine := witness.NewMachine()
	engine, err := d.open(conf, machine)
	if err != nil {
		return err
	}
	audit, err := witness.OpenAudit(filepath.Join(conf.StateDir, auditName), d.log)
	if err != nil {
		return errors.Join(err, engine.Close())
	}
	listener, err := listen(ctx, conf, d.file)
	if err != nil {
		return errors.Join(err, audit.Close(), engine.Close())
	}
	defer context.AfterFunc(ctx, func() { d.notify("STOPPING=1") })()
	d.log.Info("witness starts", "listen", listener.Addr().String(), "state", conf.StateDir, "version", version())
	server := witness.Config{
		Name: conf.Name, Engine: engine, Machine: machine, Audit: audit, Listener: listener, Creds: creds, Log: d.log,
		Ready: func() { d.notify(sdnotify.Ready, "STATUS=answering on "+listener.Addr().String()) },
	}
	err = d.serve(ctx, server, hands)
	d.log.Info("witness ends")
	return err
}

// serve runs the witness, and the monitor of this host's fence devices beside it.
func (d *daemon) serve(ctx context.Context, conf witness.Config, hands *fences.Hands) error {
	if hands == nil {
		return witness.New(conf).Run(ctx)
	}
	conf.Power = hands
	ctx, stop := context.WithCancel(ctx)
	watching := make(chan error, 1)
	go func() { watching <- hands.Run(ctx) }()
	err := witness.New(conf).Run(ctx)
	stop()
	return errors.Join(err, <-watching)
}

// open opens the state directory. An empty one is made: a witness without memory
// grants nothing before it has learnt from the nodes, so a lost disk does no harm.
func (d *daemon) open(conf config.Witness, machine *witness.Machine) (*raftlog.Engine, error) {
	engineConf := raftlog.Config{Dir: conf.StateDir, Name: conf.Name, Log: d.log.With("part", "log")}
	engine, err := raftlog.Open(engineConf, machine)
	if !errors.Is(err, raftlog.ErrNoState) {
		return engine, err
	}
	if err := d.found(conf); err != nil {
		return nil, err
	}
	return raftlog.Open(engineConf, machine)
}

func (d *daemon) found(conf config.Witness) error {
	if err := raftlog.Init(conf.StateDir, conf.Name); err != nil {
		return err
	}
	d.log.Warn("new state made: nothing is granted before clusters are declared and their nodes have reported", "state", conf.StateDir)
	return nil
}

// credentials reads the certificate, which has to be this witness's.
func credentials(conf config.Witness) (*pki.Source, error) {
	creds, err := pki.Open(conf.PKIDir)
	if err != nil {
		return nil, err
	}
	own, err := creds.Current()
	if err != nil {
		return nil, err
	}
	if want := (pki.Identity{Role: pki.RoleWitness, Name: conf.Name}); own.Identity != want {
		return nil, fmt.Errorf("load credentials: %s holds the certificate of %s, and this is %s; issue one with sbctl pki issue witness %s, or set name in the configuration right",
			conf.PKIDir, own.Identity, want, conf.Name)
	}
	return creds, nil
}

func listen(ctx context.Context, conf config.Witness, file string) (net.Listener, error) {
	var how net.ListenConfig
	listener, err := how.Listen(ctx, "tcp", conf.Listen.String())
	switch {
	case errors.Is(err, syscall.EADDRINUSE):
		return nil, fmt.Errorf("listen on %v: another process does (ss -ltnp names it); stop it, or set listen in %s to another port: %w", conf.Listen, file, err)
	case errors.Is(err, syscall.EADDRNOTAVAIL):
		return nil, fmt.Errorf("listen on %v: this host has no such address; set listen in %s right: %w", conf.Listen, file, err)
	case err != nil:
		return nil, fmt.Errorf("listen on %v: %w", conf.Listen, err)
	}
	return listener, nil
}

// notify tells the service manager, where there is one.
func (d *daemon) notify(states ...string) {
	if err := sdnotify.Notify(states...); err != nil && !errors.Is(err, sdnotify.ErrNoManager) {
		d.log.Warn("service manager not notified", "error", err)
	}
}

// version says which build this is.
func version() string {
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return "unknown"
	}
	for _, s := range info.Settings {
		if s.Key == "vcs.revision" {
			return info.Main.Version + " " + s.Value
		}
	}
	return info.Main.Version
}
