// Package lab starts a real pair and breaks it: two nodes with the real DRBD
// driver in User-Mode Linux, a BMC for each, a gateway, a host for the
// witness, and the switches, cables and power supplies between them.
//
// It answers "what happened, by somebody else's clock?": every fault is noted
// with its time, and a writer on the pair's file system tells the lab, over a
// network that no fault touches, which of its records were acknowledged. What
// runs on nodes and witness, and what ought to have happened, is the caller's
// business.
//
// A power cut here is kinder than a real one: what a node has handed to its
// disk survives, flushed or not.
//
// Nothing leaves the lab's own network namespaces; a second process removes
// them, with everything that runs in them, however this one ends.
package lab

import (
	"context"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"time"

	"golang.org/x/sync/errgroup"
)

// Config says what to start. The zero value is a pair with DRBD and without
// sbarbiter.
type Config struct {
	Binaries string    // directory of built programs, copied to /usr/sbin of both nodes; "" for none
	Log      io.Writer // a line for each event; nil for none
	DiskSize int64     // bytes of each node's DRBD disk; 0 means 128 MiB
	Memory   int64     // bytes of each node's RAM; 0 means 256 MiB
	CacheDir string    // keeps baked disks and the built writer; "" means the user's cache directory
	Dir      string    // parent of the lab's own directory; "" means os.TempDir()
	LogDir   string    // takes consoles and witness log at Close; "" drops them

	Files   map[NodeName][]File // laid into each node before its first boot
	Units   []string            // systemd units that both nodes start at boot
	Witness WitnessConfig
}

// WitnessConfig is what runs on the witness host.
type WitnessConfig struct {
	Command []string // program of Config.Binaries (or a path) and its arguments; run in the witness directory
	Files   []File   // paths are relative to the witness directory
}

// File is a file to be put somewhere.
type File struct {
	Path string
	Data []byte
	Mode fs.FileMode // 0 means 0644
}

func (f File) put(root string) error {
	path := filepath.Join(root, filepath.Clean("/"+f.Path))
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return fmt.Errorf("put %s: %w", f.Path, err)
	}
	mode := f.Mode
	if mode == 0 {
		mode = 0o644
	}
	if err := os.WriteFile(path, f.Data, mode); err != nil {
		return fmt.Errorf("put %s: %w", f.Path, err)
	}
	return os.Chmod(path, mode)
}

// FilesUnder makes Files of all regular files of a directory; their paths are
// relative to it.
func FilesUnder(dir string) ([]File, error) {
	var files []File
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || !d.Type().IsRegular() {
			return err
		}
		info, err := d.Info()
		if err != nil {
			return err
		}
		data, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		rel, err := filepath.Rel(dir, path)
		files = append(files, File{Path: rel, Data: data, Mode: info.Mode().Perm()})
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("collect files: %w", err)
	}
	return files, nil
}

func (c Config) withDefaults() (Config, error) {
	if c.Log == nil {
		c.Log = io.Discard
	}
	if c.DiskSize == 0 {
		c.DiskSize = 128 << 20
	}
	if c.Memory == 0 {
		c.Memory = 256 << 20
	}
	if c.Dir == "" {
		c.Dir = os.TempDir()
	}
	if c.CacheDir == "" {
		dir, err := os.UserCacheDir()
		if err != nil {
			return c, fmt.Errorf("find cache directory (set Config.CacheDir): %w", err)
		}
		c.CacheDir = filepath.Join(dir, "sbarbiter-lab")
	}
	if strings.ContainsAny(c.Dir, " ,") {
		return c, fmt.Errorf("use directory %q: a kernel command line takes no space or comma", c.Dir)
	}
	return c, nil
}

// Lab is a started pair.
type Lab struct {
	A, B    *Node
	BMCs    map[NodeName]*BMC
	Gateway *Gateway
	Witness *Witness
	Truth   *Truth

	cfg    Config
	dir    string
	log    *eventLog
	net    topology
	cables *cables
	power  *powerServer
	scope  *scope
	serial atomic.Int64
}

// Start builds the lab and returns when both nodes are up and DRBD's r0 is
// Connected and UpToDate on both; the witness and the nodes' Units are started
// by then, not necessarily ready. ctx bounds the start only.
// Close must be called; it also happens when the process dies.
func Start(ctx context.Context, cfg Config) (*Lab, error) {
	if err := Ready(); err != nil {
		return nil, err
	}
	cfg, err := cfg.withDefaults()
	if err != nil {
		return nil, err
	}
	sweep(cfg.Dir)
	if !isBaked(cfg) {
		if err := bake(ctx, cfg); err != nil {
			return nil, fmt.Errorf("bake disks: %w", err)
		}
	}
	l, err := open(ctx, cfg)
	if err != nil {
		return nil, fmt.Errorf("start lab: %w", err)
	}
	if err := l.WaitDRBD(ctx, "cs:Connected", "ds:UpToDate/UpToDate"); err != nil {
		l.Close()
		return nil, fmt.Errorf("start lab: %w", err)
	}
	return l, nil
}

// open starts a lab; its nodes are up then, whatever DRBD says.
func open(ctx context.Context, cfg Config) (*Lab, error) {
	sc, err := newScope(cfg.Dir)
	if err != nil {
		return nil, err
	}
	l := &Lab{
		cfg: cfg, dir: sc.dir, scope: sc, net: newTopology(sc.prefix),
		log: &eventLog{start: time.Now(), out: cfg.Log},
	}
	if err := l.start(ctx); err != nil {
		l.Close()
		return nil, err
	}
	return l, nil
}

func (l *Lab) start(ctx context.Context) error {
	l.A, l.B = newNode(l, NodeA), newNode(l, NodeB)
	go l.A.machine.run()
	go l.B.machine.run()
	l.BMCs = map[NodeName]*BMC{NodeA: newBMC(l, NodeA), NodeB: newBMC(l, NodeB)}
	l.Gateway = &Gateway{lab: l}
	l.Witness = &Witness{lab: l}
	l.cables = &cables{sw: l.net.sw}
	for _, step := range []func(context.Context) error{
		l.net.build, l.listen, l.layNodes, l.prepareDisks, l.startHosts, l.bootNodes,
	} {
		if err := step(ctx); err != nil {
			return err
		}
	}
	return nil
}

// listen opens the sockets that others in the lab speak to.
func (l *Lab) listen(context.Context) error {
	var err error
	if l.Truth, err = listenTruth(l.net.sw); err != nil {
		return err
	}
	l.power, err = servePower(filepath.Join(l.dir, "power.sock"), l.Node, func(n NodeName) *BMC { return l.BMCs[n] })
	return err
}

func (l *Lab) startHosts(ctx context.Context) error {
	for _, b := range l.BMCs {
		if err := b.Start(); err != nil {
			return err
		}
	}
	if err := l.Witness.prepare(); err != nil {
		return err
	}
	if len(l.cfg.Witness.Command) == 0 {
		return nil
	}
	return l.Witness.Start()
}

func (l *Lab) bootNodes(ctx context.Context) error {
	began := time.Now()
	return l.both(func(n *Node) error {
		if err := n.PowerOn(ctx); err != nil {
			return err
		}
		if err := n.WaitUp(ctx); err != nil {
			return err
		}
		l.log.note(string(n.Name), "up %.1f s after power on", time.Since(began).Seconds())
		return nil
	})
}

// Nodes returns both nodes, node-a first.
func (l *Lab) Nodes() []*Node { return []*Node{l.A, l.B} }

// Node returns the node of that name, nil if there is none.
func (l *Lab) Node(name NodeName) *Node {
	for _, n := range l.Nodes() {
		if n != nil && n.Name == name {
			return n
		}
	}
	return nil
}

func (l *Lab) both(f func(*Node) error) error {
	var g errgroup.Group
	for _, n := range l.Nodes() {
		g.Go(func() error { return f(n) })
	}
	return g.Wait()
}

func (l *Lab) initrd() string { return filepath.Join(l.dir, "initrd.gz") }

// Dir is the lab's own directory on the host; it is gone after Close.
func (l *Lab) Dir() string { return l.dir }

// Close ends and removes everything of the lab. It may be called twice.
func (l *Lab) Close() {
	if l.A != nil {
		for _, n := range l.Nodes() {
			<-n.machine.press(opQuit, "close")
			<-n.machine.ended
		}
	}
	if l.Truth != nil {
		l.Truth.close()
	}
	if l.power != nil {
		l.power.close()
	}
	l.keepLogs()
	l.scope.close()
}

// keepLogs saves what nodes and witness printed, if anybody wants it.
func (l *Lab) keepLogs() {
	if l.cfg.LogDir == "" {
		return
	}
	for _, name := range []string{"node-a.console", "node-b.console", "witness.log"} {
		data, err := os.ReadFile(filepath.Join(l.dir, name))
		if err != nil {
			continue // never started
		}
		if err := (File{Path: name, Data: data}).put(l.cfg.LogDir); err != nil {
			l.log.note("lab", "%v", err)
		}
	}
}
