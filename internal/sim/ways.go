package sim

import "time"

// Path is one direction of one way between two hosts. Link tells the heartbeat
// links apart; the way to the witness is link 0.
type Path struct {
	From, To Host
	Link     int
}

const (
	hosts = 5
	links = 2
)

// way is what a path does to what it carries.
type way struct {
	cut   bool
	loss  float64
	slow  time.Duration
	twice float64 // share that comes twice
}

func (w *World) way(p Path) *way { return &w.ways[p.From][p.To][p.Link] }

// send carries something over a path, late or not at all.
func (w *World) send(p Path, what happening) {
	y := w.way(p)
	if y.cut || y.loss > 0 && w.rng.Float64() < y.loss {
		return
	}
	w.sched(w.latency(y), what)
	if y.twice > 0 && w.rng.Float64() < y.twice {
		w.sched(w.latency(y), what)
	}
}

func (w *World) latency(y *way) time.Duration {
	switch {
	case w.calm:
		return calmHop
	case y.slow > 0:
		return w.between(y.slow/4, y.slow)
	case w.rng.IntN(200) == 0:
		return w.between(time.Millisecond, 120*time.Millisecond)
	}
	return w.between(100*time.Microsecond, 800*time.Microsecond)
}

// Cut cuts or mends both directions of all ways between two hosts.
func (w *World) Cut(x, y Host, cut bool) {
	for link := range links {
		w.way(Path{x, y, link}).cut, w.way(Path{y, x, link}).cut = cut, cut
	}
}

// CutWitness cuts or mends both directions of all ways between a node and the
// witness.
func (w *World) CutWitness(h Host, cut bool) {
	for _, v := range w.witness.voters {
		w.Cut(h, v.host, cut)
	}
}

// ask and hear change what a node's way to the witness, and the way back, do.
func (w *World) ask(n *Node, change func(*way)) {
	for _, v := range w.witness.voters {
		change(w.way(Path{n.host, v.host, 0}))
	}
}

func (w *World) hear(n *Node, change func(*way)) {
	for _, v := range w.witness.voters {
		change(w.way(Path{v.host, n.host, 0}))
	}
}

// CutPath cuts or mends one direction of one way.
func (w *World) CutPath(p Path, cut bool) { w.way(p).cut = cut }

// Lose makes a path lose a share of what it carries.
func (w *World) Lose(p Path, share float64) { w.way(p).loss = share }

// Slow makes everything on a path take up to d; 0 ends it.
func (w *World) Slow(p Path, d time.Duration) { w.way(p).slow = d }

// CutReplication cuts or mends DRBD's link.
func (w *World) CutReplication(cut bool) {
	w.wire = [2]bool{!cut, !cut}
	w.reach()
}

// CutReplicationFrom cuts or mends what one node sends on DRBD's link.
func (w *World) CutReplicationFrom(h Host, cut bool) {
	w.wire[h] = !cut
	w.reach()
}

// open reports whether a path carries anything.
func (w *World) open(p Path) bool { return !w.way(p).cut }

// mendWays mends every path.
func (w *World) mendWays() {
	w.ways = [hosts][hosts][links]way{}
	w.CutReplication(false)
}
