package drbd

import (
	"errors"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

const verbose = "drbdsetup status r0 --verbose --statistics"

func TestStatusOfAHealthyPairIn84(t *testing.T) {
	text := one(t, "k84/13-after-manual-resolve.txt", "node1", verbose)
	list, err := ParseStatus(text)
	got := only(t, list, err)
	want := Resource{
		Name: "r0", Role: RolePrimary,
		Volumes: []Volume{{Minor: 0, Disk: DiskUpToDate, SizeKiB: 262100, ReadKiB: 12300, WrittenKiB: 8200, Blocked: "no"}},
		Peer: &Connection{
			Name: "peer", NodeID: NoNodeID, State: ConnConnected, PeerRole: RoleSecondary,
			Volumes: []PeerVolume{{Replication: ReplEstablished, PeerDisk: DiskUpToDate, SentKiB: 12292}},
		},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
	if !got.PeerConnectedUpToDate() || !got.AllUpToDate() || got.Frozen() {
		t.Error("both copies are good and the link is up")
	}
}

func TestStatusTextAndJSONOf9Agree(t *testing.T) {
	compared := 0
	text := map[string]string{}
	all := captures(t, "k92")
	for _, c := range all {
		if c.command == verbose {
			text[c.file+c.node] = c.output
		}
	}
	for _, c := range all {
		plain, ok := text[c.file+c.node]
		if c.command != "drbdsetup status r0 --json" || !ok || c.file == "03-sync.txt" {
			continue // counters move between two commands during a sync
		}
		compared++
		list, err := ParseStatus(plain)
		fromText := only(t, list, err)
		list, err = ParseStatusJSON([]byte(c.output))
		fromJSON := only(t, list, err)
		fromText.Volumes[0].Blocked = "" // not in the JSON
		if diff := cmp.Diff(fromText, fromJSON); diff != "" {
			t.Errorf("%s %s: %s", c.file, c.node, diff)
		}
	}
	if compared < 5 {
		t.Errorf("compared only %d pairs of outputs", compared)
	}
}

// The three sources of 8.4 say the same wherever they were taken together.
func TestStatusEventsAndProcOf84Agree(t *testing.T) {
	byPlace := map[string][3]string{}
	for _, c := range captures(t, "k84") {
		place := c.file + c.node
		three := byPlace[place]
		switch c.command {
		case verbose:
			three[0] = c.output
		case "drbdsetup events2 --now r0":
			three[1] = c.output
		case "cat /proc/drbd":
			three[2] = c.output
		}
		byPlace[place] = three
	}
	compared := 0
	for place, three := range byPlace {
		if three[0] == "" || three[1] == "" || three[2] == "" {
			continue
		}
		compared++
		list, err := ParseStatus(three[0])
		status := only(t, list, err)
		var tr Tracker
		replay(t, &tr, three[1])
		events, ok, err := tr.Resource("r0")
		if err != nil || !ok || !tr.Complete() {
			t.Fatalf("%s: events2 gave no complete r0: %v", place, err)
		}
		proc, err := ParseProcDRBD(three[2])
		if err != nil {
			t.Fatalf("%s: %v", place, err)
		}
		checkAgreement(t, place, status, events, proc.Devices[0])
	}
	if compared < 6 {
		t.Errorf("compared only %d places", compared)
	}
}

func checkAgreement(t *testing.T, place string, status, events Resource, dev ProcDevice) {
	t.Helper()
	type view struct {
		Role, PeerRole Role
		Conn           ConnState
		Disk, Peer     DiskState
	}
	of := func(r Resource) view {
		return view{r.Role, r.PeerRole(), r.ConnState(), r.WorstDisk(), r.PeerWorstDisk()}
	}
	proc := view{dev.Role, dev.PeerRole, dev.Conn, dev.Disk, dev.PeerDisk}
	if diff := cmp.Diff(of(status), of(events)); diff != "" {
		t.Errorf("%s: status and events2: %s", place, diff)
	}
	if diff := cmp.Diff(of(status), proc); diff != "" {
		t.Errorf("%s: status and /proc/drbd: %s", place, diff)
	}
}

func TestStandAloneIn84IsNoConnectionAtAll(t *testing.T) {
	list, err := ParseStatus(one(t, "k84/11-split-brain-detected.txt", "node1", verbose))
	r := only(t, list, err)
	if r.Peer != nil || r.ConnState() != ConnStandAlone || r.PeerConnectedUpToDate() || r.PeerRecordedOutdated() {
		t.Errorf("StandAlone was read as %+v", r)
	}
	proc, err := ParseProcDRBD(one(t, "k84/11-split-brain-detected.txt", "node1", "cat /proc/drbd"))
	if err != nil {
		t.Fatal(err)
	}
	r = r.WithProc(proc)
	if got := r.Volumes[0]; got.OutOfSyncKiB == 0 || got.Role != RolePrimary {
		t.Errorf("/proc/drbd adds role and out-of-sync even now, got %+v", got)
	}
	if r.ConnState() != ConnStandAlone || r.PeerWorstDisk() != DiskUnknown {
		t.Errorf("/proc/drbd adds what is recorded about the peer, got %+v", r.Peer)
	}
	proc.Devices[0].PeerDisk = DiskOutdated
	r.Peer = nil
	if r = r.WithProc(proc); !r.PeerRecordedOutdated() || r.PeerConnectedUpToDate() {
		t.Errorf("a peer recorded as outdated is so while StandAlone too, got %+v", r.Peer)
	}
}

func TestProcIsAFreshLookAtAKnownResource(t *testing.T) {
	list, err := ParseStatus(one(t, "k84/06-uptodate.txt", "node1", verbose))
	before := only(t, list, err)
	proc, err := ParseProcDRBD(one(t, "k84/10-disconnected-both-primary.txt", "node1", "cat /proc/drbd"))
	if err != nil {
		t.Fatal(err)
	}
	now, ok := before.AtProc(proc)
	if !ok || now.ConnState() != ConnConnecting || now.PeerWorstDisk() != DiskUnknown || !now.AllVolumes(RolePrimary) || now.Volumes[0].WrittenKiB == before.Volumes[0].WrittenKiB {
		t.Errorf("got %+v, %v", now, ok)
	}
	if !before.PeerConnectedUpToDate() {
		t.Error("the older look was changed")
	}
	before.Volumes[0].Minor = 7
	if _, ok := before.AtProc(proc); ok {
		t.Error("/proc/drbd does not list minor 7")
	}
	if _, ok := (Resource{}).AtProc(proc); ok {
		t.Error("a resource without volumes is not in /proc/drbd")
	}
}

func TestOneVolumeNotPromotedIsSeen(t *testing.T) {
	r := Resource{Role: RolePrimary, Volumes: []Volume{{Role: RolePrimary}, {Number: 1, Role: RoleSecondary}}}
	if r.AllVolumes(RolePrimary) || r.AllVolumes(RoleSecondary) {
		t.Error("half a promotion is neither")
	}
}

func TestFrozenPrimaryIsSeenAndPeerOutdatedAfterTheHandler(t *testing.T) {
	text := readFile(t, "testdata/k84/30-fencing-exit-codes.txt")
	_, text, _ = strings.Cut(text, "fence-peer exits 4")
	_, frozen, _ := strings.Cut(text, "while the handler runs:\n")
	frozen, after, _ := strings.Cut(frozen, "\n\n")
	list, err := ParseStatus(frozen)
	r := only(t, list, err)
	if !r.Frozen() || r.PeerRecordedOutdated() || r.Volumes[0].Blocked != "upper" {
		t.Errorf("while fence-peer runs: %+v", r)
	}
	_, after, _ = strings.Cut(after, "after it ended:\n")
	_, after, _ = strings.Cut(after, "\n\n")
	after, _, _ = strings.Cut(after, "\n\n")
	list, err = ParseStatus(after)
	if r = only(t, list, err); r.Frozen() || !r.PeerRecordedOutdated() {
		t.Errorf("after fence-peer said 4: %+v", r)
	}
}

func TestWrappedLinesAndSeveralVolumes(t *testing.T) {
	text := `
# a comment
r1 role:Secondary suspended:user,fencing,weather
    write-ordering:flush
  volume:1 minor:11 disk:Inconsistent
      size:10 read:0 al-suspended:no
      blocked:no
  volume:0 minor:10 disk:UpToDate
  peer connection:Connected role:Primary
      congested:no
    volume:1 replication:SyncTarget peer-disk:UpToDate done:12.50
        resync-suspended:no out-of-sync:7
    volume:0 replication:Established peer-disk:UpToDate
r2 role:Primary
  disk:UpToDate open:yes
`
	list, err := ParseStatus(text)
	if err != nil || len(list) != 2 {
		t.Fatalf("got %d resources, %v", len(list), err)
	}
	r := list[0]
	if want := (Suspended{User: true, Fencing: true, Unrecognised: true}); r.Suspended != want {
		t.Errorf("suspended is %+v", r.Suspended)
	}
	if r.WorstDisk() != DiskInconsistent || r.Volumes[0].Minor != 10 || r.Volumes[1].Minor != 11 {
		t.Errorf("volumes are %+v", r.Volumes)
	}
	pv := r.Peer.Volumes[1]
	if pv.DonePercent != 12.5 || pv.OutOfSyncKiB != 7 || !pv.Replication.IsTarget() {
		t.Errorf("peer volume 1 is %+v", pv)
	}
	if r.PeerConnectedUpToDate() {
		t.Error("one volume is still being synchronised")
	}
	if got := list[1]; got.Volumes[0].Minor != NoMinor || got.Peer != nil {
		t.Errorf("the short form is %+v", got)
	}
}

func TestUnknownOrMissingStatesCountForNothing(t *testing.T) {
	for _, text := range []string{
		"r0 role:Primary\n  volume:0 disk:Splendid\n  peer connection:Connected role:Secondary\n    volume:0 replication:Established peer-disk:UpToDate\n",
		"r0 role:Primary\n  volume:0 disk:UpToDate\n  peer connection:Connected role:Secondary\n    volume:0 replication:Established peer-disk:Splendid\n",
		"r0 role:Primary\n  volume:0 disk:UpToDate\n  peer connection:Linked role:Secondary\n    volume:0 replication:Established peer-disk:UpToDate\n",
		"r0 role:Primary\n  volume:0 disk:UpToDate\n  peer connection:Connected role:Secondary\n    volume:0 replication:Sideways peer-disk:UpToDate\n",
		"r0 role:Primary\n  volume:0 disk:UpToDate\n  peer connection:Connected role:Secondary\n    volume:0 peer-disk:UpToDate\n",
		"r0 role:Primary\n  volume:0 disk:UpToDate\n  peer connection:Connected role:Secondary\n",
		"r0 role:Primary\n  volume:0 disk:UpToDate\n  volume:1\n  peer connection:Connected role:Secondary\n    volume:0 replication:Established peer-disk:UpToDate\n",
		"r0 role:Primary\n",
	} {
		list, err := ParseStatus(text)
		if r := only(t, list, err); r.PeerConnectedUpToDate() {
			t.Errorf("this was taken as healthy:\n%s", text)
		}
	}
	if DiskUnrecognised.AtLeast(DiskDiskless) || DiskUpToDate.AtLeast(DiskUnrecognised) || DiskState("").AtLeast(DiskDiskless) {
		t.Error("an unknown disk state was ranked")
	}
	if !DiskConsistent.AtLeast(DiskConsistent) || DiskOutdated.AtLeast(DiskConsistent) {
		t.Error("known disk states are ranked wrongly")
	}
}

func TestThreeNodesAreRefused(t *testing.T) {
	text := "r0 role:Primary\n  disk:UpToDate\n  b role:Secondary\n    peer-disk:UpToDate\n  c role:Secondary\n    peer-disk:UpToDate\n"
	if _, err := ParseStatus(text); !errors.Is(err, ErrManyPeers) {
		t.Errorf("text: got %v", err)
	}
	js := `[{"name":"r0","role":"Primary","connections":[{"name":"b"},{"name":"c"}]}]`
	if _, err := ParseStatusJSON([]byte(js)); !errors.Is(err, ErrManyPeers) {
		t.Errorf("JSON: got %v", err)
	}
	var tr Tracker
	replay(t, &tr, `exists resource name:r0 role:Primary suspended:no
exists connection name:r0 peer-node-id:1 conn-name:b connection:Connected role:Secondary
exists connection name:r0 peer-node-id:2 conn-name:c connection:Connected role:Secondary
exists -`)
	if _, _, err := tr.Resource("r0"); !errors.Is(err, ErrManyPeers) {
		t.Errorf("events2: got %v", err)
	}
}

func TestMalformedStatusIsAnError(t *testing.T) {
	for _, text := range []string{
		"  disk:UpToDate\n",
		"r0 role:Primary\n  volume:x disk:UpToDate\n",
		"r0 role:Primary\n  volume:-1 disk:UpToDate\n",
		"r0 role:Primary\n  volume:0 disk:UpToDate\n  volume:0 disk:UpToDate\n",
		"r0 role:Primary\n  disk:UpToDate size:99999999999999999999999\n",
		"r0 role:Primary\n  p role:Secondary\n    replication:SyncTarget done:NaN\n",
	} {
		if got, err := ParseStatus(text); err == nil {
			t.Errorf("%q was read as %+v", text, got)
		}
	}
}

func TestProcWithoutProtocolLetterAndUnconfigured(t *testing.T) {
	p, err := ParseProcDRBD(`version: 8.4.11 (api:1/proto:86-101)
srcversion: 059B1B470318F053F5077D5
 0: cs:StandAlone ro:Secondary/Unknown ds:UpToDate/DUnknown   s-----
    ns:0 nr:0 dw:0 dr:0 al:0 bm:0 lo:0 pe:0 ua:0 ap:0 ep:1 wo:f oos:4096

 3: cs:Unconfigured
 7: cs:SyncTarget ro:Secondary/Primary ds:Inconsistent/UpToDate C r-----
    ns:0 nr:0 oos:12
	[===>................] sync'ed: 20.4% (212948/262100)K
`)
	if err != nil {
		t.Fatal(err)
	}
	if p.Family != Family84 || p.Version != "8.4.11" || len(p.Devices) != 3 {
		t.Fatalf("got %+v", p)
	}
	if d := p.Devices[0]; !d.Suspended || d.OutOfSyncKiB != 4096 || d.Conn != ConnStandAlone {
		t.Errorf("minor 0 is %+v", d)
	}
	if d := p.Devices[1]; !d.Unconfigured || d.Minor != 3 {
		t.Errorf("minor 3 is %+v", d)
	}
	if d := p.Devices[2]; d.Conn != ConnConnected || d.Replication != ReplSyncTarget || d.Suspended {
		t.Errorf("minor 7 is %+v", d)
	}
	p, err = ParseProcDRBD(one(t, "k92/04-uptodate.txt", "node1", "cat /proc/drbd"))
	if err != nil || p.Family != Family9 || p.Version != "9.2.14" {
		t.Errorf("9.2: %+v, %v", p, err)
	}
	if _, err := ParseProcDRBD("version: 8.3.15 (api:88)\n"); err == nil {
		t.Error("a driver of neither family was accepted")
	}
}
