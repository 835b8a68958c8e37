// Command lab starts the pair and leaves it up to play in: it tells how to get
// into each node and takes commands that break and mend things. With the end
// of its input, or Ctrl-C, everything is gone.
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
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	err := run(ctx)
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "lab:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context) error {
	cfg, err := configure()
	if err != nil {
		return err
	}
	start, cancel := context.WithTimeout(ctx, 2*time.Minute)
	defer cancel()
	l, err := lab.Start(start, cfg)
	if err != nil {
		return err
	}
	defer l.Close()
	greet(l)
	return play(ctx, l)
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

func greet(l *lab.Lab) {
	fmt.Println("\nA shell in a node, from another terminal:")
	for _, n := range l.Nodes() {
		fmt.Printf("  %s   %s\n", n.Name, n.ShellCommand())
	}
	fmt.Printf("Consoles and witness log: %s\n\nBreak things here:\n", l.Dir())
	for _, c := range commands {
		fmt.Printf("  %-28s %s\n", c.usage, c.does)
	}
	fmt.Println("  quit")
}

// play performs commands until the input ends.
func play(ctx context.Context, l *lab.Lab) error {
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
			return nil
		case line, ok := <-lines:
			if !ok || strings.TrimSpace(line) == "quit" {
				return nil
			}
			if err := perform(ctx, l, strings.Fields(line)); err != nil {
				fmt.Println(err)
			}
		}
	}
}
