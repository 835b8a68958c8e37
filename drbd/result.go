package drbd

import (
	"fmt"
	"strconv"
	"strings"
)

// Outcome is what a command of DRBD's tools came to.
type Outcome string

// Outcomes. Only OutcomeDone says that the kernel took the command; even then
// the state has to be read back, since "nothing to do" looks the same.
const (
	OutcomeDone            Outcome = "done"
	OutcomeHeldOpen        Outcome = "device is held open"
	OutcomeNeedUpToDate    Outcome = "needs access to up-to-date data"
	OutcomePeerPrimary     Outcome = "peer is primary"
	OutcomePeerNotOutdated Outcome = "peer is not known to be outdated"
	OutcomePeerRefused     Outcome = "peer refused the change"
	OutcomeConnected       Outcome = "not possible while connected"
	OutcomeNotConnected    Outcome = "needs a connection"
	OutcomeDiskTooBad      Outcome = "disk is worse than outdated"
	OutcomeDiskless        Outcome = "needs a disk of its own"
	OutcomeTransient       Outcome = "state is changing, try again"
	OutcomeOpenedOnPeer    Outcome = "device is open for reading on the peer"
	OutcomeNoQuorum        Outcome = "no quorum"
	OutcomeAlready         Outcome = "is so already"
	OutcomeWhilePrimary    Outcome = "not allowed while primary"
	OutcomeUnconfigured    Outcome = "is not configured in the kernel"
	OutcomeUsage           Outcome = "command or configuration is wrong"
	// OutcomeNoDriver also stands for a tool that gave up because an earlier
	// one still holds its lock on the minor.
	OutcomeNoDriver Outcome = "driver or its tools do not answer"
	OutcomeOther    Outcome = "refused"
)

// Result is what is known from a command's exit code and the number in its
// message. The message's words differ between releases and are for people.
type Result struct {
	Outcome Outcome
	Exit    int
	// RV is the kernel's negative answer to a state change; 0 if it gave none.
	RV int
	// Code is the kernel's answer above 100 to a request; 0 if it gave none.
	Code int
	// Detail is the line with the number, or what came first.
	Detail string
}

// String formats the result for a log or an error.
func (r Result) String() string {
	if r.Detail == "" {
		return fmt.Sprintf("%s (exit %d)", r.Outcome, r.Exit)
	}
	return fmt.Sprintf("%s (exit %d: %s)", r.Outcome, r.Exit, r.Detail)
}

// ClassifyExit says what a command came to, by numbers alone: the exit code
// and the number that the kernel's answer carries in parentheses.
func ClassifyExit(f Family, exit int, stderr string) Result {
	r := Result{Exit: exit}
	if exit == 0 {
		r.Outcome = OutcomeDone
		return r
	}
	var number int
	number, r.Detail = kernelAnswer(stderr)
	switch {
	case number < 0:
		r.RV = number
		r.Outcome = outcomeOfRV(f, number)
	case number > 100:
		r.Code = number
		r.Outcome = outcomeOfCode(number)
	default:
		r.Outcome = outcomeOfExit(exit)
	}
	return r
}

// kernelAnswer finds the first line of the form "OBJECT: WORDS: (NUMBER) ..."
// and returns its number, or 0 and the first line.
func kernelAnswer(stderr string) (number int, line string) {
	first := ""
	for line := range strings.Lines(stderr) {
		line = strings.TrimSpace(line)
		if first == "" {
			first = line
		}
		_, rest, found := strings.Cut(line, ": (")
		if !found {
			continue
		}
		digits, _, closed := strings.Cut(rest, ")")
		n, err := strconv.Atoi(digits)
		if closed && err == nil && (n < 0 || n > 100) {
			return n, clip(line)
		}
	}
	return 0, clip(first)
}

// outcomeOfRV translates the kernel's answers to state changes (drbd_strings.c
// of either family). Number -21 means different things in the two.
func outcomeOfRV(f Family, rv int) Outcome {
	switch rv {
	case -1, -20:
		return OutcomePeerPrimary
	case -2:
		return OutcomeNeedUpToDate
	case -4, -11:
		return OutcomeDiskless
	case -6:
		return OutcomeConnected
	case -7:
		return OutcomePeerNotOutdated
	case -9:
		return OutcomeAlready
	case -5, -13, -15:
		return OutcomeNotConnected
	case -10:
		return OutcomePeerRefused
	case -12:
		return OutcomeHeldOpen
	case -16:
		return OutcomeDiskTooBad
	case -18, -19, -23:
		return OutcomeTransient
	case -21:
		if f == Family84 {
			return OutcomeNotConnected
		}
		return OutcomeTransient
	case -22:
		return OutcomeOpenedOnPeer
	case -25:
		return OutcomeNoQuorum
	}
	return OutcomeOther
}

// outcomeOfCode translates the kernel's answers to requests (enum
// drbd_ret_code).
func outcomeOfCode(code int) Outcome {
	switch code {
	case 123:
		return OutcomeWhilePrimary
	case 124, 125:
		return OutcomeAlready
	case 127, 158, 162:
		return OutcomeUnconfigured
	case 138:
		return OutcomeDiskless
	}
	return OutcomeOther
}

// outcomeOfExit is all there is without a number in the message.
func outcomeOfExit(exit int) Outcome {
	switch exit {
	case 1:
		return OutcomeUsage
	case 5:
		return OutcomeDiskTooBad
	case 10:
		return OutcomeUnconfigured
	case 16:
		return OutcomeDiskless
	case 17:
		return OutcomeNeedUpToDate
	case 20:
		return OutcomeNoDriver
	}
	return OutcomeOther
}
