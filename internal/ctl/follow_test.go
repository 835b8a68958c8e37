package ctl

import (
	"bytes"
	"testing"
	"time"

	sbv1 "sbarbiter/proto/sb/v1"
)

func TestAStepThatLastsSaysOnceWhy(t *testing.T) {
	var said bytes.Buffer
	teller := &teller{app: &app{Streams: Streams{Err: &said}}}
	begun := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	at := func(after time.Duration, note string) {
		teller.lasts([]*sbv1.Carrying{{}, {Note: note}}, begun.Add(after))
	}
	at(0, "r0 looks for the peer")
	at(sayWhyAfter-1, "r0 looks for the peer")
	if said.Len() > 0 {
		t.Errorf("too early: %q", said.String())
	}
	at(sayWhyAfter, "this node copies a volume of nfs away first")
	at(2*sayWhyAfter, "this node copies a volume of nfs away first")
	at(3*sayWhyAfter, "this node copies a volume of nfs away first")
	if got, want := said.String(), "so far this node copies a volume of nfs away first\n"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}
