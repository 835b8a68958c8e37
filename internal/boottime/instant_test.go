package boottime

import (
	"testing"
	"time"
)

func TestNowMovesForward(t *testing.T) {
	a := Now()
	if a.IsZero() {
		t.Fatal("a running machine has been up for more than nothing")
	}
	if b := Now(); b < a {
		t.Fatalf("the clock went back from %v to %v", a, b)
	}
	if got := a.Add(time.Second).Sub(a); got != time.Second {
		t.Fatalf("a second later is %v later", got)
	}
}
