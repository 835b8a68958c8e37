package keep

import (
	"context"
	"errors"
	"fmt"
	"strings"
)

// ZFS is the driver for a backing device that is a volume of ZFS, named below
// /dev/zvol. What is looked into is a read-only clone of the snapshot.
type ZFS struct{ Tools Tools }

const zvols = "/dev/zvol/"

// Name is "zfs".
func (ZFS) Name() string { return "zfs" }

func dataset(device string) (string, error) {
	name, ok := strings.CutPrefix(device, zvols)
	if !ok || name == "" {
		return "", fmt.Errorf("%s is no volume of ZFS: those are below %s", device, zvols)
	}
	return name, nil
}

// Offer goes by what the data set may still use.
func (d ZFS) Offer(ctx context.Context, v Volume, _ string) (Offer, error) {
	name, err := dataset(v.Device)
	if err != nil {
		return Offer{}, err
	}
	text, err := d.Tools.run(ctx, "zfs", "get", "-Hp", "-o", "value", "available", name)
	if err != nil {
		return Offer{}, err
	}
	pool, _, _ := strings.Cut(name, "/")
	place := "pool " + pool
	room := min(v.Promised.left(place, bytesOf(strings.TrimSpace(text))), v.Size)
	if room == 0 {
		return Offer{}, fmt.Errorf("snapshot %s: %w: nothing is available to it", v.Device, ErrFull)
	}
	return Offer{Room: room, Cost: v.changes(), Place: place, Later: true}, nil
}

// parts are the names of the snapshot and of its clone, beside the volume.
func (v Volume) parts(name string) (snapshot, clone string) {
	parent := name
	if i := strings.LastIndexByte(name, '/'); i >= 0 {
		parent = name[:i]
	}
	return name + "@" + v.label(), parent + "/" + v.label()
}

// Keep takes a snapshot and makes it visible.
func (d ZFS) Keep(ctx context.Context, v Volume, _ string) (string, uint64, error) {
	name, err := dataset(v.Device)
	if err != nil {
		return "", 0, err
	}
	snapshot, clone := v.parts(name)
	if _, err := d.Tools.run(ctx, "zfs", "snapshot", snapshot); err != nil {
		return "", 0, err
	}
	if _, err := d.Tools.run(ctx, "zfs", "clone", "-o", "readonly=on", snapshot, clone); err != nil {
		return "", 0, err
	}
	return zvols + clone, v.changes(), nil
}

// Check says whether the clone is there: programs that prune snapshots take it along.
func (d ZFS) Check(ctx context.Context, k Kept) error {
	name, err := dataset(k.Source)
	if err != nil {
		return err
	}
	text, err := d.Tools.run(ctx, "zfs", "get", "-Hp", "-o", "value", "volsize", name)
	if err != nil {
		return fmt.Errorf("the clone %s is not there: %w", name, err)
	}
	if has := bytesOf(strings.TrimSpace(text)); has < k.Size {
		return fmt.Errorf("the clone %s has %d of %d bytes", name, has, k.Size)
	}
	return nil
}

// Drop destroys the clone, then the snapshot, wherever they are by now.
func (d ZFS) Drop(ctx context.Context, v Volume, _ string) error {
	text, err := d.Tools.run(ctx, "zfs", "list", "-H", "-t", "volume,snapshot", "-o", "name")
	if err != nil {
		return err
	}
	var clones, snapshots []string
	for name := range strings.FieldsSeq(text) {
		switch {
		case strings.HasSuffix(name, "@"+v.label()):
			snapshots = append(snapshots, name)
		case strings.HasSuffix(name, "/"+v.label()):
			clones = append(clones, name)
		}
	}
	var errs []error
	for _, part := range append(clones, snapshots...) {
		_, err := d.Tools.run(ctx, "zfs", "destroy", part)
		errs = append(errs, err)
	}
	return errors.Join(errs...)
}
