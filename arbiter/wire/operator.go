package wire

import (
	"time"

	"sbarbiter/arbiter"
	sbv1 "sbarbiter/proto/sb/v1"
)

// ToDefine writes a declaration; its author is known by certificate.
func ToDefine(c arbiter.Define) *sbv1.AddClusterRequest {
	return &sbv1.AddClusterRequest{Definition: ToDefinition(c.Definition)}
}

// FromDefine reads a declaration of the operator by.
func FromDefine(p *sbv1.AddClusterRequest, by string) (arbiter.Define, error) {
	var r reader
	d, err := FromDefinition(p.GetDefinition())
	r.in("definition", err)
	return arbiter.Define{Definition: d, By: by}, r.err()
}

// ToOrder writes a planned change of holder, or its withdrawal.
func ToOrder(c arbiter.Order) *sbv1.SwitchoverRequest {
	return &sbv1.SwitchoverRequest{
		Cluster: string(c.Cluster), Group: string(c.Group), To: string(c.To), Cancel: c.To == "", Reason: c.Reason,
	}
}

// FromOrder reads a planned change of holder ordered by the operator by.
func FromOrder(p *sbv1.SwitchoverRequest, by string) (arbiter.Order, error) {
	var r reader
	c := arbiter.Order{
		Cluster: arbiter.ClusterID(r.name("cluster", p.GetCluster())), Group: arbiter.GroupID(r.name("group", p.GetGroup())),
		To: arbiter.NodeID(r.mayName("to", p.GetTo())), By: by, Reason: r.text("reason", p.GetReason()),
	}
	if p.GetCancel() != (c.To == "") {
		r.fail("to", "name the node to move to, or cancel, and not both")
	}
	return c, r.err()
}

// ToStandby writes a node's standby.
func ToStandby(c arbiter.Standby) *sbv1.StandbyRequest {
	return &sbv1.StandbyRequest{Cluster: string(c.Cluster), Node: string(c.Node), On: c.On}
}

// FromStandby reads a node's standby set by the operator by.
func FromStandby(p *sbv1.StandbyRequest, by string) (arbiter.Standby, error) {
	var r reader
	c := arbiter.Standby{
		Cluster: arbiter.ClusterID(r.name("cluster", p.GetCluster())), Node: arbiter.NodeID(r.name("node", p.GetNode())), On: p.GetOn(), By: by,
	}
	return c, r.err()
}

// ToMaintenance writes maintenance as it stands at wall, the time of day.
func ToMaintenance(c arbiter.Maintenance, wall time.Time) *sbv1.MaintenanceRequest {
	p := &sbv1.MaintenanceRequest{Cluster: string(c.Cluster), On: c.On}
	if c.Until != 0 {
		p.ForNs = time.Unix(c.Until, 0).Sub(wall).Nanoseconds()
	}
	return p
}

// FromMaintenance reads maintenance set by the operator by at wall, the time of
// day. Its end is rounded up to a second.
func FromMaintenance(p *sbv1.MaintenanceRequest, by string, wall time.Time) (arbiter.Maintenance, error) {
	var r reader
	c := arbiter.Maintenance{Cluster: arbiter.ClusterID(r.name("cluster", p.GetCluster())), On: p.GetOn(), By: by}
	length := r.span("for_ns", p.GetForNs())
	switch {
	case length != 0 && !c.On:
		r.fail("for_ns", "maintenance that is switched off has no length")
	case length != 0:
		c.Until = wall.Add(length + time.Second - 1).Unix()
	}
	return c, r.err()
}

// FromRehearse reads a rehearsal of a node's fence devices asked for by the
// operator by.
func FromRehearse(p *sbv1.RehearseFenceRequest, by string) (arbiter.Rehearse, error) {
	var r reader
	c := arbiter.Rehearse{Cluster: arbiter.ClusterID(r.name("cluster", p.GetCluster())), Node: arbiter.NodeID(r.name("node", p.GetNode())), By: by}
	return c, r.err()
}

// FromGiveUp reads the word of the operator by that a node's copy is given up, and
// the name that was typed.
func FromGiveUp(p *sbv1.GiveUpRequest, by string) (c arbiter.GiveUp, typed string, err error) {
	var r reader
	c = arbiter.GiveUp{
		Cluster: arbiter.ClusterID(r.name("cluster", p.GetCluster())), Group: arbiter.GroupID(r.name("group", p.GetGroup())),
		By: by, Reason: r.text("reason", p.GetReason()), Lost: p.GetLost(), Cancel: p.GetCancel(), Word: arbiter.WordID(p.GetWord()),
	}
	switch {
	case !c.Cancel:
		c.Node = arbiter.NodeID(r.name("node", p.GetNode()))
	case p.GetNode() != "" || c.Lost:
		r.fail("cancel", "what is taken back names no node, and gives nothing up")
	}
	return c, r.mayName("typed", p.GetTyped()), r.err()
}

// ToConfirm writes an operator's word that a node is off. Typed is the node's
// name as the operator typed it.
func ToConfirm(c arbiter.Confirm, typed string) *sbv1.ConfirmFenceRequest {
	p := &sbv1.ConfirmFenceRequest{Cluster: string(c.Cluster), Node: string(c.Node), Typed: typed, Reason: c.Reason}
	for _, e := range c.Epochs {
		p.Epochs = append(p.Epochs, uint64(e))
	}
	return p
}

// FromConfirm reads the word of the operator by that a node is off, and the name
// that was typed.
func FromConfirm(p *sbv1.ConfirmFenceRequest, by string) (c arbiter.Confirm, typed string, err error) {
	var r reader
	c = arbiter.Confirm{
		Cluster: arbiter.ClusterID(r.name("cluster", p.GetCluster())), Node: arbiter.NodeID(r.name("node", p.GetNode())),
		By: by, Reason: r.text("reason", p.GetReason()),
	}
	for _, e := range few(&r, "epochs", p.GetEpochs()) {
		c.Epochs = append(c.Epochs, r.epoch("epochs", e))
	}
	return c, r.mayName("typed", p.GetTyped()), r.err()
}
