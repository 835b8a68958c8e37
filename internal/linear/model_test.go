package linear

import (
	"errors"
	"os"
	"path/filepath"
	"testing"
	"time"

	"sbarbiter/arbiter"
)

const db arbiter.GroupID = "db"

var (
	done      = Told{Known: true, Verdict: arbiter.Done}
	lost      = Told{}
	acquires  = func(p Party) Ask { return Ask{Verb: Acquire, Group: db, By: p} }
	releases  = func(p Party, e uint64) Ask { return Ask{Verb: Release, Group: db, By: p, Epoch: e} }
	excludes  = func(p Party, e uint64) Ask { return Ask{Verb: Exclude, Group: db, By: p, Epoch: e} }
	readmits  = func(p Party, n uint64) Ask { return Ask{Verb: Readmit, Group: db, By: NodeA, Of: p, Number: n} }
	moves     = func(p Party) Ask { return Ask{Verb: Order, Group: db, Of: p} }
	granted   = func(e uint64) Told { return Told{Known: true, Verdict: arbiter.Granted, Epoch: e} }
	no        = func(r arbiter.Reason) Told { return Told{Known: true, Verdict: arbiter.Refused, Reason: r} }
	held      = func(p Party, e uint64) Told { t := no(arbiter.HeldByPeer); t.Holder, t.Epoch = p, e; return t }
	numbered  = func(n uint64) Told { return Told{Known: true, Verdict: arbiter.Done, Number: n} }
	looksLike = func(s State) Told { return Told{Known: true, Seen: s} }
	look      = Ask{Verb: Look, Group: db}
)

// line is one request, answered before the next is asked.
type line struct {
	ask  Ask
	told Told
}

func TestWhatAGroupMayBe(t *testing.T) {
	for name, c := range map[string]struct {
		fits  bool
		lines []line
	}{
		"from node to node":                        {true, []line{{acquires(NodeA), granted(4)}, {acquires(NodeB), held(NodeA, 4)}, {releases(NodeA, 4), done}, {acquires(NodeB), granted(8)}}},
		"the holder asks again":                    {true, []line{{acquires(NodeA), granted(4)}, {acquires(NodeA), granted(4)}}},
		"the holder asks again and gets another":   {false, []line{{acquires(NodeA), granted(4)}, {acquires(NodeA), granted(8)}}},
		"two holders":                              {false, []line{{acquires(NodeA), granted(4)}, {acquires(NodeB), granted(8)}}},
		"an epoch twice":                           {false, []line{{acquires(NodeA), granted(4)}, {releases(NodeA, 4), done}, {acquires(NodeB), granted(4)}}},
		"an epoch of nobody's":                     {false, []line{{acquires(NodeA), granted(5)}}},
		"a lost grant that turns up":               {true, []line{{acquires(NodeA), lost}, {acquires(NodeB), held(NodeA, 4)}, {releases(NodeA, 4), done}}},
		"a lost grant that never was":              {true, []line{{acquires(NodeA), lost}, {acquires(NodeB), granted(4)}}},
		"a lost grant that was and was not":        {false, []line{{acquires(NodeA), lost}, {look, looksLike(State{Holder: NodeA, Epoch: 4})}, {acquires(NodeB), granted(8)}}},
		"a lost release that arrives late":         {true, []line{{acquires(NodeA), granted(4)}, {releases(NodeA, 4), lost}, {look, looksLike(State{Holder: NodeA, Epoch: 4})}, {acquires(NodeB), granted(8)}}},
		"a holder of the past":                     {false, []line{{acquires(NodeA), granted(4)}, {releases(NodeA, 4), done}, {acquires(NodeB), held(NodeA, 4)}}},
		"an acknowledged grant that is gone":       {false, []line{{acquires(NodeA), granted(4)}, {look, looksLike(State{})}}},
		"stale until readmitted":                   {true, []line{{acquires(NodeA), granted(4)}, {excludes(NodeA, 4), numbered(9)}, {acquires(NodeB), no(arbiter.IsExcluded)}, {readmits(NodeB, 9), done}, {acquires(NodeB), held(NodeA, 4)}}},
		"readmitted by an earlier number":          {false, []line{{acquires(NodeA), granted(4)}, {excludes(NodeA, 4), numbered(9)}, {excludes(NodeA, 4), numbered(10)}, {readmits(NodeB, 9), done}}},
		"an earlier number is refused":             {true, []line{{acquires(NodeA), granted(4)}, {excludes(NodeA, 4), numbered(9)}, {excludes(NodeA, 4), numbered(10)}, {readmits(NodeB, 9), no(arbiter.NotLatest)}}},
		"numbers that go back":                     {false, []line{{acquires(NodeA), granted(4)}, {excludes(NodeA, 4), numbered(9)}, {excludes(NodeA, 4), numbered(8)}}},
		"an excluded node is granted the group":    {false, []line{{acquires(NodeA), granted(4)}, {excludes(NodeA, 4), numbered(9)}, {releases(NodeA, 4), done}, {acquires(NodeB), granted(8)}}},
		"both are excluded":                        {false, []line{{acquires(NodeA), granted(4)}, {excludes(NodeA, 4), numbered(9)}, {releases(NodeA, 4), done}, {excludes(NodeB, 4), numbered(10)}}},
		"excluded by who holds it no more":         {false, []line{{acquires(NodeA), granted(4)}, {releases(NodeA, 4), done}, {excludes(NodeA, 4), numbered(9)}}},
		"a switchover":                             {true, []line{{acquires(NodeA), granted(4)}, {moves(NodeB), done}, {releases(NodeA, 4), done}, {acquires(NodeA), no(arbiter.SwitchUnderWay)}, {acquires(NodeB), granted(8)}, {look, looksLike(State{Holder: NodeB, Epoch: 8})}}},
		"a switchover that everybody ignores":      {false, []line{{acquires(NodeA), granted(4)}, {moves(NodeB), done}, {releases(NodeA, 4), done}, {acquires(NodeA), granted(8)}}},
		"a switchover to an excluded node":         {false, []line{{acquires(NodeA), granted(4)}, {excludes(NodeA, 4), numbered(9)}, {moves(NodeB), done}}},
		"an exclusion withdraws the order":         {true, []line{{acquires(NodeA), granted(4)}, {moves(NodeB), done}, {excludes(NodeA, 4), numbered(9)}, {moves(Nobody), no(arbiter.NothingToDo)}}},
		"not the holder, says who knows better":    {false, []line{{acquires(NodeA), granted(4)}, {releases(NodeA, 4), no(arbiter.NotHolder)}}},
		"granted to the peer, who holds nothing":   {false, []line{{acquires(NodeA), granted(4)}, {excludes(NodeA, 4), no(arbiter.GrantedToPeer)}}},
		"a reason that the model has not heard of": {false, []line{{acquires(NodeA), no(arbiter.StaleBoot)}}},
	} {
		t.Run(name, func(t *testing.T) {
			h := &History{}
			client := h.Client()
			for _, l := range c.lines {
				client.Begin(l.ask)(l.told)
			}
			err := h.Check(t.TempDir(), "history", time.Minute)
			if c.fits && err != nil || !c.fits && !errors.Is(err, ErrNoOrder) {
				t.Errorf("fits %t, and the check says %v", c.fits, err)
			}
		})
	}
}

func TestWhatOverlapsMayHappenInEitherOrder(t *testing.T) {
	h := &History{}
	a, b := h.Client(), h.Client()
	first, second := a.Begin(acquires(NodeA)), b.Begin(acquires(NodeB))
	first(held(NodeB, 4))
	second(granted(4))
	if err := h.Check(t.TempDir(), "history", time.Minute); err != nil {
		t.Error(err)
	}
}

func TestAFailureLeavesAPicture(t *testing.T) {
	h, dir := &History{}, t.TempDir()
	c := h.Client()
	c.Begin(acquires(NodeA))(granted(4))
	c.Begin(acquires(NodeB))(granted(8))
	if err := h.Check(dir, "two/holders", time.Minute); !errors.Is(err, ErrNoOrder) {
		t.Fatal(err)
	}
	if info, err := os.Stat(filepath.Join(dir, "two-holders.html")); err != nil || info.Size() < 1000 {
		t.Errorf("the picture is %v, %v", info, err)
	}
}
