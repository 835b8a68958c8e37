package daemon

import (
	"os"
	"path/filepath"
	"testing"

	"sbarbiter/agent/watchdog"
	"sbarbiter/internal/config"
)

func TestOnlyAStopOfThisUnitLeavesTheGroups(t *testing.T) {
	const unit = "sbagent.service"
	if got := unitOf("0::/system.slice/sbagent.service\n"); got != unit {
		t.Errorf("unit %q", got)
	}
	if got := unitOf("12:cpu:/\n1:name=systemd:/system.slice/sbagent.service\n"); got != unit {
		t.Errorf("unit %q", got)
	}
	if got := unitOf("0::/user.slice/session-3.scope\n"); got != "" {
		t.Errorf("unit %q of a program that somebody has started by hand", got)
	}
	for jobs, want := range map[string]bool{
		"":                                       false,
		"1841 sbagent.service stop    running\n": true,
		"1842 sbagent.service restart running\n": false,
		"1840 nfs-server.service stop waiting\n1843 sbagent-guard.service stop running\n": false,
		"1840 nfs-server.service start waiting\n1843 sbagent.service stop running\n":      true,
		"sbagent.service stop\n": false,
	} {
		if got := stopped(jobs, unit); got != want {
			t.Errorf("%q: %t, not %t", jobs, got, want)
		}
	}
	if stopped("1841  stop running\n", "") {
		t.Error("nobody's unit is stopped")
	}
}

// systemd keeps the guard's descriptor, and may feed a watchdog of its own as well.
func TestWatchdogThatSystemdFeedsIsNotOurs(t *testing.T) {
	d := &Daemon{Node: config.Node{RuntimeDir: t.TempDir()}}
	if d.feeds("systemd") || d.feeds("watchdogd") || d.feeds("") || !d.feeds("sbagent") {
		t.Error("who has it open though no guard has opened it is taken for ours, or a guard is not")
	}
	if err := os.WriteFile(filepath.Join(d.Node.RuntimeDir, watchdog.OpenedMark), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if !d.feeds("systemd") || d.feeds("watchdogd") {
		t.Error("systemd keeps what the guard has opened")
	}
}
