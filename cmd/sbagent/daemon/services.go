package daemon

import (
	"fmt"
	"path/filepath"

	"sbarbiter/agent/heartbeat"
	"sbarbiter/agent/probe"
	"sbarbiter/agent/runner"
	"sbarbiter/agent/service"
	"sbarbiter/arbiter"
	"sbarbiter/internal/config"
)

// groups makes what the groups run.
func (d *Daemon) groups() ([]runner.Group, error) {
	var out []runner.Group
	for _, g := range d.Node.Groups {
		stack, err := d.stack(g, 0, len(g.Services))
		if err != nil {
			return nil, err
		}
		out = append(out, runner.Group{ID: arbiter.GroupID(g.Name), Resources: g.DRBD, Services: stack})
	}
	return out, nil
}

// stack makes a group's services from one to before another.
func (d *Daemon) stack(g config.Group, from, to int) (*service.Stack, error) {
	env := service.Env{RuntimeDir: filepath.Join(d.Node.RuntimeDir, g.Name)}
	var entries []service.Entry
	for i := from; i < to; i++ {
		s := g.Services[i]
		kind, err := kindOf(i, s.Spec)
		if err == nil {
			err = kind.Validate()
		}
		if err != nil {
			return nil, fmt.Errorf("groups.%s.services[%d]: %w", g.Name, i, err)
		}
		entries = append(entries, service.Entry{Unit: kind.Unit(env), StartTimeout: s.StartTimeout, StopTimeout: s.StopTimeout})
	}
	stack, err := service.NewStack(entries...)
	if err != nil {
		return nil, fmt.Errorf("groups.%s: %w", g.Name, err)
	}
	return stack, nil
}

func kindOf(i int, spec config.ServiceSpec) (service.Kind, error) {
	switch s := spec.(type) {
	case config.Filesystem:
		return service.Filesystem{Device: s.Device, Mount: s.Mount, Type: s.Type, Options: s.Options}, nil
	case config.Address:
		return service.Address{Prefix: s.Address, Interface: s.Interface}, nil
	case config.Systemd:
		return service.Systemd{UnitName: s.Unit}, nil
	case config.Command:
		return service.Command{Label: fmt.Sprintf("command-%d", i), Start: s.Start, Stop: s.Stop, Status: s.Status, Run: s.Run}, nil
	}
	return nil, fmt.Errorf("this version of sbagent runs no %s", spec.Kind())
}

// links names each path by its two ends, so that both nodes give it the same
// name in whichever order their files list it.
func links(list []config.Link) []heartbeat.Link {
	var out []heartbeat.Link
	for _, l := range list {
		one, other := l.Local, l.Peer
		if other.Compare(one) < 0 {
			one, other = other, one
		}
		name := fmt.Sprintf("%v-%v", one.Addr(), other.Addr())
		if one.Addr() == other.Addr() || sharesEnds(list, l) {
			name = fmt.Sprintf("%v-%v", one, other)
		}
		out = append(out, heartbeat.Link{Name: name, Local: l.Local, Peer: l.Peer})
	}
	return out
}

// sharesEnds reports whether another link joins the same two addresses by other
// ports.
func sharesEnds(list []config.Link, l config.Link) bool {
	n := 0
	for _, o := range list {
		if o.Local.Addr() == l.Local.Addr() && o.Peer.Addr() == l.Peer.Addr() {
			n++
		}
	}
	return n > 1
}

func targets(r config.References) []probe.Target {
	var out []probe.Target
	for _, a := range r.Addresses {
		out = append(out, probe.Target{Address: a})
	}
	return out
}
