package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"sbarbiter/cmd/sbagent/daemon"
	"sbarbiter/drbd"
	"sbarbiter/internal/mutant"
	"sbarbiter/recovery"
	"sbarbiter/recovery/carry"
)

// fits refuses a plan that does not fit this node's side any more, before its first
// step. Begun, a plan changes what it was made for: it is held against the side again
// when that is given up, and not here.
func (r *byHand) fits(ctx context.Context) error {
	mark := ""
	if r.Store != nil {
		mark = filepath.Join(r.Store.Dir, r.plan.Group, r.id, "fits")
		if _, err := os.Stat(mark); err == nil {
			r.say("this plan was begun here before: %s's side is measured again before anything of it is given up", r.Name)
			return nil
		}
	}
	if err := r.measured(ctx); err != nil {
		return err
	}
	if mark == "" {
		return nil
	}
	if err := errors.Join(os.MkdirAll(filepath.Dir(mark), 0o700), os.WriteFile(mark, nil, 0o600)); err != nil {
		return fmt.Errorf("nothing was done: write down that the plan is begun: %w", err)
	}
	return nil
}

// side is this node's copy as it is now.
func (r *byHand) side(ctx context.Context) (recovery.Side, error) {
	g, err := daemon.GroupOf(r.Node, r.plan.Group)
	if err != nil {
		return recovery.Side{}, err
	}
	return r.Measure(ctx, g)
}

// measured says whether the plan fits this node's side, and what is not checked.
func (r *byHand) measured(ctx context.Context) error {
	if r.plan.Victim != r.Name && r.plan.Survivor != r.Name {
		return fmt.Errorf("the plan is for %s and %s, and this is %s", r.plan.Victim, r.plan.Survivor, r.Name)
	}
	if err := r.plan.Check(); err != nil {
		return err
	}
	side, err := r.side(ctx)
	if err != nil {
		return err
	}
	if err := cmp.Or(r.plan.HoldsSide(side), r.plan.Meets(side)); err != nil {
		return fmt.Errorf("nothing was done: %w", err)
	}
	for _, v := range side.Volumes {
		if v.OutOfSync != nil {
			r.say("%s: %s, changed by up to %s, is as it was decided on", v.Name(), v.Disk, recovery.Bytes(*v.OutOfSync))
		}
	}
	r.say("not checked here: %s's side, and whether its agent is stopped; there: sbagent recovery run PLAN --check", r.other())
	return nil
}

// before has the victim measured again before the first step that gives anything of it up,
// and before the first that keeps anything: what the stop itself has written should not
// be found after hours of copying.
func (r *byHand) before(ctx context.Context, s recovery.Step) error {
	keeps := s.Kind == recovery.DumpMetadata || s.Kind == recovery.Snapshot
	gives := s.Kind == recovery.Invalidate || s.Kind == recovery.Discard
	if !(keeps && !r.stood || gives && !r.held) || mutant.On(mutant.HandMeasuredOnce) {
		return nil
	}
	if err := r.again(ctx); err != nil {
		return err
	}
	r.stood, r.held = true, gives
	return nil
}

// failed says which step has failed and, where its copy has to be kept anew, how: the same
// sides make the same plan, under whose name there is a copy already.
func (r *byHand) failed(s recovery.Step, err error) error {
	if errors.Is(err, carry.ErrUnkept) {
		return fmt.Errorf("%s: %w; with no witness: measure both sides, plan anew, and run it with another --id than %s", s, err, r.id)
	}
	return fmt.Errorf("%s: %w", s, err)
}

// again compares what the victim would lose with what was agreed to. While it was in use
// that was not known; now it is stopped, and nothing may change it before it is given up.
// What is given up already is over: an interrupted run goes on with the rest.
func (r *byHand) again(ctx context.Context) error {
	rest, err := r.Ungiven(ctx, r.plan)
	if err != nil || len(rest) == 0 {
		return err
	}
	side, err := r.side(ctx)
	if err != nil {
		return err
	}
	over := func(resource string) bool { return !slices.Contains(rest, resource) }
	side.Volumes = slices.DeleteFunc(side.Volumes, func(v recovery.Volume) bool { return over(v.Resource) })
	p := r.plan.Clone()
	p.Basis = slices.DeleteFunc(p.Basis, func(b recovery.Basis) bool {
		resource, _, err := recovery.ParseVolume(b.Volume)
		return err == nil && over(resource)
	})
	if err = p.HoldsSide(side); err == nil && side.Role == drbd.RolePrimary {
		err = fmt.Errorf("plan of group %s: %s is Primary again: measure both sides, and plan anew", p.Group, r.Name)
	}
	if err != nil {
		return fmt.Errorf("nothing of %s is given up by this run, and it stays stopped: %s: %w", r.Name, strings.Join(rest, ", "), err)
	}
	return nil
}

func (r *byHand) other() recovery.Node {
	if r.plan.Victim == r.Name {
		return r.plan.Survivor
	}
	return r.plan.Victim
}
