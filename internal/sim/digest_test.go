package sim

import (
	"bytes"
	"flag"
	"fmt"
	"hash/fnv"
	"os"
	"testing"
	"time"
)

var (
	digests = flag.String("digests", "", "write what runs come to into this file, or compare where it exists")
	seeds   = flag.Uint64("seeds", 240, "of how many runs of each kind")
)

// TestRunsAreWhatTheyWere holds a simulation that was made faster to the one
// before: it writes a line for each of some hundred runs, and where the file is
// there already, compares. Of each run it keeps the timeline, what was drawn, how
// often what happened, and the steps that it took.
func TestRunsAreWhatTheyWere(t *testing.T) {
	if *digests == "" {
		t.Skip("it compares two versions of the code: -digests=FILE before and after a change")
	}
	var is bytes.Buffer
	for seed := uint64(1); seed <= *seeds; seed++ {
		fmt.Fprintf(&is, "short %4d %s\n", seed, digest(Play(Draw(seed))))
		fmt.Fprintf(&is, "long  %4d %s\n", seed, digest(Play(DrawLong(seed, 30*time.Minute, 6))))
	}
	was, err := os.ReadFile(*digests)
	switch {
	case os.IsNotExist(err):
		if err := os.WriteFile(*digests, is.Bytes(), 0o644); err != nil {
			t.Fatal(err)
		}
	case err != nil:
		t.Fatal(err)
	case !bytes.Equal(was, is.Bytes()):
		old, differ := bytes.Split(was, []byte("\n")), 0
		for i, line := range bytes.Split(is.Bytes(), []byte("\n")) {
			if i < len(old) && bytes.Equal(line, old[i]) {
				continue
			}
			if differ++; differ <= 3 {
				t.Errorf("was: %s\nis:  %s", old[min(i, len(old)-1)], line)
			}
		}
		t.Errorf("%d runs are not what they were", differ)
	}
}

// digest is a run in a line: what came of it, and how it got there.
func digest(w *World) string {
	h := fnv.New64a()
	drawn, err := w.source.MarshalBinary()
	if err != nil {
		panic("sim: " + err.Error())
	}
	fmt.Fprint(h, w.Timeline(), drawn, w.faults, w.broken, w.excepted, w.True())
	for _, v := range w.disks {
		if v != nil {
			fmt.Fprint(h, v.app.acked, v.app.count)
			for _, c := range v.ends {
				fmt.Fprint(h, c.state(), c.drbd.Generation(0))
			}
		}
	}
	way := fnv.New64a()
	fmt.Fprint(way, w.met.met, w.met.first, w.nodes[A].Actions(), w.nodes[B].Actions())
	return fmt.Sprintf("%016x, %d steps in %v %016x", h.Sum64(), w.Steps, w.now, way.Sum64())
}
