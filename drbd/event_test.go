package drbd

import (
	"errors"
	"strings"
	"testing"
)

func TestStreamOf84ThroughASplitBrain(t *testing.T) {
	var tr Tracker
	var handlers []string
	var story []string
	add := func(word string) {
		if len(story) == 0 || story[len(story)-1] != word {
			story = append(story, word)
		}
	}
	for line := range strings.Lines(readFile(t, "testdata/k84/1x-events2-stream-node2.txt")) {
		e, err := ParseEvent(line)
		if err != nil {
			t.Fatal(err)
		}
		if h, ok, err := e.Helper(); err != nil {
			t.Fatal(err)
		} else if ok && h.Returned {
			handlers = append(handlers, string(h.Handler))
			if code, ok := h.Status.Exited(); !ok || code != 0 {
				t.Errorf("%s ended with %v", h.Handler, h.Status)
			}
		}
		if _, err := tr.Apply(e); err != nil {
			t.Fatal(err)
		}
		if !tr.Complete() {
			continue
		}
		r, _, err := tr.Resource("r0")
		if err != nil {
			t.Fatal(err)
		}
		if good := r.PeerConnectedUpToDate(); good {
			add("healthy")
		} else {
			add(string(r.ConnState()))
		}
	}
	want := "healthy NetworkFailure Unconnected Connecting Connected Disconnecting StandAlone Unconnected Connecting Connected healthy"
	if got := strings.Join(story, " "); got != want {
		t.Errorf("the link's story was\n%s, want\n%s", got, want)
	}
	want = "initial-split-brain split-brain initial-split-brain before-resync-target after-resync-target"
	if got := strings.Join(handlers, " "); got != want {
		t.Errorf("handlers were %s", got)
	}
}

func TestStreamOf9EndsHealthy(t *testing.T) {
	for _, node := range []string{"node1", "node2"} {
		var tr Tracker
		replay(t, &tr, readFile(t, "testdata/k92/1x-events2-stream-"+node+".txt"))
		r, ok, err := tr.Resource("r0")
		if err != nil || !ok || !r.PeerConnectedUpToDate() {
			t.Errorf("%s: %+v, %v, %v", node, r, ok, err)
		}
		if r.Peer.NodeID == NoNodeID || r.Peer.Name == node {
			t.Errorf("%s: the peer is %+v", node, r.Peer)
		}
	}
}

func TestOnlyRealChangesAreReported(t *testing.T) {
	var tr Tracker
	replay(t, &tr, `exists resource name:r0 role:Secondary suspended:no
exists connection name:r0 peer-node-id:0 conn-name:peer connection:Connected role:Primary
exists device name:r0 volume:0 minor:0 disk:UpToDate
exists peer-device name:r0 peer-node-id:0 conn-name:peer volume:0 replication:Established peer-disk:UpToDate resync-suspended:no
exists -`)
	for line, want := range map[string]bool{
		"change peer-device name:r0 peer-node-id:0 conn-name:peer volume:0":                            false,
		"change connection name:r0 peer-node-id:0 conn-name:peer":                                      false,
		"change device name:r0 volume:0 minor:0 disk:UpToDate":                                         false,
		"exists path name:r0 peer-node-id:0 conn-name:peer local:ipv4:10.0.0.1:7789 established:yes":   false,
		"change resource name:r0 suspended:fencing may_promote:no":                                     true,
		"change peer-device name:r0 peer-node-id:0 conn-name:peer volume:0 replication:Off future:yes": true,
	} {
		e, err := ParseEvent(line)
		if err != nil {
			t.Fatal(err)
		}
		if changed, err := tr.Apply(e); err != nil || changed != want {
			t.Errorf("%q: changed %v, %v", line, changed, err)
		}
	}
	if r, _, _ := tr.Resource("r0"); !r.Frozen() {
		t.Error("the freeze was lost")
	}
}

func TestGapsInTheStreamAskForARereading(t *testing.T) {
	for _, line := range []string{
		"- skipped 3",
		"2026-11-22T06:49:42.365223+00:00 - skipped 3",
		"change resource name:other role:Primary",
		"change device name:r0 volume:5 disk:UpToDate",
		"change connection name:r0 peer-node-id:3 connection:Connected",
		"change peer-device name:r0 peer-node-id:0 volume:0 peer-disk:UpToDate",
		"rename resource name:r0 new_name:r9",
	} {
		var tr Tracker
		replay(t, &tr, "exists resource name:r0 role:Primary suspended:no\nexists -")
		e, err := ParseEvent(line)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := tr.Apply(e); !errors.Is(err, ErrReread) {
			t.Errorf("%q: got %v", line, err)
		}
	}
}

func TestAResourceTakenDownIsGone(t *testing.T) {
	var tr Tracker
	replay(t, &tr, `exists resource name:r0 role:Secondary suspended:no
exists connection name:r0 peer-node-id:0 connection:StandAlone role:Unknown
exists device name:r0 volume:0 minor:0 disk:UpToDate
exists peer-device name:r0 peer-node-id:0 volume:0 replication:Off peer-disk:DUnknown
exists -
destroy peer-device name:r0 peer-node-id:0 volume:0
destroy connection name:r0 peer-node-id:0
destroy device name:r0 volume:0
destroy resource name:r0`)
	if _, ok, _ := tr.Resource("r0"); ok {
		t.Error("r0 is still there")
	}
}

func TestACopyDoesNotMoveWithTheTracker(t *testing.T) {
	var tr Tracker
	replay(t, &tr, one(t, "k84/06-uptodate.txt", "node1", "drbdsetup events2 --now r0"))
	before, _, _ := tr.Resource("r0")
	replay(t, &tr, `change device name:r0 volume:0 minor:0 disk:Failed
change peer-device name:r0 peer-node-id:0 conn-name:peer volume:0 peer-disk:Outdated`)
	if !before.PeerConnectedUpToDate() {
		t.Error("a snapshot changed after it was taken")
	}
}

func TestHelperStatusIsAWaitStatus(t *testing.T) {
	for text, want := range map[string]string{
		"0": "exit 0", "1024": "exit 4", "1792": "exit 7", "9": "killed by signal 9",
		"4294967294": "could not be run (errno 2)",
	} {
		e, err := ParseEvent("response helper name:r0 peer-node-id:0 conn-name:peer helper:fence-peer status:" + text)
		if err != nil {
			t.Fatal(err)
		}
		h, ok, err := e.Helper()
		if err != nil || !ok || !h.Returned || h.Handler != HandlerFencePeer || h.Volume != NoVolume {
			t.Fatalf("got %+v %v %v", h, ok, err)
		}
		if h.Status.String() != want {
			t.Errorf("status %s is %q, want %q", text, h.Status, want)
		}
		if _, ok := h.Status.Exited(); ok != strings.HasPrefix(want, "exit") {
			t.Errorf("status %s: exited is %v", text, ok)
		}
	}
}

func TestLinesThatAreNoEvents(t *testing.T) {
	for _, line := range []string{"", "exists", "change resource role:Primary", "2026-11-22T06:49:42+00:00", "change resource name: role:x"} {
		if e, err := ParseEvent(line); err == nil {
			t.Errorf("%q was read as %+v", line, e)
		}
	}
}
