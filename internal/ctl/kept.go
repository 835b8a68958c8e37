package ctl

import (
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"sbarbiter/recovery"
)

func (a *app) recoveryKeptCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use: "kept GROUP", Short: "what the nodes keep of copies that were given up, and how old it is",
		Long: `Kept asks both nodes what they keep of copies that recoveries have given up. Nothing of
it is removed by itself, however old it is: who needs it no more says so on that node,
sbagent recovery release GROUP --recovery ID --yes.`,
		Example: "  sbctl recovery kept nfs", Args: args(cobra.ExactArgs(1), "one group"), ValidArgsFunction: a.completeGroups,
	}
	nodes := nodesFlag(cmd)
	cmd.RunE = func(cmd *cobra.Command, given []string) error {
		pair, err := a.pairOf(cmd, given[0], *nodes)
		if err != nil {
			return err
		}
		return a.kept(cmd, given[0], pair)
	}
	return cmd
}

func (a *app) kept(cmd *cobra.Command, group string, pair [2]string) error {
	g := heading("RECOVERY", "VOLUME", "ON", "KEPT AT", "AGE", "BY", "TAKES", "STATE")
	found := 0
	var errs []error
	for _, n := range pair {
		var all []recovery.KeptCopy
		if err := a.askNode(cmd.Context(), n, &all, "kept", group); err != nil {
			errs = append(errs, err)
			continue
		}
		for _, k := range all {
			found++
			if a.as == jsonLines {
				if err := a.json(struct {
					Node string `json:"node"`
					recovery.KeptCopy
				}{n, k}); err != nil {
					return err
				}
				continue
			}
			g.add(c(k.Recovery), c(fmt.Sprintf("%s/%d", k.Resource, k.Number)), c(n), c(k.Made.UTC().Format(time.DateTime)), c(span(k.Age)), c(k.Driver), c(recovery.Bytes(k.Bytes)), keptState(k))
		}
	}
	if len(errs) == len(pair) {
		return fmt.Errorf("say what is kept of group %s: neither %s nor %s could be asked; %s:\n%w", group, pair[0], pair[1], reachedBy, errors.Join(errs...))
	}
	for _, err := range errs {
		a.say("sbctl: %v; what it keeps is not shown", err)
	}
	switch {
	case a.as == jsonLines:
		return nil
	case found == 0:
		return a.print("nothing is kept\n")
	}
	var b strings.Builder
	g.draw(&b, a.paper())
	return a.print("%s", b.String())
}

func keptState(k recovery.KeptCopy) cell {
	switch {
	case k.Lost != "":
		return tinted("lost: "+k.Lost, red)
	case k.Filled > 0:
		return c(fmt.Sprintf("good; %.0f%% of its room is used", k.Filled))
	}
	return c("good")
}
