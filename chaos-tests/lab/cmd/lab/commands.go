package main

import (
	"context"
	"fmt"
	"os"
	"strings"
	"time"

	"sbarbiter/chaos-tests/lab"
)

// command is one thing that a player can type.
type command struct {
	usage string // its first word is its name; NODE as the second wants a node
	does  string
	act   func(ctx context.Context, l *lab.Lab, n *lab.Node, rest []string) error
}

var commands = []command{
	{"cut NODE", "take its power away", func(ctx context.Context, _ *lab.Lab, n *lab.Node, _ []string) error { return n.PowerCut(ctx) }},
	{"on NODE", "power on", func(ctx context.Context, _ *lab.Lab, n *lab.Node, _ []string) error { return n.PowerOn(ctx) }},
	{"freeze NODE", "stop it in its tracks", func(_ context.Context, _ *lab.Lab, n *lab.Node, _ []string) error { return n.Freeze() }},
	{"thaw NODE", "let it go on", func(_ context.Context, _ *lab.Lab, n *lab.Node, _ []string) error { return n.Thaw() }},
	{"isolate NODE", "pull both of its cables", func(ctx context.Context, l *lab.Lab, n *lab.Node, _ []string) error { return l.Isolate(ctx, n.Name) }},
	{"gateway-lost NODE", "the gateway answers this node no more", func(ctx context.Context, l *lab.Lab, n *lab.Node, _ []string) error {
		return l.Gateway.LoseFor(ctx, n.Name)
	}},
	{"cut-replication", "cut the replication link", func(ctx context.Context, l *lab.Lab, _ *lab.Node, _ []string) error { return l.CutReplication(ctx) }},
	{"cut-management", "cut the management link between the nodes", func(ctx context.Context, l *lab.Lab, _ *lab.Node, _ []string) error {
		return l.CutManagement(ctx)
	}},
	{"cut-between", "cut all links between the nodes", func(ctx context.Context, l *lab.Lab, _ *lab.Node, _ []string) error { return l.CutBetweenNodes(ctx) }},
	{"gateway-down", "take the gateway away from everybody", func(ctx context.Context, l *lab.Lab, _ *lab.Node, _ []string) error { return l.Gateway.Down(ctx) }},
	{"heal", "end all network faults", func(ctx context.Context, l *lab.Lab, _ *lab.Node, _ []string) error { return l.HealAll(ctx) }},
	{"witness-kill", "SIGKILL the witness", func(_ context.Context, l *lab.Lab, _ *lab.Node, _ []string) error { l.Witness.Kill(); return nil }},
	{"witness-start", "start it again", func(_ context.Context, l *lab.Lab, _ *lab.Node, _ []string) error { return l.Witness.Start() }},
	{"bmc-dead NODE", "its BMC answers nobody", func(_ context.Context, l *lab.Lab, n *lab.Node, _ []string) error { l.BMCs[n.Name].Stop(); return nil }},
	{"bmc-start NODE", "its BMC is back", func(_ context.Context, l *lab.Lab, n *lab.Node, _ []string) error { return l.BMCs[n.Name].Start() }},
	{"write NODE", "promote, mount, start the writer (without agents)", func(ctx context.Context, _ *lab.Lab, n *lab.Node, _ []string) error { return n.StartWriter(ctx) }},
	{"run NODE COMMAND...", "run a command in a node", runInNode},
	{"witness COMMAND...", "run a command on the witness's host", runOnWitness},
	{"truth", "what the writers said", showTruth},
}

func perform(ctx context.Context, l *lab.Lab, words []string) error {
	if len(words) == 0 {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	for _, c := range commands {
		usage := strings.Fields(c.usage)
		if usage[0] != words[0] {
			continue
		}
		if len(usage) < 2 || usage[1] != "NODE" {
			return c.act(ctx, l, nil, words[1:])
		}
		if len(words) < 2 || l.Node(lab.NodeName(words[1])) == nil {
			return fmt.Errorf("which node? %s with node-a or node-b", c.usage)
		}
		return c.act(ctx, l, l.Node(lab.NodeName(words[1])), words[2:])
	}
	return fmt.Errorf("no command %q", words[0])
}

func runInNode(ctx context.Context, _ *lab.Lab, n *lab.Node, rest []string) error {
	out, code, err := n.Run(ctx, strings.Join(rest, " "))
	fmt.Print(out)
	if err == nil && code != 0 {
		return fmt.Errorf("exit %d", code)
	}
	return err
}

func runOnWitness(ctx context.Context, l *lab.Lab, _ *lab.Node, rest []string) error {
	if len(rest) == 0 {
		return fmt.Errorf("which command?")
	}
	cmd := l.Witness.Command(ctx, rest[0], rest[1:]...)
	cmd.Stdout, cmd.Stderr = os.Stdout, os.Stderr
	return cmd.Run()
}

func showTruth(_ context.Context, l *lab.Lab, _ *lab.Node, _ []string) error {
	last, ok := l.Truth.LastAck()
	if !ok {
		fmt.Println("nothing was written yet")
		return nil
	}
	fmt.Printf("%d records acknowledged, the last (%d) by %s %.1f s ago; both able to write at once for %v\n",
		len(l.Truth.Acks()), last.Seq, last.Node, time.Since(last.At).Seconds(), l.Truth.DualActive())
	for _, g := range l.Truth.Gaps(500 * time.Millisecond) {
		fmt.Printf("  nobody wrote for %.2f s (%s, then %s)\n", g.Length().Seconds(), g.Before, g.After)
	}
	return nil
}
