// Package ctl is the operator's command line: it answers "how are my pairs, why,
// and what can I do about it". It parses what was typed, asks a witness, and
// prints. What may be done is decided by the witness alone; a refusal is shown
// with its reason and ends with an exit code of its own.
//
// Data goes to the standard output, talk (plans, questions, errors) to the
// standard error.
package ctl

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"runtime/debug"
	"strings"

	"github.com/spf13/cobra"
	"golang.org/x/term"
)

// Streams is what a command line is connected to.
type Streams struct {
	In       io.Reader
	Out, Err io.Writer
	Getenv   func(string) string
	// Asks: In and Err are terminals, so questions are answered there.
	Asks bool
	// Colours: Out is a terminal that shows colours and wants them.
	Colours bool
	// Screen: Out is a terminal that can be cleared.
	Screen bool
	// Columns and TalkColumns are how wide Out and Err are; nil or 0: they are no
	// terminals, and any width will do.
	Columns, TalkColumns func() int
}

// Console is what the process itself is connected to. NO_COLOR in the
// environment turns colours off (https://no-color.org).
func Console() Streams {
	screen := term.IsTerminal(int(os.Stdout.Fd())) && os.Getenv("TERM") != "dumb"
	return Streams{
		In: os.Stdin, Out: os.Stdout, Err: os.Stderr, Getenv: os.Getenv,
		Asks:    term.IsTerminal(int(os.Stdin.Fd())) && term.IsTerminal(int(os.Stderr.Fd())),
		Colours: screen && os.Getenv("NO_COLOR") == "",
		Screen:  screen,
		Columns: func() int { return terminalColumns(os.Stdout) }, TalkColumns: func() int { return terminalColumns(os.Stderr) },
	}
}

// terminalColumns is how wide a terminal is now, 0 where f is none.
func terminalColumns(f *os.File) int {
	width, _, err := term.GetSize(int(f.Fd()))
	if err != nil {
		return 0
	}
	return width
}

// app is one run of the command line.
type app struct {
	Streams
	flags settings
	as    format
	lines *bufio.Reader // of In, once something was asked
	// among is the cluster that is meant, where the witness has others: the commands
	// that are printed name it, so that they do what is meant as they stand.
	among string
	group string // that is meant, if one is
}

// Main runs the command line with the arguments (without the program's name) and
// returns its exit code, one of the Exit constants.
func Main(ctx context.Context, args []string, s Streams) int {
	a := &app{Streams: s, as: table}
	root := a.root()
	root.SetArgs(args)
	root.SetIn(s.In)
	root.SetOut(s.Out)
	root.SetErr(s.Err)
	return a.report(root.ExecuteContext(ctx))
}

func (a *app) root() *cobra.Command {
	root := &cobra.Command{
		Use:   "sbctl",
		Short: "look after the pairs that a witness arbitrates",
		Long: `sbctl asks a witness how its pairs of nodes are, why, and tells it what to do.

Exit codes: 0 done, 1 failed, 2 wrong usage, 3 refused for safety.
Where the witness is comes from --witness, SBCTL_WITNESS or ` + settingsFile + `.`,
		Example:       "  sbctl status\n  sbctl why nfs\n  sbctl switchover nfs --wait",
		Version:       version(),
		SilenceErrors: true,
		SilenceUsage:  true,
	}
	family(root)
	root.SetFlagErrorFunc(func(cmd *cobra.Command, err error) error { return usage(cmd, "%w", err) })
	f := root.PersistentFlags()
	f.StringSliceVar(&a.flags.Witness, "witness", nil, "address of the witness, or of several: HOST[:PORT],...")
	f.StringVar(&a.flags.PKI, "pki", "", "directory with your certificate (default "+defaultPKI+")")
	f.StringVar(&a.flags.Cluster, "cluster", "", "the cluster that is meant (default: the only one)")
	f.StringVar(&a.flags.file, "config", settingsFile, "file with the defaults for witness, pki and cluster")
	f.VarP(&a.as, "output", "o", "how to print: table or json")
	f.BoolFunc("json", "the same as --output json", func(string) error { return a.as.Set(string(jsonLines)) })
	_ = f.MarkHidden("json") // fails for no flag that there is
	root.AddCommand(
		a.statusCommand(), a.whyCommand(), a.eventsCommand(), a.switchoverCommand(),
		a.standbyCommand(), a.unstandbyCommand(), a.maintenanceCommand(), a.fenceCommand(), a.groupCommand(),
		a.timingCommand(), a.doctorCommand(), a.clusterCommand(), a.policyCommand(),
		a.resolveCommand(), a.recoveryCommand(), a.drbdConfigCommand(), a.previewCommand(), a.salvageCommand(), a.pkiCommand(),
	)
	root.InitDefaultCompletionCmd()
	a.completeFlags(root)
	return root
}

// family makes cmd a name for its subcommands alone: called without one, or with
// one that does not exist, it says so instead of printing help as if all were
// well.
func family(cmd *cobra.Command) *cobra.Command {
	cmd.Args = cobra.ArbitraryArgs
	cmd.SuggestionsMinimumDistance = 2
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		if len(args) == 0 {
			return usage(cmd, "say what to do")
		}
		err := usage(cmd, "there is no command %q", cmd.CommandPath()+" "+args[0])
		if near := cmd.SuggestionsFor(args[0]); len(near) > 0 {
			err = usage(cmd, "%w; did you mean %s?", errors.Unwrap(err), cmd.CommandPath()+" "+near[0])
		}
		return err
	}
	return cmd
}

// args is a check of the number of arguments whose complaint counts as usage.
func args(check cobra.PositionalArgs, want string) cobra.PositionalArgs {
	return func(cmd *cobra.Command, given []string) error {
		if err := check(cmd, given); err != nil {
			if len(given) == 0 {
				return usage(cmd, "want %s; none is named", want)
			}
			return usage(cmd, "want %s, not %q", want, strings.Join(given, " "))
		}
		return nil
	}
}

// version is the module's, or the commit's that this was built from.
func version() string {
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return "unknown"
	}
	v := info.Main.Version
	for _, s := range info.Settings {
		if s.Key == "vcs.revision" && (v == "" || v == "(devel)") {
			v = s.Value
		}
	}
	return fmt.Sprintf("%s (%s)", v, info.GoVersion)
}
