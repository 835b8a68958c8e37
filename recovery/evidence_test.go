package recovery

import (
	"strings"
	"testing"

	"sbarbiter/drbd"
)

// What cannot be so was measured wrong, or is not of what it says: nobody's copy is given
// up by it. It is refused, with what contradicts what.
func TestContradictoryEvidenceIsNotJudged(t *testing.T) {
	for name, c := range map[string]struct {
		change func(*Evidence)
		says   []string
	}{
		"more marked than there is": {func(e *Evidence) { e.Sides[1].Volumes[0].OutOfSync = counted(10 << 40) }, []string{"node-b: r0/0", "10.0 TiB", "256.0 MiB"}},
		"a volume twice":            {twice("r0", 0), []string{"shows r0/0 twice"}},
		"Secondary and mounted": {func(e *Evidence) {
			e.Sides[1].Mounted = []string{"/srv", "/mnt"}
		}, []string{"node-b is Secondary", "mounted at /srv, /mnt", "measure again"}},
	} {
		e := split().with(c.change)
		for _, e := range []Evidence{e, e.turned()} {
			for _, p := range PolicyNames {
				d := Decide(e, []Policy{{Name: p, Node: map[PolicyName]Node{DiscardNode: "node-b"}[p]}})
				if d.Victim != "" || d.Diagnosis.Kind.Tells() {
					t.Errorf("%s: %s discards %q of %s", name, p, d.Victim, d.Diagnosis.Kind)
				}
			}
			_, err := Choose(e, "node-b")
			for _, says := range c.says {
				if err == nil || !strings.Contains(err.Error(), says) {
					t.Errorf("%s: an operator is told: %v; want %q", name, err, says)
				}
			}
		}
	}
}

func twice(resource string, number int) func(*Evidence) {
	return func(e *Evidence) {
		for i := range e.Sides {
			v := e.Sides[i].Volumes[0]
			v.Resource, v.Number = resource, number
			e.Sides[i].Volumes = append(e.Sides[i].Volumes, v)
		}
	}
}

// What only looks odd is judged.
func TestOddEvidenceIsJudged(t *testing.T) {
	for name, change := range map[string]func(*Evidence){
		"the last bit stands for more than the volume has": func(e *Evidence) {
			v := &e.Sides[1].Volumes[0]
			v.Size, v.OutOfSync = 100*mib+512, counted(100*mib+4096)
		},
		"nothing but changes": func(e *Evidence) { e.Sides[1].Volumes[0].OutOfSync = counted(256 * mib) },
		"another number":      twice("r0", 1),
		"another resource":    twice("r1", 0),
		"Primary and mounted": func(e *Evidence) { e.Sides[0].Mounted = []string{"/srv"} },
		"9 lets a Secondary be read": func(e *Evidence) {
			e.Sides[0].Family, e.Sides[1].Family, e.Sides[1].Mounted = drbd.Family9, drbd.Family9, []string{"/srv"}
		},
		"no size is known, and no disk is": func(e *Evidence) {
			e.Sides[1].Volumes[0] = Volume{Resource: "r0", Disk: drbd.DiskDiskless, OutOfSync: counted(mib)}
		},
		"open, and nobody could look by whom": func(e *Evidence) { e.Sides[1].Open = true },
	} {
		if err := split().with(change).Check(); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
}
