package handler

import (
	"path/filepath"
	"strings"
	"testing"
	"time"
)

func TestCallThatNoAgentCouldAnswerIsRefusedAtOnce(t *testing.T) {
	nobody := "--socket=" + filepath.Join(t.TempDir(), SocketName)
	for name, c := range map[string]struct {
		args, env []string
		want      []string
	}{
		"unknown handler": {
			[]string{nobody, "bogus"},
			[]string{"DRBD_RESOURCE=r0"},
			[]string{`no handler "bogus"`, "fence-peer|unfence-peer|after-resync-target|split-brain|local-io-error"},
		},
		"no resource": {
			[]string{nobody, "fence-peer"},
			[]string{"DRBD_PEER=node-b"},
			[]string{"DRBD_RESOURCE", "not in the environment"},
		},
	} {
		t.Run(name, func(t *testing.T) {
			var said strings.Builder
			began := time.Now()
			if code := Main(c.args, c.env, &said); code != NoAnswer {
				t.Errorf("exit %d, want %d", code, NoAnswer)
			}
			for _, want := range c.want {
				if !strings.Contains(said.String(), want) {
					t.Errorf("it does not say %q: %s", want, said.String())
				}
			}
			if took := time.Since(began); took >= reachWithin {
				t.Errorf("an agent was waited for: %v", took)
			}
		})
	}
}
