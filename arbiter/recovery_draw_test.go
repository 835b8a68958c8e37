package arbiter_test

import (
	"encoding/json"
	"errors"
	"fmt"

	"pgregory.net/rapid"

	"sbarbiter/arbiter"
	"sbarbiter/drbd"
	"sbarbiter/recovery"
)

// drawRecovery draws what would be said about a recovery now, and often enough what
// is late, out of turn or somebody else's.
func (s *stage) drawRecovery(t *rapid.T) arbiter.Command {
	node := oneOf(t, "node", nodes...)
	if cmd := s.drawShown(t, node); cmd != nil {
		return cmd
	}
	r := s.group("nfs").Recovery
	if r == nil {
		return s.drawResolve(t, node)
	}
	for _, n := range nodes {
		if r.TaskOf(n) != nil && likely(t, 7, "the right one") {
			node = n
		}
	}
	if r.Phase == arbiter.Carrying && likely(t, 3, "in step") && r.Plan.Steps[r.Step].Kind == recovery.Readmit {
		return s.drawReadmit(t, node, "nfs")
	}
	if r.Phase != arbiter.Carrying && likely(t, 1, "another verb") || likely(t, 1, "another verb") && likely(t, 2, "at all") {
		switch evenly(t, 3, "which") {
		case 0:
			return arbiter.CancelRecovery{Cluster: pair, Group: "nfs", By: oneOf(t, "by", "alice", "bob"), Abandon: likely(t, 3, "abandon")}
		case 1:
			return arbiter.Unmeasured{Cluster: pair, Group: "nfs", Recovery: r.ID, Round: r.Round, Node: node, Why: "silent"}
		}
		return s.drawResolve(t, node)
	}
	if r.Phase == arbiter.Awaiting {
		return arbiter.MeasureAgain{Cluster: pair, Group: "nfs", Recovery: r.ID}
	}
	if r.Phase == arbiter.Decided || r.Phase == arbiter.Undecided {
		a := arbiter.Approve{Cluster: pair, Group: "nfs", Recovery: r.ID, Revision: r.Revision - uint64(evenly(t, 2, "revision")), By: "alice"}
		if likely(t, 3, "a limit") {
			most := uint64(evenly(t, 20, "at most")) * mib
			a.AtMost = &most
		}
		return a
	}
	task := r.TaskOf(node)
	if task == nil || task.Round != 0 || likely(t, 1, "out of turn") {
		return arbiter.Measured{
			Caller: s.drawCaller(t, node), Group: "nfs", Recovery: r.ID, Round: r.Round, Side: drawSide(t, node),
		}
	}
	return s.drawStepDone(t, node, task)
}

// drawShown draws what would be said about a dry run, or opens one; mostly nothing.
func (s *stage) drawShown(t *rapid.T, node arbiter.NodeID) arbiter.Command {
	r := s.group("nfs").Showing()
	switch {
	case r == nil && likely(t, 1, "a dry run"):
		return arbiter.Show(s.drawResolve(t, node).(arbiter.Resolve))
	case r == nil || likely(t, 5, "something else"):
		return nil
	case likely(t, 1, "silent"):
		return arbiter.Unmeasured{Cluster: pair, Group: "nfs", Recovery: r.ID, Round: r.Round, Node: node, Why: "silent"}
	case likely(t, 1, "called off"):
		return arbiter.CancelRecovery{Cluster: pair, Group: "nfs", Recovery: r.ID, By: "bob"}
	}
	return arbiter.Measured{Caller: s.drawCaller(t, node), Group: "nfs", Recovery: r.ID, Round: r.Round, Side: drawSide(t, node)}
}

func (s *stage) drawStepDone(t *rapid.T, node arbiter.NodeID, task *arbiter.Task) arbiter.Command {
	d := arbiter.StepDone{
		Caller: s.drawCaller(t, node), Group: "nfs", Recovery: task.Recovery, Tries: task.Tries, Attempt: task.Attempt, Step: task.Step,
	}
	if likely(t, 1, "failed") {
		d.Failure, d.Unkept = "no", likely(t, 3, "unkept")
	}
	if likely(t, 1, "another step") {
		d.Step += evenly(t, 3, "off by") - 1
	}
	return d
}

func (s *stage) drawResolve(t *rapid.T, node arbiter.NodeID) arbiter.Command {
	o := arbiter.RecoveryOrder{By: oneOf(t, "by", "alice", "alice", "bob"), DryRun: likely(t, 1, "dry run")}
	switch {
	case likely(t, 6, "chosen"):
		o.Discard, o.WhenBack = node, likely(t, 3, "when back")
		if likely(t, 3, "beforehand") {
			most := uint64(evenly(t, 8, "MiB")) * mib
			o.AtMost = &most
		}
	case likely(t, 5, "by a policy"):
		o.Policy = oneOf(t, "policy", recovery.PolicyNames...)
	default:
		o.Automatic = likely(t, 7, "automatic")
	}
	return arbiter.Resolve{Cluster: pair, Group: "nfs", Order: o}
}

func drawSide(t *rapid.T, node arbiter.NodeID) recovery.Side {
	kind, changed := "fork", uint64(2)
	if node == "node-a" {
		changed = 5
	}
	if likely(t, 1, "another kind") {
		kind, changed = oneOf(t, "kind", "old-fork", "in-step", "moved-on"), uint64(evenly(t, 9, "changed"))
	}
	s := sideOf(node, kind, changed)
	switch evenly(t, 24, "what of it") {
	case 0:
		s.Role = drbd.RolePrimary
	case 1:
		s.Volumes[0].Disk = oneOf(t, "disk", drbd.DiskInconsistent, drbd.DiskOutdated, drbd.DiskDiskless)
	case 2:
		s = recovery.Side{Node: s.Node, Missing: "it cannot be read"}
	}
	return s
}

// recovery: what must be so of a recovery, whatever was said.
func (w *watcher) recovery(before, after *arbiter.Cluster, cmd arbiter.Command) error {
	was, is := before.Groups["nfs"], after.Groups["nfs"]
	if was == nil || is == nil {
		return nil
	}
	if w.recoveries > 0 && is.Recovery != nil && is.Recovery.ID < w.recoveries {
		return fmt.Errorf("recovery %s came back after %s", is.Recovery.ID, w.recoveries)
	}
	if is.Recovery != nil {
		w.recoveries = is.Recovery.ID
	}
	if err := oneAtATime(was, is); err != nil {
		return err
	}
	if err := onlyShown(was, is, cmd); err != nil {
		return err
	}
	if !about(cmd) {
		return nil
	}
	if both(is) && !both(was) && len(was.Recovery.Before) < len(nodes) {
		return fmt.Errorf("nobody has a good copy any more")
	}
	if r := is.Recovery; r != nil && r.Phase == arbiter.Carrying && (was.Recovery == nil || was.Recovery.Tries != r.Tries) {
		return begun(before, is, r)
	}
	if is.Recovery == nil || is.Recovery.Phase != arbiter.Carrying {
		return nil
	}
	if _, ok := is.Excluded[is.Recovery.Victim()]; !ok {
		return fmt.Errorf("%s is given up, and not excluded", is.Recovery.Victim())
	}
	return nil
}

// onlyShown: a dry run, and what is said of it, touches nothing else.
func onlyShown(was, is *arbiter.Group, cmd arbiter.Command) error {
	of := arbiter.RecoveryID(0)
	switch cmd := cmd.(type) {
	case arbiter.Show:
	case arbiter.Measured:
		of = cmd.Recovery
	case arbiter.Unmeasured:
		of = cmd.Recovery
	case arbiter.CancelRecovery:
		of = cmd.Recovery
	default:
		return nil
	}
	if r := was.Showing(); of != 0 && (r == nil || r.ID != of) {
		return nil
	}
	if _, ok := cmd.(arbiter.CancelRecovery); ok && of == 0 {
		return nil
	}
	// A node that speaks says by that alone that it is not lost: the rest is nobody's business.
	before, err := json.Marshal(arbiter.Group{Recovery: was.Recovery, Recovered: was.Recovered, Lease: was.Lease})
	after, err2 := json.Marshal(arbiter.Group{Recovery: is.Recovery, Recovered: is.Recovered, Lease: is.Lease})
	if err := errors.Join(err, err2); err != nil {
		return err
	}
	if string(before) != string(after) {
		return fmt.Errorf("a dry run has made of\n%s\nthis:\n%s", before, after)
	}
	return nil
}

// oneAtATime: what has begun is ended before another begins, and what gives
// somebody's data up is never called off.
func oneAtATime(was, is *arbiter.Group) error {
	old := was.Recovery
	if old == nil || is.Recovery != nil && is.Recovery.ID == old.ID {
		return nil
	}
	if len(is.Recovered) == 0 || is.Recovered[len(is.Recovered)-1].ID != old.ID {
		return fmt.Errorf("recovery %s is gone without a word", old.ID)
	}
	last := is.Recovered[len(is.Recovered)-1]
	if is.Recovery != nil && old.Phase == arbiter.Carrying && old.Apart() { // else nothing of it is left to be done
		return fmt.Errorf("recovery %s began while %s was carried out", is.Recovery.ID, old.ID)
	}
	if !old.Cancellable() && last.Outcome == arbiter.Cancelled {
		return fmt.Errorf("recovery %s was called off at step %d", old.ID, old.Step)
	}
	return nil
}

// begun: measured on both sides, of a split brain, and the copy that is kept is whole.
func begun(before *arbiter.Cluster, is *arbiter.Group, r *arbiter.Recovery) error {
	if !r.Order.Automatic && r.Approved == "" {
		return fmt.Errorf("recovery %s began without anybody's word", r.ID)
	}
	if most := r.Order.AtMost; most != nil && r.Plan.Discard > *most && (before.Groups["nfs"].Recovery == nil || before.Groups["nfs"].Recovery.Phase != arbiter.Confirming) {
		return fmt.Errorf("recovery %s gives up %d bytes, and %d were allowed", r.ID, r.Plan.Discard, *most)
	}
	if r.Order.Automatic && !before.Definition.Groups["nfs"].Automatic() {
		return fmt.Errorf("recovery %s began by itself, and no policy says so", r.ID)
	}
	if !r.Decision.Diagnosis.Kind.Split() {
		return fmt.Errorf("recovery %s resolves %s by discarding", r.ID, r.Decision.Diagnosis.Kind)
	}
	for _, side := range r.Evidence.Sides {
		if side.Missing != "" {
			return fmt.Errorf("recovery %s began without %s's side", r.ID, side.Node)
		}
		if side.Node == r.Plan.Survivor && !side.Volumes[0].Disk.AtLeast(drbd.DiskOutdated) {
			return fmt.Errorf("recovery %s keeps a copy that is %s", r.ID, side.Volumes[0].Disk)
		}
	}
	if _, stale := is.Excluded[r.Survivor()]; stale {
		return fmt.Errorf("recovery %s keeps a copy that is excluded", r.ID)
	}
	return nil
}

func both(g *arbiter.Group) bool { return len(g.Excluded) == len(nodes) }

// about reports whether a command is one of a recovery's own.
func about(cmd arbiter.Command) bool {
	switch cmd.(type) {
	case arbiter.Resolve, arbiter.Show, arbiter.Measured, arbiter.Unmeasured, arbiter.MeasureAgain, arbiter.Approve, arbiter.StepDone, arbiter.CancelRecovery:
		return true
	}
	return false
}

// count counts the ends of recoveries, each once.
func (s *stage) count(seen map[string]int) {
	over := s.group("nfs").Recovered
	if len(over) > 0 && over[len(over)-1].ID != s.counted {
		s.counted = over[len(over)-1].ID
		seen[string(over[len(over)-1].Outcome)]++
	}
	for _, r := range s.group("nfs").Shown {
		if r.Phase == arbiter.Over {
			seen["dry run "+string(r.Outcome)]++
		}
	}
}
