package kernel

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strings"

	"sbarbiter/drbd"
	"sbarbiter/timing"
)

// Preflight reports everything about this node's DRBD under which arbitration
// could not keep its word. A node with violations must not join. An error
// means that the check itself could not be made.
func (d *Driver) Preflight(ctx context.Context) ([]drbd.Violation, error) {
	f, err := d.Family(ctx)
	if err != nil {
		return nil, err
	}
	out := d.checkHelperPath()
	files, err := d.config(ctx, f, drbd.For(f).Dump())
	if err != nil {
		return nil, err
	}
	for _, name := range d.cfg.Resources {
		q := drbd.Requirements{
			Family: f, Resource: name,
			HandlerCommand: d.cfg.HandlerCommand, Handlers: d.cfg.Handlers,
		}
		out = append(out, q.CheckFiles(files)...)
		_, err := d.Read(ctx, name)
		if errors.Is(err, ErrUnconfigured) {
			continue // not up yet: the files are what will count
		}
		if err != nil {
			return nil, err
		}
		running, err := d.config(ctx, f, drbd.For(f).Show(name))
		if err != nil {
			return nil, err
		}
		out = append(out, q.CheckKernel(running)...)
	}
	return out, nil
}

// config runs a command that prints configuration and reads what it printed.
func (d *Driver) config(ctx context.Context, f drbd.Family, cmd drbd.Command) (drbd.Section, error) {
	ans, err := d.run(ctx, f, cmd)
	if err != nil {
		return drbd.Section{}, err
	}
	if res := ans.result(f); res.Outcome != drbd.OutcomeDone {
		return drbd.Section{}, errorOf(cmd, res)
	}
	s, err := drbd.ParseConfig(ans.stdout)
	if err != nil {
		return drbd.Section{}, fmt.Errorf("run %q: %w", cmd, err)
	}
	return s, nil
}

// checkHelperPath checks that the kernel would find drbdadm: where it does
// not, no handler runs, and nothing else would tell.
func (d *Driver) checkHelperPath() []drbd.Violation {
	var out []drbd.Violation
	add := func(what, where, fix string) { out = append(out, drbd.Violation{What: what, Where: where, Fix: fix}) }
	info, err := os.Stat(d.cfg.KernelDrbdadm)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		add("drbdadm is not there, so the kernel cannot call any handler", d.cfg.KernelDrbdadm,
			fmt.Sprintf("ln -s %s %s", d.cfg.Drbdadm, d.cfg.KernelDrbdadm))
	case err != nil:
		add(fmt.Sprintf("drbdadm cannot be looked at: %v", err), d.cfg.KernelDrbdadm, "make it readable")
	case info.Mode()&0o111 == 0 || info.IsDir():
		add("drbdadm is not executable, so the kernel cannot call any handler", d.cfg.KernelDrbdadm,
			"chmod 755 "+d.cfg.KernelDrbdadm)
	}
	fix := "options drbd usermode_helper=" + d.cfg.KernelDrbdadm + "  (in /etc/modprobe.d/drbd.conf)"
	value, err := os.ReadFile(d.cfg.UsermodeHelper)
	helper := strings.TrimSpace(string(value))
	switch {
	case err != nil:
		add(fmt.Sprintf("the driver's parameter cannot be read: %v", err), d.cfg.UsermodeHelper, fix)
	case helper != d.cfg.KernelDrbdadm && !sameFile(helper, d.cfg.KernelDrbdadm):
		add(fmt.Sprintf("the kernel calls handlers through %q, must be %q", helper, d.cfg.KernelDrbdadm),
			d.cfg.UsermodeHelper, fix)
	}
	return out
}

// sameFile reports whether both absolute paths lead to one existing file.
func sameFile(a, b string) bool {
	if !strings.HasPrefix(a, "/") {
		return false
	}
	x, errA := os.Stat(a)
	y, errB := os.Stat(b)
	return errA == nil && errB == nil && os.SameFile(x, y)
}

// CacheProtected reports whether the configuration files declare that a power cut
// takes nothing of what the resource's disks have said is written.
func (d *Driver) CacheProtected(ctx context.Context, resource string) (bool, error) {
	f, err := d.Family(ctx)
	if err != nil {
		return false, err
	}
	files, err := d.config(ctx, f, drbd.For(f).Dump())
	return err == nil && drbd.CacheProtected(files, resource), err
}

// Times reads the durations that the kernel goes by for a resource.
func (d *Driver) Times(ctx context.Context, resource string) (timing.DRBD, error) {
	f, err := d.Family(ctx)
	if err != nil {
		return timing.DRBD{}, err
	}
	running, err := d.config(ctx, f, drbd.For(f).Show(resource))
	if err != nil {
		return timing.DRBD{}, err
	}
	t, ok := drbd.Times(running, resource)
	if !ok {
		return timing.DRBD{}, fmt.Errorf("read the times of %s: %w", resource, ErrUnconfigured)
	}
	return t, nil
}
