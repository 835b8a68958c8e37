package daemon

import (
	"fmt"
	"strings"

	"sbarbiter/agent/runner"
	"sbarbiter/fencing"
	"sbarbiter/fencing/command"
	"sbarbiter/fencing/ipmi"
	"sbarbiter/fencing/shooter"
	"sbarbiter/internal/boottime"
	"sbarbiter/internal/config"
)

// power makes the drivers of the peer's fence devices, nil where there are none.
func (d *Daemon) power() (*runner.Power, error) {
	if len(d.Node.Fencing) == 0 {
		return nil, nil
	}
	p := &runner.Power{
		Target: fencing.Target(d.Node.Peer), Limits: map[fencing.DeviceName]fencing.Limits{},
		Shooter: &shooter.Shooter{
			Fencers: map[fencing.DeviceName]fencing.Fencer{}, Executor: d.Node.Name, Now: boottime.Now,
		},
		Troubled: d.troubled,
	}
	for i, level := range d.Node.Fencing {
		var names []fencing.DeviceName
		for j, device := range level {
			name, driver, err := d.device(device)
			if err != nil {
				return nil, fmt.Errorf("fencing[%d][%d]: %w", i, j, err)
			}
			limits := fencing.DefaultLimits()
			limits.Total = deviceTimeout(device)
			p.Shooter.Fencers[name], p.Limits[name] = driver, limits
			names = append(names, name)
		}
		p.Topology.Levels = append(p.Topology.Levels, names)
	}
	if err := p.Topology.Validate(); err != nil {
		return nil, fmt.Errorf("fencing: %w", err)
	}
	return p, nil
}

func (d *Daemon) device(device config.FenceDevice) (fencing.DeviceName, fencing.Fencer, error) {
	switch dev := device.(type) {
	case config.IPMI:
		driver, err := ipmi.New(ipmi.Config{
			Address: dev.Address.String(), User: dev.User, PasswordFile: dev.PasswordFile, CipherSuite: uint8(dev.CipherSuite),
		})
		return fencing.DeviceName("ipmi " + dev.Address.String()), driver, err
	case config.FenceCommand:
		driver, err := command.New(command.Config{
			Program: dev.Program, Args: dev.Args, Target: fencing.Target(d.Node.Peer), Timeout: dev.Timeout,
		})
		return fencing.DeviceName(strings.Join(append([]string{dev.Program}, dev.Args...), " ")), driver, err
	}
	return "", nil, fmt.Errorf("this version of sbagent has no driver %s", device.Driver())
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
