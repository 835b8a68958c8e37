package witness

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"

	"sbarbiter/arbiter"
	"sbarbiter/arbiter/leader"
	"sbarbiter/arbiter/wire"
	sbv1 "sbarbiter/proto/sb/v1"
)

// ReportSide takes what a node has measured of its side for a recovery.
func (s *Server) ReportSide(ctx context.Context, p *sbv1.ReportSideRequest) (*sbv1.Verdict, error) {
	m, err := wire.FromMeasured(p)
	return s.fromNode(ctx, m, m.Caller, err)
}

// ReportStep takes how a step of a recovery went.
func (s *Server) ReportStep(ctx context.Context, p *sbv1.ReportStepRequest) (*sbv1.Verdict, error) {
	m, err := wire.FromStepDone(p)
	return s.fromNode(ctx, m, m.Caller, err)
}

// Resolve opens a recovery from split brain. Who allows a loss before it can be shown
// has typed the group's name.
func (s *Server) Resolve(ctx context.Context, p *sbv1.ResolveRequest) (*sbv1.Verdict, error) {
	return typedByOperator(ctx, s, "nothing is begun", func(by string) (arbiter.Command, string, string, error) {
		cmd, typed, err := wire.FromResolve(p, by)
		if cmd.Order.AtMost == nil {
			return cmd, "", "", err
		}
		return cmd, string(cmd.Group), typed, err
	})
}

// ApproveRecovery takes an operator's word to a decision, who has typed the group's
// name.
func (s *Server) ApproveRecovery(ctx context.Context, p *sbv1.ApproveRecoveryRequest) (*sbv1.Verdict, error) {
	return typedByOperator(ctx, s, "nothing is approved", func(by string) (arbiter.Command, string, string, error) {
		cmd, typed, err := wire.FromApprove(p, by)
		return cmd, string(cmd.Group), typed, err
	})
}

// CancelRecovery calls a recovery off.
func (s *Server) CancelRecovery(ctx context.Context, p *sbv1.CancelRecoveryRequest) (*sbv1.Verdict, error) {
	return fromOperator(ctx, s, func(by string) (arbiter.CancelRecovery, error) { return wire.FromCancelRecovery(p, by) })
}

// Recoveries shows the recoveries under way and the latest that are over.
func (s *Server) Recoveries(ctx context.Context, p *sbv1.RecoveriesRequest) (*sbv1.RecoveriesAnswer, error) {
	if _, err := operator(ctx); err != nil {
		return nil, err
	}
	if p.GetCluster() == "" {
		return nil, status.Error(codes.InvalidArgument, "name the cluster")
	}
	seen, err := s.views(ctx, arbiter.ClusterID(p.GetCluster()))
	if err != nil {
		return nil, err
	}
	v, group := seen.views[0], arbiter.GroupID(p.GetGroup())
	if _, ok := v.Cluster.Groups[group]; group != "" && !ok {
		return nil, status.Errorf(codes.NotFound, "cluster %s has no group %s", p.GetCluster(), group)
	}
	return recoveries(v, func(id arbiter.GroupID) bool { return group == "" || id == group }), nil
}

// mostShown bounds an answer, in bytes: what one message takes, with room for the rest
// of it. Recoveries of hundreds of volumes are long.
const mostShown = 1<<20 - 1<<16

// recoveries are those of some groups, oldest first of each. What is under way comes
// before what is over where not all of it fits into an answer, and the latest before
// what was earlier.
func recoveries(v leader.View, of func(arbiter.GroupID) bool) *sbv1.RecoveriesAnswer {
	ids := slices.DeleteFunc(slices.Sorted(maps.Keys(v.Cluster.Groups)), func(id arbiter.GroupID) bool { return !of(id) })
	shown, room := map[arbiter.GroupID][]*sbv1.RecoveryDocument{}, mostShown
	show := func(id arbiter.GroupID, d *sbv1.RecoveryDocument) {
		if room -= proto.Size(d); room >= 0 {
			shown[id] = append(shown[id], d)
		}
	}
	for _, id := range ids {
		if r := v.Cluster.Groups[id].Recovery; r != nil {
			show(id, wire.ToRecovery(r, carrying(v, r)))
		}
	}
	for _, id := range ids {
		for _, r := range slices.Backward(v.Cluster.Groups[id].Documents()) {
			if r != v.Cluster.Groups[id].Recovery {
				show(id, wire.ToRecovery(r, nil))
			}
		}
	}
	out := &sbv1.RecoveriesAnswer{}
	for _, id := range ids {
		slices.Reverse(shown[id])
		out.Recoveries = append(out.Recoveries, shown[id]...)
	}
	return out
}

// carrying is how far the nodes say they are with the step under way.
func carrying(v leader.View, r *arbiter.Recovery) []*leader.Carrying {
	var out []*leader.Carrying
	for _, n := range v.Cluster.Definition.Nodes {
		b := beatOf(v, n, r.Group)
		if b != nil && b.Carrying != nil && b.Carrying.Recovery == r.ID && b.Carrying.Step == r.Step {
			out = append(out, b.Carrying)
		}
	}
	return out
}

// splitOf says that a group's copies have split and that an operator's word is waited
// for, with the line to type; nil: as far as is known they have not.
func splitOf(v leader.View, id arbiter.GroupID) *sbv1.SplitStatus {
	r := v.Cluster.Groups[id].Recovery
	switch {
	case (r == nil || r.Phase == arbiter.Carrying && !r.Apart()) && v.Parted(id) && !v.Unsplit(id):
		return &sbv1.SplitStatus{
			What: standAlone(v, id, ""),
			Do:   fmt.Sprintf("sbctl resolve %s --dry-run", id),
		}
	case r == nil:
		return splitBefore(v, id)
	case r.Phase == arbiter.Undecided:
		return &sbv1.SplitStatus{
			What: fmt.Sprintf("split brain of %s, and nobody has decided (recovery %s): %s", id, r.ID, r.Note), Do: v.Cluster.ResolveLine(id),
		}
	case r.Phase == arbiter.Decided && r.Order.WhenBack:
		return &sbv1.SplitStatus{
			What: fmt.Sprintf("split brain of %s; recovery %s of %s, which has waited, wants a word to what was measured", id, r.ID, r.Order.By),
			Do:   fmt.Sprintf("sbctl resolve %s --discard %s", id, r.Plan.Victim),
		}
	case v.Cluster.Groups[id].HoldsUp():
		return &sbv1.SplitStatus{
			What: fmt.Sprintf("split brain of %s; recovery %s of %s has gone back to its decision, and %s runs nowhere until it is decided or called off (sbctl recovery cancel %s)", id, r.ID, r.Order.By, id, id),
			Do:   fmt.Sprintf("sbctl recovery show %s", id),
		}
	case r.Phase == arbiter.Decided:
		return &sbv1.SplitStatus{
			What: fmt.Sprintf("split brain of %s; recovery %s of %s waits for the word to its decision", id, r.ID, r.Order.By),
			Do:   fmt.Sprintf("sbctl recovery show %s", id),
		}
	}
	return nil
}

// splitBefore remembers a split brain that was seen: that one of the two machines has
// gone, or an operator has only looked, mends nothing.
func splitBefore(v leader.View, id arbiter.GroupID) *sbv1.SplitStatus {
	r := v.Cluster.Groups[id].LastSplit()
	silent, meet := arbiter.NodeID(""), false
	for _, n := range v.Cluster.Definition.Nodes {
		if v.Suspects(n) {
			silent = n
		} else if b := beatOf(v, n, id); b != nil {
			meet = meet || slices.ContainsFunc(b.Evidence.Disks, func(d arbiter.Disk) bool { return d.Connected })
		}
	}
	out := &sbv1.SplitStatus{Do: fmt.Sprintf("sbctl resolve %s --dry-run", id)}
	switch {
	case r != nil && !meet:
		out.What = fmt.Sprintf("split brain of %s, seen by recovery %s (%s) and not known to be resolved", id, r.ID, time.UnixMilli(r.Ended).UTC().Format("2006-01-02 15:04 MST"))
		if silent != "" {
			out.What += fmt.Sprintf("; more can be told once %s is back", silent)
		}
	case v.PartedBefore(id) && !v.Unsplit(id):
		out.What = standAlone(v, id, silent)
	default:
		return nil
	}
	return out
}

// standAlone says what it means that DRBD does not connect a group's copies any more, or
// did not when one of the two nodes fell silent; "": both are heard.
func standAlone(v leader.View, id arbiter.GroupID, silent arbiter.NodeID) string {
	gives, seen, before := "has given up", "is seen", ""
	if silent != "" {
		gives, seen = "had given up", fmt.Sprintf("was seen before %s fell silent", silent)
		before = fmt.Sprintf(" when %s fell silent", silent)
	}
	if v.Found(id) {
		return fmt.Sprintf("split brain of %s, by all that %s: DRBD %s connecting its two copies (StandAlone)", id, seen, gives)
	}
	return fmt.Sprintf("perhaps a split brain of %s: DRBD %s connecting its two copies (StandAlone)%s, and nobody saw it say why; it may have been told so by hand (drbdadm disconnect)", id, gives, before)
}

// recoveryAlarm says what a recovery waits for that needs no word to a split.
func recoveryAlarm(v leader.View, id arbiter.GroupID, alarm func(string, ...any)) {
	g := v.Cluster.Groups[id]
	r := g.Recovery
	switch {
	case r == nil || splitOf(v, id) != nil:
	case r.Phase == arbiter.Awaiting:
		alarm("%s: recovery %s of %s waits for a machine, and holds nobody up: %s; to let go of it: sbctl recovery cancel %s", id, r.ID, r.Order.By, r.Note, id)
	case absent(v, r) != "":
		alarm("%s: recovery %s waits for %s, which is not heard (%s); %s", id, r.ID, absent(v, r), r.Plan.Steps[r.Step], letGo(r))
	case r.Failure != "":
		alarm("%s: recovery %s does not get on: %s", id, r.ID, stuck(r))
	case r.Phase == arbiter.Carrying && g.Lease != nil: // else the group's own alarm has it
		alarm("%s: %s", id, recovering(r))
	}
}

// absent is the node that the step under way waits for, if it is not heard.
func absent(v leader.View, r *arbiter.Recovery) arbiter.NodeID {
	if r.Phase != arbiter.Carrying {
		return ""
	}
	for _, n := range v.Cluster.Definition.Nodes {
		if r.TaskOf(n) != nil && v.Suspects(n) {
			return n
		}
	}
	return ""
}

// letGo is how a recovery is ended whose machine does not come back.
func letGo(r *arbiter.Recovery) string {
	if r.Cancellable() {
		return "if that does not come back: sbctl recovery cancel " + string(r.Group)
	}
	return "if that does not come back: sbctl recovery abandon " + string(r.Group)
}

func stuck(r *arbiter.Recovery) string {
	if r.Phase != arbiter.Carrying {
		return r.Failure
	}
	return fmt.Sprintf("%s: %s; it is tried again until it works", r.Plan.Steps[r.Step], r.Failure)
}

// recovering says in one sentence what a recovery is about, "" if there is none.
func recovering(r *arbiter.Recovery) string {
	switch {
	case r == nil:
		return ""
	case r.Phase == arbiter.Carrying:
		return fmt.Sprintf("recovery %s keeps the copy of %s and is at step %d of %d: %s", r.ID, r.Plan.Survivor, r.Step+1, len(r.Plan.Steps), r.Plan.Steps[r.Step])
	case r.Phase == arbiter.Collecting || r.Phase == arbiter.Confirming:
		return fmt.Sprintf("recovery %s measures both sides", r.ID)
	}
	return fmt.Sprintf("recovery %s waits for an operator: %s", r.ID, r.Note)
}
