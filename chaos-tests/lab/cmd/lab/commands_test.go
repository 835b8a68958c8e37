package main

import (
	"strings"
	"testing"
)

func TestAWordThatIsNoCommandIsAnsweredWithThoseThatAre(t *testing.T) {
	err := perform(t.Context(), &world{}, []string{"exit-now"})
	if err == nil {
		t.Fatal("exit-now is taken for a command")
	}
	for _, c := range commands {
		if !strings.Contains(err.Error(), c.usage) {
			t.Errorf("it does not tell of %q: %v", c.usage, err)
		}
	}
}

func TestHelpIsACommand(t *testing.T) {
	for _, word := range []string{"help", "?"} {
		if err := perform(t.Context(), &world{}, []string{word}); err != nil {
			t.Errorf("%s: %v", word, err)
		}
	}
}
