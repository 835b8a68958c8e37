package ctl

import (
	"fmt"
	"os"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"sbarbiter/drbd"
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

// sideBySide draws what is known of both copies next to each other. Why nothing is
// known of one is too long for a cell: see [whyMissing].
func sideBySide(b *strings.Builder, e recovery.Evidence, on paper) {
	x, y := e.Sides[0], e.Sides[1]
	g := heading("", string(x.Node), string(y.Node))
	row := func(name string, of func(recovery.Side) string) {
		if s, t := of(x), of(y); s+t != "" {
			g.add(c(name), c(s), c(t))
		}
	}
	row("copy", func(s recovery.Side) string {
		if s.Missing != "" {
			return "not known"
		}
		return ""
	})
	row("role", func(s recovery.Side) string { return string(s.Role) })
	row("in use", inUse)
	row("primary", recovery.Side.LastPrimary)
	row("from, by its clock", recovery.Side.PrimaryFrom)
	row("until, by its clock", recovery.Side.PrimaryUntil)
	for i := range max(len(x.Volumes), len(y.Volumes)) {
		for _, f := range volumeFacts {
			row(volumeName(x, y, i)+" "+f.name, func(s recovery.Side) string {
				if i >= len(s.Volumes) {
					return ""
				}
				return f.of(s, s.Volumes[i])
			})
		}
	}
	for _, name := range probeNames(e) {
		row(name, func(s recovery.Side) string { return position(s, name) })
	}
	g.draw(b, on)
}

// whyMissing says why nothing is known of a side, unless one of the sentences that
// were said above says it.
func whyMissing(b *strings.Builder, e recovery.Evidence, said ...string) {
	for _, s := range e.Sides {
		if s.Missing != "" && !slices.ContainsFunc(said, func(sentence string) bool { return strings.Contains(sentence, s.Missing) }) {
			fmt.Fprintf(b, "%s is not known: %s\n", s.Node, s.Missing)
		}
	}
}

var volumeFacts = []struct {
	name string
	of   func(recovery.Side, recovery.Volume) string
}{
	{"disk", func(_ recovery.Side, v recovery.Volume) string { return string(v.Disk) }},
	{"changed", func(_ recovery.Side, v recovery.Volume) string {
		if v.OutOfSync == nil {
			return "not counted"
		}
		return "up to " + recovery.Bytes(*v.OutOfSync)
	}},
	{"written", written},
}

// written is when a file system was last written to, by its own word. One that is mounted
// notes little but when it was mounted, which makes the copy in use look like the older one.
func written(s recovery.Side, v recovery.Volume) string {
	at := v.Written.Format("2006-01-02 15:04:05 MST")
	switch {
	case v.Written.IsZero():
		return ""
	case s.Role != drbd.RolePrimary || len(s.Mounted) == 0:
		return at
	case len(s.Mounted) < len(s.Volumes): // which of them it is, is not known
		return at + ", or until now"
	}
	return "in use now, " + inUse(s)
}

func volumeName(x, y recovery.Side, i int) string {
	if i < len(x.Volumes) {
		return x.Volumes[i].Name()
	}
	return y.Volumes[i].Name()
}

func inUse(s recovery.Side) string {
	switch {
	case s.Missing != "":
		return ""
	case len(s.Mounted) > 0:
		return "mounted at " + strings.Join(s.Mounted, ", ")
	case s.Open:
		return "open"
	}
	return "no"
}

func probeNames(e recovery.Evidence) []string {
	var out []string
	seen := map[string]bool{}
	for _, s := range e.Sides {
		for _, p := range s.Positions {
			if !seen[p.Probe] {
				seen[p.Probe] = true
				out = append(out, p.Probe)
			}
		}
	}
	return out
}

func position(s recovery.Side, probe string) string {
	for _, p := range s.Positions {
		if p.Probe == probe {
			return p.Text
		}
	}
	return ""
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
