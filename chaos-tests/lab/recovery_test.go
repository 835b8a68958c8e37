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
	long    bool   // only where all are asked for
}

// allForks names the environment variable that asks for all of them.
const allForks = "SBARBITER_ALL_FORKS"

var forks = slices.DeleteFunc([]fork{
	{name: "young", minor: 200, volumes: 1, fs: "ext4", meta: "internal", victim: "node-b", inUse: "node-a"},
	{name: "both", minor: 201, volumes: 1, fs: "xfs", meta: "external", victim: "node-a", inUse: "node-a node-b"},
	{name: "zero", minor: 202, volumes: 1, meta: "internal", victim: "node-b", long: true},
	{name: "mixed", minor: 203, volumes: 2, meta: "internal", victim: "node-a", long: true},
	{name: "old", minor: 205, volumes: 1, meta: "internal", victim: "node-b"},
	{name: "strange", minor: 206, volumes: 1, meta: "internal", victim: "node-b"},
}, func(f fork) bool { return f.long && os.Getenv(allForks) == "" })

const forkSize = 64 << 20

func (f fork) disk(v int) string   { return fmt.Sprintf("/h/forks/%s-%d", f.name, v) }
func (f fork) mount() string       { return "/tmp/forks/" + f.name }
func (f fork) used(n *Node) bool   { return strings.Contains(f.inUse, string(n.Name)) }
func (f fork) device(v int) string { return fmt.Sprintf("/dev/drbd%d", f.minor+v) }

// config is the resource, as a managed one has to be.
func (f fork) config() string {
	var b strings.Builder
	fmt.Fprintf(&b, "resource %s {\n net { protocol C; ping-int 1; ping-timeout 10; timeout 20; connect-int 1; verify-alg crc32c;\n", f.name)
	b.WriteString("  after-sb-0pri disconnect; after-sb-1pri disconnect; after-sb-2pri disconnect; rr-conflict disconnect; }\n")
	b.WriteString(" disk { fencing resource-and-stonith; resync-rate 200M; c-plan-ahead 0; }\n")
	for _, n := range []NodeName{NodeA, NodeB} {
		fmt.Fprintf(&b, " on %s {\n  address %s:%d;\n", n, n.ReplicationAddr(), 7800+f.minor)
		for v := range f.volumes {
			meta := "internal"
			if f.meta == "external" {
				meta = fmt.Sprintf("/dev/loop%d", f.minor-100+v)
			}
			fmt.Fprintf(&b, "  volume %d { device %s minor %d; disk /dev/loop%d; meta-disk %s; }\n", v, f.device(v), f.minor+v, f.minor+v, meta)
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
	b.WriteString("watchdog: none\ntiming: {profile: stonith}\nsnapshots: {driver: copy, directory: /h/forks/kept, quota: 1GiB}\ngroups:\n")
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
		if err := n.WriteFile(ctx, "/etc/sbarbiter/node.yaml", []byte(nodeFile(n.Name, peer)), 0o644); err != nil {
			return err
		}
		for _, f := range forks {
			if err := n.WriteFile(ctx, "/etc/drbd.d/"+f.name+".res", []byte(f.config()), 0o644); err != nil {
				return err
			}
		}
		return n.Must(ctx, layForks())
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
			return fmt.Sprintf("for m in $(seq %d %d); do i=0; until awk -v m=$m: '$1==m' /proc/drbd | grep -q '%s'; do i=$((i+1)); [ $i -lt 200 ] || { cat /proc/drbd; exit 1; }; sleep 0.1; done; done\n", f.minor, f.minor+f.volumes-1, what)
		}
	}
	all(func(f fork, n *Node) string { return fmt.Sprintf("drbdadm up %s\n", f.name) })
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

// layForks makes the disks; fence-peer is answered as if the peer had been fenced.
func layForks() string {
	var b strings.Builder
	b.WriteString("set -e\nmodprobe loop max_loop=0; modprobe crc32c_generic; modprobe xfs\nmkdir -p /h/forks /tmp/forks\n")
	b.WriteString("printf '#!/bin/sh\\n[ \"$1\" != fence-peer ] || exit 4\\n' >/tmp/forks/helper; chmod +x /tmp/forks/helper\n")
	b.WriteString("printf /tmp/forks/helper >/sys/module/drbd/parameters/usermode_helper\n")
	for _, f := range forks {
		fmt.Fprintf(&b, "mkdir -p %s\n", f.mount())
		for v := range f.volumes {
			fmt.Fprintf(&b, "truncate -s %d %s; mknod -m 660 /dev/loop%[3]d b 7 %[3]d 2>/dev/null || :; losetup /dev/loop%[3]d %[2]s\n", forkSize, f.disk(v), f.minor+v)
			if f.meta == "external" {
				fmt.Fprintf(&b, "truncate -s 1M %s.md; mknod -m 660 /dev/loop%[2]d b 7 %[2]d 2>/dev/null || :; losetup /dev/loop%[2]d %[1]s.md\n", f.disk(v), f.minor-100+v)
			}
		}
		fmt.Fprintf(&b, "drbdadm create-md --force %s >/dev/null 2>&1\n", f.name)
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
		fmt.Fprintf(&b, "mountpoint -q %[1]s || mount -t %[2]s %[3]s %[1]s; cd %[1]s; echo %[4]s >changed; echo of %[4]s >only-%[4]s; head -c 300000 /dev/urandom >dir/big-%[4]s; sha256sum only-%[4]s dir/big-%[4]s changed >/h/forks/%[5]s.sums; cd /; sync -f %[1]s\n",
			f.mount(), f.fs, f.device(0), n.Name, f.name)
		if !f.used(n) {
			fmt.Fprintf(&b, "umount %s; drbdadm secondary %s\n", f.mount(), f.name)
		}
	case f.name == "zero" && n.Name == NodeB:
		b.WriteString("drbdadm secondary zero\n")
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

// parted waits until the sides have seen each other, and makes two of the forks
// worse than a split brain.
func (f fork) parted() string {
	wait := fmt.Sprintf("i=0; until grep -q '^ *%d: cs:StandAlone' /proc/drbd; do i=$((i+1)); [ $i -lt 60 ] || { drbdadm disconnect %s; break; }; sleep 0.1; done\n", f.minor, f.name)
	again := fmt.Sprintf("drbdsetup new-current-uuid %d\n", f.minor)
	switch f.name {
	case "old":
		return wait + again
	case "strange":
		return wait + "case $(uname -n) in node-a) " + again + again + " true;; *) drbdadm down strange; drbdadm create-md --force strange >/dev/null 2>&1; drbdadm up strange; drbdadm disconnect strange; drbdadm -- --force primary strange; drbdadm secondary strange;; esac\n"
	}
	return wait
}

func buildAgent(t *testing.T, l *Lab) {
	t.Helper()
	bin := filepath.Join(l.Dir(), "sbagent")
	cmd := exec.Command("go", "build", "-o", bin, "sbarbiter/cmd/sbagent")
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
	return n.Run(ctx, "SBARBITER_LOG=warn /h/sbagent --config /etc/sbarbiter/node.yaml recovery "+args)
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

// recoverFork runs the plan on both nodes to its end.
func (l *Lab) recoverFork(t *testing.T, ctx context.Context, f fork) {
	t.Helper()
	perNode(t, l, func(n *Node, _ int) error {
		out, code, err := n.agent(ctx, fmt.Sprintf("run /h/forks/%s.plan --id 1 2>&1", f.name))
		t.Logf("%s: %s\n%s", f.name, n.Name, out)
		if err == nil && code != 0 {
			err = fmt.Errorf("%s on %s: exit %d", f.name, n.Name, code)
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
			fmt.Fprintf(&b, "umount %[2]s 2>/dev/null; drbdsetup down %[1]s; rm -f /etc/drbd.d/%[1]s.res /h/root/etc/drbd.d/%[1]s.res\n", f.name, f.mount())
		}
		b.WriteString("losetup -D; rm -rf /h/forks /tmp/forks /etc/sbarbiter /h/root/etc/sbarbiter; ! grep -q '^ *2[0-9][0-9]: cs:[^U]' /proc/drbd")
		return n.Must(ctx, b.String())
	}))
}

func TestSplitBrainsAreRecoveredFromAndNothingIsLostUnseen(t *testing.T) {
	l, _ := theLab(t)
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Minute)
	defer cancel()
	defer l.removeForks(t)
	began := time.Now()
	l.splitAll(t, ctx)
	t.Logf("%d forks made in %.1f s", len(forks), time.Since(began).Seconds())
	for _, f := range forks {
		began = time.Now()
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
		l.recoverFork(t, ctx, f)
		l.alike(t, ctx, f)
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
			fmt.Fprintf(&b, "s=$(drbdsetup status %s --verbose --statistics | sed -n 's/.*size:\\([0-9]*\\).*/\\1/p' | head -1); head -c ${s}K %s | sha256sum\n", f.name, f.disk(v))
		}
		out, code, err := n.Run(ctx, b.String())
		if err == nil && code != 0 {
			err = fmt.Errorf("sum %s: %s", f.name, out)
		}
		sums[i] = out
		return err
	})
	if sums[0] != sums[1] || sums[0] == "" {
		t.Errorf("%s: the copies differ:\n%s%s", f.name, sums[0], sums[1])
	}
}
