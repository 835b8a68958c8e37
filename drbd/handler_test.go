package drbd

import (
	"errors"
	"strings"
	"testing"
)

// recorded reads the environments that captures hold: blocks that start with
// "=== NAME t=" and end with "=== NAME exit".
func recorded(t *testing.T, path string) map[Handler]map[string]string {
	t.Helper()
	calls := map[Handler]map[string]string{}
	var env map[string]string
	for line := range strings.Lines(readFile(t, path)) {
		line = strings.TrimSpace(line)
		if words := strings.Fields(line); len(words) > 2 && words[0] == "===" {
			if words[2] != "exit" {
				env = map[string]string{}
				calls[Handler(words[1])] = env
			}
			continue
		}
		if k, v, ok := strings.Cut(line, "="); ok && env != nil {
			env[k] = v
		}
	}
	return calls
}

func TestHandlerCallsOfBothFamilies(t *testing.T) {
	for _, tc := range []struct {
		file    string
		handler Handler
		peer    string
		id      NodeID
		volumes int
		backing string
	}{
		{"k84/31-fence-peer-environment.txt", HandlerFencePeer, "node1", NoNodeID, 0, ""},
		{"k84/50-local-io-error.txt", HandlerLocalIOError, "node2", NoNodeID, 1, ""},
		{"k92/07-split-brain-handlers.txt", HandlerSplitBrain, "node1", 0, 1, "/dev/ubda"},
		{"k92/25-fence-peer-handlers.txt", HandlerFencePeer, "node-b", 1, 1, ""},
		{"k92/25-fence-peer-handlers.txt", HandlerUnfencePeer, "node-b", 1, 1, ""},
		{"k92/25-fence-peer-handlers.txt", HandlerAfterResyncTgt, "node-a", 0, 1, "/dev/ubda"},
	} {
		env := recorded(t, "testdata/"+tc.file)[tc.handler]
		c, err := ParseHandlerCall([]string{string(tc.handler)}, env)
		if err != nil {
			t.Errorf("%s: %v", tc.file, err)
			continue
		}
		if c.Resource != "r0" || c.Peer != tc.peer || c.PeerNodeID != tc.id || len(c.Volumes) != tc.volumes ||
			len(c.Minors) != 1 || c.BackingDevice != tc.backing || !c.PeerAddress.Is4() {
			t.Errorf("%s: %+v", tc.file, c)
		}
	}
}

func TestEveryRecordedHandlerCallIsUnderstood(t *testing.T) {
	for _, file := range []string{"k84/11-split-brain-handlers.txt", "k84/13-after-manual-resolve-handlers.txt", "k92/07-split-brain-handlers.txt", "k92/25-fence-peer-handlers.txt"} {
		for name, env := range recorded(t, "testdata/"+file) {
			if c, err := ParseHandlerCall([]string{string(name)}, env); err != nil || c.Peer == "" {
				t.Errorf("%s %s: %+v, %v", file, name, c, err)
			}
		}
	}
}

func TestThePeerIsTheOtherNodeWhereOnlyNodesAreNamed(t *testing.T) {
	env := map[string]string{"DRBD_RESOURCE": "r0", "DRBD_MY_NODE_ID": "1", "DRBD_NODE_ID_0": "a", "DRBD_NODE_ID_1": "b"}
	if c, err := ParseHandlerCall([]string{"quorum-lost"}, env); err != nil || c.Peer != "a" {
		t.Errorf("got %+v, %v", c, err)
	}
	env["DRBD_NODE_ID_2"] = "c"
	if _, err := ParseHandlerCall([]string{"quorum-lost"}, env); !errors.Is(err, ErrManyPeers) {
		t.Errorf("three nodes: got %v", err)
	}
}

func TestBadHandlerCalls(t *testing.T) {
	ok := map[string]string{"DRBD_RESOURCE": "r0"}
	if _, err := ParseHandlerCall(nil, ok); err == nil {
		t.Error("no arguments were accepted")
	}
	if _, err := ParseHandlerCall([]string{"rm"}, ok); err == nil {
		t.Error("an unknown handler was accepted")
	}
	if _, err := ParseHandlerCall([]string{"fence-peer"}, nil); !errors.Is(err, ErrNotCalledByDRBD) {
		t.Errorf("an empty environment: %v", err)
	}
	for key, value := range map[string]string{
		"DRBD_MINOR": "0 x", "DRBD_VOLUME": "-1", "DRBD_PEER_NODE_ID": "99", "DRBD_PEER_ADDRESS": "nowhere", "DRBD_PEERS": "a b",
	} {
		env := map[string]string{"DRBD_RESOURCE": "r0", key: value}
		if c, err := ParseHandlerCall([]string{"fence-peer"}, env); err == nil {
			t.Errorf("%s=%q was accepted: %+v", key, value, c)
		}
	}
}

func TestOnlyProofsExcludeThePeer(t *testing.T) {
	for code := FencePeerExit(0); code < 25; code++ {
		want := code == 3 || code == 4 || code == 5 || code == 7
		if code.Excludes() != want {
			t.Errorf("exit %d: excludes is %v", code, !want)
		}
	}
}
