package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"sbarbiter/cmd/sbagent/daemon"
	"sbarbiter/recovery"
)

// fits refuses a plan that does not fit this node's side any more, before its first
// step. Begun, a plan changes what it was made for: whoever runs it again is not asked
// twice.
func (r *byHand) fits(ctx context.Context) error {
	mark := ""
	if r.Store != nil {
		mark = filepath.Join(r.Store.Dir, r.plan.Group, r.id, "fits")
		if _, err := os.Stat(mark); err == nil {
			r.say("this plan was begun here before: %s's side is not measured again", r.Name)
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

// measured says whether the plan fits this node's side, and what is not checked.
func (r *byHand) measured(ctx context.Context) error {
	if r.plan.Victim != r.Name && r.plan.Survivor != r.Name {
		return fmt.Errorf("the plan is for %s and %s, and this is %s", r.plan.Victim, r.plan.Survivor, r.Name)
	}
	if err := r.plan.Check(); err != nil {
		return err
	}
	g, err := daemon.GroupOf(r.Node, r.plan.Group)
	if err != nil {
		return err
	}
	side, err := r.Measure(ctx, g)
	if err != nil {
		return err
	}
	if err := r.plan.HoldsSide(side); err != nil {
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

func (r *byHand) other() recovery.Node {
	if r.plan.Victim == r.Name {
		return r.plan.Survivor
	}
	return r.plan.Victim
}
