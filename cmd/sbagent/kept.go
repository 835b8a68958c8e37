package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"golang.org/x/term"

	"sbarbiter/cmd/sbagent/daemon"
	"sbarbiter/recovery"
	"sbarbiter/recovery/carry"
)

func filesCommand(at *site) *cobra.Command {
	var kept, id string
	cmd := &cobra.Command{
		Use: "files GROUP", Short: "Print which files this node's copy holds, as JSON; changes nothing", Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			n, g, err := at.handsOf(args[0])
			if err != nil {
				return err
			}
			out := recovery.Listing{Node: n.Name, Group: g.Name}
			if kept == "kept" {
				out.Volumes, err = n.KeptFiles(cmd.Context(), g.Name, id)
			} else {
				out.Volumes, err = n.Files(cmd.Context(), g)
			}
			if err != nil {
				return err
			}
			if err := json.NewEncoder(cmd.OutOrStdout()).Encode(out); err != nil { // not indented: it may be long
				return fmt.Errorf("print the list: %w", err)
			}
			return nil
		},
	}
	cmd.Flags().StringVar(&kept, "of", "own", "own: of this node's copy; kept: of what is kept of one that was given up")
	cmd.Flags().StringVar(&id, "recovery", "", "of which recovery, where several are kept (default: the latest)")
	return cmd
}

func keptCommand(at *site) *cobra.Command {
	return &cobra.Command{
		Use: "kept GROUP", Short: "Print what this node keeps of copies that were given up, and how old it is, as JSON", Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			n, err := at.hands()
			if err != nil {
				return err
			}
			if _, err := daemon.GroupOf(n, args[0]); err != nil {
				return err
			}
			own := []recovery.KeptCopy{}
			if n.Store != nil {
				all, _, err := n.Store.Look(cmd.Context())
				if err != nil {
					return err
				}
				for _, k := range all {
					if k.Group == args[0] {
						own = append(own, k.Told())
					}
				}
			}
			return printJSON(cmd.OutOrStdout(), own)
		},
	}
}

func salvageCommand(at *site) *cobra.Command {
	var id, names string
	var null bool
	cmd := &cobra.Command{
		Use: "salvage GROUP VOLUME", Short: "Write files of a kept volume to the standard output, as a tar archive",
		Example: "  sbagent recovery salvage nfs r0/0 >everything.tar\n  echo dir/report.txt | sbagent recovery salvage nfs r0/0 --files - | tar x",
		Long: "salvage looks into the kept copy and changes nothing. Files come with owner, mode, times and extended attributes; device nodes,\n" +
			"pipes and sockets are left out. What cannot be read does not keep the rest back: it is named, and the exit code is 4.",
		Args: cobra.ExactArgs(2),
		RunE: func(cmd *cobra.Command, args []string) error {
			n, err := at.hands()
			if err != nil {
				return err
			}
			var chosen []string
			if names != "" {
				if chosen, err = namesFrom(names, zeroEnded(null), cmd.InOrStdin()); err != nil {
					return err
				}
				if len(chosen) == 0 {
					return fmt.Errorf("%s names no file", names)
				}
			}
			out := cmd.OutOrStdout()
			if f, ok := out.(*os.File); ok && term.IsTerminal(int(f.Fd())) {
				return fmt.Errorf("an archive is no reading for a terminal: redirect it to a file, or into tar x")
			}
			return n.Salvage(cmd.Context(), args[0], id, args[1], chosen, out)
		},
	}
	cmd.Flags().StringVar(&id, "recovery", "", "of which recovery, where several are kept (default: the latest)")
	cmd.Flags().BoolVar(&null, "null", false, "names end with a zero byte, and not with their line")
	cmd.Flags().StringVar(&names, "files", "", "a file with the names that are wanted, one a line; - is the standard input (default: everything)")
	return cmd
}

func namesFrom(file string, null zeroEnded, in io.Reader) ([]string, error) {
	if file != "-" {
		f, err := os.Open(file)
		if err != nil {
			return nil, fmt.Errorf("read which files are wanted: %w", err)
		}
		defer f.Close()
		in = f
	}
	text, err := io.ReadAll(in)
	if err != nil {
		return nil, fmt.Errorf("read which files are wanted: %w", err)
	}
	end := "\n"
	if null {
		end = "\x00"
	}
	return slices.DeleteFunc(strings.Split(string(text), end), func(n string) bool { return n == "" }), nil
}

// zeroEnded says how names are told from each other: one may have line ends in it.
type zeroEnded bool

func releaseCommand(at *site) *cobra.Command {
	var id string
	var yes, over bool
	cmd := &cobra.Command{
		Use: "release GROUP --recovery ID", Short: "Give up for good what is kept of a recovery", Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			n, err := at.hands()
			if err != nil {
				return err
			}
			if yes {
				said := carry.Unsaid
				if over {
					said = carry.SaidOver
				}
				return n.Release(cmd.Context(), args[0], id, said)
			}
			all, err := n.Kept(args[0])
			for _, k := range all {
				if k.Recovery == id {
					fmt.Fprintf(cmd.OutOrStdout(), "%s/%d, kept %s (%d days ago) as %s\n", k.Resource, k.Number, k.Made.Format(time.DateTime), int(time.Since(k.Made).Hours()/24), k.Source)
				}
			}
			return errors.Join(err, fmt.Errorf("nothing was given up: add --yes if nobody needs that of recovery %q any more", id))
		},
	}
	cmd.Flags().BoolVar(&yes, "yes", false, "it is not needed any more")
	cmd.Flags().BoolVar(&over, "over", false, "the recovery is over or was called off, though this node's copy looks as if it were not")
	cmd.Flags().StringVar(&id, "recovery", "", "the recovery whose copies are given up")
	return cmd
}
