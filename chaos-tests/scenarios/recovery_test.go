package scenarios

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"sbarbiter/chaos-tests/lab"
	"sbarbiter/chaos-tests/pair"
)

// splitByHand has both nodes written to while they cannot see each other.
func (s *story) splitByHand(on *lab.Node, mib int) {
	s.t.Helper()
	s.must("make both copies differ", s.Fork(s.ctx, s.Peer(on), pair.WriteMiB(mib)))
	s.must("heal replication", s.HealReplication(s.ctx))
	s.within(30*time.Second, "DRBD has given up", func() error {
		if s.told("witness", "recovery", "opened")() == nil {
			return nil // that was quicker than a look at both nodes
		}
		return s.HasParted(s.ctx)
	})
}

// alike: what is on the two disks is the same, all of it that DRBD replicates. The
// file system stands still meanwhile.
func (s *story) alike() {
	s.t.Helper()
	s.within(60*time.Second, "full redundancy", s.redundant)
	frozen := "fsfreeze -f " + lab.MountPoint + " && sleep 0.3"
	sums := map[string]string{}
	holder := s.holderNow()
	size, _, err := holder.Run(s.ctx, "blockdev --getsize64 /dev/drbd0")
	s.must("ask for the size", err)
	s.must("freeze the file system", holder.Must(s.ctx, frozen))
	for _, n := range s.Nodes() {
		out, code, err := n.Run(s.ctx, "dd if=/dev/ubda bs=64k iflag=direct,count_bytes count="+strings.TrimSpace(size)+" status=none | sha256sum")
		if err != nil || code != 0 {
			s.t.Errorf("read %s's disk: exit %d, %v: %s", n.Name, code, err, out)
		}
		sums[strings.TrimSpace(out)] = string(n.Name)
	}
	s.must("thaw the file system", holder.Must(s.ctx, "fsfreeze -u "+lab.MountPoint))
	if len(sums) != 1 {
		s.t.Errorf("the copies differ: %v", sums)
	}
}

func (s *story) holderNow() *lab.Node {
	s.t.Helper()
	holder, err := s.Holder(s.ctx)
	s.must("find the holder", err)
	return holder
}

// keeps: what was given up is kept on the node that gave it up.
func (s *story) keeps(n *lab.Node) {
	s.t.Helper()
	kept, _, err := n.Run(s.ctx, "find /h/kept -name kept.json | wc -l")
	s.must("look at what is kept", err)
	if strings.TrimSpace(kept) == "0" {
		s.t.Errorf("%s keeps nothing of what it gave up", n.Name)
	}
}

// What the holder has written since is given up: it stops, and the other node runs
// the group on the copy that a person has forced.
func TestOperatorKeepsTheCopyThatWasForced(t *testing.T) {
	s := begin(t)
	s.ownRecords = true // those since the cable was cut are lost on purpose
	s.splitByHand(s.standby, 3)
	s.within(10*time.Second, "status begins with it", func() error {
		lines := strings.SplitN(s.sbctl(pair.ExitDone, "status").Out, "\n", 3)
		if !strings.Contains(lines[0], "split brain of nfs") || !strings.HasPrefix(lines[1], "  ! split brain of nfs") || !strings.HasSuffix(lines[1], "type: sbctl resolve nfs --dry-run") {
			return errors.New(strings.Join(lines[:2], "\n"))
		}
		return nil
	})
	shown := s.sbctl(pair.ExitDone, "resolve", "nfs", "--dry-run")
	if !strings.Contains(shown.Out, "split-brain") {
		t.Errorf("it is not called a split brain: %s", shown.Text())
	}
	s.within(10*time.Second, "nothing is touched", s.writes(s.holder))

	resolve := []string{"resolve", "nfs", "--discard", string(s.holder.Name), "--typed", "nfs", "--yes", "--reason", "the newer one"}
	if a := s.sbctl(pair.ExitRefused, resolve...); !strings.Contains(a.Err, "is Primary and written to") || !strings.Contains(a.Err, "--at-most") {
		t.Errorf("it is written to, and that is not said: %s", a.Text())
	}
	s.within(10*time.Second, "nothing is stopped", s.writes(s.holder))
	a := s.sbctl(pair.ExitDone, append(resolve, "--at-most", "256MiB")...)
	t.Log(a.Text())

	s.within(30*time.Second, "the other node writes", s.writing(s.standby))
	s.alike()
	if again := s.sbctl(pair.ExitDone, "resolve", "nfs", "--dry-run"); !strings.Contains(again.Out, "connected and in step: nothing is wrong") {
		t.Errorf("of a pair that is in step it says: %s", again.Text())
	}
	s.nobodyShot()
	s.keeps(s.holder)
}

func TestPolicyResolvesASplitBrainUnasked(t *testing.T) {
	s := begin(t)
	s.policies("discard-zero-changes, discard-unleased")
	s.resolvesItself(s.standby, func() { s.splitByHand(s.standby, 3) })
	t.Log(s.sbctl(pair.ExitDone, "recovery", "show", "nfs").Text())
	s.alike()
	s.within(10*time.Second, "the holder writes on", s.writes(s.holder))
	s.nobodyShot()
}

// policies has the group's split brains resolved by these, until the pair is mended.
func (s *story) policies(list string) {
	s.t.Helper()
	s.must("write policies down", s.Change(s.ctx, "cluster.yaml", func(text string) string {
		return strings.Replace(text, "drbd: true", "drbd: true, recovery: ["+list+"]", 1)
	}))
}

// resolvesItself wants what a split leaves to be resolved by nobody but the witness,
// and what this node had written to be given up.
func (s *story) resolvesItself(victim *lab.Node, split func()) {
	s.t.Helper()
	before, err := s.LastRecovery(s.ctx)
	s.must("ask for the recovery before", err)
	split()
	s.within(60*time.Second, "it is resolved", func() error {
		r, err := s.LastRecovery(s.ctx)
		if err == nil && (r.ID <= before.ID || r.Outcome != "recovered") {
			err = fmt.Errorf("%+v", r)
		}
		if err == nil && (r.Order.By != "sbwitness" || r.Plan.Victim != string(victim.Name)) {
			s.t.Fatalf("not the witness, or not %s's copy: %+v", victim.Name, r)
		}
		return err
	})
}

// The machine whose changes are to be given up is off. An order waits for it and holds
// nobody up; when it is back, what was allowed beforehand is done, and it is kept.
func orderWaitsForAMachineThatIsOff(t *testing.T) {
	s := begin(t)
	off := string(s.standby.Name)
	s.splitByHand(s.standby, 3)
	s.sbctl(pair.ExitDone, "resolve", "nfs", "--dry-run") // somebody has looked at it before
	s.must("cut the standby's power", s.standby.PowerCut(s.ctx))
	s.within(20*time.Second, "what is known of it is shown", func() error {
		a, err := s.Sbctl(s.ctx, "resolve", "nfs", "--dry-run")
		if err != nil {
			return err
		}
		for _, want := range []string{"What " + string(s.holder.Name) + " alone tells", "What was last measured of " + off, off + " was last heard", "its copy counts as stale"} {
			if !strings.Contains(a.Out, want) {
				return fmt.Errorf("%q is not shown: %s", want, a.Text())
			}
		}
		return nil
	})
	a := s.sbctl(pair.ExitRefused, "resolve", "nfs", "--discard", off, "--typed", "nfs", "--yes")
	if !strings.Contains(a.Text(), "--discard "+off+" --when-back") {
		t.Errorf("it is not said what may be done instead: %s", a.Text())
	}
	s.sbctl(pair.ExitRefused, "resolve", "nfs", "--keep", off, "--typed", "nfs", "--yes")
	t.Log(s.sbctl(pair.ExitDone, "resolve", "nfs", "--discard", off, "--when-back", "--at-most", "64MiB", "--typed", "nfs", "--yes").Text())
	waits, err := s.LastRecovery(s.ctx)
	s.must("ask for the recovery", err)
	s.within(10*time.Second, "the holder writes", s.writes(s.holder))

	s.must("power on the standby", s.standby.PowerOn(s.ctx))
	s.must("wait for the standby", s.standby.WaitUp(s.ctx))
	s.within(90*time.Second, "it is resolved", func() error { // and not one of another story
		r, err := s.LastRecovery(s.ctx)
		if err == nil && (r.ID != waits.ID || r.Outcome != "recovered") {
			err = fmt.Errorf("%+v", r)
		}
		return err
	})
	t.Log(s.sbctl(pair.ExitDone, "recovery", "show", "nfs").Text())
	s.alike()
	s.keeps(s.standby)
	s.nobodyShot()
}
