package keep

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// Somebody clears up, or a file system is mounted over it: the description of a copy is
// there, and the copy is not. That must not count as kept.
func TestCopyThatIsGoneIsLost(t *testing.T) {
	program := filepath.Join(t.TempDir(), "keep")
	must(t, os.WriteFile(program, []byte("#!/bin/sh\ncase $1 in\nroom) echo 99999999 ;;\nkeep) cp \"$3\" \"$5/$2\" && echo \"$5/$2\" ;;\nesac\n"), 0o755))
	for _, d := range []Driver{Copy{AtMost: size}, Command{Argv: []string{program}}} {
		st := store(t)
		st.Drivers = []Driver{d}
		v, _ := volume(t)
		k, err := st.Keep(t.Context(), v)
		must(t, err)
		must(t, st.Check(t.Context(), k))
		must(t, os.Truncate(k.Source, size-1))
		if err := st.Check(t.Context(), k); err == nil || !strings.Contains(err.Error(), "has 5246975 of 5246976 bytes") {
			t.Errorf("%s, cut short: %v", d.Name(), err)
		}
		must(t, os.Remove(k.Source))
		if err := st.Check(t.Context(), k); err == nil || !strings.Contains(err.Error(), "is not there any more") {
			t.Errorf("%s, removed: %v", d.Name(), err)
		}
		st.Drivers = nil // as after a change of the configuration
		if st.Check(t.Context(), k) == nil {
			t.Errorf("%s: its driver is not used any more, and it is called good", d.Name())
		}
		if all, _, err := st.Look(t.Context()); err != nil || len(all) != 1 || all[0].Lost == "" {
			t.Errorf("%s: a look says %+v, %v", d.Name(), all, err)
		}
	}
}

func TestPrunedCloneIsLost(t *testing.T) {
	const of = "zfs get -Hp -o value volsize tank/vm/kept"
	k := Kept{Volume: Volume{Size: 1 << 30}, Driver: "zfs", Source: "/dev/zvol/tank/vm/kept"}
	for answer, lost := range map[string]bool{"1073741824": false, "1073741823": true, "-": true, "!dataset does not exist": true} {
		s := &script{answers: map[string]string{of: answer}}
		st := &Store{Drivers: []Driver{ZFS{Tools: s.run}}}
		if err := st.Check(t.Context(), k); (err != nil) != lost {
			t.Errorf("%s: %v", answer, err)
		}
	}
}
