package bubble

import (
	"context"
	"fmt"
	"log/slog"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"sbarbiter/arbiter/raftlog"
	"sbarbiter/arbiter/witness"
	"sbarbiter/internal/boottime"
	"sbarbiter/internal/pki"
)

// Clock returns a host's boot-time clock: it was at "at" when this was called
// and gains "ahead" nanoseconds every second.
func Clock(at, ahead time.Duration) func() boottime.Instant {
	began := time.Now()
	return func() boottime.Instant {
		passed := time.Since(began)
		return boottime.Instant(at + passed + time.Duration(passed.Seconds()*float64(ahead)))
	}
}

// Witnesses are one witness, or several that elect a leader, with everything
// around them. All of it lives in the bubble that made it.
type Witnesses struct {
	Net *Network
	// Each is put around a witness's engine before it runs; nil is nothing.
	Engine func(witness.Engine) witness.Engine
	// Disk is put between a witness's log and its disk; nil is nothing.
	Disk func(raftlog.Store) raftlog.Store
	Log  *slog.Logger

	t     testing.TB
	ca    *pki.CA
	wires *wires
	all   []*Witness
}

// Witness is one of them.
type Witness struct {
	Name string
	// Disk fails on demand; a new one with every start.
	Disk *Disk

	set    *Witnesses
	dir    string
	creds  *pki.Source
	now    func() boottime.Instant
	cancel context.CancelFunc
	ended  chan error // nil while it is down
	goOn   func()     // ends a pause; nil: there was none
	engine *raftlog.Engine
}

// NewWitnesses makes the directories and certificates of n witnesses, w1 and so
// on; none runs yet. What still runs when the test ends is stopped.
func NewWitnesses(t testing.TB, n int) *Witnesses {
	t.Helper()
	ca, err := pki.Init(filepath.Join(t.TempDir(), "ca"))
	if err != nil {
		t.Fatal(err)
	}
	s := &Witnesses{Net: NewNetwork(), Log: slog.New(slog.DiscardHandler), t: t, ca: ca, wires: newWires()}
	var voters []raftlog.Voter
	for i := range n {
		name := fmt.Sprint("w", i+1)
		voters = append(voters, raftlog.Voter{Name: name, Addr: name})
	}
	for i, v := range voters {
		w := &Witness{
			Name: v.Name, set: s, dir: filepath.Join(t.TempDir(), "state"), creds: s.Creds(pki.Identity{Role: pki.RoleWitness, Name: v.Name}),
			now: Clock(time.Duration(i+1)*time.Hour, time.Duration(i-1)*3*time.Millisecond),
		}
		if n == 1 {
			voters = nil
		}
		if err := raftlog.Init(w.dir, w.Name, voters...); err != nil {
			t.Fatal(err)
		}
		s.all = append(s.all, w)
	}
	t.Cleanup(func() {
		for _, w := range s.all {
			_ = w.Stop() // a story that cares has asked
		}
		time.Sleep(20 * wireTimeout) // raft does not wait for the last answer to a handover
	})
	return s
}

// All returns the witnesses; their names are also their addresses.
func (s *Witnesses) All() []*Witness { return s.all }

// Leader is who leads, as far as one of them knows, or the first.
func (s *Witnesses) Leader() *Witness {
	for _, w := range s.all {
		if w.ended == nil {
			continue
		}
		name, _ := w.engine.Leader()
		for _, other := range s.all {
			if other.Name == name {
				return other
			}
		}
	}
	return s.all[0]
}

// Addresses are where the witnesses are reached.
func (s *Witnesses) Addresses() (out []string) {
	for _, w := range s.all {
		out = append(out, w.Name)
	}
	return out
}

// Start starts all that are down.
func (s *Witnesses) Start() {
	for _, w := range s.all {
		w.Start()
	}
}

// Creds issues a certificate.
func (s *Witnesses) Creds(id pki.Identity) *pki.Source {
	s.t.Helper()
	dir := filepath.Join(s.t.TempDir(), "own")
	if _, err := s.ca.Issue(dir, pki.Request{Identity: id}); err != nil {
		s.t.Fatal(err)
	}
	c, err := pki.Load(dir)
	if err != nil {
		s.t.Fatal(err)
	}
	return pki.Static(c)
}

// Start runs a witness that is down.
func (w *Witness) Start() {
	s := w.set
	s.t.Helper()
	if w.ended != nil {
		return
	}
	server, err := w.open()
	if err != nil {
		s.t.Fatal(err)
	}
	var ctx context.Context
	ctx, w.cancel = context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- server.Run(ctx) }()
	w.ended = ended
}

func (w *Witness) open() (*witness.Server, error) {
	s := w.set
	machine := witness.NewMachine()
	log := s.Log.With("witness", w.Name)
	conf := raftlog.Config{Dir: w.dir, Name: w.Name, Log: log, Wrap: func(file raftlog.Store) raftlog.Store {
		if s.Disk != nil {
			file = s.Disk(file)
		}
		w.Disk = &Disk{Store: file}
		return w.Disk
	}}
	if len(s.all) > 1 {
		conf.Transport = s.wires.end(w.Name)
	}
	engine, err := raftlog.Open(conf, machine)
	if err != nil {
		return nil, err
	}
	audit, err := witness.OpenAudit(filepath.Join(w.dir, "audit.log"), log)
	if err != nil {
		return nil, err
	}
	w.engine = engine
	var around witness.Engine = engine
	if s.Engine != nil {
		around = s.Engine(engine)
	}
	return witness.New(witness.Config{
		Name: w.Name, Engine: around, Machine: machine, Audit: audit, Listener: s.Net.Listen(w.Name),
		Creds: w.creds, Log: log, Now: w.now,
	}), nil
}

// Stop ends a witness as its service manager would, and says how it ended.
func (w *Witness) Stop() error {
	if w.ended == nil {
		return nil
	}
	if w.goOn != nil {
		w.goOn()
	}
	w.cancel()
	return w.Ended()
}

// Ended waits for a witness to end, and says how.
func (w *Witness) Ended() error {
	err := <-w.ended
	w.ended = nil
	return err
}

// Runs reports whether a witness has not ended.
func (w *Witness) Runs() bool {
	return w.ended != nil && len(w.ended) == 0
}

// Kill ends a witness without letting it say or store anything more. What it
// had stored stays; of a write that was under way nobody knows.
func (w *Witness) Kill() {
	if w.ended == nil {
		return
	}
	w.set.wires.Cut(w.Name, true)
	w.Disk.kill()
	w.set.Net.Hangup(w.Name)
	_ = w.Stop() // whatever it says: it was killed
	w.set.wires.Cut(w.Name, false)
}

// Cut parts a witness from the other witnesses, but not from its clients.
func (w *Witness) Cut() { w.set.wires.Cut(w.Name, true) }

// Join ends a Cut.
func (w *Witness) Join() { w.set.wires.Cut(w.Name, false) }

// Pause keeps everything on its way to and from a witness, its disk included,
// until the function that it returns is called; then all of it arrives at once.
func (w *Witness) Pause(clients ...string) (goOn func()) {
	free, write := w.set.wires.Pause(w.Name), w.Disk.Stall()
	for _, c := range clients {
		w.set.Net.Hold(c, w.Name)
	}
	w.goOn = sync.OnceFunc(func() {
		write()
		free()
		for _, c := range clients {
			w.set.Net.Free(c, w.Name)
		}
	})
	return w.goOn
}
