package witness

import (
	"context"
	"time"

	"sbarbiter/arbiter"
	"sbarbiter/arbiter/leader"
	"sbarbiter/internal/boottime"
)

// lookWithin bounds the look at a node's power before it may be shot: a device
// that does not answer costs no more.
const lookWithin = 2 * time.Second

// Power holds the fence devices that this witness's own host reaches. All methods
// may be called at once from several goroutines.
type Power interface {
	// Reaches names the nodes that have such devices.
	Reaches() map[arbiter.ClusterID][]arbiter.NodeID
	// Read returns what a node's devices say, when all have answered or ctx has
	// ended.
	Read(ctx context.Context, c arbiter.ClusterID, node arbiter.NodeID) []arbiter.Reading
	// Shoot powers a node off. It returns when that is proven, when it cannot be
	// done, or when its time is over; it switches nothing after ctx has ended.
	Shoot(ctx context.Context, s leader.Shoot) leader.ShotDone
	// Heard says that a sign of life of a node has arrived. It must not wait.
	Heard(c arbiter.ClusterID, node arbiter.NodeID, at boottime.Instant)
}

// look reads a node's power and tells the leadership that asked.
func (o *office) look(t *term, a leader.Look) {
	ctx, cancel := context.WithTimeout(t.ctx, lookWithin)
	defer cancel()
	m := leader.Looked{Cluster: a.Cluster, Mandate: a.Mandate, Readings: o.power.Read(ctx, a.Cluster, a.Target)}
	_ = o.post(t.ctx, told(m)) // not taken: the leadership is over
}

// shoot carries out a permission. It dies with the leadership: who leads next has
// not given it, and waits until nothing of it can land any more.
func (o *office) shoot(t *term, a leader.Shoot) {
	log := o.log.With("cluster", string(a.Cluster), "node", string(a.Target), "mandate", uint64(a.Mandate))
	log.Warn("shooting", "alarm", true, "why", "its peer could not shoot it; this witness's own host does")
	began := o.now()
	done := o.power.Shoot(t.ctx, a)
	log.Warn("shot ended", "grade", done.Grade.String(), "took", o.now().Sub(began).String(), "failure", done.Failure, "alarm", done.Failure != "")
	_ = o.post(t.ctx, told(done)) // not taken: the leadership is over
}

// told is what this host itself says to the leadership.
func told(m leader.Message) request { return request{message: m, answer: func(leader.Answer) {}} }

// heard passes on that a node lives.
func (o *office) heard(m leader.Message) {
	if b, ok := m.(leader.Beat); ok && o.power != nil {
		o.power.Heard(b.Caller.Cluster, b.Caller.Node, o.now())
	}
}
