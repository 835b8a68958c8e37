package carry

import (
	"context"
	"errors"
	"fmt"

	"sbarbiter/drbd"
	"sbarbiter/drbd/kernel"
	"sbarbiter/recovery/keep"
)

// Said is what an operator says of the recovery whose copies are to be released.
type Said string

// What may be said.
const (
	Unsaid   Said = ""
	SaidOver Said = "over" // it is over, or was called off
)

// Release gives what was kept for a recovery up for good, unless that may be under way. A
// node sees of its own copy whether it has been overwritten; whether it never will be, since
// the recovery was called off, the operator has to say.
func (n *Node) Release(ctx context.Context, group, id string, said Said) error {
	if id == "" {
		return errors.New("say which recovery's copies are to be given up")
	}
	all, err := n.keptAs(group, id)
	if err != nil {
		return err
	}
	for _, k := range all {
		if said == SaidOver {
			break
		}
		if err := n.underWay(ctx, k); err != nil {
			return fmt.Errorf("nothing was released: %w; where sbctl recovery show %s says that this one is over, or has been begun anew since, add --over; "+
				"of a recovery by hand: once no sbagent recovery run goes on, add --over", err, group)
		}
	}
	var errs []error
	for _, k := range all {
		errs = append(errs, n.Store.Release(ctx, k))
	}
	return errors.Join(errs...)
}

// underWay says why the recovery that has kept a copy may need it yet. Without it a recovery
// cannot go on, and what the copy holds may be nowhere else a moment later.
func (n *Node) underWay(ctx context.Context, k keep.Kept) error {
	if k.Generation == "" { // of an undoing, which keeps in one go
		return nil
	}
	name := fmt.Sprintf("%s/%d", k.Resource, k.Number)
	was, err := drbd.ParseGI(k.Generation)
	if err != nil {
		return fmt.Errorf("%s was kept of a generation that cannot be read: %w", name, err)
	}
	line, err := n.DRBD.StoredGenerations(ctx, k.Resource, k.Number)
	if err != nil {
		return fmt.Errorf("it cannot be seen whether %s was overwritten: %w", name, err)
	}
	is, err := drbd.ParseGI(line)
	if err != nil {
		return fmt.Errorf("it cannot be seen whether %s was overwritten: %w", name, err)
	}
	if is.Current.Same(was.Current) {
		return fmt.Errorf("%s was not overwritten yet: recovery %s may be under way", name, k.Recovery)
	}
	r, err := n.DRBD.Now(ctx, k.Resource)
	if errors.Is(err, kernel.ErrUnconfigured) {
		return nil
	}
	if err == nil && r.WorstDisk() == drbd.DiskInconsistent {
		err = fmt.Errorf("%s is Inconsistent: recovery %s may be overwriting it", k.Resource, k.Recovery)
	}
	return err
}
