package model

import (
	"os"
	"strconv"
	"strings"
	"testing"

	"sbarbiter/drbd"
)

func TestOneNodeAnswersAsTheKernel84(t *testing.T) {
	text, err := os.ReadFile("testdata/state.txt")
	if err != nil {
		t.Fatal(err)
	}
	cases := 0
	for n, line := range strings.Split(string(text), "\n") {
		if line == "" || line[0] == '#' {
			continue
		}
		left, right, ok := strings.Cut(line, "=>")
		words := strings.Fields(left)
		if !ok || len(words) == 0 {
			t.Fatalf("line %d: no arrow", n+1)
		}
		for _, facts := range expand(words[1:]) {
			cases++
			t.Run(strconv.Itoa(n+1)+" "+words[0]+" "+strings.Join(facts, " "), func(t *testing.T) {
				checkState(t, words[0], facts, strings.Fields(right))
			})
		}
	}
	if cases < 90 {
		t.Errorf("only %d cases", cases)
	}
}

// expand makes one list of facts for every combination of alternatives.
func expand(words []string) [][]string {
	lists := [][]string{nil}
	for _, w := range words {
		key, values, _ := strings.Cut(w, "=")
		if values == "any" {
			values = "Inconsistent|Outdated|DUnknown"
		}
		var longer [][]string
		for _, l := range lists {
			for v := range strings.SplitSeq(values, "|") {
				longer = append(longer, append(l[:len(l):len(l)], key+"="+v))
			}
		}
		lists = longer
	}
	return lists
}

func checkState(t *testing.T, wish string, facts, result []string) {
	t.Helper()
	old, c, use := stateBefore(t, facts)
	next, answer := wished(t, wish, old, c, use)
	if want, err := strconv.Atoi(result[0]); err != nil || answer != Answer(want) {
		t.Fatalf("the answer is %d, the kernel says %s", answer, result[0])
	}
	yes := map[bool]string{true: "yes", false: "no"}
	got := map[string]string{
		"disk": string(next.Disk), "peer-disk": string(next.PeerDisk), "frozen": yes[next.Frozen],
		"lost-contact": yes[lostContact(old.PeerDisk, next.PeerDisk)],
	}
	for _, w := range result[1:] {
		key, want, _ := strings.Cut(w, "=")
		if got[key] != want {
			t.Errorf("%s is %q, the kernel says %q", key, got[key], want)
		}
	}
	if !answer.OK() && next != old {
		t.Errorf("refused, yet the state went from %+v to %+v", old, next)
	}
}

func stateBefore(t *testing.T, facts []string) (State, Config, Use) {
	t.Helper()
	s := State{
		Role: drbd.RoleSecondary, Peer: drbd.RoleUnknown, Conn: drbd.ConnStandAlone, Repl: drbd.ReplOff,
		Disk: drbd.DiskUpToDate, PeerDisk: drbd.DiskUnknown,
	}
	c, use := Config{Family: drbd.Family84}, NotInUse
	for _, f := range facts {
		key, value, _ := strings.Cut(f, "=")
		switch key {
		case "role":
			s.Role = drbd.ParseRole(value)
		case "conn":
			s.Conn = drbd.ParseConnState(value)
			if s.Conn == drbd.ConnConnected {
				s.Peer, s.Repl, s.PeerDisk = drbd.RoleSecondary, drbd.ReplEstablished, drbd.DiskUpToDate
			}
		case "repl":
			s.Repl = drbd.ParseReplState(value)
		case "disk":
			s.Disk = drbd.ParseDiskState(value)
		case "peer-disk":
			s.PeerDisk = drbd.ParseDiskState(value)
		case "peer-role":
			s.Peer = drbd.ParseRole(value)
		case "fencing":
			c.Fencing = Fencing(value)
		case "allow-two-primaries":
			c.TwoPrimaries = value == "yes"
		case "open":
			use = InUse
		default:
			t.Fatalf("unknown fact %q", key)
		}
	}
	return s, c, use
}

func wished(t *testing.T, wish string, old State, c Config, use Use) (State, Answer) {
	t.Helper()
	want := old
	switch wish {
	case "promote":
		want.Role = drbd.RolePrimary
	case "demote":
		want.Role = drbd.RoleSecondary
	case "outdate", "fence-exit-6":
		want.Disk = drbd.DiskOutdated
	case "lose":
		want.Conn = drbd.ConnConnecting
		return Sanitize(old, want, c), Done
	case "disconnect":
		want.Conn = drbd.ConnStandAlone
	case "disconnect-outdating":
		want.Conn, want.PeerDisk = drbd.ConnStandAlone, drbd.DiskOutdated
	default:
		t.Fatalf("unknown wish %q", wish)
	}
	return Change(old, want, c, use)
}
