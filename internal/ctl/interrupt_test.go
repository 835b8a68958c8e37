package ctl

import (
	"bytes"
	"context"
	"io"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"sbarbiter/internal/pki"
)

// tripwire does something once a text has been written to it.
type tripwire struct {
	bytes.Buffer
	text string
	trip func()
}

func (w *tripwire) Write(p []byte) (int, error) {
	n, err := w.Buffer.Write(p)
	if strings.Contains(w.String(), w.text) {
		w.trip()
	}
	return n, err
}

// Who thinks better of it at the question leaves by Ctrl-C, and leaves nothing open.
func TestCtrlCAtTheQuestionIsANo(t *testing.T) {
	ca, err := pki.Init(filepath.Join(t.TempDir(), "ca"))
	if err != nil {
		t.Fatal(err)
	}
	issue := func(id pki.Identity) string {
		dir := filepath.Join(t.TempDir(), id.Name)
		if _, err := ca.Issue(dir, pki.Request{Identity: id}); err != nil {
			t.Fatal(err)
		}
		return dir
	}
	f := newFake(t, issue(pki.Identity{Role: pki.RoleWitness, Name: "w1"}))
	t.Cleanup(f.stop)
	alice := issue(pki.Identity{Role: pki.RoleOperator, Name: "alice"})
	for question, args := range map[string][]string{
		"Type the group's name": {"resolve", "nfs", "--keep", "node-a"},
		"[y/N] ":                {"standby", "node-a"},
	} {
		f.play(scenes["split"]())
		ctx, interrupt := context.WithCancel(t.Context())
		keyboard, keys := io.Pipe() // nobody types anything
		said := &tripwire{text: question, trip: interrupt}
		ended := make(chan int, 1)
		go func() {
			ended <- Main(ctx, append([]string{"--config", "", "--witness", f.addr, "--pki", alice}, args...),
				Streams{In: keyboard, Out: io.Discard, Err: said, Getenv: func(string) string { return "" }, Asks: true})
		}()
		select {
		case code := <-ended:
			if code != ExitRefused || !strings.Contains(said.String(), "nothing was done: it was broken off") {
				t.Errorf("%v: exit %d: %s", args, code, said)
			}
		case <-time.After(20 * time.Second):
			t.Errorf("%v does not end", args)
		}
		interrupt()
		keys.Close()
	}
	if asked := f.questions(); !strings.Contains(asked, "cancel") || strings.Contains(asked, "approve {") || strings.Contains(asked, "standby {") {
		t.Errorf("asked: %s", asked)
	}
}
