package ctl

import (
	"fmt"
	"os"
	"strings"

	"github.com/spf13/cobra"

	"sbarbiter/internal/config"
	"sbarbiter/recovery"
)

func (a *app) policyCommand() *cobra.Command {
	cmd := family(&cobra.Command{
		Use: "policy", Short: "what recovery policies would decide",
		Example: "  sbctl policy test -f policies.yaml evidence.json",
	})
	cmd.AddCommand(a.testPolicyCommand())
	return cmd
}

func (a *app) testPolicyCommand() *cobra.Command {
	var file string
	cmd := &cobra.Command{
		Use: "test EVIDENCE...", Short: "let a list of policies judge evidence files, touching nothing",
		Long: `Test diagnoses each file of evidence (a JSON object about both sides of a group,
what "sbctl preview GROUP -o json | jq .evidence" prints, or written by hand) and
lets the policies speak in their order. The first that decides within its limits
does; without a proven split brain none is asked. Nothing is asked of any host.

The policies are a YAML list, each a name or a mapping with its limits:

  - discard-zero-changes
  - {policy: discard-least-changes, min_ratio: 10, max_discard: 64MiB, require_snapshot: true}
  - manual`,
		Example: "  sbctl policy test -f policies.yaml evidence.json",
		Args:    args(cobra.MinimumNArgs(1), "files of evidence"),
		RunE: func(cmd *cobra.Command, files []string) error {
			text, err := os.ReadFile(file)
			if err != nil {
				return usage(cmd, "read policies: %w; name a file with -f", err)
			}
			policies, err := config.ParsePolicies(file, text)
			if err != nil {
				return usage(cmd, "%w", err)
			}
			for _, f := range files {
				if err := a.testPolicies(cmd, policies, f); err != nil {
					return err
				}
			}
			return nil
		},
	}
	cmd.Flags().StringVarP(&file, "file", "f", "policies.yaml", "the list of policies")
	return cmd
}

func (a *app) testPolicies(cmd *cobra.Command, policies []recovery.Policy, file string) error {
	text, err := os.ReadFile(file)
	if err != nil {
		return usage(cmd, "read evidence: %w", err)
	}
	e, err := recovery.ParseEvidence(text)
	if err != nil {
		return usage(cmd, "%s: %w; evidence is what sbctl preview GROUP -o json | jq .evidence prints", file, err)
	}
	for _, p := range policies {
		if p.Node != "" && !e.Has(p.Node) {
			a.say("sbctl: %s: %s names no node of %s, which has %s and %s", file, p, e.Group, e.Sides[0].Node, e.Sides[1].Node)
		}
	}
	d := recovery.Decide(e, policies)
	if a.as == jsonLines {
		return a.json(d)
	}
	e, d = forPeople(e), forPeople(d)
	var b strings.Builder
	fmt.Fprintf(&b, "%s: group %s: %s\n", file, e.Group, d.Diagnosis.Kind)
	fmt.Fprintf(&b, "  %s\n\n", d.Diagnosis.Why)
	sideBySide(&b, e, a.paper())
	whyMissing(&b, e, d.Diagnosis.Why)
	b.WriteByte('\n')
	opinions(&b, d, a.paper())
	return a.print("%s\n", b.String())
}

// opinions tells what each policy said, and what came of it.
func opinions(b *strings.Builder, d recovery.Decision, on paper) {
	if len(d.Opinions) > 0 {
		g := heading("policy", "discards", "because")
		for _, o := range d.Opinions {
			g.add(c(o.Policy.String()), c(string(o.Victim)), c(o.Why))
		}
		g.draw(b, on)
		b.WriteByte('\n')
	}
	switch {
	case d.Victim != "":
		fmt.Fprintf(b, "%s would be discarded: %s; up to %s of its changes are given up\n", d.Victim, d.By, recovery.Bytes(d.Discard))
	case d.Diagnosis.Advice != "":
		fmt.Fprintf(b, "nobody would be discarded: %s\n", d.Diagnosis.Advice)
	default:
		fmt.Fprintf(b, "nobody would be discarded: %s\n", d.Why)
	}
}
