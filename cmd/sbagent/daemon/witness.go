package daemon

import (
	"context"

	"sbarbiter/agent"
	"sbarbiter/agent/runner"
	"sbarbiter/arbiter/remote"
	"sbarbiter/internal/pki"
)

// witness is the way to the witnesses, whose events go to whoever runs it.
type witness struct {
	*remote.Client
	emit func(agent.Event)
}

func (d *Daemon) witness(src *pki.Source) (runner.Witness, error) {
	var addresses []string
	for _, a := range d.Node.Witnesses {
		addresses = append(addresses, a.String())
	}
	w := &witness{}
	var err error
	w.Client, err = remote.New(remote.Config{
		Addresses: addresses, Creds: src, Log: d.Log, Silence: d.Node.Timing.SuspectAfter,
		Emit: func(ev agent.Event) { w.emit(ev) },
	})
	if err != nil {
		return nil, err
	}
	return w, nil
}

// Run keeps a session until ctx ends.
func (w *witness) Run(ctx context.Context, emit func(agent.Event)) error {
	w.emit = emit
	return w.Client.Run(ctx)
}
