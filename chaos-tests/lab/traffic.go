package lab

import (
	"context"
	"encoding/json"
	"fmt"
	"os/exec"
)

// Traffic counts what went over cables since the lab began, both ways.
type Traffic struct {
	Packets, Bytes uint64
}

// Sub is the traffic since an earlier count.
func (t Traffic) Sub(earlier Traffic) Traffic {
	return Traffic{t.Packets - earlier.Packets, t.Bytes - earlier.Bytes}
}

// linkCounters is what "ip -j -s link" tells of one device.
type linkCounters struct {
	Stats struct {
		RX Traffic `json:"rx"`
		TX Traffic `json:"tx"`
	} `json:"stats64"`
}

// ManagementTraffic counts what the node sent and received on the management
// network.
func (n *Node) ManagementTraffic(ctx context.Context) (Traffic, error) {
	return n.traffic(ctx, management)
}

// ReplicationTraffic counts what the node sent and received on the
// replication link.
func (n *Node) ReplicationTraffic(ctx context.Context) (Traffic, error) {
	return n.traffic(ctx, replication)
}

func (n *Node) traffic(ctx context.Context, w wire) (Traffic, error) {
	out, err := exec.CommandContext(ctx, "ip", "-n", string(n.lab.net.sw), "-j", "-s", "link", "show", n.Name.tap(w)).Output()
	if err != nil {
		return Traffic{}, fmt.Errorf("count traffic of %s: %w", n.Name, err)
	}
	var links []linkCounters
	if err := json.Unmarshal(out, &links); err != nil || len(links) != 1 {
		return Traffic{}, fmt.Errorf("count traffic of %s: not what ip prints: %s: %w", n.Name, out, err)
	}
	s := links[0].Stats
	return Traffic{s.RX.Packets + s.TX.Packets, s.RX.Bytes + s.TX.Bytes}, nil
}
