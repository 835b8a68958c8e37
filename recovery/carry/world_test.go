package carry

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"sbarbiter/drbd"
	"sbarbiter/drbd/kernel"
	"sbarbiter/recovery"
	"sbarbiter/recovery/keep"
)

const (
	diskSize = 1 << 20
	base     = "A000000000000002"
	elder    = "0A00000000000002" // what both had before
	tail     = ":" + elder + ":0000000000000000:1:1:0:0:0:0:0"
)

var errCrash = errors.New("the agent was killed")

// world is a pair whose two sides went their own ways, with one resource of one
// volume. It knows of DRBD what a recovery meets: a handshake between two split
// sides ends in StandAlone unless one of them gives its data up, and that wish is
// forgotten by any handshake.
type world struct {
	t     *testing.T
	sides map[recovery.Node]*side
	store *keep.Store
	flaps int // handshakes that are still to be broken off
	// dieAt is the command, counted from 1, at which the agent is killed: before it,
	// or right after it where late is set. 0: never.
	dieAt, commands int
	late            bool
	again           time.Duration
	log             []string
	nine            bool // DRBD 9: a resync leaves the victim's generation alone until it is over
	losses          int  // resyncs that are still to be broken off by a link that is lost
}

type side struct {
	written uint64 // KiB since the disk was attached
	marked  uint64 // KiB that it has changed besides the first 64
	*world
	name       recovery.Node
	role       drbd.Role
	conn       drbd.ConnState
	repl       drbd.ReplState
	disk       drbd.DiskState
	current    string
	split      string // the bitmap's generation
	discarding bool
	path       string
	held       bool
	violations []drbd.Violation
	absent     bool
}

func split(t *testing.T) *world {
	t.Helper()
	w := &world{t: t, sides: map[recovery.Node]*side{}}
	dir := t.TempDir()
	w.store = &keep.Store{Dir: filepath.Join(dir, "kept"), Quota: 4 * diskSize, Drivers: []keep.Driver{keep.Copy{AtMost: diskSize}}}
	for i, name := range []recovery.Node{"node-a", "node-b"} {
		s := &side{
			world: w, name: name, role: drbd.RoleSecondary, conn: drbd.ConnStandAlone, repl: drbd.ReplOff, disk: drbd.DiskUpToDate,
			current: fmt.Sprintf("%c000000000000002", 'B'+i), split: base, path: filepath.Join(dir, string(name)),
		}
		must(t, os.WriteFile(s.path, bytes.Repeat([]byte(name)[5:6], diskSize), 0o600))
		w.sides[name] = s
	}
	w.sides["node-a"].role = drbd.RolePrimary
	return w
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func (w *world) node(name recovery.Node) *Node {
	dir := w.t.TempDir()
	must(w.t, os.MkdirAll(filepath.Join(dir, "1"), 0o755))
	must(w.t, os.WriteFile(filepath.Join(dir, "1", "mountinfo"), nil, 0o644))
	for _, device := range []string{"drbd0", "drbd1"} {
		must(w.t, os.MkdirAll(filepath.Join(dir, "sys/block", device, "holders"), 0o755))
	}
	return &Node{Name: name, Groups: []Group{{Name: "nfs", Resources: []string{"r0"}}}, DRBD: w.sides[name], Store: w.store, Proc: dir, Sys: filepath.Join(dir, "sys"), Again: w.again}
}

func (w *world) other(s *side) *side {
	if s.name == "node-a" {
		return w.sides["node-b"]
	}
	return w.sides["node-a"]
}

// command counts what changes something and is the moment to be killed at.
func (s *side) command(ctx context.Context, what string, do func() error) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	s.commands++
	if s.commands == s.dieAt && !s.late {
		return errCrash
	}
	s.world.log = append(s.world.log, string(s.name)+" "+what)
	err := do()
	if s.commands == s.dieAt && s.late {
		return errCrash
	}
	return err
}

func (s *side) line() string {
	split := s.split
	if split == "" {
		split = "0000000000000000"
	}
	flags := tail
	if s.disk == drbd.DiskInconsistent {
		flags = strings.Replace(tail, ":1:1:", ":0:0:", 1)
	}
	return s.current + ":" + split + flags
}

func (s *side) Family(context.Context) (drbd.Family, error) {
	if s.nine {
		return drbd.Family9, nil
	}
	return drbd.Family84, nil
}

func (s *side) Now(context.Context, string) (drbd.Resource, error) {
	if s.absent {
		return drbd.Resource{}, kernel.ErrUnconfigured
	}
	r := drbd.Resource{Name: "r0", Role: s.role, Volumes: []drbd.Volume{{
		Minor: 0, Disk: s.disk, Role: s.role, SizeKiB: diskSize >> 10, OutOfSyncKiB: 64 + s.marked, WrittenKiB: s.written,
	}}}
	if s.conn != drbd.ConnStandAlone {
		peer := drbd.DiskUnknown
		if s.conn == drbd.ConnConnected {
			peer = s.other(s).disk
		}
		r.Peer = &drbd.Connection{State: s.conn, Volumes: []drbd.PeerVolume{{Replication: s.repl, PeerDisk: peer, OutOfSyncKiB: 64, DonePercent: 75}}}
	}
	return r, nil
}

func (s *side) GenerationLines(context.Context, string) ([]string, error) {
	return []string{s.line()}, nil
}

func (s *side) StoredGenerations(context.Context, string, int) (string, error) { return s.line(), nil }

func (s *side) Backing(context.Context, string) ([]kernel.Backing, error) {
	return []kernel.Backing{{Disk: s.path}}, nil
}

func (s *side) Prepare(context.Context) {}

func (s *side) DumpMetadata(context.Context, string, int) (string, error) {
	return "version \"v08\";\nla-size-sect 2048;\nbm-byte-per-bit 4096;\n# bits-set 3;\n", nil
}

func (s *side) ResyncLimit(context.Context, string) (uint64, error) { return 1 << 20, nil }

func (s *side) SplitPolicies(context.Context, string) ([]drbd.Violation, error) {
	return s.violations, nil
}

func (s *side) Demote(ctx context.Context, _ string) error {
	return s.command(ctx, "secondary", func() error {
		if s.held {
			return fmt.Errorf("demote r0: %w", kernel.ErrHeldOpen)
		}
		s.role = drbd.RoleSecondary
		return nil
	})
}

func (s *side) Disconnect(ctx context.Context, _ string) error {
	return s.command(ctx, "disconnect", func() error {
		if s.conn == drbd.ConnConnected {
			o := s.other(s)
			o.conn, o.repl = drbd.ConnConnecting, drbd.ReplOff
		}
		s.conn, s.repl, s.discarding = drbd.ConnStandAlone, drbd.ReplOff, false
		return nil
	})
}

func (s *side) Invalidate(ctx context.Context, _ string) error {
	return s.command(ctx, "invalidate", func() error {
		if s.conn != drbd.ConnStandAlone || s.role == drbd.RolePrimary {
			return errors.New("invalidate in the wrong state")
		}
		s.disk = drbd.DiskInconsistent
		return nil
	})
}

func (s *side) Connect(ctx context.Context, _ string, o drbd.ConnectOption) error {
	return s.command(ctx, strings.TrimSpace("connect "+string(o)), func() error {
		if s.conn != drbd.ConnStandAlone {
			return kernel.ErrAlready
		}
		s.conn, s.discarding = drbd.ConnConnecting, o == drbd.DiscardMyData
		s.meet()
		return nil
	})
}

// meet is the handshake.
func (w *world) meet() {
	a, b := w.sides["node-a"], w.sides["node-b"]
	if a.conn != drbd.ConnConnecting || b.conn != drbd.ConnConnecting {
		return
	}
	target, source := a, b
	switch {
	case w.flaps > 0: // a cable that fails in the middle: both go on looking
		w.flaps--
		a.discarding, b.discarding = false, false
		return
	case a.split == "" || b.split == "": // it had begun before
		if b.disk == drbd.DiskInconsistent {
			target, source = b, a
		}
	case b.discarding && !a.discarding, b.disk == drbd.DiskInconsistent && !w.nine:
		target, source = b, a
	case a.discarding && !b.discarding, a.disk == drbd.DiskInconsistent && !w.nine:
	default:
		a.conn, b.conn = drbd.ConnStandAlone, drbd.ConnStandAlone
		a.discarding, b.discarding = false, false
		return
	}
	a.discarding, b.discarding = false, false
	a.conn, b.conn = drbd.ConnConnected, drbd.ConnConnected
	target.repl, source.repl = drbd.ReplSyncTarget, drbd.ReplSyncSource
	target.disk, target.written = drbd.DiskInconsistent, target.written+diskSize>>11
	if !w.nine {
		target.current, target.split = "E000000000000002", ""
	}
	half, err := os.ReadFile(source.path)
	must(w.t, err)
	rest, err := os.ReadFile(target.path)
	must(w.t, err)
	must(w.t, os.WriteFile(target.path, append(half[:diskSize/2:diskSize/2], rest[diskSize/2:]...), 0o600))
}

// copied ends the resync that runs, if one does.
func (w *world) copied() {
	for _, s := range w.sides {
		if s.repl != drbd.ReplSyncTarget {
			continue
		}
		if w.losses > 0 { // the link is back at once, and both look for each other
			w.losses--
			for _, side := range w.sides {
				side.conn, side.repl = drbd.ConnConnecting, drbd.ReplOff
			}
			w.meet()
			return
		}
		o := w.other(s)
		data, err := os.ReadFile(o.path)
		must(w.t, err)
		must(w.t, os.WriteFile(s.path, data, 0o600))
		s.disk, s.current, s.split, o.split = drbd.DiskUpToDate, o.current, "", ""
		s.repl, o.repl = drbd.ReplEstablished, drbd.ReplEstablished
	}
}

func (w *world) plan(victim recovery.Node) recovery.Plan {
	w.t.Helper()
	e := recovery.Evidence{Group: "nfs"}
	for i, name := range []recovery.Node{"node-a", "node-b"} {
		s, err := w.node(name).Measure(w.t.Context(), Group{Name: "nfs", Resources: []string{"r0"}})
		must(w.t, err)
		e.Sides[i] = s
	}
	d, err := recovery.Choose(e, victim)
	must(w.t, err)
	p, err := recovery.MakePlan(e, d)
	must(w.t, err)
	return p
}

// recover plays the leader of a recovery: in each round it asks for all that is
// not done, up to the first step that is not ready. What brings the copies together is
// asked for until they are the same.
func (w *world) recover(p recovery.Plan) error {
	nodes := map[recovery.Node]*Node{}
	finished := make([]bool, len(p.Steps))
	for range 60 {
		for i, s := range p.Steps {
			if finished[i] && i < p.NoReturn() || s.Kind == recovery.Measure {
				continue
			}
			if s.Kind == recovery.Readmit {
				return nil
			}
			if nodes[s.Node] == nil {
				nodes[s.Node] = w.node(s.Node)
			}
			progress, err := nodes[s.Node].Do(w.t.Context(), p, s, "1")
			if errors.Is(err, errCrash) {
				nodes[s.Node] = nil // another agent goes on
				break
			}
			if err != nil {
				return err
			}
			finished[i] = progress.Done
			if !progress.Ready {
				break
			}
		}
		w.copied()
	}
	return fmt.Errorf("it never ends: %+v %+v\n%s", *w.sides["node-a"], *w.sides["node-b"], strings.Join(w.log, "\n"))
}
