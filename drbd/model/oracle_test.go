package model

import (
	"bufio"
	"flag"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"sbarbiter/drbd"
)

// oracleVariable names the environment variable that lets these tests run: a
// directory with a kernel's source, or 1 for the distribution's package
// linux-source in /usr/src.
const oracleVariable = "SBARBITER_ORACLE"

// An oracle is the driver's own handshake, compiled from the kernel's source.
type oracle struct {
	in  io.Writer
	out *bufio.Reader
}

// cut is what is taken from one file of the kernel.
type cut struct {
	file             string
	enums, functions []string
}

// The driver's handshake and what it stands on.
var handshakeCuts = []cut{
	{file: "include/linux/drbd.h", enums: []string{
		"enum drbd_after_sb_p", "enum drbd_role", "enum drbd_conns", "enum drbd_disk_state", "enum drbd_state_rv", "enum drbd_uuid_index",
	}},
	{file: "drivers/block/drbd/drbd_int.h"},
	{file: "drivers/block/drbd/drbd_main.c", functions: []string{"__drbd_uuid_set", "drbd_uuid_move_history"}},
	{file: "drivers/block/drbd/drbd_receiver.c", functions: []string{
		"drbd_asb_recover_0p", "drbd_asb_recover_1p", "drbd_asb_recover_2p", "drbd_uuid_compare", "drbd_sync_handshake",
	}},
}

var constants = regexp.MustCompile(`(?m)^#define (UUID_JUST_CREATED|UUID_NEW_BM_OFFSET)\s.*$`)

func newOracle(t testing.TB, before, after string, cuts []cut) *oracle {
	t.Helper()
	source := os.Getenv(oracleVariable)
	if source == "" {
		t.Skipf("set %s=1 (package linux-source-6.1) or to a kernel's source to ask the driver itself", oracleVariable)
	}
	dir := t.TempDir()
	if source == "1" {
		source = unpackKernel(t, dir, cuts)
	}
	program := filepath.Join(dir, "oracle")
	enums, functions := cutAll(t, source, cuts)
	text := strings.Replace(readText(t, before), "//CUT-ENUMS", enums, 1) + functions + readText(t, after)
	if err := os.WriteFile(program+".c", []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	if out, err := exec.Command("cc", "-O1", "-w", "-o", program, program+".c").CombinedOutput(); err != nil {
		t.Fatalf("compile the kernel's functions: %v\n%s", err, out)
	}
	cmd := exec.Command(program)
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		in.Close()
		cmd.Wait()
	})
	return &oracle{in: in, out: bufio.NewReader(out)}
}

// unpackKernel unpacks the files it needs and returns where their tree is.
func unpackKernel(t testing.TB, dir string, cuts []cut) string {
	t.Helper()
	balls, _ := filepath.Glob("/usr/src/linux-source-*.tar.xz")
	if len(balls) == 0 {
		t.Skip("no /usr/src/linux-source-*.tar.xz: install the package linux-source-6.1")
	}
	ball := balls[len(balls)-1]
	root := strings.TrimSuffix(filepath.Base(ball), ".tar.xz")
	args := []string{"-xJf", ball, "-C", dir}
	for _, c := range cuts {
		args = append(args, root+"/"+c.file)
	}
	if out, err := exec.Command("tar", args...).CombinedOutput(); err != nil {
		t.Fatalf("unpack %s: %v\n%s", ball, err, out)
	}
	return filepath.Join(dir, root)
}

// cutAll takes the types and constants, and the functions, out of a tree.
func cutAll(t testing.TB, tree string, cuts []cut) (types, functions string) {
	t.Helper()
	for _, c := range cuts {
		text := readText(t, filepath.Join(tree, c.file))
		types += strings.Join(constants.FindAllString(text, -1), "\n") + "\n"
		for _, name := range c.enums {
			types += cutOut(t, text, regexp.MustCompile(`(?m)^`+name+` \{`), "\n};\n")
		}
		for _, name := range c.functions {
			start := regexp.MustCompile(`(?m)^(?:static [^\n;(]*\n)?(?:[a-z][^\n;]*\b)?` + name + `\([^;{]*\{`)
			functions += cutOut(t, text, start, "\n}\n")
		}
	}
	return types, functions
}

func readText(t testing.TB, file string) string {
	t.Helper()
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

func cutOut(t testing.TB, text string, start *regexp.Regexp, end string) string {
	t.Helper()
	at := start.FindStringIndex(text)
	if at == nil {
		t.Fatalf("this kernel has no %s", start)
	}
	length := strings.Index(text[at[0]:], end)
	if length < 0 {
		t.Fatalf("%s has no end", start)
	}
	return text[at[0]:at[0]+length] + end
}

// The kernel's own order of its enums.
var (
	kernelPolicies = []Policy{
		PolicyDisconnect, DiscardYoungerPrimary, DiscardOlderPrimary, DiscardZeroChanges, DiscardLeastChanges,
		DiscardLocal, DiscardRemote, PolicyConsensus, DiscardSecondary, CallPriLostAfterSB, PolicyViolentlyAsZero,
	}
	kernelDisks = []drbd.DiskState{
		drbd.DiskDiskless, drbd.DiskAttaching, drbd.DiskFailed, drbd.DiskNegotiating, drbd.DiskInconsistent,
		drbd.DiskOutdated, drbd.DiskUnknown, drbd.DiskConsistent, drbd.DiskUpToDate,
	}
	kernelStrategies = map[string]Strategy{
		"0": NoSync, "1": SourceBitmap, "-1": TargetBitmap, "2": SourceFull, "-2": TargetFull,
		"100": SplitBrainKnown, "-100": SplitBrainOld, "-1000": Unrelated,
	}
)

func position[T comparable](of T, in []T) int {
	for i, x := range in {
		if x == of {
			return i
		}
	}
	return 0
}

func number(b bool) int {
	if b {
		return 1
	}
	return 0
}

// question writes a case as the oracle reads it.
func question(c Config, self, peer Side, at Attempt) string {
	ids := func(g Generation) string { return strings.ReplaceAll(gi(g), ":", " ") }
	role := func(s Side) int { return 2 - number(s.primary()) }
	rr := c.RRConflict
	switch rr {
	case PolicyViolently:
		rr = PolicyViolentlyAsZero
	case PolicyCallPriLost:
		rr = CallPriLostAfterSB
	}
	return fmt.Sprintf("%s %s %x %x %x %x %x %x %x %x %x %x %x %x %x %x %x %x %x %x\n",
		ids(self.Generation), ids(peer.Generation), role(self), role(peer),
		position(self.Disk, kernelDisks), position(peer.Disk, kernelDisks), self.OutOfSync, peer.OutOfSync,
		number(self.CrashedPrimary), number(peer.CrashedPrimary), number(self.Discard), number(peer.Discard),
		number(self.Open), number(self.BreaksTies),
		position(c.After0, kernelPolicies), position(c.After1, kernelPolicies), position(c.After2, kernelPolicies),
		position(rr, kernelPolicies), number(c.AlwaysAfterSB), number(at.Tentative))
}

// answerOf writes the model's result of one pass as the oracle does.
func answerOf(c Config, self, peer Side, at Attempt) string {
	j := &judgement{c: c, self: self, peer: peer, tentative: at.Tentative}
	j.run(steps84)
	calls := make([]string, len(j.outcome.Calls))
	for i, call := range j.outcome.Calls {
		calls[i] = call.String()
	}
	if len(calls) == 0 {
		calls = []string{"-"}
	}
	number84 := ""
	for n, s := range kernelStrategies {
		if s == j.outcome.Compared.Strategy {
			number84 = n
		}
	}
	settled := j.outcome.Ending != EndDrop
	return fmt.Sprintf("%s %s %s %d %s %s %s", j.outcome.Compared.Rule, number84, j.outcome.Ending,
		number(settled && j.strategy.IsFull()), gi(j.outcome.Compared.Corrected), gi(j.outcome.Compared.Peer), strings.Join(calls, ","))
}

func newHandshakeOracle(t testing.TB) *oracle {
	return newOracle(t, "testdata/oracle/before.c", "testdata/oracle/after.c", handshakeCuts)
}

// asked returns the oracle's answer to a line.
func (o *oracle) asked(t *rapid.T, line string) string {
	if _, err := io.WriteString(o.in, line); err != nil {
		t.Fatalf("ask the kernel's functions: %v", err)
	}
	reply, err := o.out.ReadString('\n')
	if err != nil {
		t.Fatalf("hear the kernel's functions: %v", err)
	}
	return strings.TrimSpace(reply)
}

func (o *oracle) agrees(t *rapid.T) {
	c, self, peer := drawPair(t)
	c.Family = drbd.Family84
	c.After0 = rapid.SampledFrom(kernelPolicies).Draw(t, "any 0pri")
	c.After1 = rapid.SampledFrom(kernelPolicies).Draw(t, "any 1pri")
	c.After2 = rapid.SampledFrom(kernelPolicies).Draw(t, "any 2pri")
	c.RRConflict = rapid.SampledFrom([]Policy{PolicyDisconnect, PolicyCallPriLost, PolicyViolently}).Draw(t, "rr of 8.4")
	at := Attempt{Tentative: rapid.Bool().Draw(t, "tentative")}
	if want, got := o.asked(t, question(c, self, peer, at)), answerOf(c, self, peer, at); got != want {
		t.Fatalf("the model says\n%s\nthe kernel says\n%s", got, want)
	}
}

func TestTheModelJudgesAsTheKernelsOwnFunctions84(t *testing.T) {
	o := newHandshakeOracle(t)
	rapid.Check(t, o.agrees)
}

// FuzzTheKernelsOwnFunctions84 looks, with go test -fuzz, for a case on which
// model and kernel differ.
func FuzzTheKernelsOwnFunctions84(f *testing.F) {
	if flag.Lookup("test.fuzz").Value.String() == "" {
		f.Skip("the test of the same name asks the same questions")
	}
	o := newHandshakeOracle(f)
	f.Fuzz(rapid.MakeFuzz(o.agrees))
}
