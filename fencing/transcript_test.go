package fencing

import (
	"errors"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"sbarbiter/internal/boottime"
)

var update = flag.Bool("update", false, "rewrite the transcripts in testdata with what the code does now")

// origin is the start of every transcript; times in them count from it.
const origin = boottime.Instant(1000 * time.Second)

// TestTranscripts runs testdata/*.txt: lines that are not indented are input,
// the indented ones below are what the shot does about it.
func TestTranscripts(t *testing.T) {
	files, err := filepath.Glob("testdata/*.txt")
	if err != nil || len(files) == 0 {
		t.Fatalf("no transcripts (%v)", err)
	}
	for _, file := range files {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".txt"), func(t *testing.T) {
			want, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			got := play(t, string(want))
			if *update {
				if err := os.WriteFile(file, []byte(got), 0o644); err != nil {
					t.Fatal(err)
				}
				return
			}
			if diff := cmp.Diff(string(want), got); diff != "" {
				t.Errorf("the shot goes another way (-transcript +now; -update accepts it):\n%s", diff)
			}
		})
	}
}

func play(t *testing.T, script string) string {
	spec := Spec{
		Target: "node-a", Executor: "node-b", Start: origin, StartBy: origin.Add(2 * time.Second),
		Deadline: origin.Add(20 * time.Second), MaxGap: time.Minute,
	}
	var shot *Shot
	var out strings.Builder
	for line := range strings.Lines(script) {
		line = strings.TrimRight(line, "\n")
		if strings.HasPrefix(line, " ") {
			continue
		}
		out.WriteString(line + "\n")
		f := strings.Fields(line)
		if len(f) == 0 || f[0] == "#" {
			continue
		}
		if at, err := strconv.ParseFloat(f[0], 64); err == nil {
			if shot == nil {
				if shot, err = NewShot(spec); err != nil {
					t.Fatal(err)
				}
			}
			now := origin.Add(time.Duration(at * float64(time.Second)))
			describe(&out, shot.Step(now, event(t, f[1:])))
			continue
		}
		configure(t, &spec, f)
	}
	return out.String()
}

func configure(t *testing.T, spec *Spec, f []string) {
	t.Helper()
	names := func(fields []string) (d []DeviceName) {
		for _, n := range fields {
			d = append(d, DeviceName(n))
		}
		return d
	}
	seconds := func() time.Duration {
		d, err := time.ParseDuration(f[1])
		if err != nil {
			t.Fatal(err)
		}
		return d
	}
	switch f[0] {
	case "level":
		spec.Topology.Levels = append(spec.Topology.Levels, names(f[1:]))
	case "partial":
		spec.Topology.Partial = names(f[1:])
	case "weak":
		spec.Topology.Weak = names(f[1:])
	case "before":
		power := map[string]Power{"on": PowerOn, "off": PowerOff}[f[2]]
		spec.Before = append(spec.Before, Reading{Device: DeviceName(f[1]), Power: power})
	case "contradicted":
		spec.Contradicted = names(f[1:])
	case "deadline":
		spec.Deadline = origin.Add(seconds())
	case "gap":
		spec.MaxGap = seconds()
	default:
		t.Fatalf("unknown line %q", f)
	}
}

func event(t *testing.T, f []string) Event {
	t.Helper()
	switch f[0] {
	case "tick":
		return Tick{}
	case "heard":
		return Heard{}
	}
	n, err := strconv.Atoi(f[1])
	if err != nil {
		t.Fatalf("call number: %v", err)
	}
	if f[0] == "off" {
		return OffDone{Call: Call(n), Err: answer(f[2:])}
	}
	switch f[2] {
	case "on":
		return ReadDone{Call: Call(n), Power: PowerOn}
	case "off":
		return ReadDone{Call: Call(n), Power: PowerOff}
	}
	return ReadDone{Call: Call(n), Err: answer(f[2:])}
}

func answer(f []string) error {
	switch f[0] {
	case "accepted":
		return nil
	case "auth":
		return fmt.Errorf("%w: correct the password", ErrAuth)
	}
	return errors.New(strings.Join(f, " "))
}

func describe(out *strings.Builder, actions []Action) {
	for _, a := range actions {
		switch a := a.(type) {
		case Read:
			fmt.Fprintf(out, "    read %s (call %d, %v)\n", a.Device, a.Call, a.Timeout)
		case Off:
			fmt.Fprintf(out, "    OFF %s (call %d, not after %s)\n", a.Device, a.Call, offset(a.NotAfter.Sub(origin)))
		case Wait:
			fmt.Fprintf(out, "    wait until %s\n", offset(a.Until.Sub(origin)))
		case Finish:
			fmt.Fprintf(out, "    %s\n", a.Result)
			for _, line := range a.Result.Explain() {
				fmt.Fprintf(out, "      %s\n", line)
			}
			switch {
			case a.Result.InFlight && a.Result.Proven:
				fmt.Fprintf(out, "      another off may still land, until %s\n", offset(a.Result.Lands.Sub(origin)))
			case a.Result.InFlight:
				out.WriteString("      another off may still land\n")
			}
		}
	}
}
