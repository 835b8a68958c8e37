package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"sbarbiter/chaos-tests/lab"
	"sbarbiter/chaos-tests/pair"
)

// command is one thing that a player can type.
type command struct {
	usage string // its first word is its name; NODE as the second wants a node
	does  string
	// act gets what follows the name, and the node, as it was typed.
	act func(ctx context.Context, w *world, n *lab.Node, rest string) error
}

var commands = []command{
	{"cut NODE", "take its power away", func(ctx context.Context, _ *world, n *lab.Node, _ string) error { return n.PowerCut(ctx) }},
	{"on NODE", "power on", func(ctx context.Context, _ *world, n *lab.Node, _ string) error { return n.PowerOn(ctx) }},
	{"freeze NODE", "stop it in its tracks", func(_ context.Context, _ *world, n *lab.Node, _ string) error { return n.Freeze() }},
	{"thaw NODE", "let it go on", func(_ context.Context, _ *world, n *lab.Node, _ string) error { return n.Thaw() }},
	{"isolate NODE", "pull both of its cables", func(ctx context.Context, w *world, n *lab.Node, _ string) error { return w.Isolate(ctx, n.Name) }},
	{"gateway-lost NODE", "the gateway answers this node no more", func(ctx context.Context, w *world, n *lab.Node, _ string) error {
		return w.Gateway.LoseFor(ctx, n.Name)
	}},
	{"cut-replication", "cut the replication link", func(ctx context.Context, w *world, _ *lab.Node, _ string) error { return w.CutReplication(ctx) }},
	{"cut-management", "cut the management link between the nodes", func(ctx context.Context, w *world, _ *lab.Node, _ string) error {
		return w.CutManagement(ctx)
	}},
	{"cut-between", "cut all links between the nodes", func(ctx context.Context, w *world, _ *lab.Node, _ string) error { return w.CutBetweenNodes(ctx) }},
	{"gateway-down", "take the gateway away from everybody", func(ctx context.Context, w *world, _ *lab.Node, _ string) error { return w.Gateway.Down(ctx) }},
	{"split", "split brain: cut replication, force the standby's copy, write a file on both; heal lets them meet", splitBrain},
	{"heal", "end all network faults", func(ctx context.Context, w *world, _ *lab.Node, _ string) error { return w.HealAll(ctx) }},
	{"witness-kill", "SIGKILL the witness", func(_ context.Context, w *world, _ *lab.Node, _ string) error { w.Witness.Kill(); return nil }},
	{"witness-start", "start it again", func(_ context.Context, w *world, _ *lab.Node, _ string) error { return w.Witness.Start() }},
	{"bmc-dead NODE", "its BMC answers nobody", func(_ context.Context, w *world, n *lab.Node, _ string) error { w.BMCs[n.Name].Stop(); return nil }},
	{"bmc-start NODE", "its BMC is back", func(_ context.Context, w *world, n *lab.Node, _ string) error { return w.BMCs[n.Name].Start() }},
	{"write NODE", "promote, mount, start the writer (without agents)", func(ctx context.Context, _ *world, n *lab.Node, _ string) error { return n.StartWriter(ctx) }},
	{"run NODE COMMAND...", "run a command in a node, with its shell", runInNode},
	{"witness COMMAND...", "run a command on the witness's host, with a shell", runOnWitness},
	{"sbctl WORDS...", "run sbctl, with a shell: quotes and pipes are as usual", runSbctl},
	{"timeline", "what all hosts did and said", showTimeline},
	{"truth", "what the writers said", showTruth},
}

func perform(ctx context.Context, w *world, line string) error {
	name, rest := word(line)
	if name == "" {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	for _, c := range commands {
		usage := strings.Fields(c.usage)
		if usage[0] != name {
			continue
		}
		if len(usage) < 2 || usage[1] != "NODE" {
			return c.act(ctx, w, nil, rest)
		}
		node, rest := word(rest)
		if node == "" || w.Node(lab.NodeName(node)) == nil {
			return fmt.Errorf("which node? %s with node-a or node-b", c.usage)
		}
		return c.act(ctx, w, w.Node(lab.NodeName(node)), rest)
	}
	if name == "help" || name == "?" {
		fmt.Print(listing())
		return nil
	}
	return fmt.Errorf("there is no command %q, only\n%s", name, strings.TrimSuffix(listing(), "\n"))
}

// word splits the first word off.
func word(line string) (first, rest string) {
	line = strings.TrimSpace(line)
	if i := strings.IndexAny(line, " \t"); i >= 0 {
		return line[:i], strings.TrimSpace(line[i:])
	}
	return line, ""
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

func runInNode(ctx context.Context, _ *world, n *lab.Node, rest string) error {
	out, code, err := n.Run(ctx, rest)
	fmt.Print(out)
	if err == nil && code != 0 {
		return fmt.Errorf("exit %d", code)
	}
	return err
}

func runOnWitness(ctx context.Context, w *world, _ *lab.Node, rest string) error {
	if rest == "" {
		return fmt.Errorf("which command?")
	}
	return inShell(w.Witness.Command(ctx, "bash", "-c", rest), filepath.Join(w.Dir(), "bin"))
}

// inShell runs what a shell is to do with programs of a directory besides its own. What
// it prints comes as it is printed; it has no keyboard, which the prompt reads.
func inShell(cmd *exec.Cmd, programs string) error {
	cmd.Stdout, cmd.Stderr = os.Stdout, os.Stderr
	cmd.Env = append(os.Environ(), "PATH="+programs+":"+os.Getenv("PATH"))
	// All of a pipe ends with it.
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	cmd.Cancel = func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) }
	err := cmd.Run()
	var exit *exec.ExitError
	if errors.As(err, &exit) && exit.Exited() {
		return fmt.Errorf("exit %d", exit.ExitCode())
	}
	return err
}

func showTruth(_ context.Context, w *world, _ *lab.Node, _ string) error {
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

func runSbctl(ctx context.Context, w *world, _ *lab.Node, rest string) error {
	if w.pair == nil {
		return fmt.Errorf("no sbarbiter runs in a bare lab")
	}
	dir, err := w.pair.SbctlHere()
	if err != nil {
		return err
	}
	return inShell(exec.CommandContext(ctx, "bash", "-c", "sbctl "+rest), dir)
}

// splitBrain has both nodes written to while they cannot see each other, as when
// somebody forces the standby.
func splitBrain(ctx context.Context, w *world, _ *lab.Node, _ string) error {
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

func showTimeline(_ context.Context, w *world, _ *lab.Node, _ string) error {
	if w.pair == nil {
		return fmt.Errorf("no sbarbiter runs in a bare lab")
	}
	fmt.Print(w.pair.Timeline().Text(time.Time{}))
	return nil
}
