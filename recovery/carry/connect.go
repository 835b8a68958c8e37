package carry

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"sbarbiter/drbd"
	"sbarbiter/drbd/kernel"
	"sbarbiter/internal/mutant"
	"sbarbiter/recovery"
)

// stage is where a resource stands between split and in step, seen from here.
type stage struct {
	drbd.Resource
	// begun says that this copy has left the generation that was decided on, for some
	// volume: its resync has begun, and may have ended. DRBD 9 leaves it at the end alone.
	begun bool
	// split says that some volume is of the generation that was decided on still: DRBD
	// finds the two split at their next handshake, whatever of it is overwritten by then.
	split bool
	// torn says that some volume was whole when it was decided on, and is not any more:
	// it was overwritten in part, or declared bad.
	torn bool
}

// alone: nothing looks for the peer.
func (s stage) alone() bool { return s.ConnState() == drbd.ConnStandAlone }

// looking: it tries to reach the peer, or is just dropping it.
func (s stage) looking() bool { return !s.alone() && !s.Connected() }

// shaken reports whether the handshake is over for every volume.
func (s stage) shaken() bool {
	return s.Connected() && s.Peer != nil && len(s.Peer.Volumes) > 0 &&
		!slices.ContainsFunc(s.Peer.Volumes, func(v drbd.PeerVolume) bool { return v.Replication == drbd.ReplOff })
}

// replicates reports whether some volume does one of these.
func (s stage) replicates(as ...drbd.ReplState) bool {
	return s.Connected() && s.Peer != nil &&
		slices.ContainsFunc(s.Peer.Volumes, func(v drbd.PeerVolume) bool { return slices.Contains(as, v.Replication) })
}

func (s stage) target() bool {
	return s.replicates(drbd.ReplSyncTarget, drbd.ReplPausedSyncT, drbd.ReplWFSyncUUID, drbd.ReplWFBitMapT, drbd.ReplStartingSyncT)
}

func (s stage) source() bool {
	return s.replicates(drbd.ReplSyncSource, drbd.ReplPausedSyncS, drbd.ReplWFBitMapS, drbd.ReplStartingSyncS)
}

// over reports whether this copy takes the peer's data or has taken it: what is
// before that is history.
func (s stage) over() bool { return s.target() || s.begun || s.PeerConnectedUpToDate() }

// declared reports whether every volume is Inconsistent, as an invalidation makes it.
func (s stage) declared() bool {
	return !slices.ContainsFunc(s.Volumes, func(v drbd.Volume) bool { return v.Disk != drbd.DiskInconsistent })
}

// now is the step's resource, which has to be there.
func (w work) now(ctx context.Context) (drbd.Resource, error) {
	r, err := w.DRBD.Now(ctx, w.step.Resource)
	if errors.Is(err, kernel.ErrUnconfigured) {
		return r, fmt.Errorf("%w: bring it up without connecting it (drbdadm attach %s)", err, w.step.Resource)
	}
	return r, err
}

func (w work) stage(ctx context.Context) (stage, error) {
	r, err := w.now(ctx)
	if err != nil {
		return stage{}, err
	}
	s := stage{Resource: r}
	if w.victim() && !s.target() && !r.PeerConnectedUpToDate() {
		err = w.moved(ctx, &s)
	}
	return s, err
}

// Ungiven are the resources of a plan of which the victim's copy, which is this node's,
// is not given up yet.
func (n *Node) Ungiven(ctx context.Context, p recovery.Plan) ([]string, error) {
	step := recovery.Step{Node: n.Name}
	g, err := n.group(p, step)
	if err != nil {
		return nil, err
	}
	var out []string
	for _, step.Resource = range g.Resources {
		s, err := work{Node: n, group: g, plan: p, step: step}.stage(ctx)
		if err != nil {
			return nil, err
		}
		if !s.over() && !s.torn {
			out = append(out, step.Resource)
		}
	}
	return out, nil
}

// moved says of the victim's copy how far its volumes of the step's resource have left
// what was decided on. DRBD 8.4 moves the generation on before it overwrites the first
// block, 9 after the last one.
func (w work) moved(ctx context.Context, s *stage) error {
	lines, err := w.DRBD.GenerationLines(ctx, w.step.Resource)
	if err != nil {
		return err
	}
	i := 0
	for _, b := range w.plan.Basis {
		if b.Node != w.Name || !ofResource(b.Volume, w.step.Resource) {
			continue
		}
		if i == len(lines) {
			return fmt.Errorf("the plan has more volumes of %s than the %d that are here", w.step.Resource, len(lines))
		}
		was, err := drbd.ParseGI(b.Generations)
		if err != nil {
			return err
		}
		is, err := drbd.ParseGI(lines[i])
		if err != nil {
			return err
		}
		same := is.Current.Same(was.Current)
		s.begun, s.split = s.begun || !same, s.split || same
		s.torn = s.torn || was.Flags.Consistent && !is.Flags.Consistent
		i++
	}
	if i == 0 {
		return fmt.Errorf("the plan does not say which generation of %s on %s was decided on", w.step.Resource, w.Name)
	}
	return nil
}

// disconnect makes the resource StandAlone, unless a later step has begun.
func (w work) disconnect(ctx context.Context) (Progress, error) {
	r, err := w.now(ctx)
	if err != nil {
		return Progress{}, err
	}
	if r.ConnState() == drbd.ConnStandAlone { // the usual end of a split brain
		return done("%s is StandAlone", w.step.Resource), nil
	}
	s, err := w.stage(ctx)
	switch {
	case err != nil:
		return Progress{}, err
	case w.victim() && s.over():
		return done("%s has the peer's data, or takes it", w.step.Resource), nil
	}
	if err := w.DRBD.Disconnect(ctx, w.step.Resource); err != nil {
		return Progress{}, err
	}
	return done("%s is StandAlone", w.step.Resource), nil
}

// invalidate declares the victim's whole copy bad, so that all of it is copied.
func (w work) invalidate(ctx context.Context) (Progress, error) {
	s, err := w.stage(ctx)
	switch {
	case err != nil:
		return Progress{}, err
	case !w.victim():
		return Progress{}, fmt.Errorf("%s is the survivor: its copy is not declared bad", w.Name)
	case s.over():
		return done("%s takes the peer's data already", w.step.Resource), nil
	case !s.alone() && s.declared():
		// Asked again while the two look for each other: not to be broken off.
		return done("%s is Inconsistent by declaration", w.step.Resource), nil
	case s.Role == drbd.RolePrimary:
		return Progress{}, fmt.Errorf("%w: demote it first", kernel.ErrIsPrimary)
	}
	if err := w.kept(ctx, s); err != nil {
		return Progress{}, err
	}
	if !s.alone() { // an invalidation wants StandAlone, and the survivor must not be met before it
		if err := w.DRBD.Disconnect(ctx, w.step.Resource); err != nil {
			return Progress{}, err
		}
	}
	if err := w.DRBD.Invalidate(ctx, w.step.Resource); err != nil {
		return Progress{}, err
	}
	return done("%s is Inconsistent by declaration", w.step.Resource), nil
}

// discard connects the victim so that its changes are given up. The kernel takes
// that wish for one handshake only: until the resync runs it may have to be
// uttered again, each time after a disconnect.
func (w work) discard(ctx context.Context) (Progress, error) {
	s, err := w.stage(ctx)
	switch {
	case err != nil:
		return Progress{}, err
	case !w.victim():
		return Progress{}, fmt.Errorf("%s is the survivor: its data is not given up", w.Name)
	case s.source():
		// DRBD has decided otherwise, which SplitPolicies should have excluded.
		return Progress{}, errors.Join(
			fmt.Errorf("DRBD copies from %s, which was to be discarded; disconnected", w.Name),
			w.DRBD.Disconnect(ctx, w.step.Resource))
	case s.begun && !s.split && s.alone():
		if err := w.DRBD.Connect(ctx, w.step.Resource, drbd.KeepMyData); err != nil {
			return Progress{}, err
		}
		return done("the resync of %s had begun; it goes on", w.step.Resource), nil
	case s.over() && !s.alone():
		return done("%s takes the survivor's data", w.step.Resource), nil
	case s.Connected():
		return ready("the handshake of %s is under way", w.step.Resource), nil
	}
	return w.giveUp(ctx, s)
}

// giveUp connects with the flag. Nothing tells whether the kernel still has it: a
// handshake that fails half-way takes it along and leaves the connection as it was.
// So it is set anew after a while, and by whoever has not set it himself.
func (w work) giveUp(ctx context.Context, s stage) (Progress, error) {
	if err := w.undecided(ctx); err != nil {
		return Progress{}, err
	}
	name := w.step.Resource
	if err := w.kept(ctx, s); err != nil {
		if !s.alone() { // it may look for the survivor with the flag
			err = errors.Join(err, w.DRBD.Disconnect(ctx, name))
		}
		return Progress{}, err
	}
	if s.looking() {
		if at, ours := w.uttered[name]; ours && (time.Since(at) < w.again() || mutant.On(mutant.FlagGivenOnce)) {
			return ready("%s waits for the survivor, to take its data", name), nil
		}
		if err := w.DRBD.Disconnect(ctx, name); err != nil {
			return Progress{}, err
		}
	}
	err := w.DRBD.Connect(ctx, name, drbd.DiscardMyData)
	if err != nil && !errors.Is(err, kernel.ErrNotDone) { // not done: it met the survivor and was dropped
		return Progress{}, err
	}
	if w.uttered == nil {
		w.Node.uttered = map[string]time.Time{}
	}
	w.uttered[name] = time.Now()
	return ready("%s looks for the survivor, to take its data", name), nil
}

func (n *Node) again() time.Duration {
	if n.Again == 0 {
		return 10 * time.Second
	}
	return n.Again
}

// undecided refuses where DRBD's own policies may decide first: 8.4 asks for the
// flag only when they have not.
func (w work) undecided(ctx context.Context) error {
	found, err := w.DRBD.SplitPolicies(ctx, w.step.Resource)
	if err != nil {
		return err
	}
	if len(found) > 0 {
		return fmt.Errorf("DRBD might decide by its own policy, and discard the other side: %s", found[0])
	}
	return nil
}

// connect lets the resource look for its peer. On the victim that is safe only
// once nothing of its own can be taken for good.
func (w work) connect(ctx context.Context) (Progress, error) {
	s, err := w.stage(ctx)
	switch {
	case err != nil:
		return Progress{}, err
	case s.shaken():
		return done("%s is connected", w.step.Resource), nil
	case !s.alone():
		return ready("%s looks for the peer", w.step.Resource), nil
	case w.victim() && !s.begun && s.WorstDisk() != drbd.DiskInconsistent && !mutant.On(mutant.VictimMetUnflagged):
		return Progress{}, fmt.Errorf("%s holds data of its own still: it would split again", w.step.Resource)
	}
	err = w.DRBD.Connect(ctx, w.step.Resource, drbd.KeepMyData)
	if err != nil && !errors.Is(err, kernel.ErrNotDone) {
		return Progress{}, err
	}
	return ready("%s looks for the peer", w.step.Resource), nil
}

// follow watches the resync of all the group's resources.
func (w work) follow(ctx context.Context) (Progress, error) {
	p := done("both copies of all volumes are the same")
	for _, name := range w.group.Resources {
		w.step.Resource = name
		s, err := w.stage(ctx)
		if err != nil {
			return Progress{}, err
		}
		if s.PeerConnectedUpToDate() {
			continue
		}
		if p.Done {
			p = waiting("%s", s.words())
		}
		p.Left += s.left()
		// What is split still is connected by the step that utters the wish.
		if s.alone() && (!w.victim() || s.begun && !s.split) {
			if err := w.DRBD.Connect(ctx, name, drbd.KeepMyData); err != nil {
				return Progress{}, err
			}
		}
	}
	for _, s := range w.plan.Steps {
		p.Total += s.Bytes
	}
	p.Total = max(p.Total, p.Left)
	return p, nil
}

func (s stage) words() string {
	if !s.Connected() || s.Peer == nil || len(s.Peer.Volumes) == 0 {
		return fmt.Sprintf("%s is %s", s.Name, s.ConnState())
	}
	v := s.Peer.Volumes[0]
	for _, o := range s.Peer.Volumes {
		if o.Replication != drbd.ReplEstablished {
			v = o
			break
		}
	}
	return fmt.Sprintf("%s/%d: %s", s.Name, v.Number, v.Replication)
}

// left is how many bytes are still to be copied.
func (s stage) left() uint64 {
	if s.Peer == nil {
		return 0
	}
	var sum uint64
	for _, v := range s.Peer.Volumes {
		sum += v.OutOfSyncKiB << 10
	}
	return sum
}

func ofResource(volume, resource string) bool {
	return len(volume) > len(resource) && volume[:len(resource)] == resource && volume[len(resource)] == '/'
}
