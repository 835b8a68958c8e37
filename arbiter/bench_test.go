package arbiter_test

import (
	"fmt"
	"testing"

	"sbarbiter/arbiter"
)

// BenchmarkApply measures one acquire, start and release, without and with the
// log's encoding.
func BenchmarkApply(b *testing.B) {
	for _, encoded := range []bool{false, true} {
		b.Run(fmt.Sprintf("encoded=%v", encoded), func(b *testing.B) {
			s := arbiter.NewState()
			declare(b, s, "pair")
			var request arbiter.RequestID
			b.ReportAllocs()
			for i := 0; b.Loop(); i++ {
				for _, cmd := range cycle(s, "pair", &request) {
					e := arbiter.Entry{Command: cmd}
					if encoded {
						e = roundTrip(b, e)
					}
					if v := s.Apply(uint64(i), e).Verdict; !v.OK() {
						b.Fatal(v.Sentence)
					}
				}
			}
			b.ReportMetric(3*float64(b.N)/b.Elapsed().Seconds(), "apply/s")
		})
	}
}

// BenchmarkSnapshot measures 1000 clusters: new ones, and ones whose audit log
// is full.
func BenchmarkSnapshot(b *testing.B) {
	for _, cycles := range []int{1, 100} {
		b.Run(fmt.Sprintf("cycles=%d", cycles), func(b *testing.B) {
			s := arbiter.NewState()
			for i := range 1000 {
				id := arbiter.ClusterID(fmt.Sprintf("pair-%03d", i))
				declare(b, s, id)
				var request arbiter.RequestID
				for range cycles {
					for _, cmd := range cycle(s, id, &request) {
						s.Apply(1, arbiter.Entry{Command: cmd})
					}
				}
			}
			var size int
			for b.Loop() {
				size = len(encoded(b, s))
			}
			b.ReportMetric(float64(size)/1e6, "MB")
		})
	}
}

func declare(b *testing.B, s *arbiter.State, id arbiter.ClusterID) {
	b.Helper()
	def := arbiter.Definition{
		Cluster: id, Nodes: [2]arbiter.NodeID{"node-a", "node-b"}, Timing: timing(), Stonith: true,
		Groups: map[arbiter.GroupID]arbiter.GroupDefinition{"nfs": {DRBD: true}},
	}
	commands := []arbiter.Command{arbiter.Define{Definition: def}}
	for _, n := range def.Nodes {
		commands = append(commands, arbiter.NodeUp{Caller: arbiter.Caller{Cluster: id, Node: n, Boot: "boot-of-" + arbiter.BootID(n), Incarnation: 1}})
	}
	for i, cmd := range commands {
		if v := s.Apply(uint64(i+1), arbiter.Entry{Command: cmd}).Verdict; !v.OK() {
			b.Fatal(v.Sentence)
		}
	}
}

// cycle returns one life of a lease.
func cycle(s *arbiter.State, id arbiter.ClusterID, request *arbiter.RequestID) []arbiter.Command {
	caller := func() arbiter.Caller {
		*request++
		return arbiter.Caller{Cluster: id, Node: "node-a", Boot: "boot-of-node-a", Incarnation: 1, Request: *request}
	}
	ev := arbiter.Evidence{
		Disks:      []arbiter.Disk{{Volume: "r0/0", Own: arbiter.UpToDate, Peer: arbiter.UpToDate, Connected: true}},
		References: 1, Needed: 1,
	}
	next := s.Clusters[id].Epoch.Next()
	return []arbiter.Command{
		arbiter.Acquire{Caller: caller(), Group: "nfs", Evidence: ev},
		arbiter.Started{Caller: caller(), Group: "nfs", Epoch: next},
		arbiter.Release{Caller: caller(), Group: "nfs", Epoch: next, Started: true},
	}
}
