package main

import (
	"strings"
	"testing"
)

func TestTheReport(t *testing.T) {
	stories := []struct {
		name, noSkips, events string
		well                  bool
		says                  []string
	}{
		{
			name: "all is well", well: true,
			events: `{"Action":"output","Package":"a","Test":"TestX","Output":"noise\n"}
{"Action":"pass","Package":"a","Test":"TestX"}
{"Action":"pass","Package":"a","Elapsed":1.25}`,
			says: []string{"ok   a 1.2 s, 1 tests\n", "1 passed, 0 failed, 0 skipped\n"},
		},
		{
			name: "what took longest is named, the longest first", well: true,
			events: `{"Action":"pass","Package":"a","Test":"TestX","Elapsed":4.9}
{"Action":"pass","Package":"a","Test":"TestY","Elapsed":6.1}
{"Action":"pass","Package":"a","Test":"TestZ/one","Elapsed":9}
{"Action":"pass","Package":"a","Test":"TestZ/two","Elapsed":1}
{"Action":"pass","Package":"a","Test":"TestZ","Elapsed":10}
{"Action":"pass","Package":"a"}`,
			says: []string{"longest:\n  9.0 s a TestZ/one\n  6.1 s a TestY\n5 passed"},
		},
		{
			name: "a failure shows its output",
			events: `{"Action":"output","Package":"a","Test":"TestX","Output":"    x_test.go:3: got 1\n"}
{"Action":"fail","Package":"a","Test":"TestX"}
{"Action":"fail","Package":"a"}`,
			says: []string{"--- FAIL: a TestX\n    x_test.go:3: got 1\n", "FAIL a", "0 passed, 1 failed, 0 skipped\n"},
		},
		{
			name: "a skip names its reason", well: true,
			events: `{"Action":"pass","Package":"a","Test":"TestX"}
{"Action":"output","Package":"a","Test":"TestY","Output":"=== RUN   TestY\n"}
{"Action":"output","Package":"a","Test":"TestY","Output":"    y_test.go:9: needs root: run as root\n"}
{"Action":"output","Package":"a","Test":"TestY","Output":"--- SKIP: TestY (0.00s)\n"}
{"Action":"skip","Package":"a","Test":"TestY"}
{"Action":"pass","Package":"a"}`,
			says: []string{"skipped:\n  a TestY: needs root: run as root\n", "1 passed, 0 failed, 1 skipped\n"},
		},
		{
			name: "a skip where none may be is a failure", noSkips: "a/lab",
			events: `{"Action":"pass","Package":"a/lab","Test":"TestX"}
{"Action":"skip","Package":"a/lab","Test":"TestY"}
{"Action":"pass","Package":"a/lab"}`,
			says: []string{"a/lab TestY: no reason given (a failure here", "1 passed, 1 failed, 0 skipped\n"},
		},
		{
			name: "a child's entry is no test", noSkips: "a", well: true,
			events: `{"Action":"pass","Package":"a","Test":"TestX"}
{"Action":"output","Package":"a","Test":"TestY","Output":"    y_test.go:9: runs only as a child of TestX\n"}
{"Action":"skip","Package":"a","Test":"TestY"}
{"Action":"pass","Package":"a"}`,
			says: []string{"ok   a 0.0 s, 1 tests\n1 passed, 0 failed, 0 skipped\n"},
		},
		{
			name: "a package that does not build is a failure",
			events: `{"ImportPath":"a","Action":"build-output","Output":"a.go:1: undefined: x\n"}
{"ImportPath":"a","Action":"build-fail"}
{"Action":"fail","Package":"a","FailedBuild":"a"}
{"Action":"pass","Package":"b","Test":"TestX"}
{"Action":"pass","Package":"b"}`,
			says: []string{"undefined: x", "FAIL a 0.0 s (does not build)", "1 passed, 1 failed, 0 skipped\n"},
		},
		{
			name: "a panic ends tests without an event of their own",
			events: `{"Action":"output","Package":"a","Test":"TestX","Output":"panic: no\n"}
{"Action":"fail","Package":"a"}`,
			says: []string{"--- not ended: TestX\npanic: no\n", "0 passed, 1 failed, 0 skipped\n"},
		},
		{
			name: "why something failed is said again at the end",
			events: `{"Action":"output","Package":"a","Test":"TestX","Output":"time=1 level=INFO msg=noise\n"}
{"Action":"output","Package":"a","Test":"TestX","Output":"panic: no [recovered]\n"}
{"Action":"output","Package":"a","Test":"TestX","Output":"goroutine 1 [running]:\n"}
{"Action":"fail","Package":"a"}
{"Action":"output","Package":"b","Test":"TestY","Output":"=== RUN   TestY\n"}
{"Action":"output","Package":"b","Test":"TestY","Output":"    y_test.go:3: got 1\n"}
{"Action":"fail","Package":"b","Test":"TestY"}
{"Action":"fail","Package":"b"}`,
			says: []string{"FAILED a TestX (not ended)\n  | panic: no [recovered]\n  | goroutine 1 [running]:\n" +
				"FAILED b TestY\n  |     y_test.go:3: got 1\n0 passed, 1 failed"},
		},
		{
			name: "of a failure that does not say why, the last words are said again",
			events: `{"Action":"output","Package":"a","Output":"exit status 3\n"}
{"Action":"fail","Package":"a"}`,
			says: []string{"FAILED a\n  | exit status 3\n0 passed, 1 failed"},
		},
		{
			name:   "nothing ran",
			events: `go: cannot find module`,
			says:   []string{"go: cannot find module", "0 passed, 0 failed, 0 skipped\n"},
		},
	}
	for _, s := range stories {
		t.Run(s.name, func(t *testing.T) {
			var out strings.Builder
			r := newReport(&out, s.noSkips)
			if err := feed(r, strings.NewReader(s.events)); err != nil {
				t.Fatal(err)
			}
			if well := r.close(); well != s.well {
				t.Errorf("all is well: %t, want %t", well, s.well)
			}
			for _, want := range s.says {
				if !strings.Contains(out.String(), want) {
					t.Errorf("the report lacks %q:\n%s", want, out.String())
				}
			}
		})
	}
}
