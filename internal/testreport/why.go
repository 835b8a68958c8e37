package main

import (
	"regexp"
	"strings"
)

// Whoever sees only the end of a long report, or only a part of it, shall see
// what broke: some lines of each failure are said again at the end.
const (
	whyLines = 12 // of one failure
	whyWidth = 300
	whyShown = 6 // failures
)

// tells matches the first line of what says why a test failed: a panic or a
// crash of its process, a data race, or the test's own words.
var tells = regexp.MustCompile(`^panic: |^fatal error: |^unexpected fault |^SIG[A-Z]+|^signal: |WARNING: DATA RACE|^\s*\S+_test\.go:\d+: |^testing: |^\[signal `)

// why returns the lines of a failure's output that say most: from the first
// that tells, or else the last ones.
func why(output []string) []string {
	lines := strings.Split(strings.TrimRight(strings.Join(output, ""), "\n"), "\n")
	from := max(0, len(lines)-whyLines)
	for i, l := range lines {
		if tells.MatchString(l) {
			from = i
			break
		}
	}
	lines = lines[from:min(len(lines), from+whyLines)]
	for i, l := range lines {
		lines[i] = l[:min(len(l), whyWidth)]
	}
	return lines
}

// because notes a failure for the end of the report.
func (r *report) because(what string, output []string) {
	r.failures = append(r.failures, failure{what, why(output)})
}

type failure struct {
	what string
	why  []string
}

func (r *report) showFailures() {
	for i, f := range r.failures {
		if i == whyShown {
			r.printf("and %d more, see above\n", len(r.failures)-i)
			return
		}
		r.printf("FAILED %s\n", f.what)
		for _, l := range f.why {
			r.printf("  | %s\n", l)
		}
	}
}
