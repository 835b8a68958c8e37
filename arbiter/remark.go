package arbiter

// mostRemarks is far more than a pair has rules.
const mostRemarks = 512

// holdsWell is the state that needs no memory.
const holdsWell = "holds"

// remark writes down what a leader has noticed, so that the next one does not
// say it again.
func (a *applying) remark(c *Cluster, cmd Remark) Verdict {
	switch {
	case cmd.State == holdsWell:
		delete(c.Slack, cmd.Rule)
	case c.Slack == nil:
		c.Slack = map[string]string{cmd.Rule: cmd.State}
	case len(c.Slack) < mostRemarks:
		c.Slack[cmd.Rule] = cmd.State
	}
	v := done("%s", cmd.Sentence)
	a.record(c, "", cmd.Node, "timing", v)
	return v
}
