package lab

import (
	"cmp"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

const (
	copySize   = 12 << 20
	copyBlocks = 3062 // of 4 KiB: what is left beside the metadata
	setup84    = "/lib/drbd/drbdsetup-84"
)

// Each vector is a resource of its own, so that all of them are set up and
// meet at the same time. Their disks are files of the host with real metadata;
// the driver calls a helper that only writes down what was called.
//
// A machine that is very busy may lose connections that nobody cut; what
// differs is therefore carried out again. The driver itself throws no dice in
// any of these: where it differs every time, the vector is wrong.
func TestTheKernelEndsAsTheVectorsSay(t *testing.T) {
	of84(t)
	l, _ := theLab(t)
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Minute)
	defer cancel()
	vectors := readVectors(t)
	if len(vectors) < 12 {
		t.Fatalf("only %d vectors say how the nodes end", len(vectors))
	}
	began, open := time.Now(), vectors
	for round := 1; len(open) > 0; round++ {
		said := l.carryOut(t, ctx, open)
		open = slices.DeleteFunc(slices.Clone(open), func(v vector) bool {
			wrong := v.differences(said)
			for _, w := range wrong {
				t.Logf("round %d: %s: %s", round, v.name, w)
			}
			return len(wrong) == 0
		})
		if round == 3 {
			break
		}
	}
	for _, v := range open {
		t.Errorf("%s: the kernel ends otherwise, every time", v.name)
	}
	t.Logf("%d vectors on two real nodes in %.1f s", len(vectors), time.Since(began).Seconds())
}

// carryOut returns what both nodes say in the end.
func (l *Lab) carryOut(t *testing.T, ctx context.Context, vectors []vector) [2]string {
	t.Helper()
	defer l.removeVectors(t, vectors)
	l.begin(t, ctx, vectors)
	perNode(t, l, func(n *Node, i int) error { return n.Must(ctx, connectAll(vectors, i)) })
	return l.waitForVectors(t, ctx, vectors)
}

// begin brings both nodes to where each vector begins, unconnected.
func (l *Lab) begin(t *testing.T, ctx context.Context, vectors []vector) {
	t.Helper()
	for i, n := range l.Nodes() {
		n.layVectors(t, vectors, i)
	}
	perNode(t, l, func(n *Node, i int) error { return n.Must(ctx, prologue+"\n"+attachAll(vectors, i)) })
}

const prologue = `set -e
modprobe loop max_loop=0
mkdir -p /tmp/vectors
cat >/tmp/vectors/helper <<'END'
#!/bin/sh
echo "$2 $1" >>/tmp/vectors/calls
[ "$1" != fence-peer ] || exit "${2##*-}" # the resource's name ends with the verdict
END
chmod +x /tmp/vectors/helper
: >/tmp/vectors/calls
printf /tmp/vectors/helper >/sys/module/drbd/parameters/usermode_helper
dmesg -C
dmesg -w </dev/null | grep --line-buffered uuid_compare >/tmp/vectors/verdicts & echo $! >>/tmp/vectors/openers`

func perNode(t *testing.T, l *Lab, f func(*Node, int) error) {
	t.Helper()
	must(t, l.both(func(n *Node) error { return f(n, slices.Index(l.Nodes(), n)) }))
}

// layVectors makes the disks of one node, with drbdmeta.
func (n *Node) layVectors(t *testing.T, vectors []vector, side int) {
	t.Helper()
	dir := filepath.Join(n.share, "vectors")
	must(t, os.MkdirAll(dir, 0o755))
	for _, v := range vectors {
		disk := filepath.Join(dir, v.name)
		must(t, blank(disk, copySize))
		must(t, os.WriteFile(disk+".md", []byte(v.sides[side].metadata(t)), 0o644))
		for _, args := range [][]string{{"create-md"}, {"restore-md", disk + ".md"}} {
			args = append([]string{"--force", fmt.Sprint(v.minor), "v08", disk, "internal"}, args...)
			if out, err := exec.Command("drbdmeta", args...).CombinedOutput(); err != nil {
				t.Fatalf("drbdmeta %v: %v\n%s", args, err, out)
			}
		}
	}
}

// attachAll brings one node to where each vector begins, alone.
func attachAll(vectors []vector, side int) string {
	var b strings.Builder
	b.WriteString("set -e\n")
	for _, v := range vectors {
		s, m := v.sides[side], v.minor
		fencing := cmp.Or(s.start["fencing"], "dont-care")
		if s.is("disk", "Consistent") {
			fencing = "resource-only" // otherwise a good copy is at once UpToDate
		}
		fmt.Fprintf(&b, "dev=$(losetup -f --show /h/vectors/%s)\n", v.name)
		fmt.Fprintf(&b, "%[1]s new-resource %[2]s; %[1]s new-minor %[2]s %[3]d 0\n", setup84, v.name, m)
		fmt.Fprintf(&b, "%s attach %d $dev $dev internal --fencing=%s --resync-rate=200M --c-plan-ahead=0\n", setup84, m, fencing)
		if s.is("role", "Primary") {
			fmt.Fprintf(&b, "%s primary %d\n", setup84, m)
		}
		if s.is("open", "yes") {
			fmt.Fprintf(&b, "sleep 600 </dev/drbd%d >/dev/null 2>&1 & echo $! >>/tmp/vectors/openers\n", m)
		}
	}
	return b.String()
}

func connectAll(vectors []vector, side int) string {
	var b strings.Builder
	b.WriteString("set -e\n")
	for _, v := range vectors {
		fmt.Fprintf(&b, "%s connect %s %s %s\n", setup84, v.name, v.addresses(side), v.connectOptions(side))
	}
	return b.String()
}

// addresses are the connection's own and the peer's.
func (v vector) addresses(side int) string {
	local, peer := NodeA.ReplicationAddr(), NodeB.ReplicationAddr()
	if side == 1 {
		local, peer = peer, local
	}
	return fmt.Sprintf("ipv4:%[1]s:%[3]d ipv4:%[2]s:%[3]d", local, peer, 7800+v.minor)
}

// waitForVectors returns what both nodes say once all have come to rest, or
// what they say at last if some do not.
func (l *Lab) waitForVectors(t *testing.T, ctx context.Context, vectors []vector) [2]string {
	t.Helper()
	var last [2]string
	for began := time.Now(); time.Since(began) < time.Minute; time.Sleep(500 * time.Millisecond) {
		now := l.ask(t, ctx, glance)
		moving := slices.ContainsFunc(vectors, func(v vector) bool { return !v.rests(now) })
		if now == last && !moving {
			break
		}
		last = now
	}
	return l.ask(t, ctx, look(vectors))
}

// ask runs a script on both nodes and returns what each prints.
func (l *Lab) ask(t *testing.T, ctx context.Context, script string) (said [2]string) {
	t.Helper()
	perNode(t, l, func(n *Node, i int) error {
		out, _, err := n.Run(ctx, script)
		said[i] = out
		return err
	})
	return said
}

// glance prints what is looked at again and again: a program that a node starts takes
// it longer than all that is done with it.
const glance = `awk '/^ *[0-9]+: cs:/ {m = $1; sub(":", "", m); s = $0; sub(/^ *[0-9]+: /, "", s); print m, "state", s}
	/oos:/ {sub(/.*oos:/, ""); print m, "oos", $1}' /proc/drbd
awk 'FILENAME ~ /answers$/ {print}
	FILENAME ~ /calls$/ && /^minor-/ {sub(/^minor-/, ""); m = $1; $1 = ""; print m, "call" $0}
	FILENAME ~ /verdicts$/ && /block drbd[0-9]+: uuid_compare/ {sub(/.*block drbd/, ""); m = $1; sub(":", "", m); sub(/^[0-9]+: uuid_compare/, ""); print m, "compare", $0}
' $(ls /tmp/vectors/answers /tmp/vectors/calls /tmp/vectors/verdicts 2>/dev/null)
`

// look prints all that is compared.
func look(vectors []vector) string {
	return glance + fmt.Sprintf("for m in $(seq %d %d); do echo $m gi $(%s get-gi $m); done\n", vectors[0].minor, vectors[len(vectors)-1].minor, setup84)
}

// removeVectors takes everything away again.
func (l *Lab) removeVectors(t *testing.T, vectors []vector) {
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Minute)
	defer cancel()
	var b strings.Builder
	b.WriteString("printf /sbin/drbdadm >/sys/module/drbd/parameters/usermode_helper\n")
	b.WriteString("[ ! -e /tmp/vectors/openers ] || kill $(cat /tmp/vectors/openers)\n")
	for _, v := range vectors {
		fmt.Fprintf(&b, "%[1]s secondary %[3]d; %[1]s down %[2]s\n", setup84, v.name, v.minor)
	}
	b.WriteString("losetup -D; rm -rf /tmp/vectors; ! grep -q '^ *1[0-9][0-9]:' /proc/drbd")
	must(t, l.both(func(n *Node) error {
		defer os.RemoveAll(filepath.Join(n.share, "vectors"))
		return n.Must(ctx, b.String())
	}))
}
