package main

import (
	"bytes"
	"context"
	"errors"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/spf13/cobra"

	"sbarbiter/drbd"
	"sbarbiter/drbd/kernel"
	"sbarbiter/recovery"
	"sbarbiter/recovery/carry"
	"sbarbiter/recovery/keep"
)

const copySize = 1 << 20

// victim is node-b, in use, with its resource r0 parted from node-a's. Each resource that
// is called for is as r0 is, on the same disk.
type victim struct {
	t       *testing.T
	gi      map[string]string // what differs from giB
	role    drbd.Role
	changed uint64 // KiB that it has marked
	disk    string
	log     []string
	connect error
	// policies are what DRBD might decide by
	policies []drbd.Violation
	met      []string // resources that take the survivor's data
	dump     func()   // somebody writes while it is kept
}

func (v *victim) Family(context.Context) (drbd.Family, error) { return drbd.Family84, nil }

func (v *victim) Now(_ context.Context, resource string) (drbd.Resource, error) {
	r := drbd.Resource{Name: resource, Role: v.role, Volumes: []drbd.Volume{{Disk: drbd.DiskUpToDate, Role: v.role, SizeKiB: copySize >> 10, OutOfSyncKiB: v.changed}}}
	if slices.Contains(v.met, resource) {
		r.Peer = &drbd.Connection{State: drbd.ConnConnected, Volumes: []drbd.PeerVolume{{Replication: drbd.ReplSyncTarget}}}
	}
	return r, nil
}

func (v *victim) GenerationLines(_ context.Context, resource string) ([]string, error) {
	if gi := v.gi[resource]; gi != "" {
		return []string{gi}, nil
	}
	return []string{giB}, nil
}

func (v *victim) StoredGenerations(context.Context, string, int) (string, error) { return giB, nil }

func (v *victim) Backing(context.Context, string) ([]kernel.Backing, error) {
	return []kernel.Backing{{Disk: v.disk}}, nil
}

func (v *victim) DumpMetadata(context.Context, string, int) (string, error) {
	if v.dump != nil {
		v.dump()
	}
	return "version \"v08\";\nla-size-sect 2048;\nbm-byte-per-bit 4096;\n# bits-set 3;\n", nil
}

func (v *victim) SplitPolicies(context.Context, string) ([]drbd.Violation, error) {
	return v.policies, nil
}

func (v *victim) ResyncLimit(context.Context, string) (uint64, error) { return 0, nil }
func (v *victim) Prepare(context.Context)                             {}

func (v *victim) Demote(context.Context, string) error {
	v.role = drbd.RoleSecondary
	return nil
}

func (v *victim) Disconnect(context.Context, string) error { return nil }
func (v *victim) Invalidate(context.Context, string) error { return errors.New("nobody asked for it") }

func (v *victim) Connect(_ context.Context, resource string, o drbd.ConnectOption) error {
	v.log = append(v.log, "connect "+resource+" "+string(o))
	if o == drbd.DiscardMyData {
		v.met = append(v.met, resource)
	}
	return v.connect
}

// parted returns the victim with node-b's hands on it, for so many resources.
func parted(t *testing.T, resources ...string) (*victim, *carry.Node) {
	t.Helper()
	dir := t.TempDir()
	v := &victim{t: t, role: drbd.RolePrimary, changed: 64, disk: filepath.Join(dir, "disk"), gi: map[string]string{}}
	for name, text := range map[string][]byte{"disk": bytes.Repeat([]byte("b"), copySize), "1/mountinfo": nil} {
		path := filepath.Join(dir, name)
		if err := errors.Join(os.MkdirAll(filepath.Dir(path), 0o755), os.WriteFile(path, text, 0o600)); err != nil {
			t.Fatal(err)
		}
	}
	return v, &carry.Node{
		Name: "node-b", DRBD: v, Proc: dir, Groups: []carry.Group{{Name: "nfs", Resources: resources}},
		Store: &keep.Store{Dir: filepath.Join(dir, "kept"), Quota: 8 * copySize, Drivers: []keep.Driver{keep.Copy{AtMost: copySize}}},
	}
}

// agreed is the plan to discard node-b, for what it has changed now.
func agreed(t *testing.T, n *carry.Node) recovery.Plan {
	t.Helper()
	here, err := n.Measure(t.Context(), n.Groups[0])
	if err != nil || here.Missing != "" {
		t.Fatal(err, here.Missing)
	}
	there := here.Clone()
	there.Node = "node-a"
	for i := range there.Volumes {
		there.Volumes[i].Generations = giA
	}
	e := recovery.Evidence{Group: "nfs", Sides: [2]recovery.Side{there, here}}
	d, err := recovery.Choose(e, "node-b")
	if err != nil {
		t.Fatal(err)
	}
	p, err := recovery.MakePlan(e, d)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// carriedOut runs a plan on node-b until the survivor's data is taken, or it is refused.
func carriedOut(t *testing.T, n *carry.Node, p recovery.Plan) error {
	t.Helper()
	return carriedOutAs(t, n, p, idOf(p))
}

func carriedOutAs(t *testing.T, n *carry.Node, p recovery.Plan, id string) error {
	t.Helper()
	ctx, cancel := context.WithCancelCause(t.Context())
	defer cancel(nil)
	cmd := &cobra.Command{}
	cmd.SetContext(ctx)
	r := byHand{Node: n, plan: p, id: id, out: &untilTaken{cancel: cancel}}
	err := r.run(cmd)
	if context.Cause(ctx) == errTaken { //nolint:errorlint // it is the very one
		return nil
	}
	return err
}

var errTaken = errors.New("the survivor's data is being taken")

type untilTaken struct{ cancel context.CancelCauseFunc }

func (u *untilTaken) Write(line []byte) (int, error) {
	if bytes.Contains(line, []byte("follow-resync")) {
		u.cancel(errTaken)
	}
	return len(line), nil
}

// How much a side loses that is in use is not known before it stands still: what was
// agreed to is compared with it then.
func TestAVictimThatChangedMoreBeforeItStoodStillIsNotGivenUp(t *testing.T) {
	v, n := parted(t, "r0")
	p := agreed(t, n)
	n.Groups[0].Stop = func(context.Context) error { v.changed = 512; return nil }
	for range 2 { // once it is begun, it is measured all the same
		err := carriedOut(t, n, p)
		if err == nil || !strings.Contains(err.Error(), "nothing of node-b is given up by this run") ||
			!strings.Contains(err.Error(), "512.0 KiB would be discarded now, and the plan allows 64.0 KiB") || len(v.log) > 0 {
			t.Fatalf("%v: %q", err, v.log)
		}
	}
	v.changed, n.Groups[0].Stop = 64, nil
	if err := carriedOut(t, n, p); err != nil || !slices.Equal(v.log, []string{"connect r0 " + string(drbd.DiscardMyData)}) {
		t.Errorf("%v: %q", err, v.log)
	}
}

// The copy may take hours: what the stop itself has written is found before it, and what
// was written meanwhile after it.
func TestAVictimIsMeasuredBeforeItsCopyAndAfterIt(t *testing.T) {
	for when, kept := range map[string]int{"stopped": 0, "copied": 1} {
		v, n := parted(t, "r0")
		p := agreed(t, n)
		more := func() { v.changed = 68 }
		if when == "copied" {
			v.dump = more
		} else {
			n.Groups[0].Stop = func(context.Context) error { more(); return nil }
		}
		err := carriedOut(t, n, p)
		all, listed := n.Kept("nfs")
		if err == nil || !strings.Contains(err.Error(), "68.0 KiB would be discarded now") || listed != nil || len(all) != kept || len(v.log) > 0 {
			t.Errorf("more once it is %s: %v, %v; %d copies, %q", when, err, listed, len(all), v.log)
		}
	}
}

// The same sides make the same plan, and that the same name: the copy is kept anew under
// another one.
func TestACopyThatIsLostIsKeptAnewByHand(t *testing.T) {
	v, n := parted(t, "r0")
	v.role, v.connect = drbd.RoleSecondary, errors.New("the cable")
	p := agreed(t, n)
	if err := carriedOut(t, n, p); err == nil || !strings.Contains(err.Error(), "the cable") {
		t.Fatal(err)
	}
	all, err := n.Kept("nfs")
	if err != nil || len(all) != 1 || os.Remove(all[0].Source) != nil {
		t.Fatal(all, err)
	}
	v.connect, v.met = nil, nil
	if err := carriedOut(t, n, agreed(t, n)); !errors.Is(err, carry.ErrUnkept) || !strings.Contains(err.Error(), "run it with another --id than "+idOf(p)) {
		t.Fatal(err)
	}
	if err := n.Release(t.Context(), "nfs", idOf(p), carry.Unsaid); err == nil || !strings.Contains(err.Error(), "by hand: once no sbagent recovery run goes on, add --over") {
		t.Errorf("%v", err)
	}
	if err := carriedOutAs(t, n, agreed(t, n), "anew"); err != nil || !slices.Equal(v.met, []string{"r0"}) {
		t.Errorf("%v: %q", err, v.log)
	}
	if err := n.Release(t.Context(), "nfs", idOf(p), carry.SaidOver); err != nil {
		t.Error(err)
	}
}

func TestAVictimThatIsPrimaryAgainIsNotGivenUp(t *testing.T) {
	_, n := parted(t, "r0")
	r := byHand{Node: n, plan: agreed(t, n), out: io.Discard}
	if err := r.again(t.Context()); err == nil || !strings.Contains(err.Error(), "node-b is Primary again") {
		t.Errorf("%v", err)
	}
}

// The services of a victim are not stopped for what cannot be done then.
func TestAPlanIsNotBegunWhereDRBDMightDecideOtherwise(t *testing.T) {
	v, n := parted(t, "r0")
	p := agreed(t, n)
	n.Groups[0].Stop = func(context.Context) error { return errors.New("it was stopped") }
	v.policies = []drbd.Violation{{What: "after-sb-0pri is discard-zero-changes, must be disconnect", Where: "resource r0", Fix: "THE LINE"}}
	if err := carriedOut(t, n, p); err == nil || !strings.Contains(err.Error(), "nothing was done") || !strings.Contains(err.Error(), "write: THE LINE; then run it again") {
		t.Errorf("%v", err)
	}
}

// Of two resources one was given up before the run was interrupted: the other's share is
// what is left to compare.
func TestWhatIsGivenUpAlreadyIsNotHeldAgainstTheRest(t *testing.T) {
	v, n := parted(t, "r0", "r1")
	p := agreed(t, n)
	v.connect = errors.New("the cable")
	if err := carriedOut(t, n, p); err == nil || !strings.Contains(err.Error(), "the cable") {
		t.Fatal(err)
	}
	v.connect, v.gi["r0"] = nil, "E6F3F795B57E18AA:0000000000000000:2118A6CB62BB9566:0000000000000000:1:1:0:0:0:0:0"
	if err := carriedOut(t, n, p); err != nil || !slices.Equal(v.met, []string{"r0", "r1"}) {
		t.Errorf("%v: %q", err, v.log)
	}
}
