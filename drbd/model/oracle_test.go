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

// cuts are what is taken from each file of the kernel.
var cuts = []struct {
	file             string
	enums, functions []string
}{
	{file: "include/linux/drbd.h", enums: []string{
		"drbd_after_sb_p", "drbd_role", "drbd_conns", "drbd_disk_state", "drbd_state_rv", "drbd_uuid_index",
	}},
	{file: "drivers/block/drbd/drbd_int.h"},
	{file: "drivers/block/drbd/drbd_main.c", functions: []string{"__drbd_uuid_set", "drbd_uuid_move_history"}},
	{file: "drivers/block/drbd/drbd_receiver.c", functions: []string{
		"drbd_asb_recover_0p", "drbd_asb_recover_1p", "drbd_asb_recover_2p", "drbd_uuid_compare", "drbd_sync_handshake",
	}},
}

var constants = regexp.MustCompile(`(?m)^#define (UUID_JUST_CREATED|UUID_NEW_BM_OFFSET)\s.*$`)

func newOracle(t testing.TB) *oracle {
	t.Helper()
	source := os.Getenv(oracleVariable)
	if source == "" {
		t.Skipf("set %s=1 (package linux-source-6.1) or to a kernel's source to ask the driver itself", oracleVariable)
	}
	dir := t.TempDir()
	if source == "1" {
		source = unpackKernel(t, dir)
	}
	program := filepath.Join(dir, "oracle")
	if err := os.WriteFile(program+".c", []byte(oracleSource(t, source)), 0o600); err != nil {
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
func unpackKernel(t testing.TB, dir string) string {
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

// oracleSource puts the program together: our frame, the kernel's functions.
func oracleSource(t testing.TB, tree string) string {
	t.Helper()
	var enums, functions strings.Builder
	for _, c := range cuts {
		text := readText(t, filepath.Join(tree, c.file))
		for _, line := range constants.FindAllString(text, -1) {
			fmt.Fprintln(&enums, line)
		}
		for _, name := range c.enums {
			enums.WriteString(cutOut(t, text, regexp.MustCompile(`(?m)^enum `+name+` \{`), "\n};\n"))
		}
		for _, name := range c.functions {
			start := regexp.MustCompile(`(?m)^[a-z][^\n;]*\b` + name + `\([^;{]*\{`)
			functions.WriteString(cutOut(t, text, start, "\n}\n"))
		}
	}
	before := readText(t, "testdata/oracle/before.c")
	return strings.Replace(before, "//CUT-ENUMS", enums.String(), 1) + functions.String() + readText(t, "testdata/oracle/after.c")
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

func (o *oracle) agrees(t *rapid.T) {
	c, self, peer := drawPair(t)
	c.Family = drbd.Family84
	c.After0 = rapid.SampledFrom(kernelPolicies).Draw(t, "any 0pri")
	c.After1 = rapid.SampledFrom(kernelPolicies).Draw(t, "any 1pri")
	c.After2 = rapid.SampledFrom(kernelPolicies).Draw(t, "any 2pri")
	c.RRConflict = rapid.SampledFrom([]Policy{PolicyDisconnect, PolicyCallPriLost, PolicyViolently}).Draw(t, "rr of 8.4")
	at := Attempt{Tentative: rapid.Bool().Draw(t, "tentative")}
	if _, err := io.WriteString(o.in, question(c, self, peer, at)); err != nil {
		t.Fatalf("ask the kernel's functions: %v", err)
	}
	line, err := o.out.ReadString('\n')
	if err != nil {
		t.Fatalf("hear the kernel's functions: %v", err)
	}
	if want, got := strings.TrimSpace(line), answerOf(c, self, peer, at); got != want {
		t.Fatalf("the model says\n%s\nthe kernel says\n%s", got, want)
	}
}

func TestTheModelJudgesAsTheKernelsOwnFunctions84(t *testing.T) {
	o := newOracle(t)
	rapid.Check(t, o.agrees)
}

// FuzzTheKernelsOwnFunctions84 looks, with go test -fuzz, for a case on which
// model and kernel differ.
func FuzzTheKernelsOwnFunctions84(f *testing.F) {
	if flag.Lookup("test.fuzz").Value.String() == "" {
		f.Skip("the test of the same name asks the same questions")
	}
	o := newOracle(f)
	f.Fuzz(rapid.MakeFuzz(o.agrees))
}
