package keep

import (
	"bytes"
	"context"
	"errors"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

const (
	size = 5<<20 + 4096
	// written is the part of a volume that is not zeros, to a block.
	written = 1<<20 + 4096
	dump    = "version \"v08\";\n"
)

func volume(t *testing.T) (Volume, []byte) {
	t.Helper()
	data := make([]byte, size)
	r := rand.New(rand.NewPCG(1, 2))
	for i := 2 << 20; i < 3<<20; i++ { // zeros before and after
		data[i] = byte(r.Uint32())
	}
	data[size-1] = 7
	device := filepath.Join(t.TempDir(), "backing")
	if err := os.WriteFile(device, data, 0o600); err != nil {
		t.Fatal(err)
	}
	return Volume{Recovery: "3", Group: "nfs", Resource: "r0", Device: device, Size: size}, data
}

func store(t *testing.T) *Store {
	t.Helper()
	at := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	return &Store{Dir: filepath.Join(t.TempDir(), "kept"), Quota: size + written - 1, Drivers: []Driver{Copy{AtMost: size}}, Now: func() time.Time {
		at = at.Add(time.Hour)
		return at
	}}
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func TestKeptCopyIsByteExactAndOutlivesTheVolume(t *testing.T) {
	s := store(t)
	v, data := volume(t)
	must(t, s.KeepMetadata(v, dump))
	must(t, s.KeepMetadata(v, "of a later moment"))
	_, err := s.Keep(t.Context(), v)
	must(t, err)
	must(t, os.WriteFile(v.Device, make([]byte, size), 0o600)) // the resync has overwritten it
	all, err := s.List()
	must(t, err)
	if len(all) != 1 || all[0].Group != "nfs" || all[0].Bytes != written {
		t.Fatalf("%+v", all)
	}
	got, err := os.ReadFile(all[0].Source)
	must(t, err)
	if !bytes.Equal(got, data) {
		t.Error("the copy differs")
	}
	if text, err := all[0].Metadata(); err != nil || text != dump {
		t.Errorf("metadata %q, %v", text, err)
	}
}

func TestKeepingAgainKeepsWhatWasKeptFirst(t *testing.T) {
	s := store(t)
	v, data := volume(t)
	first, err := s.Keep(t.Context(), v)
	must(t, err)
	must(t, os.WriteFile(v.Device, make([]byte, size), 0o600))
	again, err := s.Keep(t.Context(), v)
	must(t, err)
	if got, _ := os.ReadFile(again.Source); !bytes.Equal(got, data) || !again.Made.Equal(first.Made) {
		t.Error("a step that was done is done again, over what it had kept")
	}
}

func TestFullStoreKeepsWhatItHasAndRefusesMore(t *testing.T) {
	s := store(t)
	v, _ := volume(t)
	_, err := s.Keep(t.Context(), v)
	must(t, err)
	v.Recovery = "4"
	_, err = s.Keep(t.Context(), v)
	if !errors.Is(err, ErrFull) || !strings.Contains(err.Error(), "sbagent recovery release nfs --recovery 3") {
		t.Fatalf("%v", err)
	}
	all, err := s.List()
	must(t, err)
	must(t, s.Release(t.Context(), all[0]))
	_, err = s.Keep(t.Context(), v)
	must(t, err)
	if all, _ := s.List(); len(all) != 1 || all[0].Recovery != "4" {
		t.Errorf("%+v", all)
	}
}

// A group's volumes are kept by one recovery: room for one of them is not room for both.
func TestRoomIsPromisedOnce(t *testing.T) {
	s := store(t)
	v, _ := volume(t)
	promised := Promises{}
	if room := s.RoomFor(t.Context(), v, promised); room != size || promised[""] != size {
		t.Errorf("room for %d, of which %d are taken", room, promised[""])
	}
	if room := s.RoomFor(t.Context(), v, promised); room != 0 || promised[""] != size {
		t.Errorf("the quota has room for one of them, and of the other's %d would be kept", room)
	}
	s.Quota = 1 << 60
	if room := s.RoomFor(t.Context(), v, promised); room != size {
		t.Errorf("there is room for both, and of the other's %d would be kept", room)
	}
	promised[""] = 1 << 59
	if room := s.RoomFor(t.Context(), v, promised); room != 0 {
		t.Errorf("the file system has no room for both, and of the other's %d would be kept", room)
	}
}

func TestCopyThatWasCutShortDoesNotCount(t *testing.T) {
	s := store(t)
	v, _ := volume(t)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := s.Keep(ctx, v); !errors.Is(err, context.Canceled) {
		t.Fatalf("%v", err)
	}
	short := v
	short.Size += 4096
	s.Drivers, s.Quota = []Driver{Copy{AtMost: short.Size}}, 2*short.Size
	if _, err := s.Keep(t.Context(), short); err == nil || !strings.Contains(err.Error(), "ends after") {
		t.Fatalf("%v", err)
	}
	// Killed between data and manifest: the next attempt starts over.
	dir, err := s.dir(v)
	must(t, err)
	must(t, os.MkdirAll(dir, 0o700))
	must(t, os.WriteFile(filepath.Join(dir, copyName), []byte("half"), 0o600))
	if all, err := s.List(); err != nil || len(all) != 0 {
		t.Fatalf("half a copy counts: %+v, %v", all, err)
	}
	_, err = s.Keep(t.Context(), v)
	must(t, err)
}

func TestBadNamesAndBigVolumesAreRefused(t *testing.T) {
	s := store(t)
	v, _ := volume(t)
	for _, bad := range []string{"", "..", "a/b", "../../etc", "-rf"} {
		w := v
		w.Group = bad
		if _, err := s.Keep(t.Context(), w); err == nil {
			t.Errorf("%q was taken for a name", bad)
		}
	}
	s.Drivers = []Driver{Copy{AtMost: size - 1}}
	if _, err := s.Keep(t.Context(), v); err == nil || !strings.Contains(err.Error(), "use snapshots") {
		t.Errorf("%v", err)
	}
}

func TestDamagedManifestIsSaidAndNothingIsLost(t *testing.T) {
	s := store(t)
	v, _ := volume(t)
	k, err := s.Keep(t.Context(), v)
	must(t, err)
	must(t, os.WriteFile(filepath.Join(k.dir, manifest), []byte("{"), 0o600))
	if _, err := s.List(); err == nil || !strings.Contains(err.Error(), "may still be good") {
		t.Errorf("%v", err)
	}
	if _, err := s.Keep(t.Context(), v); err == nil {
		t.Error("it was copied over")
	}
	if _, err := os.Stat(k.Source); err != nil {
		t.Error(err)
	}
}
