package daemon

import (
	"testing"

	"sbarbiter/agent"
	"sbarbiter/agent/store"
	"sbarbiter/arbiter"
	"sbarbiter/internal/config"
	"sbarbiter/recovery"
)

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
