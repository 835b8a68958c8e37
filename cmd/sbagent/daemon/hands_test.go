package daemon

import (
	"log/slog"
	"os"
	"path/filepath"
	"testing"
	"time"

	"sbarbiter/agent"
	"sbarbiter/agent/store"
	"sbarbiter/arbiter"
	"sbarbiter/internal/config"
	"sbarbiter/recovery"
)

// A recovery stops what runs of a group, and asks nothing of what stands still.
func TestRecoveryStopsOnlyWhatDoesNotStandStill(t *testing.T) {
	dir := t.TempDir()
	up, diary := filepath.Join(dir, "up"), filepath.Join(dir, "diary")
	sh := func(script string) []string { return []string{"/bin/sh", "-c", script} }
	g := config.Group{Name: "nfs", Services: []config.Service{{StartTimeout: 5 * time.Second, StopTimeout: 5 * time.Second, Spec: config.Command{
		Start: sh("exit 1"), Stop: sh("rm -f " + up + "; echo stopped >>" + diary), Status: sh("test -e " + up + " || exit 3"),
	}}}}
	d := &Daemon{Node: config.Node{Name: "node-a", Groups: []config.Group{g}}, Log: slog.New(slog.DiscardHandler)}
	for _, runs := range []bool{false, true, false} {
		if runs {
			if err := os.WriteFile(up, nil, 0o600); err != nil {
				t.Fatal(err)
			}
		}
		if err := os.RemoveAll(diary); err != nil {
			t.Fatal(err)
		}
		if err := d.stopOnce(t.Context(), g); err != nil {
			t.Fatal(err)
		}
		_, err := os.Stat(diary)
		if stopped := err == nil; stopped != runs {
			t.Errorf("it ran: %t, and was stopped: %t", runs, stopped)
		}
	}
}

func TestTenuresAreReadBesideTheAgentThatRemembersThem(t *testing.T) {
	d := &Daemon{Node: config.Node{Cluster: "nfs1", Name: "node-a", StateDir: t.TempDir()}}
	if got := d.Tenures("nfs"); got != nil {
		t.Errorf("nothing is remembered, and yet %+v", got)
	}
	st, err := store.Open(d.Node.StateDir, store.Identity{Cluster: "nfs1", Node: "node-a"})
	if err != nil {
		t.Fatal(err)
	}
	defer st.Close() // an agent runs, and has the lock
	mem := agent.NewMemory()
	mem.Tenures = map[arbiter.GroupID][]recovery.Tenure{"nfs": {{Epoch: 8, Leased: true}}}
	if err := st.Durable().Save(mem.Encode()); err != nil {
		t.Fatal(err)
	}
	if got := d.Tenures("nfs"); len(got) != 1 || got[0].Epoch != 8 {
		t.Errorf("%+v", got)
	}
	if got := d.Tenures("web"); got != nil {
		t.Errorf("%+v", got)
	}
}
