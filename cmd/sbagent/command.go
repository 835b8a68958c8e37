package main

import (
	"fmt"
	"runtime/debug"

	"github.com/spf13/cobra"

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
	root.AddCommand(&cobra.Command{
		Use:   "check",
		Short: "Say what would keep the agent from starting on this node",
		Long:  "check reads the node file and looks at addresses, certificates, secrets, services and DRBD's configuration. It changes nothing but\nthat it brings configured resources up. It exits with 0 if the agent could start, else with 1.",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			d, err := load(path)
			if err != nil {
				return err
			}
			if err := d.Check(cmd.Context()); err != nil {
				return err
			}
			fmt.Fprintf(cmd.OutOrStdout(), "%s: this node can run its agent\n", path)
			return nil
		},
	})
	return root
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
