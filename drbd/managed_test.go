package drbd

import (
	"strings"
	"testing"
	"time"

	"sbarbiter/timing"
)

// What two real nodes of DRBD 9.2.14 said with deploy/drbd/r0-drbd9.res, through a cut
// that froze the primary, one that it was let go on after, and a split brain.

func TestARealManagedResourceOf9IsAsRequired(t *testing.T) {
	show := parseConfig(t, one(t, "k92/20-managed.txt", "node-a", "drbdsetup show r0 --show-defaults"))
	q := requirements(Family9)
	q.HandlerCommand = "/tmp/helper" // which wrote down what is in 25-fence-peer-handlers.txt
	if got := q.CheckKernel(show); len(got) != 0 {
		t.Errorf("in force: got\n%s", lines(got))
	}
	if got := q.CheckFiles(parseConfig(t, one(t, "k92/20-managed.txt", "node-a", "drbdadm dump"))); len(got) != 0 {
		t.Errorf("in the files: got\n%s", lines(got))
	}
	want := timing.DRBD{Resource: "r0", PingInt: time.Second, PingTimeout: 300 * time.Millisecond, Timeout: time.Second, KoCount: 7}
	if got, ok := Times(show, "r0"); !ok || got != want {
		t.Errorf("%+v %t, not %+v", got, ok, want)
	}
}

func TestRealRefusalsOf9AreUnderstood(t *testing.T) {
	for _, tc := range []struct {
		file, node, command string
		want                Outcome
	}{
		{"20-managed", "node-b", "drbdsetup primary r0", OutcomePeerPrimary},
		{"20-managed", "node-b", "drbdsetup outdate 0", OutcomeConnected},
		{"20-managed", "node-a", "drbdsetup invalidate 0", OutcomeConnected},
		{"20-managed", "node-b", "drbdsetup connect r0 0 --discard-my-data", OutcomeAlready},
		{"21-frozen", "node-b", "drbdsetup primary r0", OutcomePeerNotOutdated},
		{"21-frozen", "node-b", "drbdsetup outdate 0", OutcomeDone},
		{"22-fenced", "node-a", "drbdsetup connect r0 1 --discard-my-data", OutcomeWhilePrimary},
		{"22-fenced", "node-b", "drbdsetup primary r0", OutcomeNeedUpToDate},
		{"24-attached-anew", "node-b", "drbdsetup primary r0", OutcomeUnconfigured},
		{"24-attached-anew", "node-b", "drbdsetup status nosuch", OutcomeUnconfigured},
		{"26-held-open", "node-a", "drbdsetup secondary r0", OutcomeHeldOpen},
		{"26-held-open", "node-a", "drbdsetup down r0", OutcomeHeldOpen},
		{"26-held-open", "node-a", "drbdsetup disconnect r0 7", OutcomeUnconfigured},
	} {
		found := false
		for _, c := range capturesIn(t, "testdata/k92/"+tc.file+".txt") {
			if found || c.node != tc.node || c.command != tc.command {
				continue
			}
			found = true
			if got := ClassifyExit(Family9, c.exit, c.output); got.Outcome != tc.want {
				t.Errorf("%s %s: %v", tc.file, tc.command, got)
			}
		}
		if !found {
			t.Errorf("%s has no %q", tc.file, tc.command)
		}
	}
}

func TestRealStatesOf9AreReadAlikeFromStatusAndEvents(t *testing.T) {
	for _, tc := range []struct {
		file, node string
		is         func(Resource) bool
	}{
		{"20-managed", "node-a", Resource.PeerConnectedUpToDate},
		{"21-frozen", "node-a", func(r Resource) bool { return r.Frozen() && r.Role == RolePrimary && r.ConnState() == ConnConnecting }},
		{"22-fenced", "node-a", func(r Resource) bool { return !r.Frozen() && r.Peer.Volumes[0].PeerDisk == DiskOutdated }},
		{"22-fenced", "node-b", func(r Resource) bool { return r.WorstDisk() == DiskOutdated }},
		{"23-split", "node-a", func(r Resource) bool { return r.ConnState() == ConnStandAlone && r.Role == RolePrimary }},
		{"23-split", "node-b", func(r Resource) bool { return r.ConnState() == ConnStandAlone && r.Role == RoleSecondary }},
	} {
		file := "k92/" + tc.file + ".txt"
		list, err := ParseStatus(one(t, file, tc.node, "drbdsetup status r0 --verbose --statistics"))
		status := only(t, list, err)
		var tr Tracker
		replay(t, &tr, one(t, file, tc.node, "drbdsetup events2 --now --statistics r0"))
		events, ok, err := tr.Resource("r0")
		if err != nil || !ok || !tc.is(status) || !tc.is(events) {
			t.Errorf("%s %s: %+v, %+v, %v", tc.file, tc.node, status, events, err)
		}
	}
}

func TestRealStreamsOf9AreReplayed(t *testing.T) {
	for node, want := range map[string]string{
		"node-a": "frozen fence-peer=1 fence-peer=1 goes-on before-resync-source=0 unfence-peer=0 frozen fence-peer=4 goes-on",
		"node-b": "fence-peer=1 fence-peer=6",
	} {
		var tr Tracker
		var story []string
		frozen := false
		for line := range strings.Lines(readFile(t, "testdata/k92/2x-events2-stream-"+node+".txt")) {
			e, err := ParseEvent(line)
			if err != nil {
				t.Fatalf("%s: %q: %v", node, line, err)
			}
			if _, err := tr.Apply(e); err != nil {
				t.Fatalf("%s: %q: %v", node, line, err)
			}
			if r, ok, err := tr.Resource("r0"); err == nil && ok && r.Frozen() != frozen {
				frozen = r.Frozen()
				story = append(story, map[bool]string{true: "frozen", false: "goes-on"}[frozen])
			}
			h, isHelper, err := e.Helper()
			if code, exited := h.Status.Exited(); err == nil && isHelper && h.Returned && exited && h.Handler != HandlerDisconnected {
				story = append(story, string(h.Handler)+"="+string(rune('0'+code)))
			}
		}
		if got := strings.Join(story, " "); !strings.HasPrefix(got, want) {
			t.Errorf("%s: the stream tells %s\nand not %s", node, got, want)
		}
	}
}

func TestRealMetadataOf9IsFoundByWhatDrbdadmPrints(t *testing.T) {
	line := one(t, "k92/23-split.txt", "node-a", "drbdadm --dry-run dump-md r0")
	if a, err := ParseMetadataAccess(line); err != nil || a.Minor != 0 || a.External() {
		t.Errorf("%+v, %v", a, err)
	}
	mine, err := ParseGI(one(t, "k92/23-split.txt", "node-a", "drbdadm get-gi r0"))
	if err != nil {
		t.Fatal(err)
	}
	theirs, err := ParseGI(one(t, "k92/23-split.txt", "node-b", "drbdadm get-gi r0"))
	if err != nil || !mine.Bitmap.Same(theirs.Bitmap) || mine.Current.Same(theirs.Current) {
		t.Errorf("both left the same generation for different ones: %+v, %+v, %v", mine, theirs, err)
	}
	detached, err := ParseGI(one(t, "k92/24-attached-anew.txt", "node-b", "drbdadm get-gi r0/0"))
	if err != nil || detached.StoredDisk() != DiskInconsistent {
		t.Errorf("%+v, %v", detached, err)
	}
}
