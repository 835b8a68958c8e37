package program

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

func script(t *testing.T, text string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "program")
	if err := os.WriteFile(path, []byte("#!/bin/sh\n"+text+"\n"), 0o755); err != nil {
		t.Fatal(err)
	}
	return path
}

func TestAProgramIsGivenWhatItNeedsAndNoMore(t *testing.T) {
	t.Setenv("OF_THE_CALLER", "secret")
	out, err := Run(t.Context(), Call{
		Path: script(t, `read -r line; echo "$line/$(cat /dev/fd/3)/$*/$EXTRA/$OF_THE_CALLER"; echo one >&2; echo two >&2; exit 7`),
		Args: []string{"a", "b"}, Env: []string{"EXTRA=x"}, Input: []byte("in\n"), Pipe: []byte("piped"),
	})
	if err != nil || out.Code != 7 || string(out.Stdout) != "in/piped/a b/x/\n" || out.LastLine() != "two" {
		t.Errorf("%+v, %v", out, err)
	}
}

func TestInputThatIsNotReadIsNoError(t *testing.T) {
	out, err := Run(t.Context(), Call{Path: script(t, "exit 0"), Input: []byte(strings.Repeat("x", 1<<20))})
	if err != nil || out.Code != 0 {
		t.Errorf("%+v, %v", out, err)
	}
}

func TestTheContextEndsIt(t *testing.T) {
	ctx, cancel := context.WithTimeout(t.Context(), 200*time.Millisecond)
	defer cancel()
	if _, err := Run(ctx, Call{Path: script(t, "sleep 600")}); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("got %v", err)
	}
}

func TestOutputIsBounded(t *testing.T) {
	out, err := Run(t.Context(), Call{Path: script(t, "head -c 3000000 /dev/zero; head -c 100000 /dev/zero >&2")})
	if err != nil || len(out.Stdout) != mostRead || len(out.Stderr) > kept {
		t.Errorf("kept %d and %d bytes, %v", len(out.Stdout), len(out.Stderr), err)
	}
}

func TestAPipeHoldsNoMoreThanItCan(t *testing.T) {
	if _, err := Run(t.Context(), Call{Path: script(t, "exit 0"), Pipe: make([]byte, os.Getpagesize()+1)}); err == nil {
		t.Error("a secret larger than a pipe was accepted")
	}
}
