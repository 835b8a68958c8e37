package main

import (
	"context"
	"os"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	sbv1 "sbarbiter/proto/sb/v1"
)

// A full disk at the witness: nothing is answered that is not stored, nothing
// stored is lost, and it goes on by itself when there is space.
func TestFullDiskIsWaitedOut(t *testing.T) {
	s := newSite(t)
	if err := os.Mkdir(s.path("state"), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := unix.Mount("sbwitness-test", s.path("state"), "tmpfs", 0, "size=2m"); err != nil {
		t.Skipf("needs root to mount a small file system: %v", err)
	}
	t.Cleanup(func() {
		if err := unix.Unmount(s.path("state"), unix.MNT_DETACH); err != nil {
			t.Error(err)
		}
	})
	p := s.start()
	op := s.operator()
	s.declare(op, "before")
	ballast := s.path("state/ballast")
	fill(t, ballast)
	failed := false
	for i := 0; i < 5000 && !failed; i++ { // what is reserved is used up first
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		_, err := op.Standby(ctx, &sbv1.StandbyRequest{Cluster: "before", Node: "node-a", On: i%2 == 0})
		cancel()
		failed = err != nil
	}
	if !failed {
		t.Fatal("commands are answered on a full disk")
	}
	if err := os.Remove(ballast); err != nil {
		t.Fatal(err)
	}
	op = s.operator()
	s.declare(op, "after")
	known := map[string]bool{}
	for _, c := range s.status(op).GetClusters() {
		known[c.GetDefinition().GetCluster()] = true
	}
	if !known["before"] || !known["after"] {
		t.Errorf("afterwards it knows %v", known)
	}
	if err := p.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	if code, said := s.end(p); code != 0 || !strings.Contains(said, "disk full") {
		t.Errorf("it ends with %d and does not say that the disk was full:\n%s", code, said)
	}
}

func fill(t *testing.T, path string) {
	t.Helper()
	f, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	for _, size := range []int{64 << 10, 4 << 10, 1} {
		for block := make([]byte, size); ; {
			if _, err := f.Write(block); err != nil {
				break
			}
		}
	}
}
