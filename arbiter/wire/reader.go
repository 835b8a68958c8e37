// Package wire answers what a message of the contract means: it turns the
// generated messages into the arbiter's own words and back, and does nothing
// else. Who may say what, and what becomes of it, is left to witness and remote.
//
// Reading is strict: what is missing, out of range or unknown is an error, never
// a zero that means something. Writing never fails.
package wire

import (
	"errors"
	"fmt"
	"math"
	"slices"
	"time"

	"sbarbiter/arbiter"
	"sbarbiter/internal/boottime"
)

// Bounds of what one field may hold: far above what is in use, low enough that
// nobody fills a witness's log with one message.
const (
	longestName = 253
	longestText = 4096
	mostListed  = 512
	mostCounted = 1 << 20
	mostNamed   = 64
	longestSpan = 30 * 24 * time.Hour
)

// reader collects what is wrong with one message.
type reader struct{ errs []error }

func (r *reader) fail(field, format string, a ...any) {
	r.errs = append(r.errs, fmt.Errorf("%s: %s", field, fmt.Sprintf(format, a...)))
}

// in takes over what was wrong with a part.
func (r *reader) in(field string, err error) {
	if err != nil {
		r.errs = append(r.errs, fmt.Errorf("%s: %w", field, err))
	}
}

func (r *reader) err() error { return errors.Join(r.errs...) }

// name reads a name that must be there.
func (r *reader) name(field, s string) string {
	if s == "" {
		r.fail(field, "a name is needed")
	}
	return r.mayName(field, s)
}

// mayName reads a name that may be missing.
func (r *reader) mayName(field, s string) string {
	if len(s) > longestName {
		r.fail(field, "%d bytes are too long for a name", len(s))
	}
	return s
}

func (r *reader) text(field, s string) string {
	if len(s) > longestText {
		r.fail(field, "%d bytes are too long for a sentence", len(s))
	}
	return s
}

// texts reads sentences by name.
func (r *reader) texts(field string, m map[string]string) map[string]string {
	if len(m) > mostNamed {
		r.fail(field, "%d are more than can be", len(m))
		return nil
	}
	for name, s := range m {
		r.text(field, r.name(field, name))
		r.text(field+"."+name, s)
	}
	return m
}

func (r *reader) count(field string, n uint32) int {
	if n > mostCounted {
		r.fail(field, "%d is more than can be", n)
	}
	return int(n)
}

func (r *reader) percent(field string, n uint32) int {
	if n > 100 {
		r.fail(field, "%d is no share of a hundred", n)
	}
	return int(n)
}

func (r *reader) span(field string, ns int64) time.Duration {
	d := time.Duration(ns)
	if d < 0 || d > longestSpan {
		r.fail(field, "%v is not between 0 and %v", d, longestSpan)
	}
	return d
}

func (r *reader) instant(field string, ns int64) boottime.Instant {
	if ns <= 0 {
		r.fail(field, "%d is no boot time", ns)
	}
	return boottime.Instant(ns)
}

func (r *reader) grade(field string, n uint32) arbiter.Grade {
	if n > uint32(arbiter.E5) {
		r.fail(field, "%d is no grade: they are 0 to 5", n)
		return arbiter.E0
	}
	return arbiter.Grade(n)
}

// oneOf reads a word of a closed set.
func oneOf[T ~string](r *reader, field, s string, known ...T) T {
	if !slices.Contains(known, T(s)) {
		r.fail(field, "%q is not known here", s)
	}
	return T(s)
}

// few refuses a list that is longer than any in use.
func few[P any](r *reader, field string, in []P) []P {
	if len(in) <= mostListed {
		return in
	}
	r.fail(field, "%d are more than %d", len(in), mostListed)
	return nil
}

// each reads the elements of a list.
func each[P, T any](r *reader, field string, in []P, read func(P) (T, error)) []T {
	if in = few(r, field, in); len(in) == 0 {
		return nil
	}
	out := make([]T, 0, len(in))
	for i, p := range in {
		v, err := read(p)
		r.in(fmt.Sprintf("%s[%d]", field, i), err)
		out = append(out, v)
	}
	return out
}

// once complains about a name that a list gives twice.
func once[T any, K comparable](r *reader, field string, in []T, key func(T) K) {
	seen := make(map[K]bool, len(in))
	for i, v := range in {
		if k := key(v); seen[k] {
			r.fail(fmt.Sprintf("%s[%d]", field, i), "%v is given twice", k)
		} else {
			seen[k] = true
		}
	}
}

// all writes the elements of a list.
func all[T, P any](in []T, write func(T) P) []P {
	if len(in) == 0 {
		return nil
	}
	out := make([]P, 0, len(in))
	for _, v := range in {
		out = append(out, write(v))
	}
	return out
}

// unsigned writes a count; ours are never below zero.
func unsigned(n int) uint32 { return uint32(min(max(n, 0), math.MaxUint32)) }
