package lab

import "fmt"

// NodeName is the host name of one of the two nodes.
type NodeName string

// The two nodes.
const (
	NodeA NodeName = "node-a"
	NodeB NodeName = "node-b"
)

// Peer is the other node.
func (n NodeName) Peer() NodeName {
	if n == NodeA {
		return NodeB
	}
	return NodeA
}

func (n NodeName) number() int {
	if n == NodeA {
		return 1
	}
	return 2
}

// letter tells the nodes apart in short names.
func (n NodeName) letter() string { return string(n[len(n)-1]) }

// Addr is the node's address on the management network.
func (n NodeName) Addr() string { return fmt.Sprintf("10.90.0.1%d", n.number()) }

// ReplicationAddr is the node's IPv4 address on the replication link.
func (n NodeName) ReplicationAddr() string { return fmt.Sprintf("10.91.0.%d", n.number()) }

// ReplicationAddr6 is the node's IPv6 address on the replication link.
func (n NodeName) ReplicationAddr6() string { return fmt.Sprintf("fd91::%d", n.number()) }

// BMCAddr is the address of the node's BMC; it speaks RMCP+ on UDP port 623.
func (n NodeName) BMCAddr() string { return fmt.Sprintf("10.90.0.24%d", n.number()) }

// controlAddr is where the lab's own shell listens in the node.
func (n NodeName) controlAddr() string { return fmt.Sprintf("10.92.0.1%d", n.number()) }

// wire is one of a node's network cards.
type wire string

const (
	management  wire = "m" // vec0 in the node
	replication wire = "r" // vec1
	outOfBand   wire = "l" // vec2, the lab's own
)

// tap is the switch's end of a node's cable.
func (n NodeName) tap(w wire) string { return "tap-" + string(w) + n.letter() }
