package lab

import (
	"bufio"
	"context"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// bridgeVariable asks the test's own program to be what reaches a node from the
// machine of an operator, as ssh is elsewhere.
const bridgeVariable = "LAB_BRIDGE"

type bridged struct{ Node, Command string }

type crossed struct {
	Code int
	Err  string
}

// crossBridge is the operator's end: words are a node and a command line.
func crossBridge(socket string, words []string) int {
	conn, err := net.Dial("unix", socket)
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 255
	}
	defer conn.Close()
	said, _ := json.Marshal(bridged{words[0], strings.Join(words[1:], " ")})
	_, _ = conn.Write(append(said, '\n'))
	_, _ = io.Copy(conn, os.Stdin)
	_ = conn.(*net.UnixConn).CloseWrite()
	in := bufio.NewReader(conn)
	line, err := in.ReadBytes('\n')
	var c crossed
	if err = errors.Join(err, json.Unmarshal(line, &c)); err == nil {
		_, err = io.Copy(os.Stdout, in)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 255
	}
	fmt.Fprint(os.Stderr, c.Err)
	return c.Code
}

// desk is an operator's machine: this host, with sbctl and a way to the nodes.
type desk struct {
	*Lab
	dir, sbctl string
}

func (l *Lab) desk(t *testing.T, ctx context.Context) *desk {
	t.Helper()
	d := &desk{Lab: l, dir: t.TempDir(), sbctl: filepath.Join(l.Dir(), "sbctl")}
	if _, err := os.Stat(d.sbctl); err != nil {
		cmd := exec.Command("go", "build", "-trimpath", "-ldflags", "-s -w", "-o", d.sbctl, "sbarbiter/cmd/sbctl")
		cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Fatalf("build sbctl: %v: %s", err, out)
		}
	}
	own, err := os.Executable()
	must(t, err)
	socket := filepath.Join(d.dir, "bridge")
	must(t, os.WriteFile(filepath.Join(d.dir, "sbctl.yaml"), fmt.Appendf(nil, "shell: [env, %s=%s, %s, \"{node}\"]\n", bridgeVariable, socket, own), 0o600))
	at, err := net.Listen("unix", socket)
	must(t, err)
	t.Cleanup(func() { at.Close() })
	go func() {
		for i := 0; ; i++ {
			conn, err := at.Accept()
			if err != nil {
				return
			}
			go d.carryAcross(ctx, conn, fmt.Sprintf("bridge-%d", i))
		}
	}()
	return d
}

// carryAcross runs what was asked for in the node. Its input and its outputs are
// files: what a node's shell prints must be text.
func (d *desk) carryAcross(ctx context.Context, conn net.Conn, name string) {
	defer conn.Close()
	in := bufio.NewReader(conn)
	line, err := in.ReadBytes('\n')
	var b bridged
	if err != nil || json.Unmarshal(line, &b) != nil || d.Node(NodeName(b.Node)) == nil {
		return
	}
	n := d.Node(NodeName(b.Node))
	path := filepath.Join(n.share, name)
	text, _ := io.ReadAll(in)
	_ = os.WriteFile(path+".in", text, 0o600)
	_, code, err := n.Run(ctx, fmt.Sprintf("export PATH=/h:$PATH; %s </h/%[2]s.in >/h/%[2]s.out 2>/h/%[2]s.err", b.Command, name))
	said, _ := os.ReadFile(path + ".err")
	if err != nil {
		code, said = 255, []byte(err.Error())
	}
	out, _ := os.ReadFile(path + ".out")
	head, _ := json.Marshal(crossed{code, string(said)})
	_, _ = conn.Write(append(append(head, '\n'), out...))
	for _, suffix := range []string{".in", ".out", ".err"} {
		_ = os.Remove(path + suffix)
	}
}

// types runs sbctl on the operator's machine, where no witness answers.
func (d *desk) types(t *testing.T, ctx context.Context, args ...string) string {
	t.Helper()
	cmd := exec.CommandContext(ctx, d.sbctl, append([]string{"--config", filepath.Join(d.dir, "sbctl.yaml")}, args...)...)
	var out, said strings.Builder
	cmd.Stdout, cmd.Stderr = &out, &said
	if err := cmd.Run(); err != nil {
		t.Errorf("sbctl %s: %v: %s%s", strings.Join(args, " "), err, out.String(), said.String())
	}
	return out.String()
}

const bothNodes = "--nodes=node-a,node-b"

func (f fork) survivor() string {
	if f.victim == string(NodeA) {
		return string(NodeB)
	}
	return string(NodeA)
}

// previews: what an operator is shown is what was written, no more and no less.
func (d *desk) previews(t *testing.T, ctx context.Context, f fork) {
	t.Helper()
	var p struct {
		Files []struct {
			Victim   string
			Compared bool
			Files    []struct {
				Path, Fate       string
				Victim, Survivor *struct {
					Size int
					Kind string
				}
			}
		}
	}
	text := d.types(t, ctx, "-o", "json", "preview", f.name, bothNodes)
	if err := json.Unmarshal([]byte(text), &p); err != nil {
		t.Errorf("%s: preview: %v: %s", f.name, err, text)
	}
	seen := 0
	for _, side := range p.Files {
		other := map[string]string{"node-a": "node-b", "node-b": "node-a"}[side.Victim]
		want := map[string]string{
			"changed": "reverted", "only-" + side.Victim: "lost", "dir/big-" + side.Victim: "lost", "only-" + other: "kept", "dir/big-" + other: "kept",
		}
		for _, file := range side.Files {
			if want[file.Path] != file.Fate {
				t.Errorf("%s: if %s is discarded, %s is %q, and not %q", f.name, side.Victim, file.Path, file.Fate, want[file.Path])
			}
			if file.Path == "dir/big-"+side.Victim && (file.Victim == nil || file.Victim.Size != f.load()) {
				t.Errorf("%s: %s has %+v", f.name, file.Path, file.Victim)
			}
			delete(want, file.Path)
		}
		if len(want) > 0 || !side.Compared {
			t.Errorf("%s: if %s is discarded, the preview lacks %v", f.name, side.Victim, want)
		}
		seen++
	}
	if seen != 2 {
		t.Errorf("%s: the preview has %d sides: %s", f.name, seen, text)
	}
}

// salvages: what the victim alone had is on the operator's machine, byte for byte as it
// was written, and nothing else is.
func (d *desk) salvages(t *testing.T, ctx context.Context, f fork) {
	t.Helper()
	to := filepath.Join(t.TempDir(), f.name)
	if on := d.Node(NodeName(f.survivor())); f.inUse == "" { // what is there now is compared where it is mounted
		must(t, on.Must(ctx, f.use()))
		defer func() { must(t, on.Must(ctx, f.leave())) }()
	}
	d.types(t, ctx, "salvage", f.name, bothNodes, "--to", to)
	sums, err := os.ReadFile(filepath.Join(d.Node(NodeName(f.victim)).share, "forks", f.name+".sums"))
	must(t, err)
	written := map[string]string{}
	for line := range strings.Lines(string(sums)) {
		if words := strings.Fields(line); len(words) == 2 {
			written[words[1]] = words[0]
		}
	}
	must(t, filepath.WalkDir(to, func(path string, e fs.DirEntry, err error) error {
		if err != nil || e.IsDir() {
			return err
		}
		name, _ := filepath.Rel(to, path)
		text, err := os.ReadFile(path)
		if is := fmt.Sprintf("%x", sha256.Sum256(text)); is != written[name] {
			t.Errorf("%s: %s was brought as %s, and written as %q", f.name, name, is, written[name])
		}
		delete(written, name)
		return err
	}))
	if len(written) > 0 {
		t.Errorf("%s: not brought: %v", f.name, written)
	}
}

// use mounts a fork that nobody uses, and leave ends that.
func (f fork) use() string {
	return fmt.Sprintf("set -e; drbdadm primary %s; mount -t %s %s %s\n", f.name, f.fs, f.device(0), f.mount())
}

func (f fork) leave() string {
	return fmt.Sprintf("umount %s && drbdadm secondary %s", f.mount(), f.name)
}

// undoes makes what was given up the data of both again. What the survivor has written
// since is shown first, and kept.
func (d *desk) undoes(t *testing.T, ctx context.Context, f fork) {
	t.Helper()
	keeper, other := d.Node(NodeName(f.victim)), d.Node(NodeName(f.survivor()))
	must(t, other.Must(ctx, f.use()+fmt.Sprintf("cd %s; head -c 50000 /dev/urandom >since; sha256sum since >/h/forks/since.sum; cd /; sync -f %[1]s", f.mount())))
	shown := d.types(t, ctx, "resolve", f.name, "--undo", bothNodes)
	must(t, other.Must(ctx, f.leave()))
	if !strings.Contains(shown, "since") || !strings.Contains(shown, "differ from") || !strings.Contains(shown, "only-"+f.survivor()) {
		t.Errorf("%s: what an undoing takes away is not shown: %s", f.name, shown)
	}
	must(t, keeper.Must(ctx, "drbdadm primary "+f.name))
	out, code, err := keeper.agent(ctx, fmt.Sprintf("undo %s --recovery 1 --yes 2>&1", f.name))
	must(t, err)
	if code != 0 {
		t.Fatalf("%s: undo: exit %d: %s", f.name, code, out)
	}
	must(t, keeper.Must(ctx, "drbdadm secondary "+f.name))
	d.alike(t, ctx, f)
	// The other node has them as well, and what was there now is kept.
	must(t, os.WriteFile(filepath.Join(other.share, "forks", "victim.sums"), d.sumsOf(t, f), 0o644))
	must(t, other.Must(ctx, f.use()+fmt.Sprintf("cd %s; sha256sum -c /h/forks/victim.sums; test ! -e since; cd /\n", f.mount())+f.leave()))
	out, code, err = keeper.Run(ctx, fmt.Sprintf("mkdir -p /tmp/forks/out; cd /tmp/forks/out; echo since | /h/sbagent recovery salvage %[1]s %[1]s/0 --recovery undo-1 --files - | tar x; sha256sum since; rm -rf /tmp/forks/out", f.name))
	must(t, err)
	want, err := os.ReadFile(filepath.Join(other.share, "forks", "since.sum"))
	if code != 0 || err != nil || strings.TrimSpace(out) != strings.TrimSpace(string(want)) {
		t.Errorf("%s: what was written since is not kept: exit %d, %v: %s, and not %s", f.name, code, err, out, want)
	}
}

func (d *desk) sumsOf(t *testing.T, f fork) []byte {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(d.Node(NodeName(f.victim)).share, "forks", f.name+".sums"))
	must(t, err)
	return text
}

// verdicts of every policy about a fork: whom it discards, "" if it passes. By hand
// means that nobody held a lease under which that node was promoted.
type verdicts struct {
	byHand                                                   string
	zero, unleased, younger, older, least, secondary, agreed string
}

// judged lets every policy judge what both nodes have really measured. Which epochs they
// were promoted under is added, as no agent was there to remember it.
func (d *desk) judged(t *testing.T, ctx context.Context, f fork) {
	t.Helper()
	sides := d.measured(t, ctx, f)
	e := map[string]any{"group": f.name}
	var both []any
	for i, n := range d.Nodes() {
		side := sides[i]["side"].(map[string]any)
		side["tenures"] = []any{map[string]any{"epoch": 4, "leased": string(n.Name) != f.judged.byHand}}
		both = append(both, side)
	}
	e["sides"] = both
	text, err := json.Marshal(e)
	must(t, err)
	evidence, list := filepath.Join(d.dir, f.name+".json"), filepath.Join(d.dir, "policies.yaml")
	must(t, os.WriteFile(evidence, text, 0o600))
	v := f.judged
	for policy, want := range map[string]string{
		"discard-zero-changes": v.zero, "discard-unleased": v.unleased, "discard-younger-primary": v.younger, "discard-older-primary": v.older,
		"discard-least-changes": v.least, "discard-secondary": v.secondary, "manual": "",
		"{policy: discard-node, node: node-a}": "node-a", "{policy: discard-node, node: node-b}": "node-b",
		"{policy: consensus, of: [discard-unleased, discard-least-changes]}":        v.agreed,
		"{policy: consensus, of: [discard-younger-primary, discard-older-primary]}": "",
		"{policy: discard-unleased, max_discard: 1KiB}":                             v.within("1KiB"),
		"{policy: discard-node, node: node-a, require_snapshot: true}":              "node-a",
	} {
		must(t, os.WriteFile(list, []byte("- "+policy+"\n"), 0o600))
		out := d.types(t, ctx, "-o", "json", "policy", "test", "-f", list, evidence)
		var is struct{ Victim, Why string }
		switch {
		case f.name == "strange":
			want = "" // no split brain: nobody is asked
		case f.fs != "" && strings.Contains(policy, "least"):
			continue // how many blocks a file system has changed is its own affair
		}
		if err := json.Unmarshal([]byte(out), &is); err != nil || is.Victim != want {
			t.Errorf("%s: %s discards %q, and not %q: %v: %s", f.name, policy, is.Victim, want, err, out)
		}
	}
}

// within is whom discard-unleased discards under so small a limit: only who has changed
// nothing.
func (v verdicts) within(string) string {
	if v.zero == v.unleased {
		return v.unleased
	}
	return ""
}
