package scenarios

import (
	"errors"
	"fmt"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"sbarbiter/chaos-tests/lab"
	"sbarbiter/chaos-tests/pair"
)

// allForks names the environment variable that asks for them: make forks. It may name
// some of them instead of being 1, as FORKS=least does.
const allForks = "SBARBITER_ALL_FORKS"

// Split brains of a pair with its witness, beside those of chaos-tests/lab, which has none.
func TestForksOfAWholePair(t *testing.T) {
	stories := map[string]func(*testing.T){
		"least":    policyGivesUpWhoeverWroteLess,
		"full":     fullStoreIsWaitedFor,
		"torn":     linkIsLostWhileThePolicyIsCarriedOut,
		"policies": everyPolicyIsCarriedOut,
	}
	only := os.Getenv(allForks)
	if only == "" {
		t.Logf("%d with %s=1 (make forks)", len(stories), allForks)
		return
	}
	for name, tell := range stories {
		if only == "1" || slices.Contains(strings.Split(only, ","), name) {
			t.Run(name, tell)
		}
	}
}

// One policy, both directions: nobody is asked, whether it is the holder that wrote less
// or the copy that somebody forced. Told twice, each node is once the one and the other.
func policyGivesUpWhoeverWroteLess(t *testing.T) {
	for range 2 {
		t.Run("the forced copy", func(t *testing.T) {
			s := begin(t)
			s.policies("discard-least-changes")
			s.resolvesItself(s.standby, func() { s.bothWrite(8, 1) })
			s.within(10*time.Second, "the holder writes on", s.writes(s.holder))
			s.gaveUp(s.standby)
		})
		t.Run("the holder", func(t *testing.T) {
			s := begin(t)
			s.ownRecords = true // those since the cable was cut are lost on purpose
			s.policies("discard-least-changes")
			s.resolvesItself(s.holder, func() { s.bothWrite(0, 24) })
			s.within(30*time.Second, "the other node writes", s.writing(s.standby))
			s.gaveUp(s.holder)
		})
	}
}

// bothWrite splits the pair, with so many MiB written on each side; the holder's records
// come besides.
func (s *story) bothWrite(holder, standby int) {
	s.t.Helper()
	s.must("make both copies differ", s.Fork(s.ctx, s.holder, pair.WriteMiB(standby)))
	s.must("let the holder write", s.holder.Must(s.ctx, fmt.Sprintf("head -c %d /dev/urandom >%s/much && sync", holder<<20, lab.MountPoint)))
	s.must("heal replication", s.HealReplication(s.ctx))
}

func (s *story) gaveUp(victim *lab.Node) {
	s.t.Helper()
	s.t.Logf("given up on %s: %s", victim.Name, s.sbctl(pair.ExitDone, "recovery", "show", "nfs").Text())
	s.alike()
	s.keeps(victim)
	s.nobodyShot()
}

// The link is lost again while the victim is overwritten. What the resync has written there
// is nobody's writes, and the wish to give the copy up counted for one handshake.
func linkIsLostWhileThePolicyIsCarriedOut(t *testing.T) {
	s := begin(t)
	victim := s.standby
	s.policies("discard-unleased")
	s.resolvesItself(victim, func() {
		s.must("make both copies differ", s.Fork(s.ctx, s.holder, pair.WriteMiB(30)))
		slow, fast := "drbdsetup disk-options 0 --resync-rate=4M", "drbdsetup disk-options 0 --resync-rate=200M"
		if lab.HasDRBD9() { // which asks for a MiB ten times a second, however slow it is to be
			slow, fast = "modprobe sch_netem && tc qdisc add dev vec1 root netem rate 40mbit limit 8", "tc qdisc del dev vec1 root"
		}
		for _, n := range s.Nodes() {
			s.must("copy slowly", n.Must(s.ctx, slow))
		}
		s.must("heal replication", s.HealReplication(s.ctx))
		copies := func() error {
			out, _, err := victim.Run(s.ctx, "drbd-state")
			if err == nil && !strings.Contains(out, "cs:SyncTarget") {
				err = errors.New(out)
			}
			return err
		}
		s.within(60*time.Second, "the victim is overwritten", copies)
		s.must("cut replication", s.CutReplication(s.ctx))
		s.within(30*time.Second, "it is not any more", func() error {
			if copies() == nil {
				return errors.New("it is copied still")
			}
			return nil
		})
		for _, n := range s.Nodes() {
			s.must("copy fast", n.Must(s.ctx, fast))
		}
		s.must("heal replication", s.HealReplication(s.ctx))
	})
	s.within(10*time.Second, "the holder writes on", s.writes(s.holder))
	s.gaveUp(victim)
}

// Nothing is given up before it is kept: where there is no room for it, the recovery
// waits, says so, and goes on by itself once an older copy was released.
func fullStoreIsWaitedFor(t *testing.T) {
	s := begin(t)
	victim := s.standby
	s.must("keep nothing of other stories", victim.Must(s.ctx, "rm -rf /h/kept"))
	s.must("make room for one copy, and not for two", s.Change(s.ctx, string(victim.Name)+".yaml", func(text string) string {
		return strings.Replace(text, "quota: 4GiB", "quota: 130MiB", 1)
	}))
	s.within(30*time.Second, "full redundancy", s.redundant)
	s.policies("discard-unleased")
	s.resolvesItself(victim, func() { s.splitByHand(victim, 3) })

	s.resolvesItself(victim, func() {
		s.splitByHand(victim, 3)
		oldest := s.waitsForRoom(victim)
		s.must("release the old copy", victim.Must(s.ctx, "sbagent recovery release nfs --recovery "+oldest+" --yes"))
	})
	s.within(10*time.Second, "the holder writes on", s.writes(s.holder))
	s.gaveUp(victim)
	s.within(10*time.Second, "nobody is asked for anything any more", s.redundant)
}

var oldestCopy = regexp.MustCompile(`the store of kept copies is full.*: sbagent recovery release nfs --recovery (\S+)\)`)

// waitsForRoom sees that nothing happens for want of room, and returns which copy the
// operator is told to release.
func (s *story) waitsForRoom(victim *lab.Node) string {
	s.t.Helper()
	var oldest string
	s.within(40*time.Second, "it says that there is no room", func() error {
		a, err := s.Sbctl(s.ctx, "status")
		if err != nil {
			return err
		}
		said := oldestCopy.FindStringSubmatch(a.Text())
		if said == nil {
			return errors.New(a.Text())
		}
		s.t.Log(a.Text())
		oldest = said[1]
		return nil
	})
	s.throughout(6*time.Second, "nothing is given up", func() error {
		out, _, err := victim.Run(s.ctx, "drbd-state")
		if err == nil && !strings.Contains(out, "cs:StandAlone ro:Secondary/Unknown ds:UpToDate/") {
			err = errors.New(out)
		}
		return errors.Join(err, s.writing(s.holder)())
	})
	return oldest
}
