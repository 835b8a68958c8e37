package model

import (
	"slices"
	"testing"

	"pgregory.net/rapid"

	"sbarbiter/drbd"
)

// The generations are drawn from few values, so that they are often related.
var drawnUUIDs = []drbd.UUID{0, 4, 0xA0, 0xB0, 0xC0, 0x90, 0x80, 0xA0 + syncOffset, 0x90 + syncOffset}

func drawUUID(t *rapid.T, label string) drbd.UUID {
	return rapid.SampledFrom(drawnUUIDs).Draw(t, label) | drbd.UUID(rapid.IntRange(0, 1).Draw(t, label+" mark"))
}

func drawSide(t *rapid.T, name string) Side {
	flag := func(what string) bool { return rapid.Bool().Draw(t, name+" "+what) }
	s := Side{
		Generation: Generation{
			Current: drawUUID(t, name+" current"), Bitmap: drawUUID(t, name+" bitmap"),
			History: []drbd.UUID{drawUUID(t, name+" h1"), drawUUID(t, name+" h2")},
		},
		Role:           rapid.SampledFrom([]drbd.Role{drbd.RolePrimary, drbd.RoleSecondary}).Draw(t, name+" role"),
		Disk:           rapid.SampledFrom([]drbd.DiskState{drbd.DiskInconsistent, drbd.DiskOutdated, drbd.DiskConsistent, drbd.DiskUpToDate}).Draw(t, name+" disk"),
		OutOfSync:      rapid.Uint64Range(0, 2).Draw(t, name+" oos"),
		CrashedPrimary: flag("crashed"), Discard: flag("discard"), Open: flag("open"),
		Reconnect: flag("reconnect"), LostQuorum: flag("lost quorum"), HasQuorum: flag("quorum"),
	}
	return s
}

func drawConfig(t *rapid.T) Config {
	policy := func(name string, of ...Policy) Policy { return rapid.SampledFrom(of).Draw(t, name) }
	return Config{
		Family:   rapid.SampledFrom([]drbd.Family{drbd.Family84, drbd.Family9}).Draw(t, "family"),
		Protocol: rapid.SampledFrom([]Protocol{ProtocolA, ProtocolC}).Draw(t, "protocol"),
		After0: policy("0pri", PolicyDisconnect, DiscardYoungerPrimary, DiscardOlderPrimary, DiscardZeroChanges,
			DiscardLeastChanges, DiscardLocal, DiscardRemote),
		After1: policy("1pri", PolicyDisconnect, PolicyConsensus, PolicyViolentlyAsZero, DiscardSecondary, CallPriLostAfterSB),
		After2: policy("2pri", PolicyDisconnect, PolicyViolentlyAsZero, CallPriLostAfterSB),
		RRConflict: policy("rr-conflict", PolicyDisconnect, PolicyCallPriLost, PolicyViolently, PolicyRetryConnect,
			PolicyAutoDiscard),
		AlwaysAfterSB: rapid.Bool().Draw(t, "always-asbp"),
		TwoPrimaries:  rapid.Bool().Draw(t, "allow-two-primaries"),
		Quorum:        rapid.Bool().Draw(t, "quorum configured"),
	}
}

func drawPair(t *rapid.T) (c Config, a, b Side) {
	c, a, b = drawConfig(t), drawSide(t, "A"), drawSide(t, "B")
	b.BreaksTies = rapid.Bool().Draw(t, "B breaks ties")
	a.BreaksTies = !b.BreaksTies
	if rapid.Bool().Draw(t, "equal current") {
		b.Generation.Current = a.Generation.Current
	}
	return c, a, b
}

// A side does not know whether it is called A or B, so judging B against A is
// judging A against B in a mirror.
func TestSidesJudgeAsMirrorImagesUnlessOneDrops(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		c, a, b := drawPair(t)
		oa, ob := Judge(c, a, b, Attempt{}), Judge(c.Mirror(), b, a, Attempt{})
		// A Primary that is told to demote itself decides by whether it can,
		// which its peer does not know.
		if drops(oa) || drops(ob) || impossible(c, a, b) || toldToDemote(oa) || toldToDemote(ob) {
			return
		}
		// Auto-discard is lopsided in the kernel: only a Primary looks at the
		// counts first, and two Primaries both reverse.
		if c.RRConflict == PolicyAutoDiscard && oa.Compared.Rule == "crashed-primary" {
			return
		}
		if mirrorEnd(oa.Ending) != ob.Ending {
			t.Fatalf("A ends %s (%s), B %s (%s)", oa.Ending, oa.Compared.Rule, ob.Ending, ob.Compared.Rule)
		}
		if oa.Strategy.IsFull() != ob.Strategy.IsFull() {
			t.Fatalf("A copies by %s, B by %s", oa.Strategy, ob.Strategy)
		}
	})
}

func toldToDemote(o Outcome) bool {
	return o.Demoted || slices.Contains(o.Calls, Call{Handler: drbd.HandlerPriLostAfterSB})
}

func drops(o Outcome) bool { return o.Ending == EndDrop || o.Ending == EndRetry }

// impossible names pairs on which both sides make themselves the target: two
// current UUIDs of 0 on 8.4, and two generations of which each descends from
// the other.
func impossible(c Config, a, b Side) bool {
	empty := c.Family == drbd.Family84 && same(a.Generation.Current, 0) && same(b.Generation.Current, 0)
	return empty || descends(a.Generation, b.Generation) && descends(b.Generation, a.Generation)
}

func descends(g, from Generation) bool {
	differ := !same(g.Current, from.Current)
	return differ && (same(g.Bitmap, from.Current) || same(g.ancestor(0), from.Current) || same(g.ancestor(1), from.Current))
}

func mirrorEnd(e Ending) Ending {
	switch e {
	case EndSource:
		return EndTarget
	case EndTarget:
		return EndSource
	case EndConnected, EndDrop, EndRetry:
	}
	return e
}

func TestComparisonsAreMirrorImages(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		c, a, b := drawPair(t)
		ca, cb := Compare(c, a, b), Compare(c.Mirror(), b, a)
		if impossible(c, a, b) {
			return
		}
		if ca.Strategy.Mirror() != cb.Strategy {
			t.Fatalf("A says %s by rule %s, B says %s by rule %s", ca.Strategy, ca.Rule, cb.Strategy, cb.Rule)
		}
	})
}

func TestTheMarkInAUUIDIsNoPartOfIt(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		c, a, b := drawPair(t)
		flipped := a
		flip := rapid.Uint64Range(0, 15).Draw(t, "flip")
		g := &flipped.Generation
		g.Current ^= drbd.UUID(flip & 1)
		if g.Bitmap&^primaryBit != 0 { // a mark alone is no UUID
			g.Bitmap ^= drbd.UUID(flip >> 1 & 1)
		}
		g.History = []drbd.UUID{a.Generation.History[0] ^ drbd.UUID(flip>>2&1), a.Generation.History[1] ^ drbd.UUID(flip>>3&1)}
		before, after := Compare(c, a, b), Compare(c, flipped, b)
		if before.Rule != after.Rule || before.Strategy != after.Strategy {
			t.Fatalf("rule %s became %s", before.Rule, after.Rule)
		}
		if byAge := c.After0 == DiscardYoungerPrimary || c.After0 == DiscardOlderPrimary; byAge && flip&2 != 0 {
			return
		}
		if was, is := Judge(c, a, b, Attempt{}), Judge(c, flipped, b, Attempt{}); was.Ending != is.Ending {
			t.Fatalf("%s became %s", was.Ending, is.Ending)
		}
	})
}

func TestWhoBreaksTiesMattersOnlyWhereItIsSaid(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		c, a, b := drawPair(t)
		bothCrashed := a.CrashedPrimary && b.CrashedPrimary || a.LostQuorum && b.LostQuorum
		if bothCrashed && same(a.Generation.Current, b.Generation.Current) {
			return
		}
		was := Judge(c, a, b, Attempt{})
		a.BreaksTies, b.BreaksTies = b.BreaksTies, a.BreaksTies
		is := Judge(c, a, b, Attempt{})
		if was.Ending != is.Ending && !was.Tied {
			t.Fatalf("%s became %s, and no tie was named", was.Ending, is.Ending)
		}
	})
}

func TestJudgingChangesNothing(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		c, a, b := drawPair(t)
		ga, gb := a.Generation, b.Generation
		ha, hb := append([]drbd.UUID(nil), ga.History...), append([]drbd.UUID(nil), gb.History...)
		Judge(c, a, b, Attempt{})
		if !ga.Equal(Generation{Current: ga.Current, Bitmap: ga.Bitmap, History: ha}) ||
			!gb.Equal(Generation{Current: gb.Current, Bitmap: gb.Bitmap, History: hb}) {
			t.Fatalf("history became %v and %v, was %v and %v", ga.History, gb.History, ha, hb)
		}
	})
}

func TestAPrimaryNeverBecomesTargetWithoutViolence(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		c, a, b := drawPair(t)
		if c.RRConflict == PolicyViolently || c.RRConflict == PolicyAutoDiscard || !a.Disk.AtLeast(drbd.DiskConsistent) {
			return
		}
		o := Judge(c, a, b, Attempt{})
		stays := a.primary() && !o.Demoted
		nothingToLose := c.Family == drbd.Family9 && a.OutOfSync == 0 && b.OutOfSync == 0
		if stays && o.Ending == EndTarget && !nothingToLose {
			t.Fatalf("a Primary became the target by %s, rule %s", o.Strategy, o.Compared.Rule)
		}
	})
}
