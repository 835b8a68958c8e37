// Command lab starts a pair with sbarbiter and leaves it up to play in: it
// tells how to get into each node and takes commands that break and mend
// things. With the end of its input, or Ctrl-C, everything is gone.
//
// With -bare there is DRBD without sbarbiter, and whatever the other flags
// bring along.
package main

import (
	"bufio"
	"context"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"strings"
	"syscall"
	"time"

	"sbarbiter/chaos-tests/lab"
	"sbarbiter/chaos-tests/pair"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	err := run(ctx)
	left := ctx.Err() != nil // what fails then is what the player has interrupted
	stop()
	if err != nil && !left {
		fmt.Fprintln(os.Stderr, "lab:", err)
		os.Exit(1)
	}
}

// world is what the player plays in; pair is nil in a bare lab.
type world struct {
	*lab.Lab
	pair *pair.Pair
}

func run(ctx context.Context) error {
	bare := flag.Bool("bare", false, "DRBD without sbarbiter")
	cfg, err := configure()
	if err != nil {
		return err
	}
	w, err := start(ctx, cfg, *bare)
	if err != nil {
		return err
	}
	defer w.Close()
	greet(w)
	return play(ctx, w)
}

func start(ctx context.Context, cfg lab.Config, bare bool) (*world, error) {
	ctx, cancel := context.WithTimeout(ctx, 3*time.Minute)
	defer cancel()
	if bare {
		l, err := lab.Start(ctx, cfg)
		return &world{Lab: l}, err
	}
	p, err := pair.Start(ctx, pair.Config{Binaries: cfg.Binaries, Log: cfg.Log, LogDir: cfg.LogDir})
	if err != nil {
		return nil, err
	}
	return &world{p.Lab, p}, nil
}

// configure reads flags and the directory of files for the three hosts.
func configure() (lab.Config, error) {
	bin := flag.String("bin", "", "directory of built programs")
	conf := flag.String("conf", "", "directory with node-a/, node-b/ (laid into / of the node) and witness/")
	units := flag.String("units", "", "systemd units that both nodes start, with spaces between")
	witness := flag.String("witness", "", "command line of the witness, run in its directory")
	logs := flag.String("logs", "", "directory that takes consoles and witness log at the end")
	flag.Parse()
	cfg := lab.Config{
		Binaries: *bin, LogDir: *logs, Log: os.Stderr, Units: strings.Fields(*units),
		Witness: lab.WitnessConfig{Command: strings.Fields(*witness)},
	}
	if *conf == "" {
		return cfg, nil
	}
	cfg.Files = map[lab.NodeName][]lab.File{}
	for _, n := range []lab.NodeName{lab.NodeA, lab.NodeB} {
		files, err := lab.FilesUnder(*conf + "/" + string(n))
		if err != nil {
			return cfg, err
		}
		cfg.Files[n] = files
	}
	var err error
	cfg.Witness.Files, err = lab.FilesUnder(*conf + "/witness")
	return cfg, err
}

func greet(w *world) {
	fmt.Println("\nA shell in a node, from another terminal:")
	for _, n := range w.Nodes() {
		fmt.Printf("  %s   %s\n", n.Name, n.ShellCommand())
	}
	if w.pair != nil {
		if dir, err := w.pair.SbctlHere(); err == nil {
			fmt.Printf("sbctl in another terminal, where it can ask you (as resolve does):\n  export PATH=%s:$PATH; sbctl status\n", dir)
		}
	}
	fmt.Printf("Consoles and witness log: %s\n\nBreak things here:\n%s", w.Dir(), listing())
}

// play performs commands until the input ends.
func play(ctx context.Context, w *world) error {
	lines := make(chan string)
	go func() {
		defer close(lines)
		for s := bufio.NewScanner(os.Stdin); s.Scan(); {
			lines <- s.Text()
		}
	}()
	for {
		fmt.Print("lab> ")
		select {
		case <-ctx.Done():
			fmt.Println()
			return nil
		case line, ok := <-lines:
			if !ok || strings.TrimSpace(line) == "quit" {
				return nil
			}
			if err := perform(ctx, w, line); err != nil {
				fmt.Println(err)
			}
		}
	}
}
