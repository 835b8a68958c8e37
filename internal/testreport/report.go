package main

import (
	"cmp"
	"fmt"
	"io"
	"slices"
	"strings"
)

// event is one line of "go test -json" (go doc test2json).
type event struct {
	Action      string
	Package     string
	ImportPath  string // of a build that says or ends something
	Test        string
	Elapsed     float64 // seconds
	Output      string
	FailedBuild string
}

// harnessSkip begins the reason of a test function that only stands in as
// another test's child process. Such a skip hides nothing.
const harnessSkip = "runs only as"

// test names one test or subtest; an empty name is the package itself.
type test struct{ pkg, name string }

// report folds events into counts and prints what matters as it comes.
type report struct {
	to      io.Writer
	noSkips string

	output                  map[test][]string
	passed, failed, skipped int
	brokenPackages          int
	skips                   []skip
	longest                 []lasted
	failures                []failure
	parents                 map[test]bool  // whose time is that of their subtests
	count                   map[string]int // tests that ran, by package
}

type skip struct {
	test
	reason    string
	forbidden bool
}

// What took longest is shown: there is time to be saved.
const (
	longestShown = 12
	longTest     = 5 // seconds
)

// lasted is how many seconds a test took.
type lasted struct {
	test
	seconds float64
}

func newReport(to io.Writer, noSkips string) *report {
	return &report{to: to, noSkips: noSkips, output: map[test][]string{}, count: map[string]int{}, parents: map[test]bool{}}
}

func (r *report) printf(format string, args ...any) {
	// A report that cannot be printed has nobody to tell.
	_, _ = fmt.Fprintf(r.to, format, args...)
}

// stray passes on what is no event: the toolchain's own words.
func (r *report) stray(line string) { r.printf("%s", line) }

func (r *report) add(ev event) {
	if ev.Action == "build-output" {
		r.printf("%s", ev.Output)
		return
	}
	at := test{ev.Package, ev.Test}
	switch ev.Action {
	case "output":
		r.output[at] = append(r.output[at], ev.Output)
	case "pass", "fail", "skip":
		if ev.Test == "" {
			r.endPackage(ev)
		} else {
			r.time(at, ev.Elapsed)
			r.endTest(at, ev.Action)
		}
	}
}

// time notes a test that took long. Its subtests have ended before it.
func (r *report) time(at test, seconds float64) {
	if i := strings.LastIndexByte(at.name, '/'); i >= 0 {
		r.parents[test{at.pkg, at.name[:i]}] = true
	}
	if seconds >= longTest && !r.parents[at] {
		r.longest = append(r.longest, lasted{at, seconds})
	}
}

func (r *report) endTest(at test, action string) {
	r.count[at.pkg]++
	switch action {
	case "pass":
		r.passed++
	case "skip":
		r.addSkip(at)
	case "fail":
		r.failed++
		r.printf("--- FAIL: %s %s\n%s", at.pkg, at.name, strings.Join(r.output[at], ""))
		r.because(at.pkg+" "+at.name, r.output[at])
	}
	delete(r.output, at)
}

func (r *report) addSkip(at test) {
	reason := reasonIn(r.output[at])
	if strings.HasPrefix(reason, harnessSkip) {
		r.count[at.pkg]--
		return
	}
	r.skipped++
	forbidden := r.noSkips != "" && strings.HasPrefix(at.pkg, r.noSkips)
	r.skips = append(r.skips, skip{at, reason, forbidden})
}

func (r *report) showLongest() {
	slices.SortStableFunc(r.longest, func(a, b lasted) int { return cmp.Compare(b.seconds, a.seconds) })
	if len(r.longest) > 0 {
		r.printf("longest:\n")
	}
	for _, l := range r.longest[:min(len(r.longest), longestShown)] {
		r.printf("  %.1f s %s %s\n", l.seconds, l.pkg, l.name)
	}
}

// reasonIn finds what a test said when it skipped: its last words, without the
// place in the source.
func reasonIn(output []string) string {
	for i := len(output) - 1; i >= 0; i-- {
		line := strings.TrimSpace(output[i])
		if line == "" || strings.HasPrefix(line, "===") || strings.HasPrefix(line, "---") {
			continue
		}
		if place, said, ok := strings.Cut(line, ": "); ok && strings.Contains(place, ".go:") {
			return said
		}
		return line
	}
	return "no reason given"
}

func (r *report) endPackage(ev event) {
	at := test{pkg: ev.Package}
	switch {
	case ev.Action == "fail":
		r.brokenPackages++
		// What no test owns: a panic, a data race, a failed build.
		r.unfinished(ev.Package)
		r.printf("FAIL %s %.1f s %s\n", ev.Package, ev.Elapsed, unbuilt(ev))
	case r.count[ev.Package] > 0:
		r.printf("ok   %s %.1f s, %d tests\n", ev.Package, ev.Elapsed, r.count[ev.Package])
	}
	delete(r.output, at)
}

// unfinished prints the output of a package and of its tests that never ended.
func (r *report) unfinished(pkg string) {
	own := r.output[test{pkg: pkg}]
	r.printf("%s", strings.Join(own, ""))
	whole := true
	for at, output := range r.output {
		if at.pkg == pkg && at.name != "" {
			r.printf("--- not ended: %s\n%s", at.name, strings.Join(output, ""))
			r.because(pkg+" "+at.name+" (not ended)", output)
			delete(r.output, at)
			whole = false
		}
	}
	if whole && len(own) > 0 && r.failed == 0 {
		r.because(pkg, own)
	}
}

func unbuilt(ev event) string {
	if ev.FailedBuild != "" {
		return "(does not build)"
	}
	return ""
}

// close prints the end and reports whether all is well.
func (r *report) close() bool {
	forbidden := 0
	if len(r.skips) > 0 {
		r.printf("skipped:\n")
	}
	for _, s := range r.skips {
		mark := ""
		if s.forbidden {
			forbidden++
			mark = " (a failure here: CI must run it)"
		}
		r.printf("  %s %s: %s%s\n", s.pkg, s.name, s.reason, mark)
	}
	r.showLongest()
	r.showFailures()
	failed := r.failed + forbidden
	if r.failed == 0 {
		failed += r.brokenPackages // a build or a TestMain that no test counts
	}
	r.printf("%d passed, %d failed, %d skipped\n", r.passed, failed, r.skipped-forbidden)
	return failed == 0 && r.brokenPackages == 0 && r.passed > 0
}
