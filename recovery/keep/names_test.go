package keep

import (
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"
)

func TestNoTwoVolumesAreKeptUnderOneLabel(t *testing.T) {
	a := Volume{Group: "web", Recovery: "1", Resource: "r0-1", Number: 2}
	for _, b := range []Volume{
		{Group: "web", Recovery: "1-r0", Resource: "1", Number: 2},
		{Group: "web-1", Recovery: "r0", Resource: "1", Number: 2},
		{Group: "web", Recovery: "2", Resource: "r0-1", Number: 2},
		{Group: "web", Recovery: "1", Resource: "r0_1", Number: 2},
	} {
		if a.newLabel() == b.newLabel() {
			t.Errorf("%+v and %+v are both %s", a, b, a.newLabel())
		}
	}
	legal := regexp.MustCompile(`^kept-[A-Za-z0-9.-]+$`) // of LVM's and of ZFS's names
	names := rapid.StringMatching(`[A-Za-z0-9_][A-Za-z0-9_.-]{0,127}`)
	rapid.Check(t, func(t *rapid.T) {
		draw := func(name string) Volume {
			return Volume{Group: names.Draw(t, name+" group"), Recovery: names.Draw(t, name+" recovery"), Resource: names.Draw(t, name+" resource"), Number: rapid.IntRange(0, 65535).Draw(t, name+" number")}
		}
		v, w := draw("one"), draw("other")
		l := v.newLabel()
		if !legal.MatchString(l) || len(l)+strings.Count(l, "-") > 80 || strings.Contains(l, "_") {
			t.Fatalf("%s is no name for a logical volume", l)
		}
		if !reflect.DeepEqual(v, w) && w.newLabel() == l {
			t.Fatalf("%+v and %+v are both %s", v, w, l)
		}
	})
}

// An attempt clears away what an earlier one has left under its label: never what
// another volume is kept under.
func TestKeepingOneVolumeDoesNotRemoveWhatAnotherIsKeptIn(t *testing.T) {
	s := store(t)
	s.Quota = 4 * size
	s.Drivers = []Driver{Command{Argv: []string{beside(t)}}}
	v, _ := volume(t)
	v.Resource, v.Recovery = "1", "1-r0"
	first, err := s.Keep(t.Context(), v)
	must(t, err)
	v.Resource, v.Recovery = "r0-1", "1"
	_, err = s.Keep(t.Context(), v)
	must(t, err)
	if _, err := os.Stat(first.Source); err != nil {
		t.Errorf("it was removed for the sake of another one: %v", err)
	}
}

// beside is a program that keeps all copies in one directory, by their labels.
func beside(t *testing.T) string {
	dir := t.TempDir()
	program := filepath.Join(dir, "keep")
	must(t, os.WriteFile(program, []byte(`#!/bin/sh
at=`+dir+`/$2
case $1 in
room) echo 99999999 ;;
keep) [ ! -e "$at" ] && cp "$3" "$at" && echo "$at" ;;
drop) [ ! -e `+dir+`/stuck ] && rm -f "$at" ;;
esac
`), 0o755))
	return program
}

func TestCopyOfAnotherRecoveryOfTheSameNameIsNotTakenForThisOnes(t *testing.T) {
	s := store(t)
	v, _ := volume(t)
	v.Generation = "of an earlier witness"
	_, err := s.Keep(t.Context(), v)
	must(t, err)
	if _, found, err := s.Find(v); err != nil || !found {
		t.Errorf("%v, %v", found, err)
	}
	v.Generation = "of this one"
	if _, err := s.Keep(t.Context(), v); err == nil || !strings.Contains(err.Error(), "another recovery") {
		t.Errorf("%v", err)
	}
	if _, found, err := s.Find(v); err == nil || found {
		t.Errorf("%v, %v", found, err)
	}
}

func TestCopyThatCannotBeReleasedIsStillThere(t *testing.T) {
	s := store(t)
	program := beside(t)
	s.Drivers = []Driver{Command{Argv: []string{program}}}
	v, _ := volume(t)
	k, err := s.Keep(t.Context(), v)
	must(t, err)
	stuck := filepath.Join(filepath.Dir(program), "stuck")
	must(t, os.WriteFile(stuck, nil, 0o600))
	if err := s.Release(t.Context(), k); err == nil {
		t.Error("it was released")
	}
	all, err := s.List()
	if err != nil || len(all) != 1 {
		t.Fatalf("nobody finds it again: %+v, %v", all, err)
	}
	must(t, os.Remove(stuck))
	must(t, s.Release(t.Context(), all[0]))
	if _, err := os.Stat(k.Source); err == nil {
		t.Error("it is still there")
	}
}

func TestSnapshotIsReleasedWhateverItsDeviceIsCalledByNow(t *testing.T) {
	label := logicalVolume(0).newLabel()
	s := thick("1073741824")
	st := &Store{Dir: t.TempDir(), Quota: 1 << 30, Drivers: []Driver{LVM{Tools: s.run}}}
	k, err := st.Keep(t.Context(), logicalVolume(100<<20))
	must(t, err)
	// The group and the volume have other names now, which lvs does not find by the old ones.
	delete(s.answers, reportOf+"vg_name,lv_name,pool_lv,vg_free /dev/vg0/r0")
	s.answers["lvs --noheadings -o vg_name --select lv_name="+label] = "vg1"
	must(t, st.Release(t.Context(), k))
	if !slices.Contains(s.calls, "lvremove --yes vg1/"+label) {
		t.Errorf("%q", s.calls)
	}
	// What lvs cannot say is not taken for gone.
	k, err = (&Store{Dir: st.Dir, Quota: 1 << 30, Drivers: []Driver{LVM{Tools: thick("1073741824").run}}}).Keep(t.Context(), logicalVolume(100<<20))
	must(t, err)
	s.answers["lvs --noheadings -o vg_name --select lv_name="+label] = "!locked"
	if err := st.Release(t.Context(), k); err == nil {
		t.Error("it is forgotten, and still there")
	}
	if all, err := st.List(); err != nil || len(all) != 1 {
		t.Errorf("%v, %v", all, err)
	}

	z := &script{answers: map[string]string{
		"zfs list": "pool/new\npool/" + label + "\npool/new@" + label, "zfs destroy": "",
	}}
	must(t, ZFS{Tools: z.run}.Drop(t.Context(), Volume{Label: label, Device: "/dev/zvol/tank/vm/old"}, ""))
	if want := []string{"zfs destroy pool/" + label, "zfs destroy pool/new@" + label}; !slices.Equal(z.calls[1:], want) {
		t.Errorf("%q", z.calls)
	}

	// A file that has moved: its copy stays where it was made.
	at := filepath.Join(t.TempDir(), "copy")
	must(t, os.WriteFile(at, nil, 0o600))
	must(t, Reflink{}.Drop(t.Context(), Volume{Device: "/nonexistent/r0.img", At: at}, ""))
	if _, err := os.Stat(at); err == nil {
		t.Error("it is still there")
	}
}
