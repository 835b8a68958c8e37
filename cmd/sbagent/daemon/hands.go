package daemon

import (
	"context"
	"errors"
	"fmt"

	"sbarbiter/agent"
	"sbarbiter/agent/runner"
	"sbarbiter/agent/store"
	"sbarbiter/arbiter"
	"sbarbiter/drbd/kernel"
	"sbarbiter/internal/config"
	"sbarbiter/recovery"
	"sbarbiter/recovery/carry"
	"sbarbiter/recovery/keep"
)

// Hands makes this node's part in recoveries. What it stops, it stops as the
// guard's steps do, whatever an agent may remember.
func (d *Daemon) Hands() (*carry.Node, error) {
	driver, err := d.drbd()
	if err != nil {
		return nil, err
	}
	if driver == nil {
		return nil, errors.New("this node has no group with DRBD: there is nothing to recover")
	}
	n := &carry.Node{Name: recovery.Node(d.Node.Name), DRBD: driver, Store: d.Kept()}
	for _, g := range d.Node.Groups {
		if len(g.DRBD) == 0 {
			continue
		}
		group := carry.Group{Name: g.Name, Resources: g.DRBD, Stop: func(ctx context.Context) error { return d.stopOnce(ctx, g) }}
		for _, p := range g.Probes {
			group.Probes = append(group.Probes, carry.Probe{Name: p.Name, Command: p.Command, Limit: p.Timeout})
		}
		n.Groups = append(n.Groups, group)
	}
	return n, nil
}

// stopOnce stops all of a group that does not stand still already, as on a standby.
func (d *Daemon) stopOnce(ctx context.Context, g config.Group) error {
	stack, err := d.stack(g, 0, len(g.Services))
	if err != nil || stack.State(ctx).AllStopped() {
		return err
	}
	return d.stopUnits(ctx, g, 0, len(g.Services))
}

// takePart gives an agent its hands for recoveries, on the driver that it has.
func (d *Daemon) takePart(p *runner.Parts, driver *kernel.Driver) error {
	n, err := d.Hands()
	if err != nil {
		return err
	}
	n.DRBD = driver
	p.Hands, p.Copies = n, map[arbiter.GroupID]carry.Group{}
	for _, g := range n.Groups {
		p.Copies[arbiter.GroupID(g.Name)] = g
	}
	return nil
}

// Kept is the store of what recoveries gave up; nil where the node file wants none.
func (d *Daemon) Kept() *keep.Store {
	s := d.Node.Snapshots
	drivers := map[config.SnapshotDriver][]keep.Driver{
		config.SnapshotAuto:    {keep.LVM{}, keep.ZFS{}, keep.Reflink{}, keep.Copy{AtMost: s.CopyUpTo}},
		config.SnapshotCopy:    {keep.Copy{AtMost: s.CopyUpTo}},
		config.SnapshotLVM:     {keep.LVM{}},
		config.SnapshotZFS:     {keep.ZFS{}},
		config.SnapshotReflink: {keep.Reflink{}},
		config.SnapshotCommand: {keep.Command{Argv: s.Command}},
	}[s.Driver]
	if len(drivers) == 0 {
		return nil
	}
	return &keep.Store{Dir: s.Directory, Quota: s.Quota, Drivers: drivers}
}

// Tenures are for when this node was Primary, as its agent remembers; none where it
// remembers nothing that can be read.
func (d *Daemon) Tenures(group string) []recovery.Tenure {
	raw, err := store.Glance(d.Node.StateDir, store.Identity{Cluster: d.Node.Cluster, Node: d.Node.Name})
	if err != nil {
		return nil
	}
	mem, err := agent.DecodeMemory(raw)
	if err != nil {
		return nil
	}
	return mem.Tenures[arbiter.GroupID(group)]
}

// GroupOf is a group that this node has hands for.
func GroupOf(n *carry.Node, name string) (carry.Group, error) {
	var known []string
	for _, g := range n.Groups {
		if g.Name == name {
			return g, nil
		}
		known = append(known, g.Name)
	}
	return carry.Group{}, fmt.Errorf("this node has no group %q with DRBD; it has %q", name, known)
}
