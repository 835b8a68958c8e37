package model

import (
	"fmt"
	"os"
	"strconv"
	"strings"
	"testing"

	"sbarbiter/drbd"
)

// A vector is one case of testdata/vectors-*.txt.
type vector struct {
	name      string
	a, b      Side
	config    Config
	tentative bool
	wantA     map[string]string
	wantB     map[string]string
	// endsA and endsB are how the nodes end, where a vector is carried out.
	endsA, endsB string
}

func TestHandshakesEndAsInTheKernel84(t *testing.T) {
	runVectors(t, "testdata/vectors-84.txt", drbd.Family84, 86)
}

func TestHandshakesEndAsInTheKernel9(t *testing.T) {
	runVectors(t, "testdata/vectors-9.txt", drbd.Family9, 40)
}

func runVectors(t *testing.T, file string, f drbd.Family, atLeast int) {
	t.Helper()
	cases := readVectors(t, file, f)
	if len(cases) < atLeast {
		t.Errorf("%s: %d cases, there were %d", file, len(cases), atLeast)
	}
	for _, v := range cases {
		t.Run(v.name, func(t *testing.T) {
			at := Attempt{Tentative: v.tentative}
			compareWith(t, "A", v.wantA, v.a, Judge(v.config, v.a, v.b, at))
			compareWith(t, "B", v.wantB, v.b, Judge(v.config.Mirror(), v.b, v.a, at))
		})
	}
}

func compareWith(t *testing.T, side string, want map[string]string, before Side, o Outcome) {
	t.Helper()
	if _, said := want["corrected"]; !said && !o.Compared.Corrected.Equal(before.Generation) {
		t.Errorf("%s: its generation was changed to %v, the kernel leaves it", side, o.Compared.Corrected)
	}
	calls := make([]string, len(o.Calls))
	for i, c := range o.Calls {
		calls[i] = c.String()
	}
	g := o.Compared.Corrected
	got := map[string]string{
		"rule": o.Compared.Rule, "compare": string(o.Compared.Strategy), "strategy": string(o.Strategy),
		"end": string(o.Ending), "calls": strings.Join(calls, ","),
		"corrected": fmt.Sprintf("%X:%X:%X:%X", uint64(g.Current), uint64(g.Bitmap), uint64(g.ancestor(0)), uint64(g.ancestor(1))),
	}
	for _, silent := range []string{"calls", "refused"} {
		if _, said := want[silent]; !said {
			want[silent] = ""
		}
	}
	if o.Refused != 0 {
		got["refused"] = strconv.Itoa(int(o.Refused))
	}
	for key, value := range want {
		if got[key] != value {
			t.Errorf("%s: %s is %q, the kernel says %q", side, key, got[key], value)
		}
	}
}

// readVectors reads a file of cases; its head explains the form.
func readVectors(t *testing.T, file string, f drbd.Family) []vector {
	t.Helper()
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	var list []vector
	for n, line := range strings.Split(string(text), "\n") {
		words := strings.Fields(line)
		switch {
		case len(words) == 0 || strings.HasPrefix(line, "#"):
		case !strings.HasPrefix(line, " "):
			good := Side{Role: drbd.RoleSecondary, Disk: drbd.DiskUpToDate}
			v := vector{name: words[0], a: good, b: good, config: Config{Family: f}}
			v.b.BreaksTies = true
			list = append(list, v)
		case len(list) == 0:
			t.Fatalf("%s:%d: stands before any name", file, n+1)
		default:
			if err := list[len(list)-1].read(words); err != nil {
				t.Fatalf("%s:%d: %v", file, n+1, err)
			}
		}
	}
	return list
}

func (v *vector) read(words []string) error {
	who, arrow := words[0], len(words) > 1 && words[1] == "=>"
	if len(words) > 1 && words[1] == "ends" {
		return v.readEnd(who, strings.Join(words[2:], " "))
	}
	if arrow {
		words = words[1:]
	}
	settings := map[string]string{}
	for _, w := range words[1:] {
		key, value, ok := strings.Cut(w, "=")
		if !ok {
			return fmt.Errorf("%q is no setting", w)
		}
		settings[key] = value
	}
	switch {
	case who == "A" && arrow:
		v.wantA = settings
	case who == "B" && arrow:
		v.wantB = settings
	case who == "A":
		return v.readSide(&v.a, settings)
	case who == "B":
		return v.readSide(&v.b, settings)
	case who == "with":
		return v.readConfig(settings)
	default:
		return fmt.Errorf("%q is neither A, B nor with", who)
	}
	return nil
}

func (v *vector) readEnd(who, end string) error {
	switch who {
	case "A":
		v.endsA = end
	case "B":
		v.endsB = end
	default:
		return fmt.Errorf("%q is neither A nor B", who)
	}
	return nil
}

func (v *vector) readSide(s *Side, settings map[string]string) (err error) {
	flags := map[string]*bool{
		"crashed-primary": &s.CrashedPrimary, "discard-my-data": &s.Discard, "open": &s.Open,
		"reconnect": &s.Reconnect, "lost-quorum": &s.LostQuorum, "quorum": &s.HasQuorum,
	}
	g := &s.Generation
	for key, value := range settings {
		switch key {
		case "gi":
			var ids []drbd.UUID
			ids, err = readUUIDs(value, ":")
			if err == nil && len(ids) == 4 {
				*g = Generation{Current: ids[0], Bitmap: ids[1], History: ids[2:]}
			}
		case "cur":
			g.Current, err = readUUID(value)
		case "bm":
			g.Bitmap, err = readUUID(value)
		case "others":
			g.Others, err = readUUIDs(value, ",")
		case "history":
			g.History, err = readUUIDs(value, ",")
		case "role":
			s.Role = drbd.ParseRole(value)
		case "disk":
			s.Disk = drbd.ParseDiskState(value)
		case "oos":
			s.OutOfSync, err = strconv.ParseUint(value, 10, 64)
		case "breaks-ties":
			v.a.BreaksTies, v.b.BreaksTies = s == &v.a, s == &v.b
		default:
			flag, known := flags[key]
			if !known {
				return fmt.Errorf("unknown fact %q", key)
			}
			*flag = value == "yes"
		}
		if err != nil {
			return fmt.Errorf("%s=%s: %w", key, value, err)
		}
	}
	return nil
}

func (v *vector) readConfig(settings map[string]string) error {
	c := &v.config
	flags := map[string]*bool{"allow-two-primaries": &c.TwoPrimaries, "always-asbp": &c.AlwaysAfterSB, "tentative": &v.tentative}
	policies := map[string]*Policy{"after-sb-0pri": &c.After0, "after-sb-1pri": &c.After1, "after-sb-2pri": &c.After2, "rr-conflict": &c.RRConflict}
	for key, value := range settings {
		switch {
		case flags[key] != nil:
			*flags[key] = value == "yes"
		case policies[key] != nil:
			*policies[key] = Policy(value)
		case key == "protocol":
			c.Protocol = Protocol(value)
		case key == "quorum":
			c.Quorum = true
		default:
			return fmt.Errorf("unknown setting %q", key)
		}
	}
	return nil
}

func readUUID(text string) (drbd.UUID, error) {
	n, err := strconv.ParseUint(text, 16, 64)
	return drbd.UUID(n), err
}

func readUUIDs(text, separator string) ([]drbd.UUID, error) {
	var ids []drbd.UUID
	for _, word := range strings.Split(text, separator) {
		u, err := readUUID(word)
		if err != nil {
			return nil, err
		}
		ids = append(ids, u)
	}
	return ids, nil
}
