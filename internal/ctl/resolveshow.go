package ctl

import (
	"fmt"
	"strings"
	"time"

	"sbarbiter/arbiter"
	"sbarbiter/recovery"
)

// show tells the operator what was found, decided, and would be done.
func (r *rescue) show(doc *arbiter.Recovery) {
	r.say("%s", strings.TrimSuffix(describe(doc, r.p.historyOf(doc), paper{colourful(r.Asks && r.Colours), r.talkColumns()}), "\n"))
	if text := r.absent(doc); text != "" {
		r.say("%s", strings.TrimSuffix(text, "\n"))
	}
}

// printDocument prints a recovery as data.
func (a *app) printDocument(doc *arbiter.Recovery, h history) error {
	if a.as == jsonLines {
		return a.json(doc)
	}
	return a.print("%s", describe(doc, h, a.paper()))
}

// tellChoice ends a look at a split brain that no policy decides with the lines to type.
func (r *rescue) tellChoice(doc *arbiter.Recovery) error {
	d := doc.Decision
	if r.as == jsonLines || d == nil || d.Victim != "" || !d.Diagnosis.Kind.Split() {
		return nil
	}
	nodes := r.p.def.GetNodes()
	look, keep := "sbctl preview "+r.group, fmt.Sprintf("sbctl resolve %s --keep %s", r.group, nodes[0])
	return r.print("  %-*s  names the files that each choice would cost\n  %s  (or --keep %s) gives the other one's changes up, once you have typed the name\n",
		len(keep), look, keep, nodes[1])
}

// describe is a recovery in full: what was found on both sides, who decided what,
// what is kept and lost, and every step.
func describe(doc *arbiter.Recovery, h history, on paper) string {
	tidied := forPeople(*doc)
	doc = &tidied
	var b strings.Builder
	fmt.Fprintf(&b, "recovery %s of %s: %s\n", doc.ID, doc.Group, phaseWords(doc))
	if doc.Note != "" {
		fmt.Fprintf(&b, "  %s\n", doc.Note)
	}
	if doc.Failure != "" && doc.Phase != arbiter.Over {
		fmt.Fprintf(&b, "  %s %s\n", tinted("!", yellow).show(on.colourful), doc.Failure)
	}
	if doc.Decision != nil && !strings.Contains(doc.Note, doc.Decision.Diagnosis.Why) {
		fmt.Fprintf(&b, "  %s\n", diagnosed(doc))
	}
	found(&b, doc, h, on)
	if doc.Plan == nil && doc.Decision != nil {
		forecasts(&b, doc.Decision.Diagnosis)
	}
	if doc.Decision != nil && (len(doc.Decision.Opinions) > 0 || doc.Plan == nil) {
		b.WriteByte('\n')
		opinions(&b, *doc.Decision, on)
	}
	if doc.Plan != nil && doc.Decision != nil {
		b.WriteByte('\n')
		describePlan(&b, doc, on)
	}
	return b.String()
}

func phaseWords(doc *arbiter.Recovery) string {
	switch doc.Phase {
	case arbiter.Collecting:
		return "both sides are being measured"
	case arbiter.Awaiting:
		return "waits for a side that is not there; nobody is held up"
	case arbiter.Undecided:
		return "undecided: an operator has to say whose copy is kept"
	case arbiter.Decided:
		return "decided, and waits for an operator's word"
	case arbiter.Confirming:
		return "approved by " + doc.Approved + "; both sides are measured once more"
	case arbiter.Carrying:
		return fmt.Sprintf("step %d of %d", doc.Step+1, len(doc.Plan.Steps))
	case arbiter.Over:
		if d := doc.Decision; doc.Outcome == arbiter.NoSplit && d != nil && !d.Diagnosis.Kind.Tells() {
			return "over: nothing is given up: it cannot be told whether the copies have split"
		}
		return "over: " + outcomeWords(doc.Outcome)
	}
	return string(doc.Phase)
}

func outcomeWords(o arbiter.RecoveryOutcome) string {
	switch o {
	case arbiter.Recovered:
		return "both copies are in step again"
	case arbiter.Cancelled:
		return "called off before anything was given up"
	case arbiter.Abandoned:
		return "let go of before its end; the copy that it gives up stays excluded"
	case arbiter.OnlyShown:
		return "only shown"
	case arbiter.NoSplit:
		return "nothing is to be discarded"
	case arbiter.NotChosen:
		return "refused, nothing was touched"
	case arbiter.Superseded:
		return "superseded"
	case arbiter.Forgotten:
		return "forgotten"
	}
	return string(o)
}

// describePlan says what is kept and lost, and each step with its commands.
func describePlan(b *strings.Builder, doc *arbiter.Recovery, on paper) {
	p := doc.Plan
	fmt.Fprintf(b, "kept:   the copy of %s, with all that was written there\n", tinted(string(p.Survivor), green).show(on.colourful))
	fmt.Fprintf(b, "lost:   up to %s that only %s has changed since they parted; it is kept there first\n",
		recovery.Bytes(min(p.Discard, doc.Decision.Discard)), tinted(string(p.Victim), red).show(on.colourful))
	if p.Discard > doc.Decision.Discard {
		fmt.Fprintf(b, "        (should it be more once that has stopped: up to %s is allowed)\n", recovery.Bytes(p.Discard))
	}
	if p.Discard <= doc.Decision.Discard && writes(doc) && (doc.Phase == arbiter.Decided || doc.Outcome == arbiter.OnlyShown) {
		fmt.Fprintf(b, "        (%s is Primary and written to until it is stopped: more will be given up than is shown)\n", p.Victim)
	}
	fmt.Fprintf(b, "copied: %s\n\n", copied(p.Overwrites(doc.Decision.Diagnosis.Volumes), p.Full))
	for i, s := range p.Steps {
		mark := "  "
		switch {
		case doc.Outcome == arbiter.Recovered || doc.Phase == arbiter.Carrying && i < doc.Step:
			mark = "ok"
		case doc.Phase == arbiter.Carrying && i == doc.Step:
			mark = "->"
		}
		if i == p.NoReturn() {
			fmt.Fprintf(b, "     from here on it can only go on:\n")
		}
		fmt.Fprintf(b, "  %s %2d. %s", mark, i+1, s)
		if lines := p.Commands(s); len(lines) > 0 {
			fmt.Fprintf(b, "    # %s", strings.Join(lines, "; "))
		}
		b.WriteByte('\n')
	}
}

// copied says how much of a group's volumes, which are copied side by side, and for how
// long.
func copied(volumes []recovery.VolumeFinding, all bool) string {
	atLeast, atMost, soonest := uint64(0), uint64(0), time.Duration(0)
	for _, v := range volumes {
		atLeast, atMost, soonest = atLeast+v.AtLeast, atMost+v.AtMost, max(soonest, v.Soonest)
	}
	if all {
		return recovery.Bytes(atMost) + ", everything" + orMore(soonest) + ": no bitmap counts from where they parted"
	}
	return fmt.Sprintf("%s to %s by the bitmaps%s", recovery.Bytes(atLeast), recovery.Bytes(atMost), orMore(soonest))
}

// forecasts says what bringing two copies together takes, whoever is kept.
func forecasts(b *strings.Builder, d recovery.Diagnosis) {
	for _, f := range d.Volumes {
		if f.AtMost > 0 {
			fmt.Fprintf(b, "%s: %s\n", f.Volume, forecast(f))
		}
	}
}
