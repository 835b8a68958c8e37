package pair

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"sbarbiter/chaos-tests/lab"
)

// Change changes a file of the running pair (node-a.yaml, node-b.yaml,
// cluster.yaml or witness.yaml), as an operator would, until the pair is mended:
// a node's agent is restarted, the witness too, the cluster is declared again.
func (p *Pair) Change(ctx context.Context, name string, edit func(text string) string) error {
	p.changed[name] = true // also where it fails half-way
	if err := p.apply(ctx, name, edit); err != nil {
		return fmt.Errorf("change %s: %w", name, err)
	}
	return nil
}

func (p *Pair) apply(ctx context.Context, name string, edit func(string) string) error {
	host := "witness"
	n := p.Node(lab.NodeName(strings.TrimSuffix(name, ".yaml")))
	if n != nil {
		host = string(n.Name)
	}
	text, err := p.example(host, name)
	if err != nil {
		return err
	}
	after := edit(string(text))
	p.Note(host, "%s changes", name)
	if n != nil {
		if err := n.WriteFile(ctx, "/etc/sbarbiter/node.yaml", []byte(after), 0o644); err != nil || !n.Powered() {
			return err
		}
		return n.Must(ctx, "systemctl restart sbagent; true") // it may refuse the file
	}
	if err := os.WriteFile(filepath.Join(p.Witness.Dir(), name), []byte(after), 0o644); err != nil {
		return fmt.Errorf("write it: %w", err)
	}
	if name == "witness.yaml" {
		p.Witness.Kill()
		return p.Witness.Start()
	}
	try, cancel := context.WithTimeout(ctx, 10*time.Second) // the witness may only just have been started
	defer cancel()
	return poll(try, 100*time.Millisecond, func() error { return p.order(try, "cluster", "add", "-f", name, "--yes") })
}

// restore puts a changed file back.
func (p *Pair) restore(ctx context.Context, name string) error {
	if !p.changed[name] {
		return nil
	}
	if err := p.apply(ctx, name, func(text string) string { return text }); err != nil {
		return fmt.Errorf("put %s back: %w", name, err)
	}
	delete(p.changed, name)
	return nil
}
