package drbd

import (
	"strings"
	"testing"
)

// seed gives f the output of every captured command that contains word.
func seed(f *testing.F, word string) {
	for _, dir := range []string{"k84", "k92"} {
		for _, c := range captures(f, dir) {
			if strings.Contains(c.command, word) {
				f.Add(c.output)
			}
		}
	}
}

func FuzzParseStatus(f *testing.F) {
	seed(f, "status")
	f.Fuzz(func(t *testing.T, text string) {
		list, err := ParseStatus(text)
		if err != nil && list != nil {
			t.Error("an error came with a result")
		}
		for _, r := range list {
			ask(t, r)
		}
	})
}

func FuzzParseStatusJSON(f *testing.F) {
	seed(f, "--json")
	f.Fuzz(func(t *testing.T, text string) {
		list, _ := ParseStatusJSON([]byte(text))
		for _, r := range list {
			ask(t, r)
		}
	})
}

// ask puts every question to a resource: none may panic, and health must not
// contradict its parts.
func ask(t *testing.T, r Resource) {
	t.Helper()
	r = r.Clone()
	healthy := r.PeerConnectedUpToDate()
	if healthy && (!r.AllUpToDate() || !r.Connected() || r.PeerWorstDisk() != DiskUpToDate || r.PeerRecordedOutdated()) {
		t.Errorf("healthy by whole, not by parts: %+v", r)
	}
	r.Frozen()
	r.AllVolumes(RolePrimary)
	r.Minors()
	if _, err := For(Family84).Generations(r); err != nil {
		return
	}
	For(Family9).Primary(TargetOf(Family9, r))
}

func FuzzParseProcDRBD(f *testing.F) {
	seed(f, "cat /proc/drbd")
	f.Fuzz(func(t *testing.T, text string) {
		p, err := ParseProcDRBD(text)
		if err == nil && p.Family == FamilyNone {
			t.Error("no family and no error")
		}
		r := Resource{Volumes: []Volume{{}}}
		ask(t, r.WithProc(p))
		if now, ok := r.AtProc(p); ok {
			ask(t, now)
		}
	})
}

func FuzzTracker(f *testing.F) {
	seed(f, "events2")
	for _, path := range []string{"k84/1x-events2-stream-node1.txt", "k84/1x-events2-stream-node2.txt", "k92/1x-events2-stream-node1.txt"} {
		f.Add(readFile(f, "testdata/"+path))
	}
	f.Fuzz(func(t *testing.T, text string) {
		var tr Tracker
		for line := range strings.Lines(text) {
			e, err := ParseEvent(line)
			if err != nil {
				continue
			}
			if h, ok, err := e.Helper(); ok && err == nil {
				_ = h.Status.String()
			}
			if _, err := tr.Apply(e); err != nil {
				return
			}
			if r, ok, err := tr.Resource("r0"); ok && err == nil {
				ask(t, r)
			}
		}
	})
}

func FuzzParseGI(f *testing.F) {
	seed(f, "get-gi")
	f.Fuzz(func(_ *testing.T, text string) { _, _ = ParseGI(text) })
}

func FuzzParseConfig(f *testing.F) {
	seed(f, "dump")
	seed(f, "show r0")
	f.Add(readFile(f, "testdata/dump-common.84.txt"))
	f.Add(readFile(f, "testdata/k84/r0.res"))
	f.Fuzz(func(_ *testing.T, text string) {
		s, err := ParseConfig(text)
		if err != nil {
			return
		}
		for _, family := range []Family{Family84, Family9} {
			q := Requirements{Family: family, Resource: "r0", HandlerCommand: "/sbin/h", Handlers: RequiredHandlers()}
			q.CheckFiles(s)
			q.CheckKernel(s)
		}
	})
}

func FuzzParseHandlerCall(f *testing.F) {
	f.Add("fence-peer", "DRBD_RESOURCE=r0\nDRBD_MINOR=0 1\nDRBD_PEERS=a")
	f.Add("split-brain", "DRBD_RESOURCE=r0\nDRBD_PEER_NODE_ID=1\nDRBD_NODE_ID_1=b\nDRBD_PEER_ADDRESS=10.0.0.1")
	f.Fuzz(func(t *testing.T, name, text string) {
		env := map[string]string{}
		for line := range strings.Lines(text) {
			k, v, _ := strings.Cut(strings.TrimSpace(line), "=")
			env[k] = v
		}
		if c, err := ParseHandlerCall([]string{name}, env); err == nil && (c.Resource == "" || !c.Handler.Known()) {
			t.Errorf("accepted %+v", c)
		}
	})
}

func FuzzClassifyExit(f *testing.F) {
	f.Add(11, "0: State change failed: (-12) Device is held open by someone")
	f.Fuzz(func(t *testing.T, exit int, stderr string) {
		r := ClassifyExit(Family84, exit, stderr)
		if (r.Outcome == OutcomeDone) != (exit == 0) || r.Outcome == "" {
			t.Errorf("exit %d became %v", exit, r)
		}
		_ = r.String()
	})
}
