package lab

import (
	"context"
	"fmt"
	"sync"
)

// cables knows which network faults are in force and makes the switch so.
type cables struct {
	sw space

	mu          sync.Mutex // held while the switch is being set: faults are applied one at a time
	isolated    map[NodeName]bool
	replication bool // the replication link is cut
	management  bool // the nodes do not reach each other on the management network
	between     bool // every link between the nodes is cut
}

// change alters the faults in force, then sets all four ports accordingly.
func (c *cables) change(ctx context.Context, alter func()) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.isolated == nil {
		c.isolated = map[NodeName]bool{}
	}
	alter()
	var lines []string
	for _, n := range []NodeName{NodeA, NodeB} {
		lines = append(lines,
			plug(n.tap(management), "brm", !c.isolated[n]),
			plug(n.tap(replication), "brr", !c.isolated[n] && !c.replication && !c.between))
	}
	if err := c.sw.ip(ctx, lines...); err != nil {
		return err
	}
	return c.fence(ctx)
}

func plug(tap, bridge string, in bool) string {
	if in {
		return "link set dev " + tap + " master " + bridge
	}
	return "link set dev " + tap + " nomaster"
}

// fence keeps the nodes' management ports from each other, or lets them talk:
// isolated ports of a bridge reach only those that are not (bridge(8)).
func (c *cables) fence(ctx context.Context) error {
	state := "off"
	if c.between || c.management {
		state = "on"
	}
	for _, n := range []NodeName{NodeA, NodeB} {
		if c.isolated[n] {
			continue // not a bridge port now; a new port starts unfenced
		}
		tap := n.tap(management)
		if err := run(ctx, "bridge", "-n", string(c.sw), "link", "set", "dev", tap, "isolated", state); err != nil {
			return fmt.Errorf("separate %s: %w", n, err)
		}
	}
	return nil
}

// Isolate pulls both of the node's cables out of their switches.
func (l *Lab) Isolate(ctx context.Context, n NodeName) error {
	l.log.note(string(n), "isolated: both cables out")
	return l.cables.change(ctx, func() { l.cables.isolated[n] = true })
}

// Heal puts the cables of an isolated node back. Other faults stay.
func (l *Lab) Heal(ctx context.Context, n NodeName) error {
	l.log.note(string(n), "isolation ends")
	return l.cables.change(ctx, func() { l.cables.isolated[n] = false })
}

// CutReplication cuts the replication link; the management network stays.
func (l *Lab) CutReplication(ctx context.Context) error {
	l.log.note("lab", "replication link cut")
	return l.cables.change(ctx, func() { l.cables.replication = true })
}

// HealReplication mends what CutReplication cut.
func (l *Lab) HealReplication(ctx context.Context) error {
	l.log.note("lab", "replication link mended")
	return l.cables.change(ctx, func() { l.cables.replication = false })
}

// CutManagement keeps the nodes from each other on the management network;
// both still reach everybody else there, and each other by replication.
func (l *Lab) CutManagement(ctx context.Context) error {
	l.log.note("lab", "management link between the nodes cut")
	return l.cables.change(ctx, func() { l.cables.management = true })
}

// HealManagement mends what CutManagement cut.
func (l *Lab) HealManagement(ctx context.Context) error {
	l.log.note("lab", "management link between the nodes mended")
	return l.cables.change(ctx, func() { l.cables.management = false })
}

// CutBetweenNodes cuts every link between the nodes; both still reach
// gateway, witness and BMCs.
func (l *Lab) CutBetweenNodes(ctx context.Context) error {
	l.log.note("lab", "all links between the nodes cut")
	return l.cables.change(ctx, func() { l.cables.between = true })
}

// HealBetweenNodes mends what CutBetweenNodes cut.
func (l *Lab) HealBetweenNodes(ctx context.Context) error {
	l.log.note("lab", "links between the nodes mended")
	return l.cables.change(ctx, func() { l.cables.between = false })
}

// HealAll ends every network fault, the gateway's included.
func (l *Lab) HealAll(ctx context.Context) error {
	l.log.note("lab", "all network faults end")
	err := l.cables.change(ctx, func() {
		l.cables.isolated = map[NodeName]bool{}
		l.cables.replication, l.cables.management, l.cables.between = false, false, false
	})
	if err != nil {
		return err
	}
	for _, n := range []NodeName{NodeA, NodeB} {
		if err := l.Gateway.FindFor(ctx, n); err != nil {
			return err
		}
	}
	return l.Gateway.Up(ctx)
}

// Gateway is the reference host that nodes ping.
type Gateway struct {
	lab *Lab
}

// Down takes the gateway off the network, for everybody.
func (g *Gateway) Down(ctx context.Context) error {
	g.lab.log.note("gateway", "down")
	return g.lab.net.gw.ip(ctx, "link set eth0 down")
}

// Up brings the gateway back.
func (g *Gateway) Up(ctx context.Context) error {
	g.lab.log.note("gateway", "up")
	return g.lab.net.gw.ip(ctx, "link set eth0 up")
}

// LoseFor makes the gateway drop its answers to one node.
func (g *Gateway) LoseFor(ctx context.Context, n NodeName) error {
	g.lab.log.note("gateway", "lost for %s only", n)
	return g.lab.net.gw.ip(ctx, "route replace blackhole "+n.Addr()+"/32")
}

// FindFor ends LoseFor.
func (g *Gateway) FindFor(ctx context.Context, n NodeName) error {
	// Replaced first, so that there is one to delete.
	return g.lab.net.gw.ip(ctx, "route replace blackhole "+n.Addr()+"/32", "route del blackhole "+n.Addr()+"/32")
}
