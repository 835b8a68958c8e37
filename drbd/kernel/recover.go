package kernel

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"sbarbiter/drbd"
)

// Backing says where a volume's data and metadata are on this node.
type Backing struct {
	Volume int
	Minor  drbd.Minor
	Disk   string
	// External: the metadata is on another device.
	External bool
	// access are drbdmeta's words for it: minor, format, device and index.
	access []string
}

// GenerationLines are the lines of get-gi of a resource's volumes, in volume
// order.
func (d *Driver) GenerationLines(ctx context.Context, resource string) ([]string, error) {
	f, err := d.Family(ctx)
	if err != nil {
		return nil, err
	}
	r, err := d.Now(ctx, resource)
	if err != nil {
		return nil, err
	}
	cmds, err := drbd.For(f).Generations(r)
	if err != nil {
		return nil, err
	}
	var out []string
	for _, cmd := range cmds {
		text, err := d.ask(ctx, f, cmd)
		if err != nil {
			return nil, err
		}
		out = append(out, strings.TrimSpace(text))
	}
	return out, nil
}

// ask runs a command that only prints.
func (d *Driver) ask(ctx context.Context, f drbd.Family, cmd drbd.Command) (string, error) {
	ans, err := d.run(ctx, f, cmd)
	if err != nil {
		return "", err
	}
	if res := ans.result(f); res.Outcome != drbd.OutcomeDone {
		return "", errorOf(cmd, res)
	}
	return ans.stdout, nil
}

// Backing lists a resource's disks by the configuration files, in volume order. The
// resource need not be in the kernel.
func (d *Driver) Backing(ctx context.Context, resource string) ([]Backing, error) {
	f, err := d.Family(ctx)
	if err != nil {
		return nil, err
	}
	return fromFiles(d, f, "disks of "+resource, func() ([]Backing, error) { return d.backing(ctx, f, resource) })
}

func (d *Driver) backing(ctx context.Context, f drbd.Family, resource string) ([]Backing, error) {
	files, err := d.files(ctx, f)
	if err != nil {
		return nil, err
	}
	access, err := d.ask(ctx, f, drbd.For(f).MetadataAccess(resource))
	if err != nil {
		return nil, err
	}
	disks, err := d.ask(ctx, f, drbd.For(f).Disks(resource))
	if err != nil {
		return nil, err
	}
	return backings(files, resource, strings.TrimSpace(access), strings.TrimSpace(disks))
}

// backings puts together what three commands say, each in volume order.
func backings(files drbd.Section, resource, access, disks string) ([]Backing, error) {
	lines, paths := strings.Split(access, "\n"), strings.Split(disks, "\n")
	if len(lines) != len(paths) {
		return nil, fmt.Errorf("find the disks of %s: drbdadm names %d and says of %d how to find their metadata", resource, len(paths), len(lines))
	}
	var out []Backing
	for i, line := range lines {
		a, err := drbd.ParseMetadataAccess(line)
		if err != nil {
			return nil, fmt.Errorf("find the disks of %s: %w", resource, err)
		}
		volume, ok := drbd.VolumeOf(files, resource, a.Minor)
		if !ok {
			return nil, fmt.Errorf("find the disks of %s: no volume in the configuration has minor %d", resource, a.Minor)
		}
		out = append(out, Backing{Volume: volume, Minor: a.Minor, Disk: paths[i], External: a.External(), access: a.Words})
	}
	return out, nil
}

// StoredGenerations is a volume's line of get-gi, read from the disk where the
// driver has none.
func (d *Driver) StoredGenerations(ctx context.Context, resource string, volume int) (string, error) {
	f, err := d.Family(ctx)
	if err != nil {
		return "", err
	}
	text, err := d.ask(ctx, f, drbd.For(f).StoredGenerations(resource, volume))
	return strings.TrimSpace(text), err
}

// DumpMetadata prints a volume's metadata as it is on the disk. It changes nothing
// and needs no driver; of an attached disk the bitmap is older than the driver's.
func (d *Driver) DumpMetadata(ctx context.Context, resource string, volume int) (string, error) {
	f, err := d.Family(ctx)
	if err != nil {
		return "", err
	}
	all, err := d.Backing(ctx, resource)
	if err != nil {
		return "", err
	}
	for _, b := range all {
		if b.Volume == volume {
			return d.ask(ctx, f, drbd.For(f).DumpMetadata(b.access))
		}
	}
	return "", fmt.Errorf("dump the metadata of %s/%d: there is no such volume", resource, volume)
}

// ResyncLimit is the rate, in bytes per second, above which DRBD does not let a resync go.
func (d *Driver) ResyncLimit(ctx context.Context, resource string) (uint64, error) {
	f, err := d.Family(ctx)
	if err != nil {
		return 0, err
	}
	files, err := d.files(ctx, f)
	return drbd.ResyncLimit(files, resource), err
}

// SplitPolicies are the settings by which DRBD could resolve a split brain on its
// own when it connects next.
func (d *Driver) SplitPolicies(ctx context.Context, resource string) ([]drbd.Violation, error) {
	f, err := d.Family(ctx)
	if err != nil {
		return nil, err
	}
	files, err := d.files(ctx, f)
	if err != nil {
		return nil, err
	}
	q := drbd.Requirements{Family: f, Resource: resource}
	found := q.CheckSplit(files)
	if f != drbd.Family9 { // 8.4 is told all settings anew with every connect
		return found, nil
	}
	if _, err := d.Read(ctx, resource); errors.Is(err, ErrUnconfigured) {
		return found, nil // the files are what will count
	}
	running, err := d.config(ctx, f, drbd.For(f).Show(resource))
	if err != nil {
		return nil, err
	}
	return q.CheckSplitNow(found, running), nil
}
