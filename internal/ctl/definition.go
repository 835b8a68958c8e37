package ctl

import (
	"fmt"
	"strings"
	"time"

	"sbarbiter/arbiter"
	"sbarbiter/internal/config"
	sbv1 "sbarbiter/proto/sb/v1"
	"sbarbiter/recovery"
	"sbarbiter/timing"
)

// definition is what the witness is told of a cluster file.
func definition(c config.Cluster) *sbv1.Definition {
	d := &sbv1.Definition{
		Cluster: c.Name, Nodes: c.Nodes[:], AcceptPauseRisk: c.AcceptPauseRisk,
		HoldTimeNs: c.HoldTime.Nanoseconds(), ShotsPerHour: uint32(c.ShotsPerHour),
		Timing: &sbv1.Timing{
			TtlNs: c.Timing.TTL.Nanoseconds(), PromiseNs: c.Timing.Promise.Nanoseconds(), RenewNs: c.Timing.Renew.Nanoseconds(),
			RpcTimeoutNs: c.Timing.RPCTimeout.Nanoseconds(), SuspectAfterNs: c.Timing.SuspectAfter.Nanoseconds(),
			FenceTimeoutNs: c.FenceTimeout.Nanoseconds(), StartGateNs: c.StartGate.Nanoseconds(),
		},
	}
	for _, m := range c.Fencing {
		switch m {
		case config.FencingSTONITH:
			d.Stonith = true
		case config.FencingWatchdog:
			d.Watchdog = true
		}
	}
	for _, g := range c.Groups {
		d.Groups = append(d.Groups, &sbv1.GroupDefinition{
			Name: g.Name, Drbd: bool(g.DRBD), Preferred: g.Preferred, MinimumGrade: uint32(g.MinimumGrade),
			Manual: g.Mode == config.ModeManual, TakeoverDelayNs: g.TakeoverDelay.Nanoseconds(),
			PromoteWhenPeerGone: g.PromoteIsolated == config.PromoteIsolatedWhenPeerGone,
			Recovery:            each(g.Recovery, policyOf), MoveAfterNs: g.MoveAfter.Nanoseconds(),
		})
	}
	return d
}

// definitionYAML writes a definition as a cluster file.
func definitionYAML(d *sbv1.Definition) string {
	var b strings.Builder
	fmt.Fprintf(&b, "cluster: %s\nnodes: [%s]\nfencing: %s\n", quoted(d.GetCluster()), strings.Join(each(d.GetNodes(), quoted), ", "), fencingYAML(d))
	if d.GetAcceptPauseRisk() {
		b.WriteString("accept_pause_risk: true\n")
	}
	b.WriteString(timingYAML(d))
	fmt.Fprintf(&b, "start_gate: %v\nfence_timeout: %v\n", time.Duration(d.GetTiming().GetStartGateNs()), time.Duration(d.GetTiming().GetFenceTimeoutNs()))
	fmt.Fprintf(&b, "hold_time: %v\nshots_per_hour: %s\ngroups:\n", time.Duration(d.GetHoldTimeNs()), shotsYAML(d.GetShotsPerHour()))
	for _, g := range d.GetGroups() {
		fmt.Fprintf(&b, "  %s: {%s}\n", quoted(g.GetName()), strings.Join(groupYAML(g), ", "))
	}
	return b.String()
}

func shotsYAML(n uint32) string {
	if n == 0 {
		return "none"
	}
	return fmt.Sprint(n)
}

func fencingYAML(d *sbv1.Definition) string {
	switch {
	case d.GetStonith() && d.GetWatchdog():
		return "[stonith, watchdog]"
	case d.GetStonith():
		return "stonith"
	case d.GetWatchdog():
		return "watchdog"
	}
	return "none"
}

func groupYAML(g *sbv1.GroupDefinition) []string {
	out := []string{fmt.Sprintf("drbd: %t", g.GetDrbd())}
	if g.GetPreferred() != "" {
		out = append(out, "preferred: "+quoted(g.GetPreferred()))
	}
	if grade := arbiter.Grade(g.GetMinimumGrade()); grade > arbiter.E1 {
		out = append(out, "minimum_grade: "+grade.String())
	}
	if g.GetManual() {
		out = append(out, "mode: manual")
	}
	if g.GetTakeoverDelayNs() != 0 {
		out = append(out, "takeover_delay: "+time.Duration(g.GetTakeoverDelayNs()).String())
	}
	if g.GetMoveAfterNs() != 0 {
		out = append(out, "move_after: "+time.Duration(g.GetMoveAfterNs()).String())
	}
	if len(g.GetRecovery()) > 0 {
		out = append(out, "recovery: ["+strings.Join(each(g.GetRecovery(), policyYAML), ", ")+"]")
	}
	if g.GetPromoteWhenPeerGone() {
		out = append(out, "promote_isolated: "+string(config.PromoteIsolatedWhenPeerGone))
	}
	return out
}

func policyOf(p recovery.Policy) *sbv1.RecoveryPolicy {
	out := &sbv1.RecoveryPolicy{
		Name: string(p.Name), Node: string(p.Node), MinRatio: p.MinRatio, MaxDiscard: p.MaxDiscard,
		RequireSnapshot: p.RequireSnapshot, RequireUnmounted: p.RequireUnmounted, NotIfOpen: p.NotIfOpen,
	}
	for _, n := range p.Of {
		out.Of = append(out.Of, string(n))
	}
	return out
}

// policyYAML writes a policy by its name, or with what limits it.
func policyYAML(p *sbv1.RecoveryPolicy) string {
	words := []string{"policy: " + p.GetName()}
	add := func(given bool, format string, a ...any) {
		if given {
			words = append(words, fmt.Sprintf(format, a...))
		}
	}
	add(p.GetNode() != "", "node: %s", quoted(p.GetNode()))
	add(len(p.GetOf()) > 0, "of: [%s]", strings.Join(p.GetOf(), ", "))
	add(p.GetMinRatio() != 0, "min_ratio: %v", p.GetMinRatio())
	add(p.MaxDiscard != nil, "max_discard: %dB", p.GetMaxDiscard())
	add(p.GetRequireSnapshot(), "require_snapshot: true")
	add(p.GetRequireUnmounted(), "require_unmounted: true")
	add(p.GetNotIfOpen(), "not_if_open: true")
	if len(words) == 1 {
		return p.GetName()
	}
	return "{" + strings.Join(words, ", ") + "}"
}

// quoted keeps a name that YAML would take for something else a name.
func quoted(name string) string {
	if name == "" || name[0] <= '9' || yamlWords[strings.ToLower(name)] {
		return `"` + name + `"`
	}
	return name
}

var yamlWords = map[string]bool{
	"true": true, "false": true, "null": true, "yes": true, "no": true, "on": true, "off": true, "y": true, "n": true, "nan": true,
}

// timingYAML writes the timing. The file's own check also counts the nodes'
// numbers, which the witness does not have: where no profile's numbers fit, the
// time to stop is what is left of the ttl.
func timingYAML(d *sbv1.Definition) string {
	t := d.GetTiming()
	have := timing.Plan{
		TTL: time.Duration(t.GetTtlNs()), Promise: time.Duration(t.GetPromiseNs()), Renew: time.Duration(t.GetRenewNs()),
		RPCTimeout: time.Duration(t.GetRpcTimeoutNs()), SuspectAfter: time.Duration(t.GetSuspectAfterNs()),
	}
	rest := ""
	full, name := have, timing.ProfileSTONITH
	for _, name = range []timing.ProfileName{timing.ProfileSTONITH, timing.ProfileWatchdog, timing.ProfileWatchdogTight} {
		p, _ := timing.Profile(name)
		full.Stop, full.Watchdog, full.Reset, full.Late = p.Stop, p.Watchdog, p.Reset, p.Late
		if full.Check() == nil {
			break
		}
	}
	if full.Check() != nil {
		full.Stop, full.Watchdog, full.Reset, full.Late = 0, 0, time.Second, time.Millisecond
		full.Stop = max(min(full.TTL, full.Promise)-full.Needs(), time.Millisecond)
		if least := time.Second; d.GetWatchdog() && full.Stop > 2*least {
			full.Watchdog, full.Stop = least, full.Stop-2*least
		}
		rest = fmt.Sprintf(", stop: %v, watchdog: %v, reset: %v, late: %v", full.Stop, full.Watchdog, full.Reset, full.Late)
	}
	return fmt.Sprintf("timing: {profile: %s, ttl: %v, promise: %v, renew: %v, rpc_timeout: %v, suspect_after: %v%s}\n",
		name, have.TTL, have.Promise, have.Renew, have.RPCTimeout, have.SuspectAfter, rest)
}

// What cluster show prints as JSON; durations in milliseconds.
type (
	definitionJSON struct {
		Cluster         string                `json:"cluster"`
		Nodes           []string              `json:"nodes"`
		Stonith         bool                  `json:"stonith"`
		Watchdog        bool                  `json:"watchdog"`
		AcceptPauseRisk bool                  `json:"accept_pause_risk"`
		TTLMS           int64                 `json:"ttl_ms"`
		PromiseMS       int64                 `json:"promise_ms"`
		RenewMS         int64                 `json:"renew_ms"`
		RPCTimeoutMS    int64                 `json:"rpc_timeout_ms"`
		SuspectAfterMS  int64                 `json:"suspect_after_ms"`
		FenceTimeoutMS  int64                 `json:"fence_timeout_ms"`
		StartGateMS     int64                 `json:"start_gate_ms"`
		HoldTimeMS      int64                 `json:"hold_time_ms"`
		ShotsPerHour    uint32                `json:"shots_per_hour"` // 0: any number
		Groups          []groupDefinitionJSON `json:"groups"`
	}
	groupDefinitionJSON struct {
		Name            string `json:"name"`
		DRBD            bool   `json:"drbd"`
		Preferred       string `json:"preferred"`
		MinimumGrade    string `json:"minimum_grade"`
		Manual          bool   `json:"manual"`
		TakeoverDelayMS int64  `json:"takeover_delay_ms"`
		MoveAfterMS     int64  `json:"move_after_ms"`
		// Recovery are the policies after a split brain, as the file has them.
		Recovery []string `json:"recovery"`
	}
)

func definitionView(d *sbv1.Definition) definitionJSON {
	t := d.GetTiming()
	return definitionJSON{
		Cluster: d.GetCluster(), Nodes: d.GetNodes(), Stonith: d.GetStonith(), Watchdog: d.GetWatchdog(), AcceptPauseRisk: d.GetAcceptPauseRisk(),
		TTLMS: ms(t.GetTtlNs()), PromiseMS: ms(t.GetPromiseNs()), RenewMS: ms(t.GetRenewNs()), RPCTimeoutMS: ms(t.GetRpcTimeoutNs()),
		SuspectAfterMS: ms(t.GetSuspectAfterNs()), FenceTimeoutMS: ms(t.GetFenceTimeoutNs()), StartGateMS: ms(t.GetStartGateNs()),
		HoldTimeMS: ms(d.GetHoldTimeNs()), ShotsPerHour: d.GetShotsPerHour(),
		Groups: each(d.GetGroups(), func(g *sbv1.GroupDefinition) groupDefinitionJSON {
			return groupDefinitionJSON{
				g.GetName(), g.GetDrbd(), g.GetPreferred(), arbiter.Grade(g.GetMinimumGrade()).String(), g.GetManual(), ms(g.GetTakeoverDelayNs()), ms(g.GetMoveAfterNs()),
				each(g.GetRecovery(), policyYAML),
			}
		}),
	}
}
