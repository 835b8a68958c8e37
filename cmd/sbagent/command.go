package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"runtime/debug"
	"strings"

	"github.com/spf13/cobra"

	"sbarbiter/cmd/sbagent/daemon"
	"sbarbiter/doctor"
	"sbarbiter/internal/config"
)

// command is sbagent's command line. The handler's is not in it: it has to be
// quick.
func command() *cobra.Command {
	var path string
	root := &cobra.Command{
		Use:   "sbagent",
		Short: "Run the node agent of sbarbiter",
		Long: "sbagent runs on each data node of a pair, as a service. It keeps the node's leases at the witness, runs its groups,\n" +
			"shoots the peer when it is told to, and feeds the watchdog only while this node has a right to what runs on it.\n\n" +
			"DRBD calls \"sbagent handler NAME\"; see the handlers section of drbd.conf(5).",
		Args: cobra.NoArgs, Version: version(), SilenceUsage: true, SilenceErrors: true,
		CompletionOptions: cobra.CompletionOptions{HiddenDefaultCmd: true},
		RunE: func(cmd *cobra.Command, _ []string) error {
			d, err := load(path)
			if err != nil {
				return err
			}
			return d.Run(cmd.Context())
		},
	}
	root.PersistentFlags().StringVar(&path, "config", config.NodeFile, "the node file")
	root.AddCommand(checkCommand(&path), guardCommand(), stepCommand(&path), recoveryCommand(&path))
	strict(root)
	return root
}

func checkCommand(path *string) *cobra.Command {
	var readOnly bool
	as := asTable
	cmd := &cobra.Command{
		Use:   "check",
		Short: "Say what is wrong with this node, why it matters, and how to mend it",
		Long: "check reads the node file and looks at addresses, certificates, secrets, services, the watchdog, the fence devices, DRBD's\n" +
			"configuration, and what else runs here. It changes nothing but that it attaches configured disks, unless with --read-only. It exits\n" +
			"with 0 if the agent could start and keep its word, else with 1.",
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			d, err := load(*path)
			if err != nil {
				return err
			}
			d.Log = slog.New(slog.DiscardHandler) // what is wrong is in the findings
			touch := daemon.AttachDisks
			if readOnly {
				touch = daemon.ReadOnly
			}
			found := d.Doctor(cmd.Context(), touch)
			if as == asJSON {
				err = json.NewEncoder(cmd.OutOrStdout()).Encode(append([]doctor.Finding{}, found...))
			} else {
				err = tell(cmd.OutOrStdout(), *path, found)
			}
			if n := doctor.Count(found, doctor.Critical); n > 0 && err == nil {
				return fmt.Errorf("%s: %d critical; the agent does not start, or could not keep its word", *path, n)
			}
			return err
		},
	}
	cmd.Flags().BoolVar(&readOnly, "read-only", false, "attach no disks")
	outputFlags(cmd, &as)
	return cmd
}

// output is how findings are printed.
type output string

const (
	asTable output = "table"
	asJSON  output = "json"
)

// String, Set and Type make an output a flag, the same one as sbctl's.
func (o *output) String() string { return string(*o) }

// Set takes the flag's value.
func (o *output) Set(s string) error {
	if s != string(asTable) && s != string(asJSON) {
		return errors.New("want table or json")
	}
	*o = output(s)
	return nil
}

// Type is what help calls the value.
func (o *output) Type() string { return "table|json" }

// outputFlags adds the flag, and its name of before.
func outputFlags(cmd *cobra.Command, to *output) {
	f := cmd.Flags()
	f.VarP(to, "output", "o", "how to print: table or json")
	f.BoolFunc("json", "the same as --output json", func(string) error { return to.Set(string(asJSON)) })
	_ = f.MarkHidden("json") // fails for no flag that there is
}

// tell prints findings for people.
func tell(w io.Writer, path string, found []doctor.Finding) error {
	var b strings.Builder
	for _, f := range found {
		b.WriteString(f.String() + "\n")
	}
	if doctor.Count(found, doctor.Critical) == 0 {
		fmt.Fprintf(&b, "%s: this node can run its agent\n", path)
	}
	if _, err := io.WriteString(w, b.String()); err != nil {
		return fmt.Errorf("print findings: %w", err)
	}
	return nil
}

// version is what the build knows of itself.
func version() string {
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return "unknown"
	}
	v := info.Main.Version
	for _, s := range info.Settings {
		if s.Key == "vcs.revision" && (v == "" || v == "(devel)") {
			v = s.Value[:min(12, len(s.Value))]
		}
	}
	return v
}
