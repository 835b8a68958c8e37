package wire

import (
	"time"

	"pgregory.net/rapid"

	"sbarbiter/arbiter"
	"sbarbiter/arbiter/leader"
	"sbarbiter/doctor"
	"sbarbiter/internal/boottime"
	"sbarbiter/timing"
)

// Generators of what may be sent. Strings are short: their lengths are a test of
// their own.
var (
	names    = rapid.StringMatching(`[a-z][a-z0-9.-]{0,8}`)
	mayNames = rapid.OneOf(rapid.Just(""), names)
	texts    = rapid.StringN(0, 20, 60)
	flags    = rapid.Bool()
	counts   = rapid.IntRange(0, 5)
	spans    = rapid.Custom(func(t *rapid.T) time.Duration {
		return time.Duration(rapid.Int64Range(0, int64(time.Hour)).Draw(t, "ns"))
	})
	instants = rapid.Custom(func(t *rapid.T) boottime.Instant {
		return boottime.Instant(rapid.Int64Range(1, 1<<60).Draw(t, "ns"))
	})
	numbers = rapid.Uint64Min(1)
	grades  = rapid.Custom(func(t *rapid.T) arbiter.Grade { return arbiter.Grade(rapid.Uint8Range(0, 5).Draw(t, "grade")) })
	causes  = rapid.SampledFrom([]arbiter.Cause{
		arbiter.ByNothing, arbiter.ByReceipt, arbiter.ByBoot, arbiter.ByFence, arbiter.ByClock, arbiter.ByOperator, arbiter.ByReport,
	})
)

var versions = rapid.Custom(func(t *rapid.T) arbiter.Version {
	return arbiter.Version{
		Incarnation: rapid.Uint32().Draw(t, "incarnation"), Starts: rapid.Uint64().Draw(t, "starts"),
		Nonce: rapid.Uint64().Draw(t, "nonce"), Index: rapid.Uint64().Draw(t, "index"),
	}
})

var senders = rapid.Custom(func(t *rapid.T) leader.Sender {
	return leader.Sender{Seen: versions.Draw(t, "seen"), Caller: arbiter.Caller{
		Cluster: arbiter.ClusterID(names.Draw(t, "cluster")), Node: arbiter.NodeID(names.Draw(t, "node")),
		Boot: arbiter.BootID(names.Draw(t, "boot")), Incarnation: arbiter.Incarnation(rapid.Uint64().Draw(t, "incarnation")),
		Request: arbiter.RequestID(rapid.Uint64().Draw(t, "request")), Floor: arbiter.Epoch(rapid.Uint64().Draw(t, "floor")),
	}}
})

var evidences = rapid.Custom(func(t *rapid.T) arbiter.Evidence {
	disks := rapid.SliceOfNDistinct(rapid.Custom(func(t *rapid.T) arbiter.Disk {
		return arbiter.Disk{
			Volume: names.Draw(t, "volume"), Own: arbiter.DiskState(names.Draw(t, "own")),
			Peer: arbiter.DiskState(mayNames.Draw(t, "peer")), Connected: flags.Draw(t, "connected"),
		}
	}), 0, 3, func(d arbiter.Disk) string { return d.Volume })
	return arbiter.Evidence{
		Disks: disks.Draw(t, "disks"), References: counts.Draw(t, "references"), Needed: counts.Draw(t, "needed"),
		HearsPeer: flags.Draw(t, "hears"), PeerReaches: counts.Draw(t, "reaches"), OwnWord: rapid.Uint64().Draw(t, "own word"),
		Promising: flags.Draw(t, "promising"), Failed: flags.Draw(t, "failed"),
		Watchdog: arbiter.Watchdog{Armed: flags.Draw(t, "armed"), Hardware: flags.Draw(t, "hardware"), Timeout: spans.Draw(t, "timeout")},
	}
})

var bases = rapid.Custom(func(t *rapid.T) arbiter.Basis {
	return arbiter.Basis{
		Cause: causes.Draw(t, "cause"), Holder: arbiter.NodeID(mayNames.Draw(t, "holder")),
		Epoch: arbiter.Epoch(rapid.Uint64().Draw(t, "epoch")), Grade: grades.Draw(t, "grade"), Switchover: flags.Draw(t, "switchover"),
		Boot: arbiter.BootID(mayNames.Draw(t, "boot")), Mandate: arbiter.MandateID(rapid.Uint64().Draw(t, "mandate")),
	}
})

var verdicts = rapid.Custom(func(t *rapid.T) arbiter.Verdict {
	return arbiter.Verdict{
		Kind: rapid.SampledFrom([]arbiter.Kind{
			arbiter.Granted, arbiter.FenceFirst, arbiter.Permitted, arbiter.Done, arbiter.Refused,
		}).Draw(t, "kind"),
		Reason: arbiter.Reason(names.Draw(t, "reason")), Sentence: texts.Draw(t, "sentence"),
		Holder: arbiter.NodeID(names.Draw(t, "holder")), Epoch: arbiter.Epoch(numbers.Draw(t, "epoch")), Basis: bases.Draw(t, "basis"),
		Mandate: arbiter.MandateID(numbers.Draw(t, "mandate")), Number: arbiter.ExclusionNumber(numbers.Draw(t, "number")),
		Incarnation: arbiter.Incarnation(numbers.Draw(t, "incarnation")), Repeated: flags.Draw(t, "repeated"),
		Recovery: arbiter.RecoveryID(rapid.Uint64().Draw(t, "recovery")),
	}
})

var readings = rapid.SliceOfN(rapid.Custom(func(t *rapid.T) arbiter.Reading {
	return arbiter.Reading{
		Device: names.Draw(t, "device"), Power: rapid.SampledFrom([]string{"on", "off", "unknown"}).Draw(t, "power"), At: instants.Draw(t, "at"),
	}
}), 0, 3)

var definitions = rapid.Custom(func(t *rapid.T) arbiter.Definition {
	groups := rapid.MapOfN(
		rapid.Custom(func(t *rapid.T) arbiter.GroupID { return arbiter.GroupID(names.Draw(t, "group")) }),
		rapid.Custom(func(t *rapid.T) arbiter.GroupDefinition {
			return arbiter.GroupDefinition{
				DRBD: flags.Draw(t, "drbd"), Preferred: arbiter.NodeID(mayNames.Draw(t, "preferred")), MinimumGrade: grades.Draw(t, "grade"),
				Manual: flags.Draw(t, "manual"), TakeoverDelay: spans.Draw(t, "delay"), PromoteWhenPeerGone: flags.Draw(t, "gone"),
				Recovery: rapid.SliceOfN(policies, 0, 2).Draw(t, "recovery"), MoveAfter: spans.Draw(t, "move"),
			}
		}), 0, 3)
	return arbiter.Definition{
		Cluster: arbiter.ClusterID(names.Draw(t, "cluster")),
		Nodes:   [2]arbiter.NodeID{arbiter.NodeID(names.Draw(t, "a")), arbiter.NodeID(names.Draw(t, "b"))},
		Groups:  groups.Draw(t, "groups"),
		Timing: arbiter.Timing{
			TTL: spans.Draw(t, "ttl"), Promise: spans.Draw(t, "promise"), Renew: spans.Draw(t, "renew"), RPCTimeout: spans.Draw(t, "rpc"),
			SuspectAfter: spans.Draw(t, "suspect"), FenceTimeout: spans.Draw(t, "fence"), StartGate: spans.Draw(t, "gate"),
		},
		Stonith: flags.Draw(t, "stonith"), Watchdog: flags.Draw(t, "watchdog"), AcceptPauseRisk: flags.Draw(t, "pause"),
		HoldTime: spans.Draw(t, "hold"), ShotsPerHour: uint32(counts.Draw(t, "shots")),
	}
})

var hellos = rapid.Custom(func(t *rapid.T) leader.Hello {
	groups := rapid.MapOfN(
		rapid.Custom(func(t *rapid.T) arbiter.GroupID { return arbiter.GroupID(names.Draw(t, "group")) }),
		rapid.Custom(func(t *rapid.T) arbiter.GroupReport {
			return arbiter.GroupReport{
				Holder: arbiter.NodeID(mayNames.Draw(t, "holder")), Epoch: arbiter.Epoch(rapid.Uint64().Draw(t, "epoch")), Runs: flags.Draw(t, "runs"),
				Excluded: arbiter.ExclusionNumber(rapid.Uint64().Draw(t, "excluded")), OwnWord: rapid.Uint64().Draw(t, "word"),
				Obtained: arbiter.ExclusionNumber(rapid.Uint64().Draw(t, "obtained")), Pending: flags.Draw(t, "pending"),
			}
		}), 0, 3)
	mandates := rapid.SliceOfN(rapid.Custom(func(t *rapid.T) arbiter.MandateID { return arbiter.MandateID(numbers.Draw(t, "mandate")) }), 0, 2)
	return leader.Hello{Sender: senders.Draw(t, "sender"), Report: arbiter.Report{
		Fresh: flags.Draw(t, "fresh"), Groups: groups.Draw(t, "groups"), Mandates: mandates.Draw(t, "mandates"),
		Since: boottime.Instant(rapid.Int64Min(0).Draw(t, "since")),
	}}
})

var groupBeats = rapid.Custom(func(t *rapid.T) leader.GroupBeat {
	phase := rapid.SampledFrom([]string{"quarantine", "stopped", "starting", "running", "stopping", "failed"}).Draw(t, "phase")
	services := rapid.SliceOfN(rapid.Custom(func(t *rapid.T) leader.Service {
		return leader.Service{Name: names.Draw(t, "name"), State: names.Draw(t, "state")}
	}), 0, 2)
	return leader.GroupBeat{
		Group: arbiter.GroupID(names.Draw(t, "group")), Epoch: arbiter.Epoch(rapid.Uint64().Draw(t, "epoch")), Phase: phase,
		Running: phase == "running", Wants: flags.Draw(t, "wants"), Evidence: evidences.Draw(t, "evidence"), Services: services.Draw(t, "services"),
		Parted: flags.Draw(t, "parted"), Split: flags.Draw(t, "split"), Idle: flags.Draw(t, "idle"), Carrying: rapid.OneOf(rapid.Just[*leader.Carrying](nil), carryings).Draw(t, "carrying"),
	}
})

var measurements = rapid.Custom(func(t *rapid.T) timing.Measured {
	if flags.Draw(t, "never") {
		return timing.Measured{}
	}
	return timing.Measured{Count: numbers.Draw(t, "count"), P999: spans.Draw(t, "p999"), Max: spans.Draw(t, "max")}
})

var reports = rapid.Custom(func(t *rapid.T) *leader.Report {
	groups := rapid.SliceOfNDistinct(rapid.Custom(func(t *rapid.T) timing.Group {
		return timing.Group{
			Name: names.Draw(t, "group"), StartBudget: spans.Draw(t, "start"), StopBudget: spans.Draw(t, "stop"),
			Start: measurements.Draw(t, "started"), Stop: measurements.Draw(t, "stopped"),
			DRBD: rapid.SliceOfN(rapid.Custom(func(t *rapid.T) timing.DRBD {
				return timing.DRBD{
					Resource: names.Draw(t, "resource"), PingInt: spans.Draw(t, "int"), PingTimeout: spans.Draw(t, "timeout"),
					Timeout: spans.Draw(t, "write"), KoCount: counts.Draw(t, "ko"),
				}
			}), 0, 2).Draw(t, "drbd"),
		}
	}), 0, 2, func(g timing.Group) string { return g.Name })
	findings := rapid.SliceOfN(rapid.Custom(func(t *rapid.T) doctor.Finding {
		return doctor.Finding{
			Severity: rapid.SampledFrom(doctor.Severities).Draw(t, "severity"), Subject: texts.Draw(t, "subject"),
			What: texts.Draw(t, "what"), Why: texts.Draw(t, "why"), Fix: texts.Draw(t, "fix"), Node: mayNames.Draw(t, "node"),
		}
	}), 0, 2)
	return &leader.Report{
		ConfigHash: mayNames.Draw(t, "hash"), Examined: flags.Draw(t, "examined"), Findings: findings.Draw(t, "findings"),
		Machine: texts.Draw(t, "machine"), Switches: rapid.MapOfN(names, texts, 1, 3).Draw(t, "switches"),
		Timing: timing.Node{
			Plan: timing.Plan{
				TTL: spans.Draw(t, "ttl"), Promise: spans.Draw(t, "promise"), Renew: spans.Draw(t, "renew"), RPCTimeout: spans.Draw(t, "rpc"),
				SuspectAfter: spans.Draw(t, "suspect"), Stop: spans.Draw(t, "stop"), Watchdog: spans.Draw(t, "wd"), Reset: spans.Draw(t, "reset"), Late: spans.Draw(t, "late"),
			},
			ReadBack: spans.Draw(t, "read back"), Hardware: flags.Draw(t, "hardware"), Fence: spans.Draw(t, "fence"),
			Answer: measurements.Draw(t, "answer"), Shot: measurements.Draw(t, "shot"), Groups: groups.Draw(t, "groups"),
		},
	}
})

var beats = rapid.Custom(func(t *rapid.T) leader.Beat {
	links := rapid.SliceOfN(rapid.Custom(func(t *rapid.T) leader.Link {
		return leader.Link{
			Name: names.Draw(t, "link"), HearsPeer: flags.Draw(t, "hears"),
			LostIn: rapid.IntRange(0, 100).Draw(t, "in"), LostOut: rapid.IntRange(0, 100).Draw(t, "out"),
		}
	}), 0, 2)
	return leader.Beat{
		Sender: senders.Draw(t, "sender"), Number: numbers.Draw(t, "number"), References: counts.Draw(t, "references"), Needed: counts.Draw(t, "needed"),
		Groups: rapid.SliceOfNDistinct(groupBeats, 0, 3, func(g leader.GroupBeat) arbiter.GroupID { return g.Group }).Draw(t, "groups"),
		Links:  links.Draw(t, "links"),
		Report: rapid.OneOf(rapid.Just[*leader.Report](nil), reports).Draw(t, "report"),
	}
})

var beatAnswers = rapid.Custom(func(t *rapid.T) leader.BeatAnswer {
	exclusion := func(what string) arbiter.Exclusion {
		return arbiter.Exclusion{
			Number:  arbiter.ExclusionNumber(rapid.Uint64().Draw(t, what)),
			OwnWord: rapid.Uint64().Draw(t, what+" word"),
		}
	}
	groups := rapid.SliceOfNDistinct(rapid.Custom(func(t *rapid.T) leader.GroupAnswer {
		a := leader.GroupAnswer{
			Group: arbiter.GroupID(names.Draw(t, "group")), Sentence: texts.Draw(t, "sentence"),
			Holder: arbiter.NodeID(mayNames.Draw(t, "holder")), Epoch: arbiter.Epoch(rapid.Uint64().Draw(t, "epoch")),
			MoveTo: arbiter.NodeID(mayNames.Draw(t, "to")), Own: exclusion("own"), Peer: exclusion("peer"), Cleared: rapid.Uint64().Draw(t, "cleared"),
			Task: rapid.OneOf(rapid.Just[*arbiter.Task](nil), tasks).Draw(t, "task"), Apart: flags.Draw(t, "apart"),
		}
		if flags.Draw(t, "renewed") {
			a.Renewed = arbiter.Epoch(numbers.Draw(t, "renewed"))
		} else {
			a.Reason = arbiter.Reason(mayNames.Draw(t, "reason"))
		}
		return a
	}), 0, 3, func(a leader.GroupAnswer) arbiter.GroupID { return a.Group })
	a := leader.BeatAnswer{
		Number: numbers.Draw(t, "number"), Groups: groups.Draw(t, "groups"), Maintenance: flags.Draw(t, "maintenance"), Standby: flags.Draw(t, "standby"),
		Rehearse: arbiter.MandateID(rapid.Uint64().Draw(t, "rehearse")),
		Peer:     leader.PeerView{Heard: flags.Draw(t, "heard"), References: counts.Draw(t, "references"), Needed: counts.Draw(t, "needed")},
	}
	if flags.Draw(t, "defined") {
		d := definitions.Draw(t, "definition")
		a.Definition = &d
	}
	return a
})
