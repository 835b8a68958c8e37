package ctl

import (
	"regexp"
	"strings"

	"sbarbiter/arbiter"
	sbv1 "sbarbiter/proto/sb/v1"
)

// advice is what a person does about each refusal. docs/operations.md tells the
// same story in its table.
var advice = map[arbiter.Reason]string{
	arbiter.UnknownCluster:   "declare it: sbctl cluster add -f cluster.yaml",
	arbiter.UnknownNode:      "look at the names: sbctl cluster show; they are what uname -n says",
	arbiter.UnknownGroup:     "look at the names: sbctl cluster show; add the group there first",
	arbiter.WrongIdentity:    "give the host the certificate that was issued for it: sbctl pki show",
	arbiter.StaleBoot:        "nothing; a message from before a reboot came late",
	arbiter.NotIntroduced:    "nothing; the agent reports by itself within a second",
	arbiter.StaleAgent:       "nothing; a message from before a restart of sbagent came late",
	arbiter.WordOver:         "nothing, if that is as you want it; else look again (sbctl status), and say it anew",
	arbiter.Overtaken:        "nothing; the agent asks again by itself",
	arbiter.RolledBack:       "on that node: stop sbagent, remove its state directory, let DRBD resynchronise in full, start sbagent",
	arbiter.TwinIdentity:     "find the second machine with that name, switch it off, then: sbctl cluster add -f cluster.yaml",
	arbiter.WitnessLearning:  "start sbagent on both nodes; the witness has learnt enough once both have reported",
	arbiter.WitnessBehind:    "see docs/operations.md, \"Replacing the witness\"; it learns anew from the nodes by itself",
	arbiter.InMaintenance:    "sbctl maintenance off, when the work is done",
	arbiter.InStandby:        "sbctl unstandby NODE, when the work is done",
	arbiter.ManualMode:       "sbctl switchover GROUP --to NODE, if that is what you want",
	arbiter.IsExcluded:       "let that node resynchronise (drbdadm status there); it is readmitted by itself, unless the two have split, as sbctl status says then: sbctl resolve GROUP --dry-run. If the other node, which has the good copy, is lost for good: sbctl group init GROUP --keep NODE --lost",
	arbiter.DiskUnusable:     "look at the disk of that node: drbdadm status, then the kernel's log",
	arbiter.NeverInStep:      "let DRBD finish its first synchronisation, then it starts by itself",
	arbiter.IsIsolated:       "mend that node's network; sbctl status shows what it reaches",
	arbiter.MandateUnderWay:  "wait until the shot is over: sbctl why",
	arbiter.MandateBegun:     "wait; that node is being shot and gets nothing before its next boot",
	arbiter.MandateOver:      "nothing; the situation changed while somebody was about to shoot",
	arbiter.HeldByPeer:       "nothing while the holder is well; if it is dead: sbctl status says what is missing",
	arbiter.GradeTooLow:      "prove the old holder off better than now (mend its fence device), or lower minimum_grade",
	arbiter.PeerPreferred:    "nothing; the other node is about to take it",
	arbiter.GateClosed:       "wait for start_gate, or start the other node",
	arbiter.SwitchUnderWay:   "wait for the switchover, or: sbctl switchover GROUP --cancel",
	arbiter.TakeoverDelayed:  "wait for takeover_delay, or mend the holder meanwhile",
	arbiter.NoMaintenance:    "sbctl maintenance on --for 30m, and try again",
	arbiter.HoldsGroup:       "end maintenance, sbctl standby NODE, and try again in a new window",
	arbiter.HeldBack:         "look at both nodes; wait for hold_time, or, if you have seen that the holder is off: sbctl fence confirm NODE",
	arbiter.ShotsSpent:       "find out why nodes are shot so often; wait, or, if you have seen that the holder is off: sbctl fence confirm NODE",
	arbiter.NotHolder:        "nothing; the lease ended before the message came: sbctl why GROUP",
	arbiter.GrantedToPeer:    "nothing; the other node runs it, and this one resets itself rather than write",
	arbiter.RenewFirst:       "nothing; the agent renews and asks again by itself",
	arbiter.LastCopy:         "bring the other copy back: this one is stale, and the last good one is never given up",
	arbiter.NotLatest:        "nothing; a later exclusion stands, and is lifted by a later resynchronisation",
	arbiter.NoGoodCopy:       "look at both copies, then say which is kept: sbctl group init GROUP --keep NODE; see \"Both copies are stale\" in docs/operations.md",
	arbiter.NotInStep:        "wait until sbctl status says that both copies are in step, then try again; if it says that they have split, that never comes: sbctl resolve GROUP --dry-run",
	arbiter.TargetAlive:      "do not confirm; it is alive. Mend what keeps it from being heard",
	arbiter.NotProven:        "mend the fence device; if you have seen that the node is off: sbctl fence confirm NODE",
	arbiter.NothingToDo:      "sbctl status shows how things are; perhaps it has been done already",
	arbiter.NoDRBD:           "nothing; the group has no copies that could be stale",
	arbiter.BadDefinition:    "mend cluster.yaml as the sentence says, then: sbctl cluster add -f cluster.yaml",
	arbiter.RecoveryUnderWay: "wait for the recovery: sbctl recovery show GROUP; one that has not given anything up yet can be called off: sbctl recovery cancel GROUP",
	arbiter.RecoveryOver:     "look at what became of it: sbctl recovery list",
	arbiter.NotMeasured:      "mend what keeps that node from being measured (the sentence says it); the recovery goes on by itself",
	arbiter.BadOrder:         "say it anew: sbctl resolve GROUP --keep NODE",
	arbiter.EvidenceChanged:  "look at the new decision, then approve that: sbctl resolve GROUP",
	arbiter.PastReturn:       "let it end: sbctl recovery show GROUP; what it gives up is kept on the node that loses it. If that node never comes back: sbctl recovery abandon GROUP",
	arbiter.Implausible:      "that node's store is damaged: stop sbagent there, remove its state directory, start it again",
}

// ofOneCluster finds the commands in a sentence that are about one cluster.
var ofOneCluster = regexp.MustCompile(`\bsbctl (why|events|switchover|standby|unstandby|maintenance|fence|resolve|recovery|group|preview|salvage|timing|drbd-config|cluster show)\b`)

// examine judges a cluster. Where the witness has several, the commands that are
// advised name theirs, so that they do what is meant as they stand.
func (w *witness) examine(c *sbv1.ClusterStatus) *pair {
	here := func(sentence string) string { return addressed(sentence, w.among(c.GetDefinition().GetCluster())) }
	for _, g := range c.GetGroups() {
		if s := g.GetSplit(); s != nil {
			s.What, s.Do = here(s.GetWhat()), here(s.GetDo())
		}
	}
	p := examine(c)
	for i := range p.found {
		p.found[i].What, p.found[i].Do = here(p.found[i].What), here(p.found[i].Do)
	}
	p.alarms = each(p.alarms, here)
	return p
}

// addressed puts a cluster's name into the commands of a sentence. Who wrote it, the
// witness's rules first of all, does not know whether there are other clusters.
func addressed(sentence, cluster string) string {
	if cluster == "" {
		return sentence
	}
	return ofOneCluster.ReplaceAllStringFunc(sentence, func(command string) string {
		return "sbctl --cluster " + cluster + strings.TrimPrefix(command, "sbctl")
	})
}
