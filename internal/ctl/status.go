package ctl

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/spf13/cobra"
)

const watchEvery = time.Second

// clearScreen moves to the upper left corner and erases what is below (ECMA-48:
// CUP, ED).
const clearScreen = "\x1b[H\x1b[2J"

func (a *app) statusCommand() *cobra.Command {
	var watch bool
	cmd := &cobra.Command{
		Use:   "status",
		Short: "how the pairs are: one verdict, then the details",
		Long: `Status begins with one line about each pair:

  OK         everything runs, and either node may die
  ATTENTION  everything runs, but something has lost its spare; it is said what to do
  DOWN       a group is not known to run
  UNKNOWN    no witness answered; running groups are not harmed by that`,
		Example: "  sbctl status\n  sbctl status --watch\n  sbctl status -o json",
		Args:    args(cobra.NoArgs, "no argument"),
		RunE: func(cmd *cobra.Command, _ []string) error {
			if watch {
				return a.watchStatus(cmd)
			}
			return a.showStatus(cmd)
		},
	}
	cmd.Flags().BoolVarP(&watch, "watch", "w", false, "go on, once a second, until interrupted")
	return cmd
}

// showStatus prints one look. A witness that does not answer is part of the
// picture.
func (a *app) showStatus(cmd *cobra.Command) error {
	w, err := a.witness(cmd.Context())
	if err != nil {
		if errors.Is(err, errNoWitness) {
			return errors.Join(a.showUnknown(err), err)
		}
		return err
	}
	defer w.close()
	pairs, err := a.chosen(cmd, w)
	if err != nil {
		return err
	}
	if a.as == jsonLines {
		return a.json(statusView(w, pairs))
	}
	return a.frame(drawStatus(w, pairs, a.paper()))
}

// chosen are the clusters to show: all, unless one is named.
func (a *app) chosen(cmd *cobra.Command, w *witness) ([]*pair, error) {
	s, err := a.settle()
	if err != nil {
		return nil, err
	}
	if s.Cluster == "" {
		return each(w.status.GetClusters(), w.examine), nil
	}
	c, err := a.cluster(cmd, w)
	if err != nil {
		return nil, err
	}
	return []*pair{w.examine(c)}, nil
}

func (a *app) showUnknown(err error) error {
	if a.as == jsonLines {
		return a.json(statusJSON{Level: levelUnknown, Error: err.Error(), Clusters: []clusterJSON{}})
	}
	return a.frame(fmt.Sprintf("%s  no witness answers; groups that run go on while both nodes hear each other, nothing is taken over\n",
		banner(levelUnknown).show(a.colours())))
}

// frame prints a picture, in the place of the one before it where there is a screen.
func (a *app) frame(picture string) error {
	if a.flags.watching && a.Screen {
		if _, err := io.WriteString(a.Out, clearScreen); err != nil {
			return fmt.Errorf("write output: %w", err)
		}
	}
	return a.print("%s", picture)
}

func (a *app) watchStatus(cmd *cobra.Command) error {
	a.flags.watching = true
	for {
		if err := a.showStatus(cmd); err != nil {
			if cmd.Context().Err() != nil {
				return nil
			}
			if !errors.Is(err, errNoWitness) {
				return err
			}
			a.say("%v", strings.ReplaceAll(err.Error(), "; ", "\n  "))
		}
		if !pause(cmd.Context(), watchEvery) {
			return nil
		}
		if a.as == table && !a.Screen {
			if err := a.print("\n"); err != nil {
				return err
			}
		}
	}
}

// pause waits, and reports whether it is worth going on.
func pause(ctx context.Context, d time.Duration) bool {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-ctx.Done():
		return false
	case <-t.C:
		return true
	}
}
