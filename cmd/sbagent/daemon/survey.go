package daemon

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"sbarbiter/agent/runner"
	"sbarbiter/agent/watchdog"
	"sbarbiter/doctor"
	"sbarbiter/doctor/host"
	"sbarbiter/drbd/kernel"
	"sbarbiter/fencing"
	"sbarbiter/internal/pki"
)

// readWithin bounds asking the fence devices for the power.
const readWithin = 15 * time.Second

// Touch says whether an examination may attach disks, which connects and promotes
// nothing, to see what is in force.
type Touch bool

// The two manners of examining.
const (
	ReadOnly    Touch = false
	AttachDisks Touch = true
)

// Doctor examines this node.
func (d *Daemon) Doctor(ctx context.Context, touch Touch) []doctor.Finding {
	d.defaults()
	driver, err := d.drbd()
	n := d.survey(ctx)
	n.Refused = d.refusals()
	switch {
	case err != nil:
		n.DRBD.Err = err.Error()
	case driver != nil:
		if touch {
			n.DRBD.Unattached = d.attach(ctx, driver)
		}
		d.kernelFacts(ctx, driver, &n)
	}
	if power, err := d.power(); err == nil {
		d.deviceFacts(ctx, power, &n)
	}
	return n.Examine()
}

// refusals are what else would keep the agent from starting.
func (d *Daemon) refusals() []string {
	var out []string
	refuse := func(err error) {
		if err != nil {
			out = append(out, err.Error())
		}
	}
	refuse(d.Host(d.Node))
	_, err := pki.LoadHeartbeatKey(d.Node.HeartbeatKey)
	refuse(err)
	_, err = d.power()
	refuse(err)
	_, err = d.groups()
	refuse(err)
	if d.Resetter == nil {
		refuse(watchdog.CanReset())
	}
	return out
}

// survey is what this machine shows without asking anybody else.
func (d *Daemon) survey(ctx context.Context) doctor.Node {
	n := doctor.Node{
		Name: d.Node.Name, Peer: d.Node.Peer, Cluster: d.Node.Cluster, Watchdog: d.watchdogFacts(), Clock: host.Clock(), Machine: host.Machine(), Managers: host.Managers(),
		Cert: d.certificate(),
	}
	for _, g := range d.Node.Groups {
		n.DRBD.Used = n.DRBD.Used || len(g.DRBD) > 0
	}
	if n.DRBD.Used {
		program, _, _ := strings.Cut(handlerProgram, " ")
		n.DRBD.Helper = host.File(program, "what DRBD's handlers run", doctor.Program)
		n.DRBD.StartedBy = host.StartsDRBD()
		n.Kept = d.keptFacts(ctx)
	}
	for _, l := range d.Node.Links {
		n.Links = append(n.Links, host.Path(l.Peer.Addr()))
	}
	issued := "where the CA is: " + d.issue() + ", and copy the files here"
	n.Files = append(n.Files,
		secretFile(filepath.Join(d.Node.PKIDir, pki.KeyFile), "this node's private key", issued),
		secretFile(d.Node.HeartbeatKey, "the key that signs heartbeats", issued))
	for _, level := range d.Node.Fencing {
		for _, device := range level {
			f := doctor.Device{Name: device.Name(), Address: device.Address(), HostName: device.HostName(), Secrets: device.SecretFiles()}
			if f.Address.IsValid() {
				f.Path = host.Path(f.Address)
			}
			n.Devices = append(n.Devices, f)
			for _, path := range device.SecretFiles() {
				n.Files = append(n.Files, secretFile(path, "the secret of "+device.Name(), "write it into the file and run chmod 600 "+path))
			}
		}
	}
	return n
}

// secretFile looks at a file that only its owner may read, and says where it comes from.
func secretFile(path, what, mend string) doctor.File {
	f := host.File(path, what, doctor.Secret)
	f.Mend = mend
	return f
}

// issue is the command that makes this node's certificate.
func (d *Daemon) issue() string {
	return "sbctl pki issue node " + d.Node.Name + " --cluster " + d.Node.Cluster
}

// keptFacts is what recoveries have kept on this node.
func (d *Daemon) keptFacts(ctx context.Context) doctor.Kept {
	s := d.Kept()
	if s == nil {
		return doctor.Kept{}
	}
	k := doctor.Kept{Directory: s.Dir, Quota: s.Quota, Remind: d.Node.Snapshots.RemindAfter}
	ctx, cancel := context.WithTimeout(ctx, checkWithin)
	defer cancel()
	all, free, err := s.Look(ctx)
	if err != nil {
		k.Err = err.Error()
	}
	k.Free = free
	for _, c := range all {
		k.Copies = append(k.Copies, doctor.Copy{
			Group: c.Group, Volume: fmt.Sprintf("%s/%d", c.Resource, c.Number), Recovery: c.Recovery, Age: c.Age, Lost: c.Lost, Filled: c.Filled,
		})
	}
	return k
}

func (d *Daemon) watchdogFacts() doctor.Watchdog {
	if d.Node.Watchdog.None() {
		return doctor.Watchdog{}
	}
	w := doctor.Watchdog{Wanted: true, Device: d.Node.Watchdog.Device, Driver: host.Driver(d.Node.Watchdog.Device), Owner: host.OpenedBy(d.Node.Watchdog.Device)}
	w.Missing = host.File(w.Device, "the watchdog", "").Err
	w.Software = w.Driver == "Software Watchdog"
	w.Ours = d.feeds(w.Owner)
	return w
}

// feeds reports whether a program has the watchdog open for this node: the guard, or
// systemd, which keeps the descriptor once a guard has opened the device. One that feeds
// it by itself (RuntimeWatchdogSec=) is none.
func (d *Daemon) feeds(owner string) doctor.Watched {
	_, err := os.Stat(filepath.Join(d.Node.RuntimeDir, watchdog.OpenedMark))
	return owner == "sbagent" || owner == "systemd" && err == nil
}

func (d *Daemon) certificate() doctor.Certificate {
	c := doctor.Certificate{Path: filepath.Join(d.Node.PKIDir, pki.CertFile)}
	src, err := d.credentials()
	if err != nil {
		c.Err = err.Error()
		return c
	}
	own, err := src.Current()
	if err != nil {
		c.Err = err.Error()
		return c
	}
	c.Left = time.Until(own.NotAfter)
	return c
}

// kernelFacts are DRBD's requirements, on files and in force.
func (d *Daemon) kernelFacts(ctx context.Context, driver *kernel.Driver, n *doctor.Node) {
	ctx, cancel := context.WithTimeout(ctx, checkWithin)
	defer cancel()
	violations, err := driver.Preflight(ctx)
	if err != nil {
		n.DRBD.Err = err.Error()
	}
	for _, v := range violations {
		danger := doctor.Danger("")
		if v.ResolvesSplits() {
			danger = doctor.ResolvesSplits
		}
		n.DRBD.Violations = append(n.DRBD.Violations, doctor.Violation{Where: v.Where, What: v.What, Fix: v.Fix, Danger: danger})
	}
}

// deviceFacts asks the fence devices for the power.
func (d *Daemon) deviceFacts(ctx context.Context, power *runner.Power, n *doctor.Node) {
	if power == nil {
		return
	}
	n.Power = true
	ctx, cancel := context.WithTimeout(ctx, readWithin)
	defer cancel()
	for _, o := range power.Shooter.Read(ctx) {
		for i := range n.Devices {
			f := &n.Devices[i]
			if f.Name != string(o.Device) {
				continue
			}
			f.Power = o.Reading.Power.String()
			if o.Err != nil {
				f.Err = fencing.Explain(o.Err)
			}
		}
	}
	for name, machine := range power.Shooter.Machines(ctx) {
		for i := range n.Devices {
			if n.Devices[i].Name == string(name) {
				n.Devices[i].Machine = machine
			}
		}
	}
}
