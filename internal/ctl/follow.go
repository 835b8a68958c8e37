package ctl

import (
	"cmp"
	"fmt"
	"strings"
	"time"

	"sbarbiter/arbiter"
	sbv1 "sbarbiter/proto/sb/v1"
	"sbarbiter/recovery"
)

const (
	followEvery = 150 * time.Millisecond
	sayWhyAfter = 5 * time.Second // that a step lasts
	// lineEvery is how often copying is told of where nobody sees a bar.
	lineEvery = 5 * time.Second
	barWidth  = 30
)

// follow tells each step as it is done, until the recovery is over. Whoever stops
// following does not stop it.
func (r *rescue) follow() error {
	t := &teller{app: r.app}
	for asked := 1; ; {
		doc, carrying, err := r.document()
		if err != nil {
			return fmt.Errorf("%w; it goes on without being watched: sbctl recovery show %s", err, r.group)
		}
		t.tell(doc, carrying)
		switch doc.Phase {
		case arbiter.Over:
			return r.ended(doc)
		case arbiter.Decided:
			if asked++; asked > mostAsked {
				const why = "what both sides have goes on changing"
				off := r.callOff(why)
				return besides(&refusal{sentence: fmt.Sprintf("%s: %s; stop what writes to them, and look again: sbctl resolve %s --dry-run", r.calledOff(off), why, r.group)}, off)
			}
			r.show(doc)
			if err := r.approve(doc); err != nil {
				return err
			}
		case arbiter.Undecided:
			r.show(doc)
			return &refusal{reason: arbiter.EvidenceChanged, sentence: doc.Note}
		case arbiter.Awaiting:
			return &refusal{reason: arbiter.EvidenceChanged, sentence: doc.Note}
		case arbiter.Collecting, arbiter.Confirming, arbiter.Carrying:
		}
		if !pause(r.cmd.Context(), followEvery) {
			r.say("")
			return fmt.Errorf("not followed to its end; recovery %s goes on: sbctl recovery show %s", r.id, r.group)
		}
	}
}

// ended prints how it ended.
func (r *rescue) ended(doc *arbiter.Recovery) error {
	if r.as == jsonLines {
		if err := r.json(doc); err != nil {
			return err
		}
	}
	switch doc.Outcome {
	case arbiter.Recovered:
		if r.as == table {
			return r.print("%s: %s; what %s had is kept there\n", r.group, shownAs(doc.Note), doc.Plan.Victim)
		}
		return nil
	case arbiter.NotChosen, arbiter.NoSplit:
		return &refusal{sentence: "nothing was given up: " + doc.Note}
	default:
		return fmt.Errorf("recovery %s of %s: %s: %s", doc.ID, doc.Group, outcomeWords(doc.Outcome), doc.Note)
	}
}

// teller tells what has changed since it looked last.
type teller struct {
	*app
	try     uint32
	step    int
	failure string
	begun   time.Time // of the copying
	left    uint64    // then
	line    time.Time
	bar     bool   // stands on the screen
	note    string // what the step under way says of itself
	noted   time.Time
}

func (t *teller) tell(doc *arbiter.Recovery, carrying []*sbv1.Carrying) {
	if doc.Phase != arbiter.Carrying && doc.Outcome != arbiter.Recovered {
		return
	}
	if doc.Tries != t.try {
		t.try, t.step, t.failure = doc.Tries, 0, ""
	}
	if doc.Step < t.step {
		t.words("the copies are brought together anew: %s", shownAs(doc.Failure))
		t.step = doc.Step
	}
	for last := doc.Step; t.step < last; t.step++ {
		t.words("done  %s", doc.Plan.Steps[t.step])
	}
	if doc.Failure != t.failure && doc.Phase == arbiter.Carrying {
		t.failure = doc.Failure
		if t.failure != "" {
			t.words("waits %s: %s; it is tried again until it works", doc.Plan.Steps[doc.Step], shownAs(t.failure))
		}
	}
	if doc.Phase == arbiter.Carrying && doc.Plan.Steps[doc.Step].Kind == recovery.FollowResync {
		t.copying(carrying)
		return
	}
	t.lasts(carrying, time.Now())
}

// lasts says why a step takes long: once, and not of steps that are over at once.
func (t *teller) lasts(carrying []*sbv1.Carrying, now time.Time) {
	note := ""
	for _, c := range carrying {
		note = cmp.Or(note, c.GetNote())
	}
	switch {
	case note != t.note:
		t.note, t.noted = note, now
	case note != "" && !t.noted.IsZero() && now.Sub(t.noted) >= sayWhyAfter:
		t.words("so far %s", shownAs(note))
		t.noted = time.Time{}
	}
}

// words is a line of its own, below a bar that stands there.
func (t *teller) words(format string, args ...any) {
	if t.bar {
		t.bar = false
		fmt.Fprint(t.Err, "\r\x1b[K")
	}
	t.say(format, args...)
}

// copying draws a bar on a terminal, and writes a line now and then elsewhere.
func (t *teller) copying(carrying []*sbv1.Carrying) {
	var c *sbv1.Carrying
	for _, of := range carrying {
		if of.GetTotal() > 0 && (c == nil || of.GetTotal() > c.GetTotal()) {
			c = of
		}
	}
	if c == nil {
		return
	}
	now := time.Now()
	if t.begun.IsZero() {
		t.begun, t.left = now, c.GetLeft()
	}
	text := progress(c.GetLeft(), c.GetTotal(), t.left-min(t.left, c.GetLeft()), now.Sub(t.begun))
	switch {
	case t.Asks && t.Screen:
		t.bar = true
		fmt.Fprintf(t.Err, "\r\x1b[K%s", text)
	case now.Sub(t.line) >= lineEvery:
		t.line = now
		t.say("copying %s", text)
	}
}

// progress is how far a copy is, how fast, and how long it takes still.
func progress(left, total, copied uint64, in time.Duration) string {
	share := float64(total-min(left, total)) / float64(max(total, 1))
	full := int(share * barWidth)
	out := fmt.Sprintf("[%s%s] %3.0f%%  %s of %s", strings.Repeat("#", full), strings.Repeat(".", barWidth-full), 100*share,
		recovery.Bytes(total-min(left, total)), recovery.Bytes(total))
	if copied == 0 || in <= 0 {
		return out
	}
	rate := float64(copied) / in.Seconds()
	return out + fmt.Sprintf("  %s/s  %s left", recovery.Bytes(uint64(rate)), span(time.Duration(float64(left)/rate*float64(time.Second))))
}
