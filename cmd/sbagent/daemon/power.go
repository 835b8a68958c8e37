package daemon

import (
	"sbarbiter/agent/runner"
	"sbarbiter/cmd/internal/fences"
	"sbarbiter/fencing"
	"sbarbiter/internal/config"
)

// power makes the drivers of the peer's fence devices, nil where there are none.
func (d *Daemon) power() (*runner.Power, error) {
	if len(d.Node.Fencing) == 0 {
		return nil, nil
	}
	set, err := fences.New(d.Node.Fencing, d.Node.Peer, d.Node.Name)
	if err != nil {
		return nil, err
	}
	return &runner.Power{
		Target: set.Target, Topology: set.Topology, Limits: set.Limits, Shooter: set.Shooter, Troubled: d.troubled,
		Reboot: d.Node.FenceAction == config.FenceReboot,
	}, nil
}

// troubled says early that a device would fail when it is needed.
func (d *Daemon) troubled(device fencing.DeviceName, err error) {
	if err == nil {
		d.Log.Info("fence device answers again", "device", string(device))
		return
	}
	d.Log.Warn("fence device does not tell the power", "device", string(device), "error", err, "alarm", true,
		"why", "until it does, this node cannot prove that its peer is off")
}
