package pair

import (
	"context"
	"errors"
	"fmt"
	"time"

	"sbarbiter/chaos-tests/lab"
)

// Mend ends every fault and returns when the pair is green again. A new
// stretch begins then.
func (p *Pair) Mend(ctx context.Context) error {
	if err := p.mendParts(ctx); err != nil {
		return fmt.Errorf("mend pair: %w", err)
	}
	ctx, cancel := context.WithTimeout(ctx, greenWithin)
	defer cancel()
	if err := waitFor(ctx, p.poweredAndRedundant); err != nil {
		return fmt.Errorf("mend pair: %w", err)
	}
	return p.Begin(ctx)
}

// poweredAndRedundant also brings back a node that was shot while the faults
// ended: its peer may have had every reason.
func (p *Pair) poweredAndRedundant(ctx context.Context) error {
	for _, n := range p.Nodes() {
		if err := n.PowerOn(ctx); err != nil {
			return err
		}
	}
	return p.Redundant(ctx)
}

func (p *Pair) mendParts(ctx context.Context) error {
	if err := p.HealAll(ctx); err != nil {
		return err
	}
	if err := p.Witness.Start(); err != nil {
		return err
	}
	for _, name := range []string{"witness.yaml", "cluster.yaml"} {
		if err := p.restore(ctx, name); err != nil {
			return err
		}
	}
	for _, n := range p.Nodes() {
		if err := p.mendNode(ctx, n); err != nil {
			return err
		}
	}
	return p.mendOrders(ctx)
}

func (p *Pair) mendNode(ctx context.Context, n *lab.Node) error {
	if err := p.BMCs[n.Name].Mend(ctx); err != nil {
		return err
	}
	if n.Powered() {
		if err := n.Thaw(); err != nil && n.Powered() {
			return err
		}
	}
	if !n.Powered() {
		if err := p.restore(ctx, string(n.Name)+".yaml"); err != nil {
			return err
		}
	}
	if err := p.up(ctx, n); err != nil {
		return err
	}
	if err := p.restore(ctx, string(n.Name)+".yaml"); err != nil {
		return err
	}
	return n.Must(ctx, "systemctl is-active -q sbagent || systemctl start sbagent")
}

// up waits until a node is, and switches it on again where its peer shoots it
// meanwhile: it may have every reason.
func (p *Pair) up(ctx context.Context, n *lab.Node) error {
	for {
		if err := n.PowerOn(ctx); err != nil {
			return err
		}
		try, cancel := context.WithTimeout(ctx, 15*time.Second)
		err := n.WaitUp(try)
		cancel()
		if err == nil || ctx.Err() != nil {
			return err
		}
	}
}

// mendOrders takes back what an operator may have ordered.
func (p *Pair) mendOrders(ctx context.Context) error {
	try, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	return poll(try, 100*time.Millisecond, func() error {
		c, err := p.Status(ctx)
		if err != nil {
			return err
		}
		var errs []error
		if c.Maintenance {
			errs = append(errs, p.order(ctx, "maintenance", "off"))
		}
		for _, n := range c.Nodes {
			if n.Standby {
				errs = append(errs, p.order(ctx, "unstandby", n.Name))
			}
		}
		return errors.Join(errs...)
	})
}

func (p *Pair) order(ctx context.Context, args ...string) error {
	a, err := p.Sbctl(ctx, args...)
	if err == nil && a.Exit != ExitDone {
		err = fmt.Errorf("sbctl %v: exit %d: %s", args, a.Exit, a.Text())
	}
	return err
}

// KillBMC makes a node's BMC answer nobody.
func (p *Pair) KillBMC(n lab.NodeName) {
	p.BMCs[n].Stop()
}

// ChangeBMCPassword makes a node's BMC refuse the password that the peer has.
func (p *Pair) ChangeBMCPassword(n lab.NodeName, password string) error {
	return p.BMCs[n].SetPassword(password)
}
