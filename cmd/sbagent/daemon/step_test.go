package daemon_test

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"sbarbiter/agent/guard"
	"sbarbiter/internal/config"
)

// The guard's steps are told apart by the topmost file system: what stands on it
// is stopped first, then it is unmounted and what lies beneath is stopped.
func TestGuardsStepsStopAGroupFromTheTop(t *testing.T) {
	r := newRig(t)
	dir := t.TempDir()
	mount, diary := filepath.Join(dir, "data"), filepath.Join(dir, "diary")
	must(t, os.Mkdir(mount, 0o755))
	if err := unix.Mount("guard-step", mount, "tmpfs", 0, ""); err != nil {
		t.Skipf("no mount to be had: %v", err)
	}
	t.Cleanup(func() { _ = unix.Unmount(mount, unix.MNT_DETACH) })
	service := func(name string) config.Service {
		up := filepath.Join(dir, name)
		must(t, os.WriteFile(up, nil, 0o600))
		sh := func(script string) []string { return []string{"/bin/sh", "-c", script} }
		return config.Service{StartTimeout: 5 * time.Second, StopTimeout: 5 * time.Second, Spec: config.Command{
			Start: sh("exit 1"), Stop: sh("rm " + up + "; echo " + name + " >>" + diary), Status: sh("test -e " + up + " || exit 3"),
		}}
	}
	d := r.node(0)
	d.Node.Groups[0].Services = []config.Service{
		service("below"),
		{Spec: config.Filesystem{Device: "guard-step", Mount: mount, Type: "tmpfs"}, StartTimeout: time.Second, StopTimeout: 5 * time.Second},
		service("above"), service("top"),
	}
	said := func() string {
		text, _ := os.ReadFile(diary)
		return strings.Join(strings.Fields(string(text)), " ")
	}
	mounted := func() bool {
		text, err := os.ReadFile("/proc/self/mounts")
		must(t, err)
		return strings.Contains(string(text), mount)
	}
	do := func(s guard.Step) error {
		ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
		defer cancel()
		return d.Step(ctx, s, "web")
	}
	if err := do(guard.Demote); err == nil {
		t.Error("a group that runs is confirmed down")
	}
	must(t, do(guard.Services))
	if said() != "top above" || !mounted() {
		t.Fatalf("after services: %q, mounted %v", said(), mounted())
	}
	must(t, do(guard.Unmount))
	if said() != "top above below" || mounted() {
		t.Fatalf("after unmount: %q, mounted %v", said(), mounted())
	}
	for _, again := range []guard.Step{guard.Services, guard.Unmount, guard.Demote} {
		must(t, do(again))
	}
	if said() != "top above below" {
		t.Errorf("what was stopped was stopped again: %q", said())
	}
	if err := d.Step(t.Context(), guard.Services, "nfs"); err == nil {
		t.Error("a group that the node file does not have was stopped")
	}
	if err := do("reboot"); err == nil {
		t.Error("a step that there is not was done")
	}
}
