package carry

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"

	"sbarbiter/drbd"
	"sbarbiter/drbd/kernel"
	"sbarbiter/internal/archive"
	"sbarbiter/recovery"
	"sbarbiter/recovery/keep"
	"sbarbiter/recovery/look"
)

// Files lists the files of this node's own copy of a group: of what is mounted as
// it is at this moment, else off the disk, if nobody writes to that. Nothing is
// changed.
func (n *Node) Files(ctx context.Context, g Group) ([]recovery.VolumeFiles, error) {
	var out []recovery.VolumeFiles
	for _, name := range g.Resources {
		backing, err := n.DRBD.Backing(ctx, name)
		if err != nil {
			return nil, fmt.Errorf("list the files of group %s: %w", g.Name, err)
		}
		r, err := n.DRBD.Now(ctx, name)
		if err != nil && !errors.Is(err, kernel.ErrUnconfigured) {
			return nil, fmt.Errorf("list the files of group %s: %w", g.Name, err)
		}
		for _, b := range backing {
			v := recovery.VolumeFiles{Volume: fmt.Sprintf("%s/%d", name, b.Volume)}
			list(ctx, &v, func() (*look.Mounted, error) { return n.open(ctx, &v, r, b) })
			out = append(out, v)
		}
	}
	return out, nil
}

// open makes a volume of this node's own copy readable.
func (n *Node) open(ctx context.Context, v *recovery.VolumeFiles, r drbd.Resource, b kernel.Backing) (*look.Mounted, error) {
	mounted, err := n.mountsOf([]drbd.Minor{b.Minor})
	if err != nil {
		return nil, err
	}
	if len(mounted) > 0 {
		v.Mounted = mounted[0].point
		v.From = "mounted at " + v.Mounted
		return look.Live(mounted[0].point)
	}
	switch {
	case r.Role == drbd.RolePrimary:
		return nil, errors.New("it is Primary and not mounted: whoever uses it may be writing to it")
	case r.Connected():
		return nil, errors.New("it takes what its peer writes: look on the node where it is mounted")
	}
	v.From = "on " + b.Disk
	return look.Open(ctx, b.Disk)
}

// list fills the entries in, or says why it cannot.
func list(ctx context.Context, v *recovery.VolumeFiles, open func() (*look.Mounted, error)) {
	m, err := open()
	if err != nil {
		v.Problem = err.Error()
		return
	}
	v.Problem = m.Note
	v.Entries, v.Unreadable, err = look.List(ctx, m.Dir)
	if err := errors.Join(err, m.Close()); err != nil {
		v.Problem = err.Error()
	}
}

// Kept lists what is kept of a group, the oldest first.
func (n *Node) Kept(group string) ([]keep.Kept, error) {
	if n.Store == nil {
		return nil, nil
	}
	all, err := n.Store.List()
	return slices.DeleteFunc(all, func(k keep.Kept) bool { return k.Group != group }), err
}

// keptAs are a group's copies that were kept for one recovery; of the latest if id
// is "".
func (n *Node) keptAs(group, id string) ([]keep.Kept, error) {
	all, err := n.Kept(group)
	if err != nil {
		return nil, err
	}
	if id == "" && len(all) > 0 {
		id = all[len(all)-1].Recovery
	}
	all = slices.DeleteFunc(all, func(k keep.Kept) bool { return k.Recovery != id })
	if len(all) == 0 {
		return nil, fmt.Errorf("%s keeps nothing of group %s from recovery %q", n.Name, group, id)
	}
	return all, nil
}

// openKept makes a kept copy readable, if it is still what it was.
func (n *Node) openKept(ctx context.Context, k keep.Kept) (*look.Mounted, error) {
	if err := n.Store.Check(ctx, k); err != nil {
		return nil, err
	}
	return look.Open(ctx, k.Source)
}

// KeptFiles lists the files of what was kept for a recovery; of the latest if id is
// "".
func (n *Node) KeptFiles(ctx context.Context, group, id string) ([]recovery.VolumeFiles, error) {
	all, err := n.keptAs(group, id)
	if err != nil {
		return nil, err
	}
	var out []recovery.VolumeFiles
	for _, k := range all {
		v := recovery.VolumeFiles{Volume: fmt.Sprintf("%s/%d", k.Resource, k.Number), From: "kept as " + k.Source}
		list(ctx, &v, func() (*look.Mounted, error) { return n.openKept(ctx, k) })
		out = append(out, v)
	}
	return out, nil
}

// Salvage writes files of a kept volume as a tar archive: those that are named, or
// all.
func (n *Node) Salvage(ctx context.Context, group, id, volume string, names []string, to io.Writer) error {
	all, err := n.keptAs(group, id)
	if err != nil {
		return err
	}
	for _, k := range all {
		if fmt.Sprintf("%s/%d", k.Resource, k.Number) != volume {
			continue
		}
		m, err := n.openKept(ctx, k)
		if err != nil {
			return err
		}
		return errors.Join(archive.Pack(ctx, m.Dir, names, to), m.Close())
	}
	return fmt.Errorf("%s keeps no volume %s of group %s from that recovery", n.Name, volume, group)
}
