package carry

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"

	"golang.org/x/sys/unix"

	"sbarbiter/drbd"
	"sbarbiter/drbd/kernel"
	"sbarbiter/recovery/keep"
)

// Wish says whether an undoing is to be carried out or only shown.
type Wish string

// The wishes.
const (
	OnlyShow Wish = "show"
	CarryOut Wish = "carry out"
)

// Undone is what an undoing does to one volume.
type Undone struct {
	Volume string `json:"volume"`
	// Differs is how many bytes of it are not as they were kept: what the recovery
	// took away, and all that was written since.
	Differs uint64 `json:"differs"`
	From    string `json:"from"`
	// Kept is the recovery as which what was overwritten is kept; "" if nothing was.
	Kept string `json:"kept,omitempty"`
}

// restoring is one kept volume and where it goes back to.
type restoring struct {
	keep.Kept
	disk   string // the backing device as it is now
	device string // what is compared with what was kept, or written to
}

func (r restoring) volume() string { return fmt.Sprintf("%s/%d", r.Resource, r.Number) }

// Undo puts what was kept for a recovery back, as ordinary writes to DRBD's device
// that reach both nodes; what is there now is kept first, as recovery "undo-ID".
// It wants both copies to be in step, and this node Primary with nobody using the
// device. Nothing is written before all volumes have passed: a group whose volumes
// are of two times holds a state that never was.
func (n *Node) Undo(ctx context.Context, g Group, id string, wish Wish) ([]Undone, error) {
	all, err := n.keptAs(g.Name, id)
	if err != nil {
		return nil, err
	}
	var list []restoring
	for _, k := range all {
		r, err := n.restoring(ctx, k, wish)
		if err != nil {
			return nil, fmt.Errorf("undo recovery %s of %s: %w", k.Recovery, r.volume(), err)
		}
		list = append(list, r)
	}
	out, err := restoreAll(ctx, list, OnlyShow)
	if err != nil || wish == OnlyShow || !slices.ContainsFunc(out, func(u Undone) bool { return u.Differs > 0 }) {
		return out, err
	}
	now, err := n.keepNow(ctx, list, out)
	if err != nil {
		return nil, fmt.Errorf("undo recovery %s of group %s: nothing was written: %w", all[0].Recovery, g.Name, err)
	}
	out, err = restoreAll(ctx, list, wish)
	for i := range out {
		out[i].Kept = now
	}
	if err != nil {
		err = fmt.Errorf("%w; the group's data is part of the one and part of the other now: undo it again before anything is started; what was there is kept as recovery %s", err, now)
	}
	return out, err
}

// restoring looks where a volume goes back to, and whether it may.
func (n *Node) restoring(ctx context.Context, k keep.Kept, wish Wish) (restoring, error) {
	r := restoring{Kept: k}
	if err := n.Store.Check(ctx, k); err != nil {
		return r, err
	}
	backing, err := n.DRBD.Backing(ctx, k.Resource)
	if err != nil {
		return r, err
	}
	i := slices.IndexFunc(backing, func(b kernel.Backing) bool { return b.Volume == k.Number })
	if i < 0 {
		return r, errors.New("the volume is not there any more")
	}
	r.disk = backing[i].Disk // the name may be another one than it was then
	if r.device, err = n.mayUndo(ctx, k, r.disk, wish); err != nil {
		return r, err
	}
	is, err := keep.SizeOf(r.device)
	if err != nil {
		return r, err
	}
	if was, err := keep.SizeOf(k.Source); err != nil || was < is && r.device != r.disk {
		return r, errors.Join(err, fmt.Errorf("%d bytes were kept and the device has %d: it has grown since", was, is))
	}
	return r, nil
}

func restoreAll(ctx context.Context, list []restoring, wish Wish) ([]Undone, error) {
	var out []Undone
	for _, r := range list {
		u := Undone{Volume: r.volume(), From: r.Source}
		var err error
		if u.Differs, err = restore(ctx, r.Source, r.device, wish); err != nil {
			return out, fmt.Errorf("undo recovery %s of %s: %w", r.Recovery, r.volume(), err)
		}
		out = append(out, u)
	}
	return out, nil
}

// keepNow keeps what an undoing is about to overwrite, under a name that is not
// taken, and returns that: what an earlier one has kept is of another time.
func (n *Node) keepNow(ctx context.Context, list []restoring, differ []Undone) (string, error) {
	name := "undo-" + list[0].Recovery
	for i := 2; ; i++ {
		if _, err := n.keptAs(list[0].Group, name); err != nil {
			break
		}
		name = fmt.Sprintf("undo-%s-%d", list[0].Recovery, i)
	}
	for i, r := range list {
		size, err := keep.SizeOf(r.disk)
		if err != nil {
			return "", err
		}
		now := keep.Volume{Recovery: name, Group: r.Group, Resource: r.Resource, Number: r.Number, Device: r.disk, Size: size, Changes: max(differ[i].Differs, 1)}
		if _, err := n.Store.Keep(ctx, now); err != nil {
			return "", fmt.Errorf("keep what is there now: %w", err)
		}
	}
	return name, nil
}

// mayUndo returns the device to write to, or says why that must not be.
func (n *Node) mayUndo(ctx context.Context, k keep.Kept, disk string, wish Wish) (string, error) {
	r, err := n.DRBD.Now(ctx, k.Resource)
	if err != nil {
		return "", err
	}
	var minors []drbd.Minor
	for _, v := range r.Volumes {
		if v.Number == k.Number {
			minors = append(minors, v.Minor)
		}
	}
	if len(minors) == 0 || minors[0] == drbd.NoMinor {
		return "", errors.New("the volume is not there any more")
	}
	switch {
	case wish == OnlyShow && r.Role != drbd.RolePrimary:
		return disk, nil // the disk is read; DRBD's device cannot be
	case wish == OnlyShow:
	case !r.PeerConnectedUpToDate():
		return "", errors.New("the two copies are not in step: connect them first")
	case r.Role != drbd.RolePrimary:
		return "", fmt.Errorf("this node is not Primary: drbdadm primary %s, with sbagent stopped on both nodes, and then this again", k.Resource)
	default:
		who, err := n.users(minors)
		if err != nil {
			return "", err
		}
		if who != "" {
			return "", errors.New(who)
		}
	}
	return n.device(minors[0]), nil
}

func (n *Node) device(m drbd.Minor) string {
	dir := n.Dev
	if dir == "" {
		dir = "/dev"
	}
	return filepath.Join(dir, diskName(m))
}

const undoBlock = 1 << 20

// restore makes the device's beginning what source holds, writing only what
// differs, and returns how much that was. What is behind, as DRBD's metadata on a
// disk, is not the device's.
func restore(ctx context.Context, source, device string, wish Wish) (differs uint64, err error) {
	from, err := os.Open(source)
	if err != nil {
		return 0, fmt.Errorf("read what was kept: %w", err)
	}
	defer from.Close()
	flags := os.O_RDONLY
	if wish == CarryOut {
		flags = os.O_RDWR | unix.O_EXCL // of a device: nobody else holds it
	}
	to, err := os.OpenFile(device, flags, 0)
	if err != nil {
		return 0, fmt.Errorf("open the device: %w", err)
	}
	defer to.Close()
	was, is := make([]byte, undoBlock), make([]byte, undoBlock)
	for at := int64(0); ; at += undoBlock {
		if err := ctx.Err(); err != nil {
			return differs, err
		}
		n, err := io.ReadFull(to, is)
		if n == 0 && errors.Is(err, io.EOF) {
			break
		}
		if err != nil && !errors.Is(err, io.ErrUnexpectedEOF) {
			return differs, fmt.Errorf("read %s: %w", device, err)
		}
		if m, err := from.ReadAt(was[:n], at); m < n {
			return differs, fmt.Errorf("what was kept ends after %d bytes, before the device does: %w", at+int64(m), err)
		}
		for i := 0; i < n; i += 4096 {
			end := min(i+4096, n)
			if bytes.Equal(was[i:end], is[i:end]) {
				continue
			}
			differs += uint64(end - i)
			if wish == OnlyShow {
				continue
			}
			if _, err := to.WriteAt(was[i:end], at+int64(i)); err != nil {
				return differs, fmt.Errorf("write back: %w", err)
			}
		}
	}
	if wish == CarryOut {
		return differs, to.Sync() //nolint:wrapcheck // the caller says of what
	}
	return differs, nil
}
