package scenarios

import (
	"context"
	"flag"
	"io"
	"os"
	"testing"
	"time"

	"sbarbiter/chaos-tests/lab"
	"sbarbiter/chaos-tests/pair"
)

// One pair serves all stories: each leaves it mended. A pair that cannot be
// mended is replaced.
var shared struct {
	pair *pair.Pair
	err  error
}

func TestMain(m *testing.M) {
	flag.Parse()
	code := m.Run()
	if shared.pair != nil {
		shared.pair.Close()
	}
	os.Exit(code)
}

// needsLab skips where there is no root or no UML; in CI that is a failure.
func needsLab(t *testing.T) {
	t.Helper()
	err := lab.Ready()
	switch {
	case testing.Short():
		t.Skip("no lab in short tests")
	case err != nil && os.Getenv("CI") == "true":
		t.Fatal(err)
	case err != nil:
		t.Skip(err)
	}
}

func startPair(t *testing.T, cfg pair.Config) *pair.Pair {
	t.Helper()
	cfg.LogDir, cfg.Log = os.Getenv("LAB_LOGS"), io.Discard
	cfg.Binaries = os.Getenv("LAB_BIN")
	ctx, cancel := context.WithTimeout(context.Background(), 3*time.Minute)
	defer cancel()
	began := time.Now()
	p, err := pair.Start(ctx, cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("pair started in %.1f s", time.Since(began).Seconds())
	return p
}

// thePair returns the shared pair, mended.
func thePair(t *testing.T) *pair.Pair {
	t.Helper()
	needsLab(t)
	if shared.pair != nil {
		ctx, cancel := context.WithTimeout(context.Background(), 90*time.Second)
		defer cancel()
		began := time.Now()
		err := shared.pair.Mend(ctx)
		if err == nil {
			t.Logf("pair mended in %.1f s", time.Since(began).Seconds())
			return shared.pair
		}
		t.Logf("pair is replaced: %v\n%s", err, shared.pair.Timeline().Text(began))
		shared.pair.Close()
		shared.pair = nil
	}
	shared.pair = startPair(t, pair.Config{})
	return shared.pair
}
