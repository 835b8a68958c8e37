package wire

import (
	"sbarbiter/arbiter/leader"
	"sbarbiter/doctor"
	sbv1 "sbarbiter/proto/sb/v1"
	"sbarbiter/timing"
)

// ToReport writes what a node says of itself; nil is nothing new.
func ToReport(n *leader.Report) *sbv1.NodeReport {
	if n == nil {
		return nil
	}
	t := n.Timing
	return &sbv1.NodeReport{
		ConfigHash: n.ConfigHash, Examined: n.Examined, Findings: all(n.Findings, ToFinding),
		Machine: n.Machine, Switches: n.Switches,
		Timing: &sbv1.NodeTiming{
			TtlNs: int64(t.Plan.TTL), PromiseNs: int64(t.Plan.Promise), RenewNs: int64(t.Plan.Renew), RpcTimeoutNs: int64(t.Plan.RPCTimeout),
			SuspectAfterNs: int64(t.Plan.SuspectAfter), StopNs: int64(t.Plan.Stop), WatchdogNs: int64(t.Plan.Watchdog),
			ResetNs: int64(t.Plan.Reset), LateNs: int64(t.Plan.Late), ReadBackNs: int64(t.ReadBack), Hardware: t.Hardware,
			FenceNs: int64(t.Fence), Answer: toMeasured(t.Answer), Shot: toMeasured(t.Shot), Groups: all(t.Groups, toGroupTiming),
		},
	}
}

func toGroupTiming(g timing.Group) *sbv1.GroupTiming {
	return &sbv1.GroupTiming{
		Group: g.Name, StartBudgetNs: int64(g.StartBudget), StopBudgetNs: int64(g.StopBudget), Start: toMeasured(g.Start), Stop: toMeasured(g.Stop),
		Drbd: all(g.DRBD, func(d timing.DRBD) *sbv1.DrbdTiming {
			return &sbv1.DrbdTiming{
				Resource: d.Resource, PingIntNs: int64(d.PingInt), PingTimeoutNs: int64(d.PingTimeout), TimeoutNs: int64(d.Timeout), KoCount: unsigned(d.KoCount),
			}
		}),
	}
}

func toMeasured(m timing.Measured) *sbv1.Measured {
	if !m.Known() {
		return nil
	}
	return &sbv1.Measured{Count: m.Count, P999Ns: int64(m.P999), MaxNs: int64(m.Max)}
}

// ToFinding writes a finding.
func ToFinding(f doctor.Finding) *sbv1.Finding {
	return &sbv1.Finding{Severity: string(f.Severity), Subject: f.Subject, What: f.What, Why: f.Why, Fix: f.Fix, Node: f.Node}
}

// FromReport reads what a node says of itself.
func FromReport(p *sbv1.NodeReport) (*leader.Report, error) {
	if p == nil {
		return nil, nil
	}
	var r reader
	t := p.GetTiming()
	out := &leader.Report{
		ConfigHash: r.mayName("config_hash", p.GetConfigHash()), Examined: p.GetExamined(),
		Findings: each(&r, "findings", p.GetFindings(), FromFinding),
		Machine:  r.text("machine", p.GetMachine()), Switches: r.texts("switches", p.GetSwitches()),
		Timing: timing.Node{
			Plan: timing.Plan{
				TTL: r.span("ttl_ns", t.GetTtlNs()), Promise: r.span("promise_ns", t.GetPromiseNs()), Renew: r.span("renew_ns", t.GetRenewNs()),
				RPCTimeout: r.span("rpc_timeout_ns", t.GetRpcTimeoutNs()), SuspectAfter: r.span("suspect_after_ns", t.GetSuspectAfterNs()),
				Stop: r.span("stop_ns", t.GetStopNs()), Watchdog: r.span("watchdog_ns", t.GetWatchdogNs()),
				Reset: r.span("reset_ns", t.GetResetNs()), Late: r.span("late_ns", t.GetLateNs()),
			},
			ReadBack: r.span("read_back_ns", t.GetReadBackNs()), Hardware: t.GetHardware(), Fence: r.span("fence_ns", t.GetFenceNs()),
			Answer: r.measured("answer", t.GetAnswer()), Shot: r.measured("shot", t.GetShot()),
			Groups: each(&r, "groups", t.GetGroups(), fromGroupTiming),
		},
	}
	once(&r, "groups", out.Timing.Groups, func(g timing.Group) string { return g.Name })
	return out, r.err()
}

func fromGroupTiming(p *sbv1.GroupTiming) (timing.Group, error) {
	var r reader
	g := timing.Group{
		Name: r.name("group", p.GetGroup()), StartBudget: r.span("start_budget_ns", p.GetStartBudgetNs()), StopBudget: r.span("stop_budget_ns", p.GetStopBudgetNs()),
		Start: r.measured("start", p.GetStart()), Stop: r.measured("stop", p.GetStop()),
	}
	g.DRBD = each(&r, "drbd", p.GetDrbd(), func(p *sbv1.DrbdTiming) (timing.DRBD, error) {
		var r reader
		d := timing.DRBD{
			Resource: r.name("resource", p.GetResource()), PingInt: r.span("ping_int_ns", p.GetPingIntNs()),
			PingTimeout: r.span("ping_timeout_ns", p.GetPingTimeoutNs()), Timeout: r.span("timeout_ns", p.GetTimeoutNs()),
			KoCount: r.count("ko_count", p.GetKoCount()),
		}
		return d, r.err()
	})
	return g, r.err()
}

// FromFinding reads a finding.
func FromFinding(p *sbv1.Finding) (doctor.Finding, error) {
	var r reader
	f := doctor.Finding{
		Severity: oneOf(&r, "severity", p.GetSeverity(), doctor.Severities...),
		Subject:  r.text("subject", p.GetSubject()), What: r.text("what", p.GetWhat()), Why: r.text("why", p.GetWhy()), Fix: r.text("fix", p.GetFix()), Node: r.mayName("node", p.GetNode()),
	}
	return f, r.err()
}

func (r *reader) measured(field string, p *sbv1.Measured) timing.Measured {
	if p == nil {
		return timing.Measured{}
	}
	m := timing.Measured{Count: p.GetCount(), P999: r.span(field+".p999_ns", p.GetP999Ns()), Max: r.span(field+".max_ns", p.GetMaxNs())}
	if m.Count == 0 {
		r.fail(field+".count", "something was measured, but never")
	}
	return m
}

// ToTiming writes the proof that a pair's numbers fit together.
func ToTiming(p timing.Pair) *sbv1.TimingAnswer {
	return &sbv1.TimingAnswer{Rules: all(p.Rules(), toRule), Bounds: all(p.Bounds(), toBound)}
}

func toRule(r timing.Rule) *sbv1.TimingRule {
	return &sbv1.TimingRule{
		Name: r.Name, Subject: r.Subject, Have: all(r.Have, toTerm), Need: all(r.Need, toTerm), SlackNs: int64(r.Slack()),
		State: string(r.State()), Weight: string(r.Weight), Why: r.Why, Change: r.Change, Sentence: r.String(),
	}
}

func toBound(b timing.Bound) *sbv1.TimingBound {
	return &sbv1.TimingBound{
		Group: b.Group, After: b.After, Parts: all(b.Parts, toTerm), TotalNs: int64(b.Parts.Total()),
		Never: b.Never, Unless: b.Unless, Sentence: b.String(),
	}
}

func toTerm(t timing.Term) *sbv1.TimingTerm {
	return &sbv1.TimingTerm{What: t.What, Ns: int64(t.Time), Written: t.String(), Measured: t.Measured}
}
