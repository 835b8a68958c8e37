package pair

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"time"

	"sbarbiter/chaos-tests/lab"
)

// Status is what sbctl status -o json says of a cluster, as far as the
// scenarios ask for it.
type Status struct {
	Name        string        `json:"name"`
	Level       string        `json:"level"` // ok, attention, down
	Verdict     string        `json:"verdict"`
	Findings    []Finding     `json:"findings"`
	Alarms      []string      `json:"alarms"`
	Epoch       uint64        `json:"epoch"`
	Maintenance bool          `json:"maintenance"`
	Groups      []GroupStatus `json:"groups"`
	Nodes       []NodeStatus  `json:"nodes"`
}

// Finding is one thing that keeps a cluster from being all right.
type Finding struct {
	What string `json:"what"`
	Do   string `json:"do"`
}

// GroupStatus is one group.
type GroupStatus struct {
	Name       string      `json:"name"`
	Holder     string      `json:"holder"`
	Epoch      uint64      `json:"epoch"`
	Started    bool        `json:"started"`
	Basis      Basis       `json:"basis"`
	Exclusions []Exclusion `json:"exclusions"`
}

// Basis is what the present grant rests on.
type Basis struct {
	Cause string `json:"cause"`
	Grade string `json:"grade"`
}

// Exclusion is the record that a node's copy is stale.
type Exclusion struct {
	Node string `json:"node"`
}

// NodeStatus is one node.
type NodeStatus struct {
	Name    string `json:"name"`
	Standby bool   `json:"standby"`
}

// IsExcluded reports whether the node's copy is recorded as stale.
func (g GroupStatus) IsExcluded(node string) bool {
	for _, e := range g.Exclusions {
		if e.Node == node {
			return true
		}
	}
	return false
}

// Status asks the witness how the pair is.
func (p *Pair) Status(ctx context.Context) (Status, error) {
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	a, err := p.Sbctl(ctx, "status", "-o", "json")
	if err != nil {
		return Status{}, err
	}
	if a.Exit != ExitDone {
		return Status{}, fmt.Errorf("ask for status: sbctl exit %d: %s", a.Exit, a.Text())
	}
	var answer struct {
		Clusters []Status `json:"clusters"`
	}
	if err := json.Unmarshal([]byte(a.Out), &answer); err != nil {
		return Status{}, fmt.Errorf("ask for status: %w: %.300s", err, a.Out)
	}
	for _, c := range answer.Clusters {
		if c.Name == Cluster {
			return c, nil
		}
	}
	return Status{}, fmt.Errorf("ask for status: the witness does not know cluster %s", Cluster)
}

// Group is the status of the pair's (first) group.
func (p *Pair) Group(ctx context.Context) (GroupStatus, error) {
	c, err := p.Status(ctx)
	if err != nil {
		return GroupStatus{}, err
	}
	if len(c.Groups) == 0 {
		return GroupStatus{}, fmt.Errorf("ask for status: cluster %s has no group", Cluster)
	}
	return c.Groups[0], nil
}

// Holder is the node that the witness says holds the group.
func (p *Pair) Holder(ctx context.Context) (*lab.Node, error) {
	g, err := p.Group(ctx)
	if err != nil {
		return nil, err
	}
	n := p.Node(lab.NodeName(g.Holder))
	if n == nil {
		return nil, fmt.Errorf("find holder: nobody holds %s", g.Name)
	}
	return n, nil
}

// Peer is the other node.
func (p *Pair) Peer(n *lab.Node) *lab.Node { return p.Node(n.Name.Peer()) }

// Green returns nil if sbctl says that everything runs and either node may
// die, or else what it finds lacking.
func (p *Pair) Green(ctx context.Context) error {
	c, err := p.Status(ctx)
	if err != nil || c.Level == "ok" {
		return err
	}
	c.Alarms = slices.DeleteFunc(slices.Clone(c.Alarms), p.accepted)
	return c.lacks(func(f Finding) bool { return !p.accepted(f.What) })
}

func (p *Pair) accepted(what string) bool {
	return p.cfg.Accepted != "" && strings.Contains(what, p.cfg.Accepted)
}

// Redundant is Green, but for single beats that a link has lost, which sbctl shows for
// as long as they count, and for how slow the lab's machine is today.
func (p *Pair) Redundant(ctx context.Context) error {
	c, err := p.Status(ctx)
	if err != nil || c.Level == "ok" {
		return err
	}
	slow := func(what string) bool { return strings.HasPrefix(what, "timing of ") || p.accepted(what) }
	c.Alarms = slices.DeleteFunc(slices.Clone(c.Alarms), slow)
	return c.lacks(func(f Finding) bool { return !strings.HasSuffix(f.What, "of the beats") && !slow(f.What) })
}

// lacks is what keeps the cluster from being all right, as an error; nil if
// nothing of it counts.
func (c Status) lacks(counts func(Finding) bool) error {
	found := slices.Clone(c.Alarms)
	for _, f := range c.Findings {
		if counts(f) {
			found = append(found, f.What)
		}
	}
	if len(found) == 0 {
		return nil
	}
	return fmt.Errorf("%s: %s", c.Level, strings.Join(found, "; "))
}

// WaitGreen returns when the pair is green. Its error says what was lacking at
// last.
func (p *Pair) WaitGreen(ctx context.Context) error { return waitFor(ctx, p.Green) }

// WaitRedundant returns when the pair is redundant.
func (p *Pair) WaitRedundant(ctx context.Context) error { return waitFor(ctx, p.Redundant) }

func waitFor(ctx context.Context, f func(context.Context) error) error {
	if err := poll(ctx, 100*time.Millisecond, func() error { return f(ctx) }); err != nil {
		return fmt.Errorf("wait for full redundancy: %w", err)
	}
	return nil
}
