package kernel

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"sbarbiter/drbd"
)

// fakeTools stands for DRBD's tools and files. What a command does is a shell
// script in the file "on-VERB"; "status" and "proc" hold what is read.
type fakeTools struct {
	t      *testing.T
	dir    string
	driver *Driver
}

const fakeScript = `#!/bin/sh
D=$(dirname "$0")
echo "$(basename "$0") $*" >> "$D/calls"
case "$1" in
status)
	if [ -f "$D/unconfigured" ]; then echo "$2: No such resource" >&2; exit 10; fi
	cat "$D/status" ;;
events2)
	echo $$ > "$D/events.pid"
	exec cat "$D/events" ;;
*)
	if [ -f "$D/on-$1" ]; then . "$D/on-$1"; fi ;;
esac
`

func newFakeTools(t *testing.T) *fakeTools {
	t.Helper()
	f := &fakeTools{t: t, dir: t.TempDir()}
	for _, name := range []string{"drbdsetup", "drbdadm", "drbdmeta"} {
		if err := os.WriteFile(f.path(name), []byte(fakeScript), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	f.write("usermode_helper", f.path("drbdadm")+"\n")
	f.state("Secondary", "Secondary", "UpToDate", "Connected")
	d, err := New(Config{
		Resources: []string{"r0"}, Drbdsetup: f.path("drbdsetup"), Drbdadm: f.path("drbdadm"), Drbdmeta: f.path("drbdmeta"),
		Files: f.path("drbd.conf"), ProcDRBD: f.path("proc"), UsermodeHelper: f.path("usermode_helper"), KernelDrbdadm: f.path("drbdadm"),
		HandlerCommand: "/sbin/h", ExecTimeout: 20 * time.Second,
	})
	if err != nil {
		t.Fatal(err)
	}
	f.driver = d
	return f
}

func (f *fakeTools) path(name string) string { return filepath.Join(f.dir, name) }

// write replaces a file in one step: readers see the old text or the new one.
func (f *fakeTools) write(name, text string) {
	f.t.Helper()
	if err := os.WriteFile(f.path(name)+".new", []byte(text), 0o644); err != nil {
		f.t.Fatal(err)
	}
	if err := os.Rename(f.path(name)+".new", f.path(name)); err != nil {
		f.t.Fatal(err)
	}
}

// on scripts what a verb of the tools does.
func (f *fakeTools) on(verb, script string) { f.write("on-"+verb, script+"\n") }

// state makes status and /proc/drbd show r0 with two volumes.
func (f *fakeTools) state(role0, role1, disk, conn string) {
	f.write("status", statusText(role0, role1, disk, conn))
	f.write("proc", procText(role0, role1, disk, conn))
}

// to returns a script that makes the tools show another state.
func (f *fakeTools) to(role0, role1, disk, conn string) string {
	name := strings.Join([]string{"state", role0, role1, disk, conn}, "-")
	f.write(name+"-status", statusText(role0, role1, disk, conn))
	f.write(name+"-proc", procText(role0, role1, disk, conn))
	return `cp "$D/` + name + `-status" "$D/status"; cp "$D/` + name + `-proc" "$D/proc"`
}

func statusText(role0, role1, disk, conn string) string {
	role := role0
	if role1 == "Primary" {
		role = role1
	}
	text := "r0 role:" + role + " suspended:no\n  volume:0 minor:0 disk:" + disk + "\n  volume:1 minor:1 disk:" + disk + "\n"
	switch conn {
	case "StandAlone":
		return text
	case "Connected":
		return text + "  peer connection:Connected role:Secondary\n" +
			"    volume:0 replication:Established peer-disk:UpToDate\n    volume:1 replication:Established peer-disk:UpToDate\n"
	}
	return text + "  peer connection:Connecting role:Unknown\n" +
		"    volume:0 replication:Off peer-disk:DUnknown\n    volume:1 replication:Off peer-disk:DUnknown\n"
}

func procText(role0, role1, disk, conn string) string {
	peers, peerDisk := "Unknown", "DUnknown"
	cs := map[string]string{"Connected": "Connected", "Connecting": "WFConnection", "StandAlone": "StandAlone"}[conn]
	if conn == "Connected" {
		peers, peerDisk = "Secondary", "UpToDate"
	}
	text := "version: 8.4.11 (api:1/proto:86-101)\n"
	for i, role := range []string{role0, role1} {
		text += " " + string(rune('0'+i)) + ": cs:" + cs + " ro:" + role + "/" + peers + " ds:" + disk + "/" + peerDisk + " C r-----\n    ns:0 oos:0\n"
	}
	return text
}

// calls returns the commands that changed something, in order.
func (f *fakeTools) calls() string {
	text, err := os.ReadFile(f.path("calls"))
	if err != nil && !os.IsNotExist(err) {
		f.t.Fatal(err)
	}
	var out []string
	for line := range strings.Lines(string(text)) {
		line = strings.TrimSpace(line)
		if !strings.Contains(line, " status ") && !strings.Contains(line, " events2 ") {
			out = append(out, line)
		}
	}
	return strings.Join(out, "; ")
}

// eventually waits until ok holds, for 10 s at most.
func eventually(t *testing.T, what string, ok func() bool) {
	t.Helper()
	for deadline := time.Now().Add(10 * time.Second); !ok(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("waited in vain: %s", what)
		}
	}
}

// following runs the driver's stream and hands its observations out.
type following struct {
	seen chan Observation
	stop context.CancelFunc
	done chan error
}

func (f *fakeTools) follow() *following {
	f.t.Helper()
	if err := syscall.Mkfifo(f.path("events"), 0o600); err != nil {
		f.t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	w := &following{seen: make(chan Observation, 1000), stop: cancel, done: make(chan error, 1)}
	go func() { w.done <- f.driver.Run(ctx, func(o Observation) { w.seen <- o }) }()
	f.t.Cleanup(func() {
		cancel()
		<-w.done
	})
	return w
}

// open connects to the stream that the driver is reading.
func (f *fakeTools) open() *os.File {
	f.t.Helper()
	p, err := os.OpenFile(f.path("events"), os.O_WRONLY, 0)
	if err != nil {
		f.t.Fatal(err)
	}
	f.t.Cleanup(func() { p.Close() })
	return p
}

func (f *fakeTools) send(p *os.File, lines ...string) {
	f.t.Helper()
	if _, err := p.WriteString(strings.Join(lines, "\n") + "\n"); err != nil {
		f.t.Fatal(err)
	}
}

// next returns the next observation.
func (w *following) next(t *testing.T) Observation {
	t.Helper()
	select {
	case o := <-w.seen:
		return o
	case <-time.After(10 * time.Second):
		t.Fatal("no observation came")
		return nil
	}
}

// nextSeen returns the next observation, which must be a state.
func (w *following) nextSeen(t *testing.T) drbd.Resource {
	t.Helper()
	o := w.next(t)
	s, ok := o.(Seen)
	if !ok {
		t.Fatalf("got %T %+v, want a state", o, o)
	}
	if s.At.IsZero() {
		t.Error("a state without a time")
	}
	return s.Resource
}
