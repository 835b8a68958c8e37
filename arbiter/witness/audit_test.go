package witness

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"sbarbiter/arbiter"
)

func openAudit(t *testing.T, path string) *Audit {
	t.Helper()
	a, err := OpenAudit(path, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	return a
}

// written adds records to the file as a life of the witness would.
func written(t *testing.T, path string, records ...arbiter.Record) (lines []string) {
	t.Helper()
	a := openAudit(t, path)
	a.add(records...)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := a.run(ctx); err != nil {
		t.Fatal(err)
	}
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return slices.Collect(strings.Lines(string(b)))
}

// One command may be several decisions: that of a lost memory is one for each
// cluster.
func decisions() (records []arbiter.Record) {
	for i := uint64(1); i <= 3; i++ {
		for _, c := range []string{"c1", "c2", "c3"} {
			records = append(records, arbiter.Record{Index: i, Cluster: c, What: "report", Sentence: strings.Repeat("so it is; ", 3000)})
		}
	}
	return records
}

func TestReplayFillsWhatACrashHasCutOff(t *testing.T) {
	whole := written(t, filepath.Join(t.TempDir(), "audit.log"), decisions()...)
	text := strings.Join(whole, "")
	for _, length := range []int{0, 1, len(whole[0]), len(whole[0]) + 5, 4 * len(whole[0]), 7*len(whole[0]) + 100, len(text) - 1, len(text)} {
		t.Run(fmt.Sprint(length), func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "audit.log")
			if err := os.WriteFile(path, []byte(text[:length]), 0o600); err != nil {
				t.Fatal(err)
			}
			if got := written(t, path, decisions()...); !slices.Equal(got, whole) {
				t.Errorf("cut after %d bytes, the file has %d lines after the replay and not %d", length, len(got), len(whole))
			}
		})
	}
}

func TestBlocksThatWereNeverWrittenAreCutOff(t *testing.T) {
	path := filepath.Join(t.TempDir(), "audit.log")
	whole := written(t, path, decisions()...)
	if err := os.WriteFile(path, []byte(strings.Join(whole[:5], "")+strings.Repeat("\x00", 5000)), 0o600); err != nil {
		t.Fatal(err)
	}
	if got := written(t, path, decisions()...); !slices.Equal(got, whole) {
		t.Errorf("%d lines, not %d", len(got), len(whole))
	}
}

func TestForeignFileIsLeftAlone(t *testing.T) {
	path := filepath.Join(t.TempDir(), "audit.log")
	if err := os.WriteFile(path, []byte("dear diary\ntoday\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := OpenAudit(path, slog.New(slog.DiscardHandler)); err == nil {
		t.Error("a file of somebody else's is opened")
	}
	if b, err := os.ReadFile(path); err != nil || len(b) != 17 {
		t.Errorf("it has become %q (%v)", b, err)
	}
}

func TestReaderThatIsTooSlowIsLetGo(t *testing.T) {
	a := openAudit(t, filepath.Join(t.TempDir(), "audit.log"))
	_, rd := a.subscribe()
	for i := range uint64(2 * readerAhead) {
		a.add(arbiter.Record{Index: i + 1, Cluster: "c1", What: "report"})
	}
	if err := a.write(t.Context()); err != nil {
		t.Fatal(err)
	}
	n := 0
	for range rd.live {
		n++
	}
	if n != readerAhead {
		t.Errorf("it got %d records before it was let go", n)
	}
	a.unsubscribe(rd)
	if err := a.Close(); err != nil {
		t.Fatal(err)
	}
}
