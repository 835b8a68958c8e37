package scenarios

import (
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"sbarbiter/chaos-tests/lab"
	"sbarbiter/chaos-tests/pair"
)

// decided is a split brain that a policy resolves with nobody being asked.
type decided struct {
	name string
	list string // of policies; HOLDER and STANDBY are the nodes
	part func(*split)
	// victim is whose changes are given up: of the holder, or of the standby, as the
	// story began.
	victim string
	says   string // the sentence of the policy, as a pattern; EPOCH is the holder's
}

const (
	theHolder  = "HOLDER"
	theStandby = "STANDBY"
	size       = `[0-9.]+ [KM]iB`
)

// Each policy, for the holder and for the other one. That of least changes has a story of
// its own, and discard-unleased decides the one about a full store.
var everyPolicy = []decided{
	{
		name: "zero changes, the forced copy", list: "discard-zero-changes",
		part: forcedAndNotWritten, victim: theStandby,
		says: "STANDBY changed nothing on r0/0, HOLDER " + size,
	},
	{
		name: "zero changes, the last holder", list: "discard-zero-changes",
		part: bothForcedWhileNobodyRuns, victim: theHolder,
		says: "HOLDER changed nothing on r0/0, STANDBY " + size,
	},
	{
		name: "younger, the forced copy", list: "discard-younger-primary",
		part: forcedUnderItsAgent, victim: theStandby,
		says: "STANDBY became Primary without a lease, epoch EPOCH being the last that it knew, HOLDER under epoch EPOCH",
	},
	{
		name: "older, the holder", list: "discard-older-primary",
		part: forcedUnderItsAgent, victim: theHolder,
		says: "STANDBY became Primary without a lease, epoch EPOCH being the last that it knew, HOLDER under epoch EPOCH",
	},
	{
		name: "younger, who stood in for a lost one", list: "discard-younger-primary",
		part: lostAndBack, victim: theStandby,
		says: `STANDBY became Primary under epoch \d+, HOLDER under epoch EPOCH`,
	},
	{
		name: "older, who was lost and is back", list: "discard-older-primary",
		part: lostAndBack, victim: theHolder,
		says: `STANDBY became Primary under epoch \d+, HOLDER under epoch EPOCH`,
	},
	{
		// The first one passes: no agent has seen the promotion.
		name: "Secondary, the forced copy", list: "discard-younger-primary, discard-secondary",
		part: forcedUnseen(4, 1), victim: theStandby,
		says: "STANDBY is Secondary and HOLDER is Primary",
	},
	{
		name: "Secondary, the last holder", list: "discard-secondary",
		part: forcedAndLeftPrimary, victim: theHolder,
		says: "HOLDER is Secondary and STANDBY is Primary",
	},
	{
		name: "the node named, the forced copy", list: "{policy: discard-node, node: STANDBY}",
		part: forcedUnseen(1, 4), victim: theStandby,
		says: "the operator's list names STANDBY",
	},
	{
		name: "the node named, the holder", list: "{policy: discard-node, node: HOLDER}",
		part: forcedUnseen(4, 1), victim: theHolder,
		says: "the operator's list names HOLDER",
	},
	{
		name: "consensus, the forced copy", list: "{policy: consensus, of: [discard-unleased, discard-least-changes]}",
		part: forcedUnseen(8, 1), victim: theStandby,
		says: "HOLDER held the group under epoch EPOCH, STANDBY under none since both copies were one; STANDBY changed " + size + " of r0/0, HOLDER " + size,
	},
	{
		// The two of the first one do not agree.
		name:   "consensus, the holder",
		list:   "{policy: consensus, of: [discard-unleased, discard-least-changes]}, {policy: consensus, of: [discard-older-primary, discard-least-changes]}",
		part:   forcedUnderItsAgent,
		victim: theHolder,
		says:   "STANDBY became Primary without a lease, epoch EPOCH being the last that it knew, HOLDER under epoch EPOCH; HOLDER changed " + size + " of r0/0, STANDBY " + size,
	},
}

func everyPolicyIsCarriedOut(t *testing.T) {
	for _, d := range everyPolicy {
		t.Run(d.name, d.tell)
	}
}

func (d decided) tell(t *testing.T) {
	s := &split{story: begin(t)}
	epoch := fmt.Sprint(s.epoch())
	words := strings.NewReplacer(theHolder, string(s.holder.Name), theStandby, string(s.standby.Name), "EPOCH", epoch)
	victim, survivor := s.standby, s.holder
	if d.victim == theHolder {
		victim, survivor = s.holder, s.standby
	}
	s.ownRecords = true // what is lost is looked for in what is kept
	for _, n := range s.Nodes() {
		s.must("keep nothing of other stories", n.Must(s.ctx, "rm -rf /h/kept "+sumOfOwn))
	}
	s.must("remove what other stories wrote", s.holder.Must(s.ctx, "rm -f "+lab.MountPoint+"/only-*"))
	s.policies(words.Replace(d.list))
	s.resolvesItself(victim, func() {
		d.part(s)
		s.must("heal replication", s.HealReplication(s.ctx))
	})
	s.audited(words.Replace(d.says))
	if s.after != nil {
		s.after()
	}
	s.gaveUp(victim)
	s.within(60*time.Second, "the survivor's side writes", s.writes(s.holderNow()))
	s.nothingIsLost(survivor, victim)
}

// split is a story in which the copies of both nodes come to differ.
type split struct {
	*story
	cut   time.Time // since when they do
	after func()    // what a person does once it is resolved; nil: nothing
}

// sumOfOwn is where a node has the sum of the file that it alone has written.
const sumOfOwn = "/h/own.sum"

// writesOwn is a script that writes a file of so many MiB that only this node has.
func writesOwn(n *lab.Node, dir string, mib int) string {
	return fmt.Sprintf("cd %[1]s; head -c %[2]d /dev/urandom >only-%[3]s; sync -f only-%[3]s; sha256sum only-%[3]s >%[4]s; cd /", dir, mib<<20, n.Name, sumOfOwn)
}

// mountedWriting is writesOwn of a node on which the group does not run.
func mountedWriting(n *lab.Node, mib int) string {
	return "mount /dev/drbd0 /mnt; " + writesOwn(n, "/mnt", mib) + "; umount /mnt"
}

func (s *split) holderWrites(mib int) {
	s.t.Helper()
	s.must("let the holder write", s.holder.Must(s.ctx, "set -e; "+writesOwn(s.holder, lab.MountPoint, mib)))
}

// leaveBehind cuts the link, with the holder writing on.
func (s *split) leaveBehind() {
	s.t.Helper()
	s.cut = time.Now()
	s.must("leave the standby behind", s.LeaveBehind(s.ctx, s.holder))
}

// forcedUnseen: the standby's copy is forced while its agent does not run.
func forcedUnseen(holder, standby int) func(*split) {
	return func(s *split) {
		s.cut = time.Now()
		s.must("make both copies differ", s.Fork(s.ctx, s.holder, mountedWriting(s.standby, standby)))
		s.holderWrites(holder)
	}
}

// forcedAndNotWritten: likewise, and whoever did it has looked at it and no more.
func forcedAndNotWritten(s *split) {
	s.cut = time.Now()
	s.must("make both copies differ", s.Fork(s.ctx, s.holder, looksAt))
	s.holderWrites(2)
}

// looksAt reads a block: DRBD 9 begins a generation with the first request, if only to read.
const looksAt = "dd if=/dev/drbd0 of=/dev/null bs=4k count=1 iflag=direct status=none"

// forcedUnderItsAgent: the standby's copy is forced, and its agent remembers when. It
// writes more than the holder does.
func forcedUnderItsAgent(s *split) {
	s.leaveBehind()
	s.must("force the standby's copy", s.standby.Must(s.ctx, pair.ForceMounted(writesOwn(s.standby, "/mnt", 24)+"; umount /mnt; "+pair.Demote)))
	s.within(10*time.Second, "its agent has seen it", s.told(string(s.standby.Name), "primary without a right"))
	s.holderWrites(1)
}

// forcedAndLeftPrimary: somebody stops the group on the holder and goes on by hand with
// the other copy, which is stale.
func forcedAndLeftPrimary(s *split) {
	s.leaveBehind()
	s.holderWrites(4)
	s.stopsTheGroup(s.holder)
	s.must("force the standby's copy", s.standby.Must(s.ctx, pair.ForceMounted(writesOwn(s.standby, "/mnt", 1))))
	s.after = func() {
		s.must("leave it to the agent", s.standby.Must(s.ctx, "! mountpoint -q /mnt || umount /mnt"))
		s.sbctl(pair.ExitDone, "unstandby", string(s.holder.Name))
	}
}

// bothForcedWhileNobodyRuns: the group is stopped on purpose, and somebody who does not
// know where it ran last promotes both copies, but writes to one of them only.
func bothForcedWhileNobodyRuns(s *split) {
	s.sbctl(pair.ExitDone, "standby", string(s.standby.Name))
	s.stopsTheGroup(s.holder)
	s.cut = time.Now()
	s.must("cut replication", s.CutReplication(s.ctx))
	s.forceUnseen(s.holder, looksAt)
	s.forceUnseen(s.standby, mountedWriting(s.standby, 2))
	s.after = func() {
		for _, n := range s.Nodes() {
			s.sbctl(pair.ExitDone, "unstandby", string(n.Name))
		}
	}
}

// stopsTheGroup has the holder give it back, and not be granted it again. The other node
// cannot run it either.
func (s *split) stopsTheGroup(holder *lab.Node) {
	s.t.Helper()
	s.sbctl(pair.ExitDone, "standby", string(holder.Name), "--yes")
	s.must("start its agent anew", holder.Must(s.ctx, "systemctl stop sbagent; systemctl start sbagent"))
	s.within(30*time.Second, "the group runs nowhere", s.notPrimary(holder))
}

// forceUnseen forces a copy while no agent runs there.
func (s *split) forceUnseen(n *lab.Node, write string) {
	s.t.Helper()
	s.must("force the copy of "+string(n.Name), n.Must(s.ctx, "systemctl stop sbagent"+pair.Force(write+"\n"+pair.Demote)+"systemctl start sbagent"))
}

func (s *split) notPrimary(n *lab.Node) func() error {
	return func() error {
		out, _, err := n.Run(s.ctx, "drbdadm role r0")
		if err == nil && !strings.HasPrefix(out, "Secondary") {
			err = errors.New(out)
		}
		return err
	}
}

// lostAndBack: the machine with the good copy is lost for good, the stale one stands in
// for it by an operator's word, and then the machine turns up. Both have held a lease.
func lostAndBack(s *split) {
	lost, kept := string(s.holder.Name), string(s.standby.Name)
	s.leaveBehind()
	s.holderWrites(3)
	s.must("cut the holder's power", s.holder.PowerCut(s.ctx))
	s.must("mend the link", s.HealReplication(s.ctx))
	s.within(60*time.Second, "its lease is over", s.does("fence", "confirm", lost, "--reason", "burnt down", "--typed", lost, "--yes"))
	s.sbctl(pair.ExitDone, "group", "init", "nfs", "--keep", kept, "--lost", "--reason", "burnt down", "--typed", lost, "--yes")
	s.within(60*time.Second, "the stale copy stands in", s.writes(s.standby))
	s.must("let it write", s.standby.Must(s.ctx, "set -e; "+writesOwn(s.standby, lab.MountPoint, 2)))
	s.must("the machine turns up", s.holder.PowerOn(s.ctx))
	s.must("wait for it", s.holder.WaitUp(s.ctx))
}

// audited wants the policy's sentence in the audit log, beside what was given up.
func (s *split) audited(sentence string) {
	s.t.Helper()
	want := regexp.MustCompile(`^recovery \S+ of nfs is running: \S+'s copy is kept, up to (0 B|` + size + `) of \S+'s changes are given up: ` + sentence + `$`)
	var last []string
	for line := range strings.Lines(s.sbctl(pair.ExitDone, "-o", "json", "events").Out) {
		var e struct {
			At             time.Time `json:"at"`
			What, Sentence string
		}
		s.must("read the audit log", json.Unmarshal([]byte(line), &e))
		if e.What != "recovery" || e.At.Before(s.Since()) {
			continue
		}
		if want.MatchString(e.Sentence) {
			s.t.Logf("audit: %s", e.Sentence)
			return
		}
		last = append(last, e.Sentence)
	}
	s.t.Errorf("the audit log does not say %s, but\n%s", want, strings.Join(last, "\n"))
}

// nothingIsLost: what the survivor has acknowledged is there, and nothing of the victim's,
// which is all in what is kept.
func (s *split) nothingIsLost(survivor, victim *lab.Node) {
	s.t.Helper()
	now := s.holderNow()
	there := func(n *lab.Node) bool {
		_, code, err := now.Run(s.ctx, fmt.Sprintf("[ -e %s/only-%s ]", lab.MountPoint, n.Name))
		s.must("look for the files", err)
		return code == 0
	}
	if sum, wrote := s.ownSum(survivor); wrote && (!there(survivor) || s.sumOn(now, survivor) != sum) {
		s.t.Errorf("what %s alone had written is not there as it was", survivor.Name)
	}
	sum, wrote := s.ownSum(victim)
	if wrote && there(victim) {
		s.t.Errorf("what %s alone had written is still there", victim.Name)
	}
	audit, err := s.CheckRecords(s.ctx, now)
	s.must("compare the records", err)
	for _, r := range audit.Lost {
		if r.Node != string(victim.Name) || r.At.Before(s.cut) {
			s.t.Errorf("record %+v of %s is lost", r.Record, r.At.Sub(s.cut))
		}
	}
	s.t.Logf("%d records were acknowledged, of which %s alone had %d", audit.Acked, victim.Name, len(audit.Lost))
	if !wrote && len(audit.Lost) == 0 {
		return // there is nothing to be brought back
	}
	s.salvaged(victim, sum, audit.Lost)
}

// salvaged: what the victim alone had is brought back byte for byte, its records too.
func (s *split) salvaged(victim *lab.Node, sum string, records []lab.Ack) {
	s.t.Helper()
	to := filepath.Join(s.t.TempDir(), "salvaged")
	a, err := s.SbctlAtNodes(s.ctx, "salvage", "nfs", "--to", to)
	s.must("salvage", err)
	if a.Exit != pair.ExitDone {
		s.t.Errorf("salvage: exit %d: %s", a.Exit, a.Text())
	}
	name := "only-" + string(victim.Name)
	if file, err := os.ReadFile(filepath.Join(to, name)); err != nil || sumOf(file) != sum {
		s.t.Errorf("%s was not brought back as it was written: %v", name, err)
	}
	if len(records) == 0 {
		return
	}
	file, err := os.ReadFile(filepath.Join(to, filepath.Base(lab.RecordsPath)))
	s.must("read what was brought back", err)
	if lost := lab.CheckRecords(file, records).Lost; len(lost) > 0 {
		s.t.Errorf("%d of %d records that only %s had are not in what is kept", len(lost), len(records), victim.Name)
	}
}

func sumOf(text []byte) string { return fmt.Sprintf("%x", sha256.Sum256(text)) }

// ownSum is the sum of what a node alone has written, as it was then.
func (s *split) ownSum(n *lab.Node) (sum string, wrote bool) {
	s.t.Helper()
	out, code, err := n.Run(s.ctx, "cat "+sumOfOwn)
	s.must("ask for the sum", err)
	sum, _, _ = strings.Cut(out, " ")
	return sum, code == 0
}

func (s *split) sumOn(on, of *lab.Node) string {
	s.t.Helper()
	out, _, err := on.Run(s.ctx, fmt.Sprintf("sha256sum %s/only-%s", lab.MountPoint, of.Name))
	s.must("sum the file", err)
	sum, _, _ := strings.Cut(out, " ")
	return sum
}
