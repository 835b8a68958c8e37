package runner

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"sbarbiter/agent"
	"sbarbiter/arbiter"
	"sbarbiter/arbiter/leader"
	"sbarbiter/internal/boottime"
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
	g.found(Examination{DRBD: []timing.DRBD{{Resource: "r0"}, {Resource: "r9"}}}, map[string]arbiter.GroupID{"r0": "nfs"})
	r := g.beat(now.Add(reportAnyway), leader.Beat{Number: 8})
	if r == nil || r.Timing.Answer != (timing.Measured{Count: 1, P999: 3 * time.Millisecond, Max: 3 * time.Millisecond}) || !r.Examined {
		t.Fatalf("reported %+v", r)
	}
	if n := r.Timing.Groups[0]; n.Stop.P999 != 2*time.Second || n.Start.Known() || len(n.DRBD) != 1 {
		t.Errorf("of the group: %+v", n)
	}
}

func TestStartsAreMeasuredAndKept(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
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
