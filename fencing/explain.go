package fencing

import (
	"context"
	"errors"
	"slices"
	"strings"
)

// Explain is a driver's error in one sentence for a person who knows the device that is
// meant: why, and what to do. Logs keep the error with all that it passed through.
func Explain(err error) string {
	why := plainly(narrowed(err))
	switch {
	case errors.Is(err, ErrAuth), errors.Is(err, ErrConfig):
		return why
	case errors.Is(err, ErrUnreachable):
		return "it does not answer (" + silence(err, why) + "); look at its address, the network between, and whether it has power itself"
	}
	return why
}

// silence is why nothing came back: the last cause, as the kernel's word is.
func silence(err error, why string) string {
	var cause error
	for _, p := range wrapped(narrowed(err)) {
		if !slices.Contains(kinds, p) {
			cause = p
		}
	}
	for parts := wrapped(cause); len(parts) > 0; parts = wrapped(cause) {
		cause = parts[len(parts)-1]
	}
	switch {
	case errors.Is(cause, context.DeadlineExceeded), cause == nil && why == "":
		return "nothing came back in time"
	case cause != nil:
		return cause.Error()
	}
	return why
}

// kinds are what drivers say of an error besides its cause.
var kinds = []error{ErrAuth, ErrConfig, ErrUnreachable, ErrNotSent}

// narrowed is the part of an error that says of which kind it is, with its cause, and
// not what was being done: whoever is told knows that.
func narrowed(err error) error {
	parts := wrapped(err)
	if slices.ContainsFunc(parts, func(e error) bool { return e == ErrAuth || e == ErrConfig || e == ErrUnreachable }) { //nolint:errorlint // the kind itself, and none beneath
		return err
	}
	for _, p := range parts {
		if Permanent(p) || errors.Is(p, ErrUnreachable) {
			return narrowed(p)
		}
	}
	if len(parts) == 1 {
		return parts[0] // of no kind
	}
	return err
}

func wrapped(err error) []error {
	switch err := err.(type) { //nolint:errorlint // each layer is looked at
	case interface{ Unwrap() error }:
		if e := err.Unwrap(); e != nil {
			return []error{e}
		}
	case interface{ Unwrap() []error }:
		return err.Unwrap()
	}
	return nil
}

// plainly is the error without the names of its kinds, which the sentence says in its
// own words, and without a cause that stands behind advice already.
func plainly(err error) string {
	why := err.Error()
	for again := true; again; {
		again = false
		for _, k := range kinds {
			if rest, ok := strings.CutPrefix(why, k.Error()); ok {
				why, again = strings.TrimPrefix(rest, ": "), true
			}
		}
	}
	for _, cause := range wrapped(err) {
		if said, ok := strings.CutSuffix(why, ": "+cause.Error()); ok && strings.Contains(said, "; ") {
			why = said
		}
	}
	return why
}
