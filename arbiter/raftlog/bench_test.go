package raftlog

import (
	"context"
	"testing"

	"sbarbiter/arbiter/engine"
	"sbarbiter/arbiter/enginetest"
)

// deaf is a machine that costs nothing.
type deaf struct{ engine.Machine }

func (deaf) Apply(uint64, []byte) ([]byte, error) { return nil, nil }
func (deaf) Snapshot() ([]byte, error)            { return nil, nil }

func lead(b *testing.B) *enginetest.Running {
	return enginetest.Lead(b, mustOpen(b, Config{Dir: mustInit(b, "w1"), Name: "w1"}, deaf{}))
}

// Each command waits for one fsync.
func BenchmarkApplyOneByOne(b *testing.B) {
	e := lead(b)
	cmd := make([]byte, 200)
	for b.Loop() {
		if _, _, err := e.Apply(context.Background(), cmd); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "applies/s")
}

// Commands of many callers share an fsync.
func BenchmarkApplyTogether(b *testing.B) {
	e := lead(b)
	cmd := make([]byte, 200)
	b.SetParallelism(16)
	b.RunParallel(func(pb *testing.PB) {
		for pb.Next() {
			if _, _, err := e.Apply(context.Background(), cmd); err != nil {
				b.Error(err)
				return
			}
		}
	})
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "applies/s")
}

func BenchmarkVerifyLeader(b *testing.B) {
	e := lead(b)
	for b.Loop() {
		if err := e.VerifyLeader(context.Background()); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "verifies/s")
}
