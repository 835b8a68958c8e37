package witness_test

import (
	"fmt"
	"testing"

	"sbarbiter/arbiter"
	"sbarbiter/arbiter/wire"
	"sbarbiter/internal/boottime"
	sbv1 "sbarbiter/proto/sb/v1"
)

// One renewal of each of a thousand clusters, each over a TLS connection of its
// own.
func BenchmarkRenewals(b *testing.B) {
	const clusters = 1000
	h := start(b, newDir(b))
	var nodes []*node
	for i := range clusters {
		id := arbiter.ClusterID(fmt.Sprintf("c%d", i))
		if i == 0 {
			h.declare(id)
		} else if v, err := h.opened.AddCluster(short(b), &sbv1.AddClusterRequest{Definition: wire.ToDefinition(definition(id))}); err != nil || v.GetKind() != "done" {
			b.Fatal(v, err)
		}
		for _, name := range []arbiter.NodeID{nodeB, nodeA} {
			n := h.node(id, name).open()
			n.hello()
			if name == nodeB {
				n.conn.Close()
				continue
			}
			n.mustHold()
			nodes = append(nodes, n)
		}
	}
	b.ResetTimer()
	for b.Loop() {
		for _, n := range nodes {
			n.say(&sbv1.FromAgent{Message: &sbv1.FromAgent_Beat{Beat: wire.ToBeat(n.nextBeat(), boottime.Now())}})
		}
		for _, n := range nodes {
			if got := n.hear().GetAnswer().GetGroups()[0].GetRenewed(); got != uint64(n.holds) {
				b.Fatalf("%s: renewed %d, not %d", n.caller.Cluster, got, n.holds)
			}
		}
	}
	b.ReportMetric(float64(b.N*clusters)/b.Elapsed().Seconds(), "renewals/s")
}
