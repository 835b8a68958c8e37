// Package fences turns the fence devices of a configuration file into drivers:
// both daemons that may shoot do it alike. What the devices prove is package
// fencing's business.
package fences

import (
	"context"
	"fmt"
	"time"

	"sbarbiter/fencing"
	"sbarbiter/fencing/command"
	"sbarbiter/fencing/fenceagent"
	"sbarbiter/fencing/ipmi"
	"sbarbiter/fencing/ipmitool"
	"sbarbiter/fencing/redfish"
	"sbarbiter/fencing/shooter"
	"sbarbiter/fencing/ssh"
	"sbarbiter/internal/boottime"
	"sbarbiter/internal/config"
	"sbarbiter/timing"
)

// Set is everything that switches one machine.
type Set struct {
	Target   fencing.Target
	Topology fencing.Topology
	Limits   map[fencing.DeviceName]fencing.Limits
	Shooter  *shooter.Shooter
}

// New makes the drivers of target's fence devices; executor is the host that
// uses them.
func New(levels config.Fencing, target, executor string) (*Set, error) {
	s := &Set{
		Target: fencing.Target(target), Limits: map[fencing.DeviceName]fencing.Limits{},
		Shooter: &shooter.Shooter{
			Fencers: map[fencing.DeviceName]fencing.Fencer{}, Executor: executor, Now: boottime.Now,
		},
	}
	for i, level := range levels {
		var names []fencing.DeviceName
		for j, device := range level {
			driver, err := fencer(device, s.Target)
			if err != nil {
				return nil, fmt.Errorf("fencing[%d][%d]: %w", i, j, err)
			}
			name := fencing.DeviceName(device.Name())
			s.Shooter.Fencers[name], s.Limits[name] = driver, limits(device)
			names = append(names, name)
			switch {
			case device.Weak():
				s.Topology.Weak = append(s.Topology.Weak, name)
			case device.Cuts == config.CutsSupply:
				s.Topology.Partial = append(s.Topology.Partial, name)
			}
		}
		s.Topology.Levels = append(s.Topology.Levels, names)
	}
	if err := s.Topology.Validate(); err != nil {
		return nil, fmt.Errorf("fencing: %w", err)
	}
	return s, nil
}

func limits(d config.FenceDevice) fencing.Limits {
	l := fencing.DefaultLimits()
	l.Total, l.Call, l.Attempts = d.Timeout, d.CallTimeout, d.Attempts
	return l
}

func fencer(device config.FenceDevice, target fencing.Target) (fencing.Fencer, error) {
	call := device.CallTimeout
	switch d := device.Spec.(type) {
	case config.IPMI:
		return ipmi.New(ipmi.Config{
			Address: d.Address.String(), User: d.User, Password: d.Password, CipherSuite: uint8(d.CipherSuite), Timeout: call,
		})
	case config.IPMITool:
		return ipmitool.New(ipmitool.Config{
			Address: d.Address, User: d.User, Password: d.Password, CipherSuite: uint8(d.CipherSuite), Timeout: call,
		})
	case config.Redfish:
		return redfish.New(redfish.Config{
			Address: d.Address, User: d.User, Password: d.Password, System: d.System, Auth: redfish.Auth(d.Auth),
			CAFile: d.CAFile, Name: d.Name, Fingerprint: d.Fingerprint, Timeout: call,
		})
	case config.SSH:
		return ssh.New(ssh.Config{
			Address: d.Address, User: d.User, Key: d.Key, KnownHosts: d.KnownHosts, Command: d.Command, Timeout: call,
		})
	case config.FenceAgent:
		return fenceagent.New(fenceagent.Config{Agent: d.Agent, Options: d.Options, Secrets: d.Secrets, Timeout: call})
	case config.FenceCommand:
		return command.New(command.Config{Program: d.Program, Args: d.Args, Target: target, Timeout: call})
	}
	return nil, fmt.Errorf("this version has no driver for %T", device.Spec)
}

// Timeout is the longest that a shot may take: each level in turn, for as long
// as the slowest of its devices.
func Timeout(levels config.Fencing) time.Duration {
	total := timing.ReadingTime
	for _, level := range levels {
		var slowest time.Duration
		for _, device := range level {
			slowest = max(slowest, device.Timeout)
		}
		total += slowest
	}
	return total
}

// Describe asks a fence agent for its options.
func Describe(agent string) ([]config.AgentOption, error) {
	params, err := fenceagent.Describe(context.Background(), agent)
	if err != nil {
		return nil, err
	}
	var out []config.AgentOption
	for _, p := range params {
		out = append(out, config.AgentOption{Name: p.Name, Required: p.Required, Choice: p.Choice})
	}
	return out, nil
}
