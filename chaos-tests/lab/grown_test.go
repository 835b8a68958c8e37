package lab

import (
	"context"
	"fmt"
	"strings"
	"testing"
)

// grow makes node-a's copy of a fork larger while it is alone, as after a disk was
// replaced there by a larger one.
func (f fork) grow() string {
	return fmt.Sprintf("truncate -s %[1]d %[2]s; losetup -c %[3]s; drbdadm primary %[4]s; drbdadm -- --assume-peer-has-space resize %[4]s; drbdadm secondary %[4]s",
		forkSize+(8<<20), f.disk(0), f.low(0), f.name)
}

// refusedForItsSize sees that no plan is made where DRBD would not connect the copies, and
// that it would not.
func (l *Lab) refusedForItsSize(t *testing.T, ctx context.Context, f fork) {
	t.Helper()
	must(t, l.A.Must(ctx, f.grow()))
	for _, f.victim = range []string{"node-b", "node-a"} { // each copy is good
		said, planned := l.plan(t, ctx, f)
		if planned || !strings.Contains(said, "DRBD refuses to connect the two") {
			t.Errorf("%s is given up: %s", f.victim, said)
		}
	}
	must(t, l.B.Must(ctx, "drbdadm connect --discard-my-data "+f.name))
	must(t, l.A.Must(ctx, fmt.Sprintf("drbdadm connect %s; i=0; until dmesg | grep -q 'disk size is too small'; do i=$((i+1)); [ $i -lt 100 ] || { dmesg | tail; exit 1; }; sleep 0.1; done", f.name)))
	out, _, err := l.A.Run(ctx, "dmesg | grep 'disk size is too small'; drbd-state")
	must(t, err)
	t.Logf("%s: %s", f.name, out)
}
