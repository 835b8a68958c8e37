package carry

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"sbarbiter/drbd"
	"sbarbiter/drbd/kernel"
	"sbarbiter/recovery"
	"sbarbiter/recovery/keep"
	"sbarbiter/recovery/look"
)

// Measure says what this node knows of its copy of a group, but for when it was
// Primary. What cannot be learnt makes the side Missing, with the reason; an error
// is only that ctx ended first.
func (n *Node) Measure(ctx context.Context, g Group) (recovery.Side, error) {
	side, err := n.measure(ctx, g)
	if ctx.Err() != nil {
		return recovery.Side{}, fmt.Errorf("measure group %s: %w", g.Name, context.Cause(ctx))
	}
	if err != nil {
		return recovery.Side{Node: n.Name, Missing: err.Error()}, nil
	}
	side.Positions = positions(ctx, g.Probes)
	return side, nil
}

func (n *Node) measure(ctx context.Context, g Group) (recovery.Side, error) {
	if len(g.Resources) == 0 {
		return recovery.Side{}, fmt.Errorf("group %s has no DRBD resource", g.Name)
	}
	family, err := n.DRBD.Family(ctx)
	if err != nil {
		return recovery.Side{}, err
	}
	side := recovery.Side{Node: n.Name, Family: family, Role: drbd.RoleSecondary}
	var minors []drbd.Minor
	promised := keep.Promises{}
	for _, name := range g.Resources {
		r, volumes, err := n.measureResource(ctx, family, name, promised)
		if err != nil {
			return recovery.Side{}, err
		}
		if r.Role == drbd.RolePrimary {
			side.Role = drbd.RolePrimary
		}
		side.Volumes = append(side.Volumes, volumes...)
		side.Policies = append(side.Policies, n.policies(ctx, name)...)
		minors = append(minors, r.Minors()...)
	}
	err = n.use(&side, minors)
	return side, err
}

// policies are the settings by which DRBD could decide a split brain of a resource. What
// cannot be learnt is not said: before anything is given up it is asked for once more.
func (n *Node) policies(ctx context.Context, resource string) []string {
	found, err := n.DRBD.SplitPolicies(ctx, resource)
	if err != nil {
		return nil
	}
	var out []string
	for _, v := range found {
		out = append(out, v.String())
	}
	return out
}

// measureResource also measures what the driver does not have, by the metadata on
// its disks. Room that one volume takes is promised, and not there for another.
func (n *Node) measureResource(ctx context.Context, family drbd.Family, name string, promised keep.Promises) (drbd.Resource, []recovery.Volume, error) {
	backing, err := n.DRBD.Backing(ctx, name)
	if err != nil {
		return drbd.Resource{}, nil, err
	}
	r, err := n.DRBD.Now(ctx, name)
	if err != nil && !errors.Is(err, kernel.ErrUnconfigured) {
		return drbd.Resource{}, nil, err
	}
	var out []recovery.Volume
	lines, err := n.lines(ctx, r)
	if err != nil {
		return r, nil, err
	}
	limit, unknown := n.DRBD.ResyncLimit(ctx, name)
	if unknown != nil {
		limit = 0 // it is for people alone
	}
	for _, b := range backing {
		v := recovery.Volume{Resource: name, Number: b.Volume, ResyncLimit: limit}
		if v.Backing, unknown = keep.SizeOf(b.Disk); unknown != nil {
			v.Backing = 0 // it may be gone, which its state says
		}
		i := slices.IndexFunc(r.Volumes, func(o drbd.Volume) bool { return o.Number == b.Volume })
		switch {
		case i >= 0 && lines != nil:
			v.Disk, v.Size, v.Generations = r.Volumes[i].Disk, r.Volumes[i].SizeKiB<<10, lines[i]
			v.OutOfSync = counted(family, r, i)
		case i >= 0:
			err = n.stored(ctx, &v, b.Disk)
			if v.Disk = r.Volumes[i].Disk; !v.Disk.AtLeast(drbd.DiskNegotiating) {
				err = nil // it may be gone, and there is nothing to read then
			}
		default:
			err = n.stored(ctx, &v, b.Disk)
		}
		if err != nil {
			return r, nil, err
		}
		v.Written = look.LastWrite(b.Disk)
		v.SnapshotRoom = n.room(ctx, v, b, promised)
		out = append(out, v)
	}
	return r, out, nil
}

// lines are the generations that the driver knows, nil where it has not all disks.
func (n *Node) lines(ctx context.Context, r drbd.Resource) ([]string, error) {
	if len(r.Volumes) == 0 {
		return nil, nil
	}
	for _, v := range r.Volumes {
		if !v.Disk.AtLeast(drbd.DiskNegotiating) {
			return nil, nil
		}
	}
	return n.DRBD.GenerationLines(ctx, r.Name)
}

// counted is what this side has marked as differing from its peer.
func counted(f drbd.Family, r drbd.Resource, i int) *uint64 {
	v := r.Volumes[i]
	if f == drbd.Family84 {
		if v.Role == "" { // /proc/drbd, which alone knows, was not read
			return nil
		}
		bytes := v.OutOfSyncKiB << 10
		return &bytes
	}
	if r.Peer == nil {
		return nil
	}
	for _, p := range r.Peer.Volumes {
		if p.Number == v.Number {
			bytes := p.OutOfSyncKiB << 10
			return &bytes
		}
	}
	return nil
}

// stored reads a volume's metadata off its disk. Where that has never met a peer it does
// not say how large the volume is: the disk is no smaller.
func (n *Node) stored(ctx context.Context, v *recovery.Volume, disk string) error {
	line, err := n.DRBD.StoredGenerations(ctx, v.Resource, v.Number)
	if err != nil {
		return err
	}
	g, err := drbd.ParseGI(line)
	if err != nil {
		return fmt.Errorf("read the generations of %s: %w", v.Name(), err)
	}
	text, err := n.DRBD.DumpMetadata(ctx, v.Resource, v.Number)
	if err != nil {
		return err
	}
	md, err := drbd.ParseMetadata(text)
	if err != nil {
		return fmt.Errorf("read the metadata of %s: %w", v.Name(), err)
	}
	v.Generations, v.Size, v.Disk = line, md.Size, g.StoredDisk()
	if md.Clean && !md.Several {
		v.OutOfSync = &md.OutOfSync
	}
	if v.Size == 0 {
		v.Size, err = keep.SizeOf(disk)
	}
	return err
}

// room is how many bytes of changes the store could hold, besides what it has promised; 0
// if nothing can be kept.
func (n *Node) room(ctx context.Context, v recovery.Volume, b kernel.Backing, promised keep.Promises) uint64 {
	if n.Store == nil {
		return 0
	}
	return n.Store.RoomFor(ctx, keep.Volume{Resource: v.Resource, Number: v.Number, Device: b.Disk, Size: v.Size, Marked: v.OutOfSync}, promised)
}
