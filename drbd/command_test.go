package drbd

import (
	"strings"
	"testing"
)

func TestCommandLines(t *testing.T) {
	target := Target{Resource: "r0", Minors: []Minor{10, 11}, Peer: NoNodeID}
	target9 := Target{Resource: "r0", Minors: []Minor{10, 11}, Peer: 1}
	a, b := For(Family84), For(Family9)
	for _, tc := range []struct {
		list []Command
		want string
	}{
		{a.Primary(target), "drbdsetup primary 10; drbdsetup primary 11"},
		{b.Primary(target9), "drbdsetup primary r0"},
		{a.Secondary(target), "drbdsetup secondary 10; drbdsetup secondary 11"},
		{b.Secondary(target9), "drbdsetup secondary r0"},
		{a.Outdate(target), "drbdsetup outdate 10; drbdsetup outdate 11"},
		{b.Outdate(target9), "drbdsetup outdate 10; drbdsetup outdate 11"},
		{a.Invalidate(target), "drbdsetup invalidate 10; drbdsetup invalidate 11"},
		{a.Disconnect(target), "drbdadm disconnect r0"},
		{b.Disconnect(target9), "drbdsetup disconnect r0 1"},
		{a.Connect(target, KeepMyData), "drbdadm connect r0"},
		{a.Connect(target, DiscardMyData), "drbdadm connect --discard-my-data r0"},
		{b.Connect(target9, DiscardMyData), "drbdsetup connect r0 1 --discard-my-data"},
		{b.Connect(target, DiscardMyData), "drbdadm connect --discard-my-data r0"},
		{a.Attach(target), "drbdadm attach r0"},
		{a.Attach(Target{Resource: "r0"}), "drbdadm new-resource r0; drbdadm sh-new-minor r0; drbdadm attach r0"},
		{b.Attach(Target{Resource: "r0"}), "drbdadm new-resource r0; drbdadm new-minor r0; drbdadm new-peer r0; drbdadm new-path r0; drbdadm peer-device-options r0; drbdadm attach r0"},
		{a.Down("r0"), "drbdsetup down r0"},
		{[]Command{a.Status("r0")}, "drbdsetup status r0 --verbose --statistics"},
		{[]Command{a.Events()}, "drbdsetup events2 --timestamps --statistics"},
	} {
		var got []string
		for _, c := range tc.list {
			got = append(got, c.String())
			if strings.Contains(c.String(), "force") || strings.Contains(c.String(), "resume") {
				t.Errorf("%q must never be run", c)
			}
		}
		if text := strings.Join(got, "; "); text != tc.want {
			t.Errorf("got %q, want %q", text, tc.want)
		}
	}
}

// An operator's word that the only better copy is lost is what it takes.
func TestOneCommandForces(t *testing.T) {
	target := Target{Resource: "r0", Minors: []Minor{10, 11}}
	for family, want := range map[Family]string{Family84: "drbdsetup primary 10 --force; drbdsetup primary 11 --force", Family9: "drbdsetup primary r0 --force"} {
		var got []string
		for _, c := range For(family).PrimaryForced(target) {
			got = append(got, c.String())
		}
		if text := strings.Join(got, "; "); text != want {
			t.Errorf("got %q, want %q", text, want)
		}
	}
}

func TestOnlyAPlainConnectLineIsTaken(t *testing.T) {
	const line = "drbdsetup-84 connect r0 ipv4:10.91.0.2:7789 ipv4:10.91.0.1:7789 --protocol=C"
	if cmd, ok := ParseConnectLine(line+"\n", "r0", DiscardMyData); !ok || cmd.String() != "drbdsetup"+line[len("drbdsetup-84"):]+" --discard-my-data" {
		t.Errorf("%q, %v", cmd, ok)
	}
	for _, bad := range []string{
		"", "drbdsetup-84 connect r1 a b", "drbdsetup connect r0 1", line + "\n" + line, line + " --shared-secret=x", line + " '--x=a b'", line + " $(x)",
	} {
		if cmd, ok := ParseConnectLine(bad, "r0", KeepMyData); ok {
			t.Errorf("%q became %q", bad, cmd)
		}
	}
}

func TestGenerationsNeedAnAddress(t *testing.T) {
	r := Resource{Name: "r0", Volumes: []Volume{{Minor: 10}}}
	if list, err := For(Family84).Generations(r); err != nil || list[0].String() != "drbdsetup get-gi 10" {
		t.Errorf("8.4: %v, %v", list, err)
	}
	if _, err := For(Family9).Generations(r); err == nil {
		t.Error("9 without a peer's node id was accepted")
	}
	r.Peer = &Connection{NodeID: 1}
	if list, err := For(Family9).Generations(r); err != nil || list[0].String() != "drbdsetup get-gi r0 1 0" {
		t.Errorf("9: %v, %v", list, err)
	}
}

func TestResultsAreReadByNumber(t *testing.T) {
	for _, tc := range []struct {
		family Family
		exit   int
		stderr string
		want   Outcome
	}{
		{Family84, 0, "", OutcomeDone},
		{Family84, 11, "0: State change failed: (-12) Device is held open by someone\nCommand 'drbdsetup-84 secondary 0' terminated with exit code 11\n", OutcomeHeldOpen},
		{Family84, 11, "r0: State change failed: (-12) Device is held open by someone\nadditional info from kernel:\nfailed to demote\n", OutcomeHeldOpen},
		{Family84, 17, "0: State change failed: (-2) Refusing to be Primary without at least one UpToDate disk\n", OutcomeNeedUpToDate},
		{Family84, 11, "0: Andere Worte: (-1) egal\n", OutcomePeerPrimary},
		{Family84, 11, "0: State change failed: (-7) Refusing to be Primary while peer is not outdated\n", OutcomePeerNotOutdated},
		{Family84, 10, "r0: Failure: (162) Invalid configuration request\nadditional info from kernel:\nunknown connection\n", OutcomeUnconfigured},
		{Family84, 10, "r0: Failure: (125) Device has a net-config (use disconnect first).\n", OutcomeAlready},
		{Family84, 10, "r0: Failure: (123) --discard-my-data not allowed when primary.\n", OutcomeWhilePrimary},
		{Family84, 5, "0: State change failed: (-16) Disk state is lower than outdated\n", OutcomeDiskTooBad},
		{Family84, 17, "", OutcomeNeedUpToDate},
		{Family84, 20, "Cannot determine minor device number of device 'r0'\n", OutcomeNoDriver},
		{Family84, 11, "x: State change failed: (-21) y\n", OutcomeNotConnected},
		{Family9, 11, "x: State change failed: (-21) y\n", OutcomeTransient},
		{Family9, 11, "x: State change failed: (-25) No quorum\n", OutcomeNoQuorum},
		{Family84, 11, "x: State change failed: (-99) y\n", OutcomeOther},
		{Family84, 7, "((((", OutcomeOther},
	} {
		if got := ClassifyExit(tc.family, tc.exit, tc.stderr); got.Outcome != tc.want {
			t.Errorf("exit %d, %q: got %v", tc.exit, tc.stderr, got)
		}
	}
}

func TestRecordedFailuresAreUnderstood(t *testing.T) {
	for _, tc := range []struct {
		file, command string
		want          Outcome
	}{
		{"k84/07-busy.txt", "drbdadm secondary r0", OutcomeHeldOpen},
		{"k84/07-busy.txt", "drbdadm down r0", OutcomeHeldOpen},
		{"k84/07-busy.txt", "drbdadm primary r0", OutcomePeerPrimary},
		{"k84/07-busy.txt", "drbdsetup secondary r0", OutcomeNoDriver},
		{"k84/12-manual-resolve.txt", "drbdadm disconnect r0", OutcomeUnconfigured},
		{"k92/05-refused.txt", "drbdadm primary r0", OutcomePeerPrimary},
	} {
		found := false
		for _, c := range capturesIn(t, "testdata/"+tc.file) {
			if c.command != tc.command {
				continue
			}
			found = true
			if got := ClassifyExit(Family84, c.exit, c.output); got.Outcome != tc.want {
				t.Errorf("%s %s: %v", tc.file, tc.command, got)
			}
		}
		if !found {
			t.Errorf("%s has no %q", tc.file, tc.command)
		}
	}
}

func TestGenerationsOfBothFamilies(t *testing.T) {
	g, err := ParseGI(one(t, "k84/10-disconnected-both-primary.txt", "node1", "drbdadm get-gi r0"))
	if err != nil {
		t.Fatal(err)
	}
	if g.Current.String() != "6BB4841B974EA3B3" || g.Flags != (GenerationFlags{Consistent: true, WasUpToDate: true, Primary: true}) {
		t.Errorf("8.4: %+v", g)
	}
	other, err := ParseGI(one(t, "k84/10-disconnected-both-primary.txt", "node2", "drbdadm get-gi r0"))
	if err != nil || !other.Bitmap.Same(g.Bitmap) || other.Current.Same(g.Current) {
		t.Errorf("both sides left the same generation for different ones: %+v, %v", other, err)
	}
	if !g.Alone() || !other.Alone() {
		t.Error("both were Primary without the other, and it is not told")
	}
	if other.Flags.Consistent = false; other.Alone() {
		t.Error("one that is being overwritten is told to have something of its own")
	}
	g, err = ParseGI(one(t, "k92/04-uptodate.txt", "node1", "drbdadm get-gi r0"))
	if g.Alone() {
		t.Error("9: in step, and told to have something of its own")
	}
	want := GenerationFlags{Consistent: true, WasUpToDate: true, Primary: true, CrashedPrimary: true, Connected: true, PeerDeviceSeen: true}
	if err != nil || g.Flags != want {
		t.Errorf("9: %+v, %v", g, err)
	}
	for _, bad := range []string{"", "1:2:3", "x:0:0:0:1:1:1:0:0:0:0", "0:0:0:0:1:1:2:0:0:0:0", strings.Repeat(":", 10)} {
		if g, err := ParseGI(bad); err == nil {
			t.Errorf("%q was read as %+v", bad, g)
		}
	}
}
