package agent

import (
	"strings"
	"testing"
)

func TestAGatewayDownForEverybodyIsToldFromACutOffNode(t *testing.T) {
	for want, theirs := range map[string]int{"down for everybody": 0, "this node is isolated": 1} {
		m, now := pledged()
		m.cfg.Needed, m.peer.beat.References, m.peer.beat.Needed = 1, theirs, 1
		m.onProbe(now, Probed{Address: "gateway"})
		if n, ok := m.actions[0].(*Note); !ok || !strings.Contains(n.Why, want) {
			t.Errorf("the peer reaches %d: %+v", theirs, m.actions[0])
		}
	}
}
