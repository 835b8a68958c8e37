package daemon

import (
	"errors"
	"fmt"
	"maps"
	"path/filepath"
	"slices"

	"sbarbiter/agent"
	"sbarbiter/agent/store"
	"sbarbiter/arbiter"
	"sbarbiter/internal/config"
)

// memory is what earlier agents of this node have left.
type memory struct {
	bootID      string
	incarnation uint64
	durable     *store.File
	lease       *store.File
	measured    *store.File
	agent       *agent.Memory // nil: the store was empty
	boot        *agent.BootMemory
}

// holding reports whether the agent before this one, in this boot, had a right
// to run something here.
func (m memory) holding() bool { return len(m.boot.Groups) > 0 }

// remember counts this start and reads what is stored. Nothing that cannot be
// read is ever taken for an empty store.
func (d *Daemon) remember(st *store.Store) (memory, error) {
	m := memory{bootID: d.Boot, durable: st.Durable(), measured: st.Measured()}
	var err error
	if m.bootID == "" {
		if m.bootID, err = store.BootID(); err != nil {
			return memory{}, err
		}
	}
	if m.incarnation, err = st.NextIncarnation(); err != nil {
		return memory{}, err
	}
	if m.agent, err = readMemory(m.durable); err != nil {
		return memory{}, err
	}
	if m.agent == nil && m.incarnation > 1 {
		d.Log.Warn("memory lost", "alarm", true, "file", m.durable.Path(), "incarnation", m.incarnation,
			"why", "this agent has run before and its memory is gone; it promises and asks nothing until a witness has spoken")
	}
	if m.lease, err = st.Boot(d.Node.RuntimeDir, m.bootID); err != nil {
		return memory{}, err
	}
	if m.boot, err = d.readRights(m.lease, m.bootID); err != nil {
		return memory{}, err
	}
	return m, d.covers(m.boot)
}

// covers refuses a node file without something that may be running here: nobody
// would stop it, and the watchdog would be fed beside it.
func (d *Daemon) covers(boot *agent.BootMemory) error {
	// Where there is none, or none that can be read, nothing is known of what the
	// agent before this one has started.
	before, _ := config.LoadNode(filepath.Join(d.Node.RuntimeDir, snapshotName))
	for _, id := range slices.Sorted(maps.Keys(boot.Groups)) {
		is := groupOf(d.Node, string(id))
		if was := groupOf(before, string(id)); is != nil && was != nil {
			if what := missing(*was, *is); what != "" {
				return fmt.Errorf("group %s may be running here, by the right of the agent before this one, with %s, which the node file does not have any more: "+
					"put it back at once, or the guard stops the group when its right ends; move it away (sbctl standby %s) before you change what it is made of", id, what, d.Node.Name)
			}
		}
		if is == nil {
			return fmt.Errorf("group %s may be running here, by the right of the agent before this one, and the node file does not have it: "+
				"put it back at once, or the watchdog resets this machine; move it away (sbctl standby %s) before you remove or rename it", id, d.Node.Name)
		}
	}
	return nil
}

func groupOf(n config.Node, name string) *config.Group {
	i := slices.IndexFunc(n.Groups, func(g config.Group) bool { return g.Name == name })
	if i < 0 {
		return nil
	}
	return &n.Groups[i]
}

// missing names something of a group that another wording of it has not.
func missing(was, is config.Group) string {
	for _, r := range was.DRBD {
		if !slices.Contains(is.DRBD, r) {
			return "DRBD resource " + r
		}
	}
	for _, s := range was.Services {
		same := func(o config.Service) bool { return o.Spec.Kind() == s.Spec.Kind() && o.Spec.Name() == s.Spec.Name() }
		if !slices.ContainsFunc(is.Services, same) {
			return s.Spec.Kind() + " " + s.Spec.Name()
		}
	}
	return ""
}

func readMemory(f *store.File) (*agent.Memory, error) {
	raw, err := f.Load()
	if errors.Is(err, store.ErrMissing) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	mem, err := agent.DecodeMemory(raw)
	if err != nil {
		return nil, fmt.Errorf("read %s: %w", f.Path(), err)
	}
	return mem, nil
}

// readRights reads the rights held in this boot. A file that cannot be read says
// nothing, and what then runs here without a right that is known is stopped.
func (d *Daemon) readRights(f *store.File, boot string) (*agent.BootMemory, error) {
	raw, err := f.Load()
	switch {
	case err == nil, errors.Is(err, store.ErrMissing):
	case errors.Is(err, store.ErrCorrupt):
		d.Log.Error("rights lost", "error", err, "alarm", true, "why", "what runs here is stopped: no right to it is known")
		raw = nil
	default:
		return nil, err
	}
	return agent.DecodeBootMemory(raw, arbiter.BootID(boot)), nil
}
