package keep

import (
	"context"
	"fmt"
	"strconv"
	"strings"
)

// LVM is the driver for a backing device that is a logical volume, thick or thin.
type LVM struct{ Tools Tools }

const (
	cowSpare    = 16 << 20 // bytes of a thick snapshot besides the changed blocks
	cowTable    = 100      // one part in so many of them is its table, with some to spare
	cowBlock    = 256      // and with none: 16 bytes for each block of 4 KiB
	spareShare  = 4        // one part in so many of the free room is taken beyond what a resync needs
	poolPercent = 95       // a thin pool is not filled beyond: it would stop the live volumes too
)

// logical is a logical volume as lvs tells it.
type logical struct {
	group, name, pool string
	free              uint64 // bytes of the volume group that are unused
	poolSize          uint64
	poolUsed          float64 // percent, the worse of data and metadata
}

// Name is "lvm".
func (LVM) Name() string { return "lvm" }

func (d LVM) look(ctx context.Context, device string) (logical, error) {
	f, err := d.report(ctx, device, "vg_name,lv_name,pool_lv,vg_free")
	if err != nil {
		return logical{}, fmt.Errorf("%s is no logical volume: %w", device, err)
	}
	l := logical{group: f[0], name: f[1], pool: f[2], free: bytesOf(f[3])}
	if l.pool == "" {
		return l, nil
	}
	if f, err = d.report(ctx, l.group+"/"+l.pool, "lv_size,data_percent,metadata_percent,lv_name"); err != nil {
		return logical{}, err
	}
	l.poolSize, l.poolUsed = bytesOf(f[0]), max(percent(f[1]), percent(f[2]))
	return l, nil
}

// report asks lvs for four fields of one volume.
func (d LVM) report(ctx context.Context, of, fields string) ([]string, error) {
	text, err := d.Tools.run(ctx, "lvs", "--noheadings", "--nosuffix", "--units", "b", "--separator", "|", "-o", fields, of)
	if err != nil {
		return nil, err
	}
	f := strings.Split(strings.TrimSpace(text), "|")
	if len(f) != 4 {
		return nil, fmt.Errorf("run lvs: it says %q of %s", text, of)
	}
	return f, nil
}

func bytesOf(field string) uint64 {
	n, err := strconv.ParseUint(field, 10, 64)
	if err != nil {
		return 0
	}
	return n
}

// percent takes what cannot be read for full.
func percent(field string) float64 {
	n, err := strconv.ParseFloat(field, 64)
	if err != nil {
		return 100
	}
	return n
}

// Offer goes by what the volume group or the thin pool has left.
func (d LVM) Offer(ctx context.Context, v Volume, _ string) (Offer, error) {
	l, err := d.look(ctx, v.Device)
	if err != nil {
		return Offer{}, err
	}
	place := l.place()
	l.free = v.Promised.left(place, l.free)
	room := l.room()
	if l.pool != "" {
		room = v.Promised.left(place, room)
	}
	if room = min(v.Size, room); room == 0 {
		return Offer{}, fmt.Errorf("snapshot %s: %w: nothing is left in %s%s", v.Device, ErrFull, place, v.besides(place))
	}
	if l.pool != "" {
		return Offer{Room: room, Cost: v.changes(), Place: place, Later: true}, nil
	}
	return Offer{Room: room, Cost: l.grown(v), Place: place}, nil
}

func (l logical) place() string {
	if l.pool != "" {
		return "thin pool " + l.group + "/" + l.pool
	}
	return "volume group " + l.group
}

// room is how many bytes of changes could be held.
func (l logical) room() uint64 {
	if l.pool != "" {
		return uint64(float64(l.poolSize) * max(poolPercent-l.poolUsed, 0) / 100)
	}
	if l.free <= cowSpare {
		return 0
	}
	return (l.free - cowSpare) / (cowTable + 1) * cowTable
}

// cow is how large a thick snapshot is to be, cowLeast what it cannot do without.
func cow(changes uint64) uint64 { return changes + changes/cowTable + cowSpare }

func cowLeast(changes uint64) uint64 { return changes + changes/cowBlock }

// grown is how large a thick snapshot is made. The resync is not the last that is
// written over what it holds: the service goes on, and a snapshot that overflows is
// lost. So it has a part of what is free besides, and never more than it could use;
// the rest is for the group's other volumes.
func (l logical) grown(v Volume) uint64 {
	spare := l.free / spareShare
	if v.AtMost > 0 {
		spare = min(spare, v.AtMost/spareShare)
	}
	return max(cow(v.changes()), min(cow(v.Size), spare))
}

// Keep takes a snapshot that nobody can write to.
func (d LVM) Keep(ctx context.Context, v Volume, _ string) (string, uint64, error) {
	l, err := d.look(ctx, v.Device)
	if err != nil {
		return "", 0, err
	}
	args := []string{"--yes", "--snapshot", "--permission", "r", "--name", v.label()}
	bytes := v.changes()
	if l.pool == "" {
		bytes = l.grown(v)
		args = append(args, "--size", strconv.FormatUint((bytes+1023)/1024, 10)+"k")
	} else {
		args = append(args, "--setactivationskip", "n", "--activate", "y") // with a size it would become a thick one
	}
	if _, err := d.Tools.run(ctx, "lvcreate", append(args, l.group+"/"+l.name)...); err != nil {
		return "", 0, err
	}
	return "/dev/" + l.group + "/" + v.label(), bytes, nil
}

// Grow makes a thick snapshot larger that was made for less. It gets what it lacks, and as
// much again where a quarter of what is left allows that: whoever wrote on goes on. With no
// room for that, what was there as a spare will do. LVM makes none larger than it could use.
func (d LVM) Grow(ctx context.Context, k Kept, changes, free uint64) (uint64, error) {
	f, err := d.report(ctx, strings.TrimPrefix(k.Source, "/dev/"), "pool_lv,lv_size,vg_free,vg_name")
	if err != nil || f[0] != "" {
		return k.Bytes, err
	}
	has, want := bytesOf(f[1]), min(cow(changes), cowLeast(k.Size))
	if has >= want {
		return k.Bytes, nil
	}
	lack := want - has
	if free = min(free, bytesOf(f[2])); lack <= free {
		to := has + lack + min(lack, (free-lack)/spareShare)
		if _, err = d.Tools.run(ctx, "lvextend", "--size", strconv.FormatUint((to+1023)/1024, 10)+"k", strings.TrimPrefix(k.Source, "/dev/")); err == nil {
			return to, nil
		}
	} else {
		err = fmt.Errorf("%w: %d bytes are left for it in volume group %s", ErrFull, free, f[3])
	}
	// Half the spare is for what DRBD keeps beside the data, and for what the survivor writes
	// while the resync runs.
	if has >= min(cowLeast(changes)+cowSpare/2, cowLeast(k.Size)) {
		return k.Bytes, nil
	}
	return 0, fmt.Errorf("the snapshot %s was made for less: it has %d bytes, and up to %d may be overwritten by now: %w", k.Source, has, changes, err)
}

// Drop removes the snapshot, whatever its volume and its group are called by now.
func (d LVM) Drop(ctx context.Context, v Volume, _ string) error {
	text, err := d.Tools.run(ctx, "lvs", "--noheadings", "-o", "vg_name", "--select", "lv_name="+v.label())
	if err != nil {
		return err
	}
	groups := strings.Fields(text)
	if len(groups) > 1 {
		return fmt.Errorf("remove snapshot %s: it is in several volume groups (%s)", v.label(), strings.Join(groups, ", "))
	}
	for _, g := range groups {
		if _, err := d.Tools.run(ctx, "lvremove", "--yes", g+"/"+v.label()); err != nil {
			return err
		}
	}
	return nil
}

// Check says whether a thick snapshot has overflown, in which case what it held is
// gone.
func (d LVM) Check(ctx context.Context, k Kept) error {
	f, err := d.report(ctx, strings.TrimPrefix(k.Source, "/dev/"), "lv_snapshot_invalid,data_percent,lv_name,vg_name")
	if err != nil {
		return fmt.Errorf("the snapshot %s is not there: %w", k.Source, err)
	}
	if strings.Contains(f[0], "invalid") || f[0] == "1" {
		return fmt.Errorf("the snapshot %s has overflown and is lost", k.Source)
	}
	return nil
}

// Filled is how much of a thick snapshot is used up. A thin one is lost with its pool
// alone, which would stop the live volumes first.
func (d LVM) Filled(ctx context.Context, k Kept) (float64, error) {
	f, err := d.report(ctx, strings.TrimPrefix(k.Source, "/dev/"), "pool_lv,data_percent,lv_name,vg_name")
	if err != nil || f[0] != "" {
		return 0, err
	}
	return percent(f[1]), nil
}
