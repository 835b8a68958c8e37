package sim_test

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"sbarbiter/internal/sim"
)

func TestScheduleReadBackIsTheSameRun(t *testing.T) {
	for seed := uint64(1); seed <= 20; seed++ {
		s := sim.Draw(seed)
		back, err := sim.DecodeSchedule(s.Encode())
		if err != nil {
			t.Fatalf("seed %d: %v", seed, err)
		}
		if !bytes.Equal(back.Encode(), s.Encode()) {
			t.Fatalf("seed %d: written\n%s\nread back\n%s", seed, s.Encode(), back.Encode())
		}
		if a, b := sim.Play(s), sim.Play(back); a.Steps != b.Steps || a.Timeline() != b.Timeline() {
			t.Errorf("seed %d: the schedule that was read back is another run", seed)
		}
	}
}

func TestScheduleThatWouldBeAnotherRunIsRefused(t *testing.T) {
	whole := string(sim.Draw(2).Encode())
	for _, c := range []struct{ why, from, to, says string }{
		{"another format", `"format": 1`, `"format": 2`, "format 2, this program knows 1"},
		{"no format", `"format": 1,`, ``, "format 0"},
		{"an unknown field", `"seed"`, `"speed": 3, "seed"`, `unknown field "speed"`},
		{"an unknown fault", `"what": "`, `"what": "un`, "does not know the fault"},
		{"an unknown pair", `"pair": "`, `"pair": "un`, "there is no pair"},
		{"an unknown group", `"groups": [`, `"groups": ["dbx",`, `there is no group "dbx"`},
		{"a negative time", `"after": "`, `"after": "-`, "negative"},
		{"a time without a unit", `"after": "4s"`, `"after": "4"`, "missing unit"},
		{"two schedules", "", whole, "after top-level value"},
	} {
		text := whole + c.to
		if c.from != "" {
			text = strings.Replace(whole, c.from, c.to, 1)
		}
		if _, err := sim.DecodeSchedule([]byte(text)); err == nil || !strings.Contains(err.Error(), c.says) {
			t.Errorf("%s: %v", c.why, err)
		}
	}
}

// Each of these has broken something once.
func TestSchedulesThatOnceBrokeSomethingDoNotAnyMore(t *testing.T) {
	eachSchedule(t, "testdata/*.json", func(t *testing.T, s *sim.Schedule) {
		if w := sim.Play(s); len(w.Broken()) > 0 {
			t.Fatalf("it once showed: %s\n%s", s.Found, sim.Story(s, w))
		}
	})
}

// Each of these breaks something still, and docs/architecture.md says so. Where the
// directory is not there, there are none.
func TestWhatIsNotClosedStillBreaks(t *testing.T) {
	eachSchedule(t, "testdata/open/*.json", func(t *testing.T, s *sim.Schedule) {
		if w := sim.Play(s); len(w.Broken()) == 0 {
			t.Error("it breaks nothing any more: if that is a cure, move it to testdata; if the simulation draws another run now, search anew")
		}
	})
}

func eachSchedule(t *testing.T, pattern string, do func(*testing.T, *sim.Schedule)) {
	t.Helper()
	names, err := filepath.Glob(pattern)
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range names {
		t.Run(strings.TrimSuffix(filepath.Base(name), ".json"), func(t *testing.T) {
			raw, err := os.ReadFile(name)
			if err != nil {
				t.Fatal(err)
			}
			s, err := sim.DecodeSchedule(raw)
			if err != nil {
				t.Fatal(err)
			}
			do(t, s)
		})
	}
}

// A pair that breaks when node-a crashes after the gateway was lost.
func crashAfterTheGateway(s *sim.Schedule) string {
	lost := false
	for _, e := range s.Episodes {
		for _, f := range e.Faults {
			lost = lost || f.What == "gateway lost"
			if lost && f.What == "crashes" && f.Host == "node-a" {
				return "S9"
			}
		}
	}
	return ""
}

func TestSmallerScheduleHasOnlyWhatItTakes(t *testing.T) {
	for seed := uint64(1); ; seed++ {
		s := sim.DrawLong(seed, 20*time.Hour, 4)
		if crashAfterTheGateway(s) == "" {
			continue
		}
		small := sim.Shrink(s, crashAfterTheGateway)
		faults := 0
		for _, e := range small.Episodes {
			faults += len(e.Faults)
		}
		if crashAfterTheGateway(small) == "" || faults != 2 || len(small.Episodes) > 2 {
			t.Fatalf("seed %d: %d episodes became\n%s", seed, len(s.Episodes), small.Encode())
		}
		return
	}
}

func TestScheduleThatBreaksNothingIsNotMadeSmaller(t *testing.T) {
	s := sim.Draw(7)
	if small := sim.Shrink(s, sim.Broken); small != s {
		t.Fatalf("became\n%s", small.Encode())
	}
}
