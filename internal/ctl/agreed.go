package ctl

import (
	"errors"
	"fmt"

	"sbarbiter/arbiter"
	sbv1 "sbarbiter/proto/sb/v1"
	"sbarbiter/recovery"
)

// agreed is what an operator has agreed to: whose changes are given up, and how much of
// them at the most. With no victim, it is nothing yet.
type agreed struct {
	victim recovery.Node
	most   uint64
}

func (a agreed) covers(p recovery.Plan) bool { return a.victim == p.Victim && p.Discard <= a.most }

// unasked finds, before a recovery is opened, that nobody could agree to it.
func (r *rescue) unasked() error {
	yes, waits := *r.flags.yes, r.flags.whenBack && r.flags.most == nil
	switch typed := r.flags.typed; {
	case r.flags.dryRun:
		return nil
	case typed != "" && !yes:
		return usage(r.cmd, "nothing was done: --typed is for scripts, together with --yes")
	case typed != "" && typed != r.group:
		return &refusal{sentence: fmt.Sprintf("nothing was done: %q is not %s", typed, r.group)}
	case typed == "" && !r.Asks && !waits:
		return usage(r.cmd, "nothing was done: there is nobody to ask here; look at sbctl resolve %s --dry-run, and add --typed %s --yes if that is right", r.group, r.group)
	}
	return nil
}

// approve gets the operator's word and gives it to the witness.
func (r *rescue) approve(doc *arbiter.Recovery) error {
	typed, err := r.word(doc)
	if err != nil {
		dear := (*tooDear)(nil)
		if !errors.As(err, &dear) {
			return r.letGo(err, "not approved")
		}
		off, done := r.callOff(dear.record), "nothing was done"
		if dear.begun {
			done = r.calledOff(off)
		}
		return besides(&refusal{sentence: done + ": " + dear.why}, off)
	}
	v, err := ask(r.cmd.Context(), r.w, &sbv1.ApproveRecoveryRequest{
		Cluster: r.cluster, Group: r.group, Recovery: uint64(r.id), Revision: doc.Revision, Typed: typed, AtMost: r.limit(*doc.Plan),
	}, r.w.ApproveRecovery)
	if err != nil {
		return err
	}
	if v.GetKind() == string(arbiter.Refused) {
		return r.outcome(v)
	}
	r.say("%s", v.GetSentence())
	return nil
}

// calledOff says what became of a recovery that had begun, and was not agreed to any further.
func (r *rescue) calledOff(err error) string {
	if err != nil {
		return "nothing more was agreed to"
	}
	return fmt.Sprintf("nothing was given up, and recovery %s is called off", r.id)
}

// limit is how much may be given up in the end, where that was said: what was shown goes on
// growing where the losing side is written to. A witness of an earlier release does not
// know of it, and asks again for what it comes to.
func (r *rescue) limit(p recovery.Plan) *uint64 {
	if r.flags.most == nil || !r.agreed.covers(p) {
		return nil
	}
	return &r.agreed.most
}

// word is the operator's word to a decision. What was said beforehand counts for what
// was shown first, or for --at-most, and for nothing that costs more.
func (r *rescue) word(doc *arbiter.Recovery) (string, error) {
	p, limited := *doc.Plan, r.flags.most != nil
	anew := r.agreed.victim != ""
	next := agreed{p.Victim, p.Discard}
	if limited && !anew {
		next.most = *r.flags.most
	}
	given := *r.flags.yes && r.flags.typed != ""
	switch {
	case anew && r.agreed.covers(p) && (given || limited):
		return r.group, nil
	case anew && given:
		dear := r.costsMore(p)
		dear.begun = true
		return "", dear
	case given && !limited && writes(doc):
		return "", r.costsMore(p)
	case limited && !next.covers(p):
		r.agreed = next
		return "", r.costsMore(p)
	}
	typed, err := r.typedGroup(next)
	if err == nil {
		r.agreed = next
	}
	return typed, err
}

// tooDear is a refusal because more would be given up than was agreed to beforehand.
type tooDear struct {
	begun  bool // something was agreed to, and both sides were measured again
	why    string
	record string // the same as a record has it
}

func (e *tooDear) Error() string { return e.why }

// costsMore refuses what was said beforehand: more would be given up than that covers.
func (r *rescue) costsMore(p recovery.Plan) *tooDear {
	now, said := recovery.Apart(p.Discard, r.agreed.most)
	is := fmt.Sprintf("up to %s of %s's changes would be given up", now, p.Victim)
	why, record := is+", and you have agreed to "+said, is+", and "+said+" was agreed to"
	switch {
	case r.agreed.victim == "":
		writes := fmt.Sprintf("%s is Primary and written to until it is stopped", p.Victim)
		why = fmt.Sprintf("%s, so more than the %s that it has changed by now would be given up, and nobody has agreed to how much", writes, recovery.Bytes(p.Discard))
		record = writes + ", and nobody has agreed to how much"
	case r.agreed.victim != p.Victim:
		return &tooDear{
			why:    fmt.Sprintf("it would be %s's changes that are given up now, and you have agreed to give up those of %s; look at it again: sbctl resolve %s --dry-run", p.Victim, r.agreed.victim, r.group),
			record: fmt.Sprintf("it would be %s's changes that are given up, and those of %s were agreed to", p.Victim, r.agreed.victim),
		}
	}
	return &tooDear{why: fmt.Sprintf("%s; stop what writes to it, or say how much may be given up: sbctl resolve %s --keep %s --at-most %s --typed %s --yes",
		why, r.group, p.Survivor, roomy(p.Discard), r.group), record: record}
}

// roomy is an amount to allow where so much is changed already and more is written: at
// least twice as much, round, and as it is typed.
func roomy(changed uint64) string {
	mib := uint64(64)
	for mib < 1<<40 && mib<<19 < changed {
		mib *= 2
	}
	if mib >= 1<<10 {
		return fmt.Sprintf("%dGiB", mib>>10)
	}
	return fmt.Sprintf("%dMiB", mib)
}

// writes reports whether the side that loses was Primary when it was measured.
func writes(doc *arbiter.Recovery) bool {
	return doc.Evidence != nil && doc.Plan != nil && doc.Evidence.Writes(doc.Plan.Victim)
}

// typedGroup gets the name that only somebody who means it types.
func (r *rescue) typedGroup(to agreed) (string, error) {
	typed := r.flags.typed
	switch {
	case typed != "" && *r.flags.yes:
	case typed != "":
		return "", usage(r.cmd, "nothing was done: --typed is for scripts, together with --yes")
	case !r.Asks:
		return "", usage(r.cmd, "nothing was done: there is nobody to ask here; add --typed %s --yes if the plan above is right", r.group)
	default:
		var err error
		if typed, err = r.question(r.cmd.Context(), fmt.Sprintf("Type the group's name if up to %s may be given up: ", r.loss(to))); err != nil {
			return "", err
		}
	}
	if typed != r.group {
		return "", &refusal{sentence: fmt.Sprintf("nothing was done: %q is not %s", typed, r.group)}
	}
	return typed, nil
}

// loss is what is asked about; where it was less before, next to that.
func (r *rescue) loss(to agreed) string {
	if r.agreed.victim != to.victim || to.most <= r.agreed.most {
		return fmt.Sprintf("%s of %s's changes", recovery.Bytes(to.most), to.victim)
	}
	now, before := recovery.Apart(to.most, r.agreed.most)
	return fmt.Sprintf("%s of %s's changes (it was %s before)", now, to.victim, before)
}
