package ctl

import (
	"fmt"
	"strconv"
	"strings"
	"time"

	"sbarbiter/arbiter"
	sbv1 "sbarbiter/proto/sb/v1"
)

// span is a duration for the eye: two digits that matter.
func span(d time.Duration) string {
	switch {
	case d < 0:
		return "0 s"
	case d < 10*time.Second:
		return fmt.Sprintf("%.1f s", d.Seconds())
	case d < 2*time.Minute:
		return fmt.Sprintf("%.0f s", d.Seconds())
	case d < 2*time.Hour:
		return fmt.Sprintf("%.0f min", d.Minutes())
	case d < 48*time.Hour:
		return fmt.Sprintf("%.0f h", d.Hours())
	}
	return fmt.Sprintf("%.0f days", d.Hours()/24)
}

// clock is a moment of a record, in the reader's time zone.
func clock(ms int64) string { return time.UnixMilli(ms).Format("2006-01-02 15:04:05.000") }

// hour is a moment that somebody waits for.
func hour(unix int64) string { return time.Unix(unix, 0).Format("2006-01-02 15:04 MST") }

// and joins words as people do.
func and(words []string) string {
	if len(words) < 2 {
		return strings.Join(words, "")
	}
	return strings.Join(words[:len(words)-1], ", ") + " and " + words[len(words)-1]
}

// verb is the form that agrees with n subjects.
func verb(n int, one, many string) string {
	if n == 1 {
		return one
	}
	return many
}

// basisWords says what a grant rests on.
func basisWords(b *sbv1.Basis) string {
	grade := arbiter.Grade(b.GetGrade())
	switch {
	case b.GetCause() == string(arbiter.ByNothing):
		return "nobody held it before"
	case b.GetSwitchover():
		return fmt.Sprintf("planned switchover from %s (%s), which had stopped it", b.GetHolder(), grade)
	}
	return fmt.Sprintf("%s's epoch %d is over (%s): %s", b.GetHolder(), b.GetEpoch(), grade, grade.Meaning())
}

func exclusionWords(e *sbv1.ExclusionStatus) string {
	var parts []string
	if n := arbiter.ExclusionNumber(e.GetNumber()); n != 0 {
		s := "exclusion " + n.String()
		if e.GetBy() != "" {
			s += fmt.Sprintf(", by %s under epoch %d", e.GetBy(), e.GetEpoch())
		}
		parts = append(parts, s)
	}
	if e.GetDiscard() != 0 {
		parts = append(parts, "given up by an operator")
	}
	if e.GetLost() {
		parts = append(parts, "declared lost by an operator")
	}
	if e.GetOwnWord() != 0 {
		parts = append(parts, fmt.Sprintf("its own record %d", e.GetOwnWord()))
	}
	return strings.Join(parts, "; ")
}

func mandateWords(m *sbv1.MandateStatus) string {
	if m.GetGroup() == "" && m.GetTarget() != "" {
		return fmt.Sprintf("%s rehearses switching %s off and on again", m.GetExecutor(), m.GetTarget())
	}
	switch arbiter.Phase(m.GetPhase()) {
	case arbiter.Open:
		return fmt.Sprintf("%s may shoot %s for %s and has not begun", m.GetExecutor(), m.GetTarget(), m.GetGroup())
	case arbiter.Begun:
		return fmt.Sprintf("%s is shooting %s for %s", m.GetExecutor(), m.GetTarget(), m.GetGroup())
	case arbiter.Settled:
		return fmt.Sprintf("%s's shot at %s is waited out", m.GetExecutor(), first(m.GetTarget(), "either node"))
	}
	return fmt.Sprintf("%s against %s: %s", m.GetExecutor(), m.GetTarget(), m.GetPhase())
}

func decimal(n uint64) string { return strconv.FormatUint(n, 10) }

func pad(s string, width int) string { return fmt.Sprintf("%-*s", width, s) }
