package lab

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"
)

// A fork is a resource of its own, with a group of its own, that really splits:
// both nodes are promoted by hand while the cable is out, and both write.
type fork struct {
	name    string
	minor   int // of its first volume
	volumes int
	fs      string // ext4, xfs, or "" for bare blocks
	meta    string // internal, or external
	victim  string // node-a or node-b
	inUse   string // nodes that stay Primary, with the file system mounted
	lvm     string // thick or thin, where the disk is a logical volume
	slow    bool   // a resync that takes a while, and more to copy
	idle    string // the node that writes nothing while it is promoted
	// judged is what every policy makes of it; nil: they are not asked.
	judged *verdicts
}

// allForks names the environment variable that asks for them: they take minutes. Two
// real pairs recover in chaos-tests/scenarios in every run of CI. It may name some of
// them instead of being 1, as thin,zero.
const allForks = "SBARBITER_ALL_FORKS"

func TestForksOfARealPair(t *testing.T) {
	if os.Getenv(allForks) == "" {
		t.Logf("with %s=1 (make forks)", allForks)
		return
	}
	if kinds = slices.DeleteFunc(kinds, func(f fork) bool { return !wanted(f.name) }); len(kinds) > 0 {
		t.Run("split brains", splitBrainsAreRecoveredFrom)
	}
	if wanted("dying") {
		t.Run("victim dies", victimMayDieAgainAndAgain)
	}
	if wanted("lost") {
		t.Run("link is lost", linkMayBeLostDuringTheResync)
	}
	if wanted("flap") {
		t.Run("link flaps", linkMayFlapDuringTheHandshake)
	}
}

// wanted: a fork of this name was asked for.
func wanted(name string) bool {
	only := os.Getenv(allForks)
	return only == "1" || slices.Contains(strings.Split(only, ","), name)
}

var forks []fork

// kinds are the forks of the test that recovers from each once.
var kinds = []fork{
	{name: "young", minor: 200, volumes: 1, fs: "ext4", meta: "internal", victim: "node-b", inUse: "node-a", lvm: "thick", judged: &verdicts{
		byHand: "node-b", unleased: "node-b", younger: "node-b", older: "node-a", secondary: "node-b",
	}},
	{name: "usedb", minor: 211, volumes: 1, fs: "ext4", meta: "internal", victim: "node-a", inUse: "node-b", judged: &verdicts{
		byHand: "node-a", unleased: "node-a", younger: "node-a", older: "node-b", secondary: "node-a",
	}},
	{name: "thin", minor: 207, volumes: 1, fs: "ext4", meta: "internal", victim: "node-a", lvm: "thin"},
	{name: "both", minor: 201, volumes: 1, fs: "xfs", meta: "external", victim: "node-a", inUse: "node-a node-b"},
	{name: "zero", minor: 202, volumes: 1, meta: "internal", victim: "node-b", idle: "node-b", judged: &verdicts{
		byHand: "node-b", zero: "node-b", unleased: "node-b", younger: "node-b", older: "node-a", least: "node-b", agreed: "node-b",
	}},
	{name: "zeroa", minor: 210, volumes: 1, meta: "internal", victim: "node-a", idle: "node-a", judged: &verdicts{
		byHand: "node-a", zero: "node-a", unleased: "node-a", younger: "node-a", older: "node-b", least: "node-a", agreed: "node-a",
	}},
	{name: "mixed", minor: 203, volumes: 2, meta: "internal", victim: "node-a", judged: &verdicts{
		byHand: "node-a", unleased: "node-a", younger: "node-a", older: "node-b",
	}},
	// DRBD's bitmaps do not count from the fork here, so no policy that counts decides.
	{name: "old", minor: 205, volumes: 1, meta: "internal", victim: "node-b", judged: &verdicts{
		byHand: "node-b", unleased: "node-b", younger: "node-b", older: "node-a",
	}},
	{name: "grown", minor: 212, volumes: 1, meta: "internal"},
	{name: "strange", minor: 206, volumes: 1, meta: "internal", victim: "node-b", judged: &verdicts{byHand: "node-b"}},
}

const (
	forkSize       = 64 << 20
	physicalVolume = 299 // the loop device
)

// low is the device that DRBD has its data on.
func (f fork) low(v int) string {
	if f.lvm != "" {
		return "/dev/forks/" + f.name
	}
	return fmt.Sprintf("/dev/loop%d", f.minor+v)
}

func (f fork) disk(v int) string   { return fmt.Sprintf("/h/forks/%s-%d", f.name, v) }
func (f fork) mount() string       { return "/tmp/forks/" + f.name }
func (f fork) used(n *Node) bool   { return strings.Contains(f.inUse, string(n.Name)) }
func (f fork) device(v int) string { return fmt.Sprintf("/dev/drbd%d", f.minor+v) }

// config is the resource, as a managed one has to be.
func (f fork) config() string {
	var b strings.Builder
	fmt.Fprintf(&b, "resource %s {\n net { protocol C; ping-int 1; ping-timeout 10; timeout 20; connect-int 1; verify-alg crc32c;\n", f.name)
	b.WriteString("  after-sb-0pri disconnect; after-sb-1pri disconnect; after-sb-2pri disconnect; rr-conflict disconnect;\n")
	rate := "200M"
	if f.slow {
		rate = "1M"
	}
	const fencing = "fencing resource-and-stonith;"
	if HasDRBD9() {
		fmt.Fprintf(&b, "  %s }\n disk { resync-rate %s; c-plan-ahead 0; }\n options { auto-promote no; quorum off; }\n", fencing, rate)
	} else {
		fmt.Fprintf(&b, " }\n disk { %s resync-rate %s; c-plan-ahead 0; }\n", fencing, rate)
	}
	for _, n := range []NodeName{NodeA, NodeB} {
		fmt.Fprintf(&b, " on %s {\n  address %s:%d;\n", n, n.ReplicationAddr(), 7800+f.minor)
		if HasDRBD9() {
			fmt.Fprintf(&b, "  node-id %d;\n", n.number()-1)
		}
		for v := range f.volumes {
			meta := "internal"
			if f.meta == "external" {
				meta = fmt.Sprintf("/dev/loop%d", f.minor-100+v)
			}
			fmt.Fprintf(&b, "  volume %d { device %s minor %d; disk %s; meta-disk %s; }\n", v, f.device(v), f.minor+v, f.low(v), meta)
		}
		b.WriteString(" }\n")
	}
	b.WriteString("}\n")
	return b.String()
}

// nodeFile is a node file that has the forks as groups. No agent runs.
func nodeFile(n, peer NodeName) string {
	var b strings.Builder
	fmt.Fprintf(&b, "cluster: forks\nnode: %s\npeer: %s\nwitnesses: [%s]\n", n, peer, WitnessAddr)
	fmt.Fprintf(&b, "links: [{local: %s, peer: %s}]\nallow_single_link: true\nreferences: [%s]\n", n.ReplicationAddr(), peer.ReplicationAddr(), GatewayAddr)
	b.WriteString("watchdog: none\ntiming: {profile: stonith}\nsnapshots: {directory: /h/forks/kept, quota: 1GiB}\ngroups:\n")
	for _, f := range forks {
		fmt.Fprintf(&b, "  %s:\n    drbd: [%s]\n", f.name, f.name)
		if f.fs != "" {
			fmt.Fprintf(&b, "    services: [{filesystem: {device: %s, mount: %s, type: %s}}]\n", f.device(0), f.mount(), f.fs)
		}
	}
	return b.String()
}

// splitAll makes all forks, from being in step to StandAlone on both sides.
func (l *Lab) splitAll(t *testing.T, ctx context.Context) {
	t.Helper()
	buildAgent(t, l)
	perNode(t, l, func(n *Node, i int) error {
		peer := l.Nodes()[1-i].Name
		file := nodeFile(n.Name, peer)
		if err := n.WriteFile(ctx, "/etc/sbarbiter/node.yaml", []byte(file), 0o644); err != nil {
			return err
		}
		if err := n.WriteFile(ctx, "/etc/sbarbiter/small.yaml", []byte(strings.Replace(file, "1GiB", "1MiB", 1)), 0o644); err != nil {
			return err
		}
		return n.Must(ctx, layForks()+eachFork(func(f fork) string { return "drbdadm up " + f.name }))
	})
	all := func(script func(fork, *Node) string) {
		t.Helper()
		perNode(t, l, func(n *Node, _ int) error {
			var b strings.Builder
			b.WriteString("set -e\n")
			for _, f := range forks {
				b.WriteString(script(f, n))
			}
			return n.Must(ctx, b.String())
		})
	}
	words := func(what string) func(fork, *Node) string {
		return func(f fork, _ *Node) string {
			return fmt.Sprintf("for m in $(seq %d %d); do i=0; until drbd-state | awk -v m=$m: '$1==m' | grep -q '%s'; do i=$((i+1)); [ $i -lt 200 ] || { drbd-state; exit 1; }; sleep 0.1; done; done\n", f.minor, f.minor+f.volumes-1, what)
		}
	}
	all(words("cs:Connected"))
	must(t, l.A.Must(ctx, eachVolume("drbdsetup new-current-uuid --clear-bitmap %[2]d")))
	all(words("ds:UpToDate/UpToDate"))
	must(t, l.A.Must(ctx, eachFork(fork.first)))
	must(t, l.CutReplication(ctx))
	all(words("cs:WFConnection"))
	perNode(t, l, func(n *Node, _ int) error { return n.Must(ctx, eachFork(func(f fork) string { return f.apart(n) })) })
	must(t, l.HealReplication(ctx))
	must(t, l.both(func(n *Node) error { return n.Must(ctx, eachFork(fork.parted)) }))
}

func eachFork(script func(fork) string) string {
	var b strings.Builder
	b.WriteString("set -e\n")
	for _, f := range forks {
		b.WriteString(script(f) + "\n")
	}
	return b.String()
}

func eachVolume(format string) string {
	return eachFork(func(f fork) string {
		var b strings.Builder
		for v := range f.volumes {
			fmt.Fprintf(&b, format+"\n", f.name, f.minor+v)
		}
		return b.String()
	})
}

// layForks makes the disks.
func layForks() string {
	var b strings.Builder
	b.WriteString("set -e\nmkdir -p /h/forks\ntruncate -s 600M /h/forks/pv\n")
	for _, f := range forks {
		for v := range f.volumes {
			fmt.Fprintf(&b, "truncate -s %d %[2]s; truncate -s 1M %[2]s.md\n", forkSize, f.disk(v))
		}
		fmt.Fprintf(&b, "cat >/h/forks/%[1]s.res <<'END'\n%[2]sEND\n", f.name, f.config())
	}
	b.WriteString(bringForks())
	fmt.Fprintf(&b, "vgcreate -q -y forks /dev/loop%d\n", physicalVolume)
	for _, f := range forks {
		switch f.lvm {
		case "thick":
			fmt.Fprintf(&b, "lvcreate -q -y -L %db -n %s forks\n", forkSize, f.name)
		case "thin":
			fmt.Fprintf(&b, "lvcreate -q -y -L %db -T forks/pool -V %db -n %s\n", 2*forkSize, forkSize, f.name)
		}
	}
	b.WriteString(eachFork(func(f fork) string { return fmt.Sprintf("drbdadm create-md --force %s >/dev/null 2>&1", f.name) }))
	return b.String()
}

// bringForks makes what a boot has taken away. Fence-peer is answered as if the
// peer had been fenced; no udev is there to wait for.
func bringForks() string {
	var b strings.Builder
	b.WriteString("modprobe loop max_loop=0; modprobe crc32c_generic; modprobe xfs; modprobe dm-snapshot; modprobe dm-thin-pool\nmkdir -p /tmp/forks\n")
	b.WriteString("printf '#!/bin/sh\\n[ \"$1\" != fence-peer ] || exit 4\\n' >/tmp/forks/helper; chmod +x /tmp/forks/helper\n")
	b.WriteString("printf /tmp/forks/helper >/sys/module/drbd/parameters/usermode_helper\n")
	b.WriteString("printf 'activation { udev_sync=0 udev_rules=0 }\\n' >/etc/lvm/lvm.conf\ncp /h/forks/*.res /etc/drbd.d/\n")
	loop := func(number int, file string) {
		fmt.Fprintf(&b, "mknod -m 660 /dev/loop%[1]d b 7 %[1]d 2>/dev/null || :; losetup /dev/loop%[1]d %[2]s\n", number, file)
	}
	loop(physicalVolume, "/h/forks/pv")
	for _, f := range forks {
		fmt.Fprintf(&b, "mkdir -p %s\n", f.mount())
		for v := range f.volumes {
			if f.lvm == "" {
				loop(f.minor+v, f.disk(v))
			}
			if f.meta == "external" {
				loop(f.minor-100+v, f.disk(v)+".md")
			}
		}
	}
	return b.String()
}

// first is what the older primary does while all is well.
func (f fork) first() string {
	if f.fs == "" {
		return "drbdadm primary " + f.name
	}
	mkfs := map[string]string{"ext4": "mke2fs -q -t ext4 -F", "xfs": "mkfs.xfs -q --unsupported -f"}[f.fs]
	return fmt.Sprintf("drbdadm primary %[1]s; %[2]s %[3]s >/dev/null 2>&1; mount -t %[5]s %[3]s %[4]s; cd %[4]s; mkdir dir; for n in same changed deleted dir/inside; do echo before $n >$n; done; cd /; sync -f %[4]s",
		f.name, mkfs, f.device(0), f.mount(), f.fs)
}

// apart is what each node does alone.
func (f fork) apart(n *Node) string {
	var b strings.Builder
	b.WriteString("drbdadm primary " + f.name + "\n")
	switch {
	case f.fs != "":
		fmt.Fprintf(&b, "mountpoint -q %[1]s || mount -t %[2]s %[3]s %[1]s; cd %[1]s; echo %[4]s >changed; echo of %[4]s >only-%[4]s; head -c %[6]d /dev/urandom >dir/big-%[4]s; sha256sum only-%[4]s dir/big-%[4]s changed >/h/forks/%[5]s.sums; cd /; sync -f %[1]s\n",
			f.mount(), f.fs, f.device(0), n.Name, f.name, f.load())
		if !f.used(n) {
			fmt.Fprintf(&b, "umount %s; drbdadm secondary %s\n", f.mount(), f.name)
		}
	case f.idle == string(n.Name):
		if HasDRBD9() { // where a generation begins with the first request, if only to read
			fmt.Fprintf(&b, "dd if=%s of=/dev/null bs=4k count=1 iflag=direct status=none\n", f.device(0))
		}
		b.WriteString("drbdadm secondary " + f.name + "\n")
	default:
		for v := range f.volumes {
			blocks := 16
			if (n.Name == NodeA) == (v == 0) {
				blocks = 64 // on the second volume the other node writes more
			}
			fmt.Fprintf(&b, "head -c %d /dev/urandom | dd of=%s bs=64k seek=%d oflag=direct iflag=fullblock status=none\n", blocks*4096*16, f.device(v), n.Name.number())
		}
		fmt.Fprintf(&b, "drbdadm secondary %s\n", f.name)
	}
	return b.String()
}

// load is how much each side writes into a file.
func (f fork) load() int {
	if f.slow {
		return 12 << 20
	}
	return 300_000
}

// parted waits until the sides have seen each other, and makes two of the forks
// worse than a split brain.
func (f fork) parted() string {
	wait := fmt.Sprintf("i=0; until drbd-state | grep -q '^ *%d: cs:StandAlone'; do i=$((i+1)); [ $i -lt 60 ] || { drbdadm disconnect %s; break; }; sleep 0.1; done\n", f.minor, f.name)
	again := fmt.Sprintf("drbdsetup new-current-uuid %d\n", f.minor)
	switch {
	case f.name == "old" && HasDRBD9():
		return wait + f.forgetBase() + wait
	case f.name == "old":
		return wait + again
	case f.name == "strange":
		return wait + "case $(uname -n) in node-a) " + again + again + " true;; *) drbdadm down strange; drbdadm create-md --force strange >/dev/null 2>&1; drbdadm up strange; drbdadm disconnect strange; drbdadm -- --force primary strange; drbdadm secondary strange;; esac\n"
	}
	return wait
}

// forgetBase writes into DRBD 9's metadata that the two last had the same data a
// generation ago: its driver keeps the generation that it split from for as long as it
// is split. The bitmaps count from another one then.
func (f fork) forgetBase() string {
	return fmt.Sprintf(`[ $(uname -n) = node-a ] && peer=1 || peer=0
drbdsetup down %[1]s; md="drbdmeta --force %[2]d v09 %[3]s internal --node-id=$peer"
$md get-gi | { IFS=: read -r cur bm h1 h2 flags; [ $peer = 1 ] && new=$bm || new=00C0FFEE00C0FFEE; $md set-gi $cur:$new:$bm:$h1:$flags; } >/dev/null 2>&1
drbdadm up %[1]s
`, f.name, f.minor, f.low(0))
}

func buildAgent(t *testing.T, l *Lab) {
	t.Helper()
	bin := filepath.Join(l.Dir(), "sbagent")
	if _, err := os.Stat(bin); err == nil {
		return
	}
	// As make build does, so that what was compiled for that is not compiled again.
	cmd := exec.Command("go", "build", "-trimpath", "-ldflags", "-s -w", "-o", bin, "sbarbiter/cmd/sbagent")
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("build sbagent: %v: %s", err, out)
	}
	for _, n := range l.Nodes() {
		must(t, os.Link(bin, filepath.Join(n.share, "sbagent")))
	}
}

// agent runs "sbagent recovery" on a node.
func (n *Node) agent(ctx context.Context, args string) (string, int, error) {
	return n.Run(ctx, "/h/sbagent --config /etc/sbarbiter/node.yaml recovery "+args)
}

// measured returns what both nodes measure, as files in each node's /h/forks.
func (l *Lab) measured(t *testing.T, ctx context.Context, f fork) [2]map[string]any {
	t.Helper()
	var out [2]map[string]any
	var texts [2]string
	perNode(t, l, func(n *Node, i int) error {
		text, code, err := n.agent(ctx, "measure "+f.name+" 2>/h/forks/measure.err")
		if err == nil && code != 0 {
			bad, _ := os.ReadFile(filepath.Join(n.share, "forks/measure.err"))
			err = fmt.Errorf("measure %s on %s: exit %d: %s%s", f.name, n.Name, code, text, bad)
		}
		if err != nil {
			return err
		}
		texts[i] = text
		return json.Unmarshal([]byte(text), &out[i])
	})
	for _, n := range l.Nodes() {
		for i, side := range []string{"a", "b"} {
			must(t, os.WriteFile(filepath.Join(n.share, "forks", f.name+"-"+side+".json"), []byte(texts[i]), 0o644))
		}
	}
	return out
}

// plan has a node make the plan, and gives it to both.
func (l *Lab) plan(t *testing.T, ctx context.Context, f fork) (string, bool) {
	t.Helper()
	l.measured(t, ctx, f)
	out, code, err := l.A.agent(ctx, fmt.Sprintf("plan /h/forks/%[1]s-a.json /h/forks/%[1]s-b.json --discard %[2]s 2>&1 >/h/forks/%[1]s.plan", f.name, f.victim))
	must(t, err)
	if code != 0 {
		return out, false
	}
	text, err := os.ReadFile(filepath.Join(l.A.share, "forks", f.name+".plan"))
	must(t, err)
	must(t, os.WriteFile(filepath.Join(l.B.share, "forks", f.name+".plan"), text, 0o644))
	return out, true
}

// refusedForWantOfRoom sees that a full store stops the recovery before anything is
// given up.
func (l *Lab) refusedForWantOfRoom(t *testing.T, ctx context.Context, f fork) {
	t.Helper()
	victim := l.Node(NodeName(f.victim))
	out, code, err := victim.Run(ctx, fmt.Sprintf("/h/sbagent --config /etc/sbarbiter/small.yaml recovery run /h/forks/%s.plan --id full 2>&1", f.name))
	must(t, err)
	if code == 0 || !strings.Contains(out, "the store of kept copies is full") {
		t.Errorf("%s: exit %d: %s", f.name, code, out)
	}
	out, _, err = victim.Run(ctx, "drbd-state")
	must(t, err)
	if !strings.Contains(out, fmt.Sprintf("%d: cs:StandAlone ro:Secondary/Unknown ds:UpToDate/", f.minor)) {
		t.Errorf("%s: something was given up: %s", f.name, out)
	}
}

// recoverFork runs the plan on both nodes to its end.
func (l *Lab) recoverFork(t *testing.T, ctx context.Context, f fork) {
	t.Helper()
	ctx, cancel := context.WithTimeout(ctx, 100*time.Second)
	defer cancel()
	perNode(t, l, func(n *Node, _ int) error {
		out, code, err := n.agent(ctx, fmt.Sprintf("run /h/forks/%s.plan --id 1 2>&1", f.name))
		t.Logf("%s: %s\n%s", f.name, n.Name, out)
		if err == nil && code != 0 {
			err = fmt.Errorf("%s on %s: exit %d", f.name, n.Name, code)
			cancel() // the other node would wait for this one
		}
		if strings.Contains(out, `"msg":`) {
			t.Errorf("%s: a log stands in the talk on %s", f.name, n.Name)
		}
		return err
	})
}

// removeForks takes everything away again.
func (l *Lab) removeForks(t *testing.T) {
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	must(t, l.HealReplication(ctx))
	must(t, l.both(func(n *Node) error {
		var b strings.Builder
		b.WriteString("cd /; printf /sbin/drbdadm >/sys/module/drbd/parameters/usermode_helper\n")
		for _, f := range forks {
			fmt.Fprintf(&b, "umount %[2]s 2>/dev/null; drbdsetup down %[1]s; rm -f /etc/drbd.d/%[1]s.res\n", f.name, f.mount())
		}
		b.WriteString("vgremove -q -ff -y forks; losetup -D; rm -rf /h/forks /tmp/forks /etc/sbarbiter /h/root/etc/sbarbiter; ! drbd-state | grep -q '^ *2[0-9][0-9]: cs:[^U]'")
		return n.Must(ctx, b.String())
	}))
}

func splitBrainsAreRecoveredFrom(t *testing.T) {
	l, _ := theLab(t)
	ctx, cancel := context.WithTimeout(context.Background(), 12*time.Minute)
	defer cancel()
	forks = kinds
	defer l.removeForks(t)
	began := time.Now()
	l.splitAll(t, ctx)
	t.Logf("%d forks made in %.1f s", len(forks), time.Since(began).Seconds())
	d := l.desk(t, ctx)
	for _, f := range forks {
		began = time.Now()
		if f.name == "grown" {
			l.refusedForItsSize(t, ctx, f)
			continue
		}
		if f.judged != nil {
			d.judged(t, ctx, f)
		}
		if f.fs != "" {
			d.previews(t, ctx, f)
		}
		said, planned := l.plan(t, ctx, f)
		t.Logf("%s: %s", f.name, said)
		if f.name == "strange" {
			if planned || !strings.Contains(said, "unrelated") {
				t.Errorf("unrelated data: %s", said)
			}
			continue
		}
		if !planned {
			t.Errorf("%s: no plan: %s", f.name, said)
			continue
		}
		if f.lvm != "" {
			l.refusedForWantOfRoom(t, ctx, f)
		}
		l.recoverFork(t, ctx, f)
		l.alike(t, ctx, f)
		if f.fs != "" {
			l.salvaged(t, ctx, f)
			d.salvages(t, ctx, f)
		}
		if f.lvm == "thin" {
			d.undoes(t, ctx, f)
		}
		t.Logf("%s: %.1f s", f.name, time.Since(began).Seconds())
	}
}

// alike checks that both copies are the same, by DRBD's own comparison and by the
// sums of what is on the disks.
func (l *Lab) alike(t *testing.T, ctx context.Context, f fork) {
	t.Helper()
	var sums [2]string
	perNode(t, l, func(n *Node, i int) error {
		var b strings.Builder
		b.WriteString("sync\n")
		for v := range f.volumes {
			fmt.Fprintf(&b, "s=$(drbdsetup status %s --verbose --statistics | sed -n 's/.*size:\\([0-9]*\\).*/\\1/p' | head -1); dd if=%s bs=64k count=$((s*1024)) iflag=direct,count_bytes status=none | sha256sum\n", f.name, f.low(v))
		}
		out, code, err := n.Run(ctx, b.String())
		if err == nil && code != 0 {
			err = fmt.Errorf("sum %s: %s", f.name, out)
		}
		sums[i] = out
		return err
	})
	out, code, err := l.A.Run(ctx, fmt.Sprintf("drbdsetup %[2]s --resync-rate=200M; drbdadm verify %[1]s && i=0; while drbd-state | grep -q 'cs:Verify'; do i=$((i+1)); [ $i -lt 200 ] || exit 1; sleep 0.1; done; drbdsetup status %[1]s --verbose --statistics | grep -o 'out-of-sync:[0-9]*' | sort -u", f.name, f.speed()))
	must(t, err)
	if code != 0 || strings.TrimSpace(out) != "out-of-sync:0" {
		t.Errorf("%s: drbdadm verify: exit %d: %s", f.name, code, out)
	}
	if sums[0] != sums[1] || sums[0] == "" {
		t.Errorf("%s: the copies differ:\n%s%s", f.name, sums[0], sums[1])
	}
}

// speed are the words with which node-a's drbdsetup changes how fast a fork is copied.
func (f fork) speed() string {
	if HasDRBD9() {
		return fmt.Sprintf("peer-device-options %s 1 0", f.name)
	}
	return fmt.Sprintf("disk-options %d", f.minor)
}

// salvaged brings the victim's files back out of what it keeps, and compares them
// with what it had written.
func (l *Lab) salvaged(t *testing.T, ctx context.Context, f fork) {
	t.Helper()
	victim := l.Node(NodeName(f.victim))
	var kept struct {
		Volumes []struct {
			Entries []struct{ Path string }
			Problem string
		}
	}
	out, code, err := victim.agent(ctx, "files "+f.name+" --of kept")
	must(t, err)
	if err := json.Unmarshal([]byte(out), &kept); err != nil || code != 0 || len(kept.Volumes) != 1 || len(kept.Volumes[0].Entries) < 6 || kept.Volumes[0].Problem != "" {
		t.Errorf("%s: files kept: exit %d, %v: %s", f.name, code, err, out)
	}
	// What DRBD counts as written since it attached the disk is the only trace of writes
	// after the copy was kept.
	out, code, err = victim.Run(ctx, fmt.Sprintf("find /h/forks/kept/%s -name kept.json -exec cat {} +", f.name))
	must(t, err)
	if code != 0 || !f.slow && !strings.Contains(out, `"written_kib": `) { // the slow one's disk was attached anew
		t.Errorf("%s: kept: exit %d: %s", f.name, code, out)
	}
	names := fmt.Sprintf("only-%[1]s\\ndir/big-%[1]s\\nchanged\\n", f.victim)
	out, code, err = victim.Run(ctx, fmt.Sprintf("mkdir -p /tmp/forks/out; cd /tmp/forks/out && printf '%s' | /h/sbagent --config /etc/sbarbiter/node.yaml recovery salvage %[2]s %[2]s/0 --files - >/tmp/forks/tar && tar x </tmp/forks/tar && sha256sum -c /h/forks/%[2]s.sums && ls", names, f.name))
	must(t, err)
	if code != 0 || strings.Contains(out, "same") {
		t.Errorf("%s: salvage: exit %d: %s", f.name, code, out)
	}
	must(t, victim.Must(ctx, "rm -rf /tmp/forks/out"))
}

// A victim that is switched off while its log is full, and three times while its
// copy is overwritten, ends with the survivor's data all the same, and what it had
// written last is not lost unseen.
func victimMayDieAgainAndAgain(t *testing.T) {
	l, _ := theLab(t)
	ctx, cancel := context.WithTimeout(context.Background(), 8*time.Minute)
	defer cancel()
	f := fork{name: "dying", minor: 208, volumes: 1, fs: "ext4", meta: "internal", victim: "node-b", inUse: "node-a node-b", slow: true}
	forks = []fork{f}
	defer l.removeForks(t)
	l.splitAll(t, ctx)
	reboot := func() {
		must(t, l.B.PowerCut(ctx))
		must(t, l.B.PowerOn(ctx))
		must(t, l.B.WaitUp(ctx))
		must(t, l.B.Must(ctx, "set -e\n"+bringForks()+"drbdadm attach dying 2>/dev/null || { drbdadm up dying; drbdadm disconnect dying; }"))
	}
	reboot()
	if said, planned := l.plan(t, ctx, f); !planned {
		t.Fatalf("no plan: %s", said)
	}
	fast := l.slowly(t, ctx)
	defer fast()
	survivor := make(chan string, 1)
	go func() {
		out, code, err := l.A.agent(ctx, "run /h/forks/dying.plan --id 1 2>&1")
		survivor <- fmt.Sprintf("%sexit %d, %v", out, code, err)
	}()
	for kill := range 3 {
		must(t, l.B.Must(ctx, "setsid /h/sbagent --config /etc/sbarbiter/node.yaml recovery run /h/forks/dying.plan --id 1 >/h/forks/run.log 2>&1 </dev/null &"))
		eventually(t, time.Minute, fmt.Sprintf("resync %d runs", kill+1), func() bool { return l.B.says(ctx, "drbd-state | grep -q '208: cs:SyncTarget'") })
		time.Sleep(time.Second)
		reboot()
	}
	out, code, err := l.B.agent(ctx, "run /h/forks/dying.plan --id 1 2>&1")
	if err != nil || code != 0 {
		t.Errorf("the victim: exit %d, %v: %s", code, err, out)
	}
	if said := <-survivor; !strings.HasSuffix(said, "exit 0, <nil>") {
		t.Errorf("the survivor: %s", said)
	}
	fast()
	l.alike(t, ctx, f)
	l.salvaged(t, ctx, f)
}

// slowly has the link be slow, where DRBD's own limit does not do: 9 asks for a MiB ten
// times a second, however slow it is to be. What it returns ends that.
func (l *Lab) slowly(t *testing.T, ctx context.Context) (fast func()) {
	if !HasDRBD9() {
		return func() {}
	}
	must(t, l.A.Must(ctx, "modprobe sch_netem && tc qdisc add dev vec1 root netem rate 20mbit limit 8"))
	return sync.OnceFunc(func() { must(t, l.A.Must(context.WithoutCancel(ctx), "tc qdisc del dev vec1 root")) })
}

// The link is lost while the victim is overwritten. The wish to give its data up counted
// for one handshake, and DRBD 9 asks for it anew until the last block is copied.
func linkMayBeLostDuringTheResync(t *testing.T) {
	l, _ := theLab(t)
	ctx, cancel := context.WithTimeout(context.Background(), 4*time.Minute)
	defer cancel()
	f := fork{name: "lost", minor: 212, volumes: 1, fs: "ext4", meta: "internal", victim: "node-b", inUse: "node-a", slow: true}
	forks = []fork{f}
	defer l.removeForks(t)
	l.splitAll(t, ctx)
	if said, planned := l.plan(t, ctx, f); !planned {
		t.Fatalf("no plan: %s", said)
	}
	fast := l.slowly(t, ctx)
	defer fast()
	done := make(chan struct{})
	go func() {
		defer close(done)
		l.recoverFork(t, ctx, f)
	}()
	for i := range 2 {
		eventually(t, time.Minute, fmt.Sprintf("resync %d runs", i+1), func() bool { return l.B.says(ctx, "drbd-state | grep -q '212: cs:SyncTarget'") })
		time.Sleep(time.Second)
		must(t, l.CutReplication(ctx))
		eventually(t, time.Minute, "it is broken off", func() bool { return !l.B.says(ctx, "drbd-state | grep -q '212: cs:SyncTarget'") })
		must(t, l.HealReplication(ctx))
	}
	<-done
	fast()
	l.alike(t, ctx, f)
	l.salvaged(t, ctx, f)
}

// The link comes and goes while the two shake hands, and takes the wish to give the
// victim's data up along.
func linkMayFlapDuringTheHandshake(t *testing.T) {
	l, _ := theLab(t)
	ctx, cancel := context.WithTimeout(context.Background(), 4*time.Minute)
	defer cancel()
	f := fork{name: "flap", minor: 209, volumes: 1, fs: "ext4", meta: "internal", victim: "node-b", inUse: "node-a"}
	forks = []fork{f}
	defer l.removeForks(t)
	l.splitAll(t, ctx)
	if said, planned := l.plan(t, ctx, f); !planned {
		t.Fatalf("no plan: %s", said)
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		l.recoverFork(t, ctx, f)
	}()
	for i := range 12 {
		must(t, l.CutReplication(ctx))
		time.Sleep(time.Duration(100+i*70) * time.Millisecond)
		must(t, l.HealReplication(ctx))
		time.Sleep(time.Duration(50+i*90) * time.Millisecond)
	}
	<-done
	l.alike(t, ctx, f)
	l.salvaged(t, ctx, f)
}
