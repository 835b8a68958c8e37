// Command testreport turns the events of "go test -json" on its standard input
// into something to read: a line for each package, the output of what failed,
// what was skipped and why, and a last line that counts. It runs no test.
//
// Its exit status is 1 when a test or a build failed, when no test ran, or when
// a test was skipped that may not be.
package main

import (
	"bufio"
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"os"
)

func main() {
	noSkips := flag.String("no-skips", "", "import path `prefix` below which, with CI=true, a skipped test is a failure")
	flag.Parse()
	if os.Getenv("CI") != "true" {
		*noSkips = ""
	}
	r := newReport(os.Stdout, *noSkips)
	if err := feed(r, os.Stdin); err != nil {
		fmt.Fprintln(os.Stderr, "testreport: read events:", err)
		os.Exit(1)
	}
	if !r.close() {
		os.Exit(1)
	}
}

func feed(r *report, from io.Reader) error {
	lines := bufio.NewReader(from)
	for {
		line, err := lines.ReadBytes('\n')
		if len(line) > 0 {
			var ev event
			if json.Unmarshal(line, &ev) == nil && ev.Action != "" {
				r.add(ev)
			} else {
				r.stray(string(line))
			}
		}
		switch err {
		case nil:
		case io.EOF:
			return nil
		default:
			return err
		}
	}
}
