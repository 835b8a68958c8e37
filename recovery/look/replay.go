package look

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
)

// replaying are the options with which a log is applied, to a device that may be
// written to, and nothing else is changed.
var replaying = map[string]string{
	"ext4": "ro,errors=continue,noatime,nodev,nosuid,noexec",
	"xfs":  "ro,nouuid,noatime,nodev,nosuid,noexec",
}

// replayRoom is how much of a copy applying its log may write, in a file that takes
// only what is written.
const replayRoom = 1 << 30

// layer lays something writable over a device that is only read: what is written
// goes into a file that is thrown away. It wants the kernel's snapshot target.
func (m *Mounted) layer(ctx context.Context, low string) (string, error) {
	scratch, err := os.CreateTemp("", "sbarbiter-look-")
	if err != nil {
		return "", fmt.Errorf("make a file to write to: %w", err)
	}
	m.later(func() error { return os.Remove(scratch.Name()) })
	if err := errors.Join(scratch.Truncate(replayRoom), scratch.Close()); err != nil {
		return "", fmt.Errorf("make a file to write to: %w", err)
	}
	upper, err := tool(ctx, "losetup", "--find", "--show", scratch.Name())
	if err != nil {
		return "", err
	}
	m.later(func() error { return detach(upper) })
	sectors, err := tool(ctx, "blockdev", "--getsz", low)
	if err != nil {
		return "", err
	}
	name := filepath.Base(scratch.Name())
	table := fmt.Sprintf("0 %s snapshot %s %s N 8", sectors, low, upper)
	if _, err := tool(ctx, "dmsetup", "create", name, "--noudevsync", "--noudevrules", "--table", table); err != nil {
		return "", err
	}
	m.later(func() error {
		_, err := tool(context.Background(), "dmsetup", "remove", "--retry", "--noudevsync", name)
		return err
	})
	// Its name below /dev/mapper is udev's to make, and may come later or never.
	minor, err := tool(ctx, "dmsetup", "info", "--columns", "--noheadings", "--options", "minor", name)
	return "/dev/dm-" + minor, err
}

// replayed mounts a copy on low, a device that is only read, with its log applied
// to a layer above it.
func replayed(ctx context.Context, low, fstype string) (*Mounted, error) {
	m := &Mounted{}
	device, err := m.layer(ctx, low)
	if err == nil {
		err = m.mount(ctx, device, fstype, replaying[fstype])
	}
	if err != nil {
		return nil, errors.Join(err, m.Close())
	}
	return m, nil
}

// tool runs a program and returns the last word that it printed.
func tool(ctx context.Context, name string, args ...string) (string, error) {
	ctx, cancel := context.WithTimeout(ctx, mountTimeout)
	defer cancel()
	out, err := exec.CommandContext(ctx, name, args...).CombinedOutput()
	if err != nil {
		return "", fmt.Errorf("run %s %s: %w: %s", name, strings.Join(args, " "), err, strings.TrimSpace(string(out)))
	}
	if words := strings.Fields(string(out)); len(words) > 0 {
		return words[len(words)-1], nil
	}
	return "", nil
}
