package ctl

import (
	"fmt"
	"strings"
	"time"

	"github.com/spf13/cobra"

	sbv1 "sbarbiter/proto/sb/v1"
	"sbarbiter/timing"
)

// What sbctl timing prints as JSON; durations in milliseconds.
type (
	timingJSON struct {
		Cluster string            `json:"cluster"`
		Bounds  []timingBoundJSON `json:"bounds"`
		Rules   []timingRuleJSON  `json:"rules"`
		Missing []string          `json:"missing"` // nodes whose numbers are not known
	}
	timingBoundJSON struct {
		Group    string           `json:"group"` // "": every group
		After    string           `json:"after"`
		TotalMS  int64            `json:"total_ms"` // -1: nothing ends it by itself
		Parts    []timingTermJSON `json:"parts"`
		Never    string           `json:"never"`
		Unless   string           `json:"unless"`
		Sentence string           `json:"sentence"`
	}
	timingRuleJSON struct {
		Name     string           `json:"name"`
		Subject  string           `json:"subject"`
		State    string           `json:"state"`
		Weight   string           `json:"weight"`
		SlackMS  float64          `json:"slack_ms"`
		Have     []timingTermJSON `json:"have"`
		Need     []timingTermJSON `json:"need"`
		Why      string           `json:"why"`
		Change   string           `json:"change"`
		Sentence string           `json:"sentence"`
	}
	timingTermJSON struct {
		What     string  `json:"what"`
		MS       float64 `json:"ms"`
		Measured bool    `json:"measured"`
	}
)

func (a *app) timingCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "timing",
		Short: "the proof that the pair's numbers fit together, and the longest interruptions",
		Long: `Timing shows first how long a group is without service at most, whatever happens,
and then every inequality that this rests on, with the slack that is left.
Numbers are those of the files, what the watchdog's driver reports, and what the
nodes have measured. A rule that does not hold says which number to change; where
it is a required one, the agent does not arm, and this command ends with 1.`,
		Example: "  sbctl timing\n  sbctl timing -o json",
		Args:    args(cobra.NoArgs, "no argument"),
		RunE:    func(cmd *cobra.Command, _ []string) error { return a.timing(cmd) },
	}
}

func (a *app) timing(cmd *cobra.Command) error {
	w, err := a.witness(cmd.Context())
	if err != nil {
		return err
	}
	defer w.close()
	c, err := a.cluster(cmd, w)
	if err != nil {
		return err
	}
	name := c.GetDefinition().GetCluster()
	answer, err := ask(cmd.Context(), w, &sbv1.TimingRequest{Cluster: name}, w.Timing)
	if err != nil {
		return err
	}
	if a.as == jsonLines {
		err = a.json(timingView(name, answer))
	} else {
		err = a.print("%s", drawTiming(name, answer, a.paper()))
	}
	if err != nil {
		return err
	}
	if n := brokenRules(answer); n > 0 {
		return fmt.Errorf("%s: %s not hold; change the numbers as said above", name, verb(n, "required rule does", "required rules do"))
	}
	return nil
}

func brokenRules(answer *sbv1.TimingAnswer) (n int) {
	for _, r := range answer.GetRules() {
		if r.GetState() == string(timing.Broken) && r.GetWeight() == string(timing.Required) {
			n++
		}
	}
	return n
}

func drawTiming(name string, answer *sbv1.TimingAnswer, on paper) string {
	var b strings.Builder
	if len(answer.GetBounds()) > 0 {
		fmt.Fprintf(&b, "%s, at worst:\n", name)
	} else {
		fmt.Fprintf(&b, "%s: how long it may be without service is known once a node has reported; start sbagent on them\n", name)
	}
	for _, bound := range answer.GetBounds() {
		drawBound(&b, bound)
	}
	for _, node := range answer.GetMissing() {
		fmt.Fprintf(&b, "  %s %s has not reported its numbers; they are not counted\n", tinted("!", yellow).show(on.colourful), node)
	}
	b.WriteByte('\n')
	g := heading("RULE", "OF", "SLACK", "STATE", "INEQUALITY")
	for _, r := range answer.GetRules() {
		g.add(c(r.GetName()), c(first(r.GetSubject(), "-")), c(slack(r.GetSlackNs())), ruleState(r), c(r.GetSentence()))
	}
	g.draw(&b, on)
	for _, r := range answer.GetRules() {
		if r.GetState() == string(timing.Holds) {
			continue
		}
		fmt.Fprintf(&b, "\n%s %s: %s\n", ruleState(r).show(on.colourful), strings.TrimSpace(r.GetName()+" "+r.GetSubject()), r.GetWhy())
		if r.GetChange() != "" {
			fmt.Fprintf(&b, "  do: %s\n", r.GetChange())
		}
	}
	return b.String()
}

func drawBound(b *strings.Builder, bound *sbv1.TimingBound) {
	sentence := bound.GetSentence()
	if bound.GetGroup() != "" {
		sentence = bound.GetGroup() + ": " + sentence
	}
	if bound.GetUnless() != "" {
		sentence += ", unless " + bound.GetUnless()
	}
	b.WriteString("  " + sentence + "\n")
	if bound.GetTotalNs() == 0 || bound.GetNever() != "" {
		return
	}
	fmt.Fprintf(b, "      = %s\n", strings.Join(each(bound.GetParts(), (*sbv1.TimingTerm).GetWritten), " + "))
}

// slack is a difference; people look for its sign first.
func slack(ns int64) string {
	d := time.Duration(ns)
	if d < time.Second && d > -time.Second {
		return d.Round(time.Millisecond / 10).String()
	}
	return d.Round(10 * time.Millisecond).String()
}

func ruleState(r *sbv1.TimingRule) cell {
	switch {
	case r.GetState() == string(timing.Holds):
		return c(r.GetState())
	case r.GetState() == string(timing.Broken) && r.GetWeight() == string(timing.Required):
		return tinted("BROKEN", red)
	}
	return tinted(r.GetState(), yellow)
}

func timingView(name string, answer *sbv1.TimingAnswer) timingJSON {
	term := func(t *sbv1.TimingTerm) timingTermJSON {
		return timingTermJSON{t.GetWhat(), exactly(t.GetNs()), t.GetMeasured()}
	}
	return timingJSON{
		Cluster: name, Missing: append([]string{}, answer.GetMissing()...),
		Bounds: each(answer.GetBounds(), func(b *sbv1.TimingBound) timingBoundJSON {
			total := ms(b.GetTotalNs())
			if b.GetNever() != "" {
				total = -1
			}
			return timingBoundJSON{b.GetGroup(), b.GetAfter(), total, each(b.GetParts(), term), b.GetNever(), b.GetUnless(), b.GetSentence()}
		}),
		Rules: each(answer.GetRules(), func(r *sbv1.TimingRule) timingRuleJSON {
			return timingRuleJSON{
				r.GetName(), r.GetSubject(), r.GetState(), r.GetWeight(), exactly(r.GetSlackNs()), each(r.GetHave(), term), each(r.GetNeed(), term),
				r.GetWhy(), r.GetChange(), r.GetSentence(),
			}
		}),
	}
}

// exactly is nanoseconds as milliseconds, with what is below one.
func exactly(ns int64) float64 { return float64(ns) / float64(time.Millisecond) }
