package runner

import (
	"context"
	"sync/atomic"
	"testing"
	"time"

	"sbarbiter/agent"
	"sbarbiter/arbiter"
	"sbarbiter/arbiter/leader"
	"sbarbiter/internal/boottime"
	"sbarbiter/internal/faketime"
	"sbarbiter/timing"
)

func measuring() *gauge {
	return newGauge(Gauge{Report: leader.Report{ConfigHash: "h", Timing: timing.Node{Groups: []timing.Group{{Name: "nfs"}}}}})
}

func TestReportGoesWithTheFirstBeatOfASessionAndWhenThereIsNews(t *testing.T) {
	g := measuring()
	now := boottime.Instant(time.Hour)
	number := uint64(0)
	beat := func(after time.Duration) bool {
		now, number = now.Add(after), number+1
		return g.beat(now, leader.Beat{Number: number}) != nil
	}
	if !beat(0) || beat(reportSoon) {
		t.Error("want one report, and none while nothing changes")
	}
	g.took(stopOf("nfs"), time.Second)
	if !beat(time.Second) || beat(time.Second) {
		t.Error("want what was measured reported once")
	}
	g.took(stopOf("nfs"), time.Second)
	if beat(time.Second) || !beat(reportSoon) {
		t.Error("want reports not faster than every so often")
	}
	g.hear(now, agent.Welcomed{})
	if !beat(time.Second) || !beat(reportAnyway) {
		t.Error("want a report on a new session, and now and then")
	}
}

func TestAnswersAndStopsAreMeasured(t *testing.T) {
	g := measuring()
	now := boottime.Instant(time.Hour)
	g.beat(now, leader.Beat{Number: 7})
	g.hear(now.Add(3*time.Millisecond), agent.Answered{Answer: leader.BeatAnswer{Number: 7}})
	g.hear(now.Add(time.Second), agent.Answered{Answer: leader.BeatAnswer{Number: 7}}) // twice counts once
	g.took(stopOf("nfs"), 2*time.Second)
	g.found(Examination{})
	g.timed([]timing.DRBD{{Resource: "r0"}, {Resource: "r9"}}, map[string]arbiter.GroupID{"r0": "nfs"})
	r := g.beat(now.Add(reportAnyway), leader.Beat{Number: 8})
	if r == nil || r.Timing.Answer != (timing.Measured{Count: 1, P999: 3 * time.Millisecond, Max: 3 * time.Millisecond}) || !r.Examined {
		t.Fatalf("reported %+v", r)
	}
	if n := r.Timing.Groups[0]; n.Stop.P999 != 2*time.Second || n.Start.Known() || len(n.DRBD) != 1 {
		t.Errorf("of the group: %+v", n)
	}
}

func TestStartsAreMeasuredAndKept(t *testing.T) {
	faketime.Test(t, func(t *testing.T) {
		kept := &fakeFile{}
		s := begin(t, nil, func(s *story) {
			s.runner.gauge.Kept = kept
			s.runner.gauge.Examine = func(context.Context) Examination { s.note("examined"); return Examination{} }
		})
		s.pass(10 * time.Second)
		s.must("examined")
		if got := s.runner.gauge.Samples.Measured(startOf("nfs")); got.Count != 1 {
			t.Errorf("starts measured: %+v", got)
		}
		s.cancel()
		if err := <-s.ended; err != nil {
			t.Error(err)
		}
	})
}

// What the kernel goes by is read again when a resource finds its peer, which is when
// drbdadm has told it, and now and then; what is known outlives the connection.
func TestDRBDsTimesAreReadAgain(t *testing.T) {
	faketime.Test(t, func(t *testing.T) {
		var kernel atomic.Pointer[timing.DRBD]
		times := func(s *story) time.Duration {
			s.runner.gauge.mu.Lock()
			defer s.runner.gauge.mu.Unlock()
			if list := s.runner.gauge.Report.Timing.Groups[0].DRBD; len(list) == 1 {
				return list[0].PingInt
			}
			return 0
		}
		s := begin(t, []string{"r0"}, func(s *story) {
			s.runner.gauge.Report.Timing.Groups = []timing.Group{{Name: "nfs"}}
			s.runner.gauge.Times = func(context.Context) []timing.DRBD {
				if is := kernel.Load(); is != nil {
					return []timing.DRBD{*is}
				}
				return nil
			}
		})
		s.pass(time.Second)
		if got := times(s); got != 0 {
			t.Errorf("not connected yet, and known: %v", got)
		}
		kernel.Store(&timing.DRBD{Resource: "r0", PingInt: time.Second})
		s.runner.post(agent.Storage{Resource: "r0"})
		s.runner.post(agent.Storage{Resource: "r0", Disks: []arbiter.Disk{{Connected: true}}})
		s.pass(time.Second)
		if got := times(s); got != time.Second {
			t.Errorf("connected, and known: %v", got)
		}
		kernel.Store(&timing.DRBD{Resource: "r0", PingInt: 2 * time.Second}) // drbdadm adjust
		s.pass(timesEvery)
		if got := times(s); got != 2*time.Second {
			t.Errorf("adjusted, and known: %v", got)
		}
		kernel.Store(nil) // StandAlone
		s.pass(timesEvery)
		if got := times(s); got != 2*time.Second {
			t.Errorf("alone, and known: %v", got)
		}
		s.cancel()
		if err := <-s.ended; err != nil {
			t.Error(err)
		}
	})
}
