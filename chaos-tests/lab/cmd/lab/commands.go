package main

import (
	"context"
	"fmt"
	"os"
	"strings"
	"time"

	"sbarbiter/chaos-tests/lab"
	"sbarbiter/chaos-tests/pair"
)

// command is one thing that a player can type.
type command struct {
	usage string // its first word is its name; NODE as the second wants a node
	does  string
	act   func(ctx context.Context, w *world, n *lab.Node, rest []string) error
}

var commands = []command{
	{"cut NODE", "take its power away", func(ctx context.Context, _ *world, n *lab.Node, _ []string) error { return n.PowerCut(ctx) }},
	{"on NODE", "power on", func(ctx context.Context, _ *world, n *lab.Node, _ []string) error { return n.PowerOn(ctx) }},
	{"freeze NODE", "stop it in its tracks", func(_ context.Context, _ *world, n *lab.Node, _ []string) error { return n.Freeze() }},
	{"thaw NODE", "let it go on", func(_ context.Context, _ *world, n *lab.Node, _ []string) error { return n.Thaw() }},
	{"isolate NODE", "pull both of its cables", func(ctx context.Context, w *world, n *lab.Node, _ []string) error { return w.Isolate(ctx, n.Name) }},
	{"gateway-lost NODE", "the gateway answers this node no more", func(ctx context.Context, w *world, n *lab.Node, _ []string) error {
		return w.Gateway.LoseFor(ctx, n.Name)
	}},
	{"cut-replication", "cut the replication link", func(ctx context.Context, w *world, _ *lab.Node, _ []string) error { return w.CutReplication(ctx) }},
	{"cut-management", "cut the management link between the nodes", func(ctx context.Context, w *world, _ *lab.Node, _ []string) error {
		return w.CutManagement(ctx)
	}},
	{"cut-between", "cut all links between the nodes", func(ctx context.Context, w *world, _ *lab.Node, _ []string) error { return w.CutBetweenNodes(ctx) }},
	{"gateway-down", "take the gateway away from everybody", func(ctx context.Context, w *world, _ *lab.Node, _ []string) error { return w.Gateway.Down(ctx) }},
	{"split", "split brain: cut replication, force the standby's copy, write a file on both; heal lets them meet", splitBrain},
	{"heal", "end all network faults", func(ctx context.Context, w *world, _ *lab.Node, _ []string) error { return w.HealAll(ctx) }},
	{"witness-kill", "SIGKILL the witness", func(_ context.Context, w *world, _ *lab.Node, _ []string) error { w.Witness.Kill(); return nil }},
	{"witness-start", "start it again", func(_ context.Context, w *world, _ *lab.Node, _ []string) error { return w.Witness.Start() }},
	{"bmc-dead NODE", "its BMC answers nobody", func(_ context.Context, w *world, n *lab.Node, _ []string) error { w.BMCs[n.Name].Stop(); return nil }},
	{"bmc-start NODE", "its BMC is back", func(_ context.Context, w *world, n *lab.Node, _ []string) error { return w.BMCs[n.Name].Start() }},
	{"write NODE", "promote, mount, start the writer (without agents)", func(ctx context.Context, _ *world, n *lab.Node, _ []string) error { return n.StartWriter(ctx) }},
	{"run NODE COMMAND...", "run a command in a node", runInNode},
	{"witness COMMAND...", "run a command on the witness's host", runOnWitness},
	{"sbctl WORDS...", "run sbctl, as on the witness's host", runSbctl},
	{"timeline", "what all hosts did and said", showTimeline},
	{"truth", "what the writers said", showTruth},
}

func perform(ctx context.Context, w *world, words []string) error {
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
			return c.act(ctx, w, nil, words[1:])
		}
		if len(words) < 2 || w.Node(lab.NodeName(words[1])) == nil {
			return fmt.Errorf("which node? %s with node-a or node-b", c.usage)
		}
		return c.act(ctx, w, w.Node(lab.NodeName(words[1])), words[2:])
	}
	if words[0] == "help" || words[0] == "?" {
		fmt.Print(listing())
		return nil
	}
	return fmt.Errorf("there is no command %q, only\n%s", words[0], strings.TrimSuffix(listing(), "\n"))
}

// listing shows what can be typed.
func listing() string {
	var b strings.Builder
	for _, c := range commands {
		fmt.Fprintf(&b, "  %-28s %s\n", c.usage, c.does)
	}
	fmt.Fprintf(&b, "  %-28s %s\n", "help", "this list")
	fmt.Fprintf(&b, "  %-28s %s\n", "quit", "or Ctrl-C: end, and leave nothing behind")
	return b.String()
}

func runInNode(ctx context.Context, _ *world, n *lab.Node, rest []string) error {
	out, code, err := n.Run(ctx, strings.Join(rest, " "))
	fmt.Print(out)
	if err == nil && code != 0 {
		return fmt.Errorf("exit %d", code)
	}
	return err
}

func runOnWitness(ctx context.Context, w *world, _ *lab.Node, rest []string) error {
	if len(rest) == 0 {
		return fmt.Errorf("which command?")
	}
	cmd := w.Witness.Command(ctx, rest[0], rest[1:]...)
	cmd.Stdout, cmd.Stderr = os.Stdout, os.Stderr
	return cmd.Run()
}

func showTruth(_ context.Context, w *world, _ *lab.Node, _ []string) error {
	last, ok := w.Truth.LastAck()
	if !ok {
		fmt.Println("nothing was written yet")
		return nil
	}
	fmt.Printf("%d records acknowledged, the last (%d) by %s %.1f s ago; both able to write at once for %v\n",
		len(w.Truth.Acks()), last.Seq, last.Node, time.Since(last.At).Seconds(), w.Truth.DualActive())
	for _, g := range w.Truth.Gaps(500 * time.Millisecond) {
		fmt.Printf("  nobody wrote for %.2f s (%s, then %s)\n", g.Length().Seconds(), g.Before, g.After)
	}
	return nil
}

func runSbctl(ctx context.Context, w *world, _ *lab.Node, rest []string) error {
	if w.pair == nil {
		return fmt.Errorf("no sbarbiter runs in a bare lab")
	}
	config, err := w.pair.SbctlConfig()
	if err != nil {
		return err
	}
	a, err := w.pair.Sbctl(ctx, append([]string{"--config", config}, rest...)...)
	fmt.Print(a.Out, a.Err)
	return err
}

// splitBrain has both nodes written to while they cannot see each other, as when
// somebody forces the standby.
func splitBrain(ctx context.Context, w *world, _ *lab.Node, _ []string) error {
	if w.pair == nil {
		return fmt.Errorf("no sbarbiter runs in a bare lab: cut-replication, and write on each node")
	}
	holder, err := w.pair.Holder(ctx)
	if err != nil {
		return err
	}
	other := w.pair.Peer(holder)
	file := func(n *lab.Node, dir string) string {
		return fmt.Sprintf("head -c 300000 /dev/urandom >%s/only-%s && sync -f %[1]s", dir, n.Name)
	}
	if err := w.pair.Fork(ctx, holder, "mount /dev/drbd0 /mnt; "+file(other, "/mnt")+"; umount /mnt"); err != nil {
		return err
	}
	if err := holder.Must(ctx, file(holder, lab.MountPoint)); err != nil {
		return err
	}
	fmt.Printf("%s holds the group and has written only-%[1]s; %s was forced and has written only-%[2]s.\n"+
		"\"heal\" lets them meet, \"sbctl resolve %s --dry-run\" says what to do then.\n", holder.Name, other.Name, pair.Group)
	return nil
}

func showTimeline(_ context.Context, w *world, _ *lab.Node, _ []string) error {
	if w.pair == nil {
		return fmt.Errorf("no sbarbiter runs in a bare lab")
	}
	fmt.Print(w.pair.Timeline().Text(time.Time{}))
	return nil
}
