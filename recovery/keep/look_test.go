package keep

import (
	"context"
	"errors"
	"os"
	"testing"
	"time"
)

// frail copies lose what they hold, and tell how soon.
type frail struct {
	Copy
	lost error
}

func (f frail) Check(context.Context, Kept) error           { return f.lost }
func (frail) Filled(context.Context, Kept) (float64, error) { return 83.5, nil }

// However old a copy is, nobody but an operator gives it up: the store says how old
// it is, what room is left, and what of it is lost.
func TestAgeIsToldAndGivesNothingUp(t *testing.T) {
	s := store(t)
	v, _ := volume(t)
	_, err := s.Keep(t.Context(), v)
	must(t, err)
	made := s.now()
	s.Now = func() time.Time { return made.Add(400 * 24 * time.Hour) }
	for range 2 {
		all, free, err := s.Look(t.Context())
		must(t, err)
		if len(all) != 1 || all[0].Age < 400*24*time.Hour || all[0].Age > 401*24*time.Hour || free != s.Quota-written || all[0].Lost != "" || all[0].Filled != 0 {
			t.Fatalf("%+v, %d bytes are free", all, free)
		}
		if _, err := os.Stat(all[0].Source); err != nil {
			t.Fatal(err)
		}
	}
	s.Drivers = []Driver{frail{Copy: Copy{AtMost: size}}}
	if all, _, _ := s.Look(t.Context()); all[0].Filled != 83.5 {
		t.Errorf("%+v", all[0])
	}
	s.Drivers = []Driver{frail{Copy: Copy{AtMost: size}, lost: errors.New("it has overflown")}}
	if all, _, _ := s.Look(t.Context()); all[0].Lost != "it has overflown" {
		t.Errorf("%+v", all[0])
	}
}
