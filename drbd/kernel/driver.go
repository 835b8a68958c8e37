package kernel

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"sync"
	"time"

	"sbarbiter/drbd"
)

// Config says which resources a Driver is for and where DRBD's parts are. Empty
// fields take the defaults named here.
type Config struct {
	Resources []string
	// Drbdsetup, Drbdadm and Drbdmeta are the tools; those in /usr/sbin.
	Drbdsetup, Drbdadm, Drbdmeta string
	// Drbdsetup84 is the program to which a drbdsetup of version 9 leaves an 8.4 driver;
	// /lib/drbd/drbdsetup-84 if Drbdsetup is not given either. Where it is not there,
	// Drbdsetup looks for it.
	Drbdsetup84 string
	// Files is a pattern of the files that drbdadm may begin with;
	// /etc/drbd*.conf.
	Files string
	// ProcDRBD is /proc/drbd.
	ProcDRBD string
	// UsermodeHelper is the driver's parameter file that names the program that
	// calls handlers; /sys/module/drbd/parameters/usermode_helper.
	UsermodeHelper string
	// KernelDrbdadm is the path under which the kernel looks for drbdadm;
	// /sbin/drbdadm.
	KernelDrbdadm string
	// HandlerCommand must be what each of Handlers is set to, with the
	// handler's name behind it; Handlers is drbd.RequiredHandlers().
	HandlerCommand string
	Handlers       []drbd.Handler
	// ExecTimeout bounds each command on top of the caller's deadline; 30 s. A
	// promotion waits for fence-peer: give it what that may take.
	ExecTimeout time.Duration
	// Log gets what was run and what came of it; nothing is logged without it.
	Log *slog.Logger
}

// Driver runs DRBD's tools for a node's resources. Its methods may be called
// from several goroutines; two actions on one resource exclude each other.
type Driver struct {
	cfg   Config
	log   *slog.Logger
	slots map[string]*slot
	poke  chan struct{} // asks a running stream to look at /proc/drbd at once

	mu    sync.Mutex
	live  map[string]drbd.Resource // what the stream last showed, while it runs
	known map[topic]remembered
}

// slot is held by the one action that may change a resource.
type slot struct{ busy chan struct{} }

// New returns a Driver. It touches nothing until it is used.
func New(cfg Config) (*Driver, error) {
	if len(cfg.Resources) == 0 {
		return nil, errors.New("configure DRBD driver: no resources named")
	}
	if cfg.Drbdsetup == "" && cfg.Drbdsetup84 == "" {
		cfg.Drbdsetup84 = "/lib/drbd/drbdsetup-84"
	}
	for _, d := range []struct {
		to    *string
		value string
	}{
		{&cfg.Drbdsetup, "/usr/sbin/drbdsetup"},
		{&cfg.Drbdadm, "/usr/sbin/drbdadm"},
		{&cfg.Drbdmeta, "/usr/sbin/drbdmeta"},
		{&cfg.Files, "/etc/drbd*.conf"},
		{&cfg.ProcDRBD, "/proc/drbd"},
		{&cfg.UsermodeHelper, "/sys/module/drbd/parameters/usermode_helper"},
		{&cfg.KernelDrbdadm, "/sbin/drbdadm"},
	} {
		if *d.to == "" {
			*d.to = d.value
		}
	}
	if cfg.ExecTimeout <= 0 {
		cfg.ExecTimeout = 30 * time.Second
	}
	if cfg.Handlers == nil {
		cfg.Handlers = drbd.RequiredHandlers()
	}
	d := &Driver{
		cfg: cfg, log: cfg.Log, slots: map[string]*slot{}, live: map[string]drbd.Resource{}, known: map[topic]remembered{},
		poke: make(chan struct{}, 1),
	}
	if d.log == nil {
		d.log = slog.New(slog.DiscardHandler)
	}
	for _, name := range cfg.Resources {
		d.slots[name] = &slot{busy: make(chan struct{}, 1)}
	}
	return d, nil
}

// Family returns which of the two drivers is loaded. ErrNoDriver if none is.
func (d *Driver) Family(ctx context.Context) (drbd.Family, error) {
	p, err := d.proc(ctx)
	return p.Family, err
}

// proc reads /proc/drbd, which costs no process.
func (d *Driver) proc(ctx context.Context) (drbd.Proc, error) {
	if err := ctx.Err(); err != nil {
		return drbd.Proc{}, fmt.Errorf("read %s: %w", d.cfg.ProcDRBD, err)
	}
	text, err := os.ReadFile(d.cfg.ProcDRBD)
	if errors.Is(err, fs.ErrNotExist) {
		return drbd.Proc{}, fmt.Errorf("read %s: %w: load the module drbd", d.cfg.ProcDRBD, ErrNoDriver)
	}
	if err != nil {
		return drbd.Proc{}, fmt.Errorf("read DRBD's version: %w", err)
	}
	return drbd.ParseProcDRBD(string(text))
}

// Read asks DRBD anew for one resource. ErrUnconfigured if the kernel does not
// have it.
func (d *Driver) Read(ctx context.Context, resource string) (drbd.Resource, error) {
	p, err := d.proc(ctx)
	if err != nil {
		return drbd.Resource{}, err
	}
	cmd := drbd.For(p.Family).Status(resource)
	ans, err := d.run(ctx, p.Family, cmd)
	if err != nil {
		return drbd.Resource{}, err
	}
	if res := ans.result(p.Family); res.Outcome != drbd.OutcomeDone {
		return drbd.Resource{}, errorOf(cmd, res)
	}
	list, err := drbd.ParseStatus(ans.stdout)
	if err != nil {
		return drbd.Resource{}, fmt.Errorf("read resource %s: %w", resource, err)
	}
	for _, r := range list {
		if r.Name == resource {
			return d.withProc(ctx, p.Family, r), nil
		}
	}
	return drbd.Resource{}, fmt.Errorf("read resource %s: %w", resource, ErrUnconfigured)
}

// withProc adds what only 8.4's /proc/drbd knows, if it can be read.
func (d *Driver) withProc(ctx context.Context, f drbd.Family, r drbd.Resource) drbd.Resource {
	if f != drbd.Family84 {
		return r
	}
	p, err := d.proc(ctx)
	if err != nil {
		return r
	}
	return r.WithProc(p)
}

// Generations reads the generation identifiers of a resource's volumes, in
// volume order.
func (d *Driver) Generations(ctx context.Context, resource string) ([]drbd.Generations, error) {
	lines, err := d.GenerationLines(ctx, resource)
	if err != nil {
		return nil, err
	}
	var out []drbd.Generations
	for _, line := range lines {
		g, err := drbd.ParseGI(line)
		if err != nil {
			return nil, fmt.Errorf("read the generations of %s: %w", resource, err)
		}
		out = append(out, g)
	}
	return out, nil
}

func (d *Driver) setLive(r drbd.Resource) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.live[r.Name] = r.Clone()
}

func (d *Driver) dropLive(name string) {
	d.mu.Lock()
	defer d.mu.Unlock()
	delete(d.live, name)
}

func (d *Driver) liveResource(name string) (drbd.Resource, bool) {
	d.mu.Lock()
	defer d.mu.Unlock()
	r, ok := d.live[name]
	return r.Clone(), ok
}
