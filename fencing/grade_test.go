package fencing

import (
	"strings"
	"testing"
)

func TestJudge(t *testing.T) {
	one := Topology{Levels: [][]DeviceName{{"a"}}}
	pair := Topology{Levels: [][]DeviceName{{"a", "b"}}}
	supplies := Topology{Levels: [][]DeviceName{{"a", "b"}}, Partial: []DeviceName{"a", "b"}}
	beside := Topology{Levels: [][]DeviceName{{"a", "b"}}, Partial: []DeviceName{"b"}}
	levels := Topology{Levels: [][]DeviceName{{"a"}, {"b"}}}
	on := func(d DeviceName) Reading { return Reading{Device: d, Power: PowerOn} }
	off := func(d DeviceName) Reading { return Reading{Device: d, Power: PowerOff} }
	type readings = []Reading
	for _, c := range []struct {
		name   string
		e      Evidence
		want   Grade
		reason string
	}{
		{"nothing read", Evidence{Topology: one}, E0, "no level"},
		{"on before, off now", Evidence{Topology: one, Before: readings{on("a")}, During: readings{off("a")}}, E3, "a went from on to off"},
		{"on and off during the shot", Evidence{Topology: one, During: readings{on("a"), off("a")}}, E3, ""},
		{"only ever off", Evidence{Topology: one, Before: readings{off("a")}, During: readings{off("a")}}, E0, "never on"},
		{"off before Begin is no off", Evidence{Topology: one, Before: readings{on("a"), off("a")}}, E0, "no level"},
		{"back on", Evidence{Topology: one, Before: readings{on("a")}, During: readings{off("a"), on("a")}}, E0, "no level"},
		{"contradicted", Evidence{Topology: one, Before: readings{on("a")}, During: readings{off("a")}, Void: []DeviceName{"a"}}, E0, "showed life"},
		{"another device's on", Evidence{Topology: one, Before: readings{on("x")}, During: readings{off("a")}}, E0, "never on"},
		{"two, both from on", Evidence{Topology: pair, Before: readings{on("a"), on("b")}, During: readings{off("a"), off("b")}}, E4, ""},
		{"two, one from on", Evidence{Topology: pair, Before: readings{on("b")}, During: readings{off("a"), off("b")}}, E4, ""},
		{"two, none from on", Evidence{Topology: pair, During: readings{off("a"), off("b")}}, E0, "never on"},
		{"half a level", Evidence{Topology: pair, Before: readings{on("a"), on("b")}, During: readings{off("a")}}, E0, "no level"},
		{"both supplies", Evidence{Topology: supplies, Before: readings{on("a"), on("b")}, During: readings{off("a"), off("b")}}, E3, "a and b went"},
		{"a supply never on", Evidence{Topology: supplies, Before: readings{on("a")}, During: readings{off("a"), off("b")}}, E0, "b read off but never on"},
		{"one supply beside a device that always says off", Evidence{Topology: beside, Before: readings{on("b")}, During: readings{off("a"), off("b")}}, E0, "a read off but never on"},
		{"one supply beside the machine", Evidence{Topology: beside, Before: readings{on("a"), on("b")}, During: readings{off("a"), off("b")}}, E3, "a went from"},
		{"two levels agree", Evidence{Topology: levels, Before: readings{on("b")}, During: readings{off("a"), off("b")}}, E4, ""},
		{"the second level alone", Evidence{Topology: levels, Before: readings{on("b")}, During: readings{on("a"), off("b")}}, E3, "b went"},
	} {
		t.Run(c.name, func(t *testing.T) {
			got, why := Judge(c.e)
			if got != c.want || !strings.Contains(why, c.reason) {
				t.Errorf("graded %s because %q, want %s because %q", got, why, c.want, c.reason)
			}
		})
	}
}

func TestGradesReadBack(t *testing.T) {
	for g := E0; g <= E5; g++ {
		back, err := ParseGrade(g.String())
		if err != nil || back != g || !strings.HasSuffix(g.Meaning(), ".") {
			t.Errorf("%s reads back as %s (%v), meaning %q", g, back, err, g.Meaning())
		}
	}
	if _, err := ParseGrade("E6"); err == nil {
		t.Error("E6 is taken for a grade")
	}
}

func TestTopologyNamesItsFaults(t *testing.T) {
	for _, c := range []struct {
		name string
		t    Topology
		want string
	}{
		{"none", Topology{}, "no fence device"},
		{"empty level", Topology{Levels: [][]DeviceName{{"a"}, {}}}, "levels[1]: empty"},
		{"twice", Topology{Levels: [][]DeviceName{{"a"}, {"b", "a"}}}, `levels[1][1]: device "a" is already in levels[0]`},
		{"nameless", Topology{Levels: [][]DeviceName{{""}}}, "without a name"},
		{"half a supply", Topology{Levels: [][]DeviceName{{"a"}}, Partial: []DeviceName{"a"}}, "can never succeed"},
		{"unknown partial", Topology{Levels: [][]DeviceName{{"a"}}, Partial: []DeviceName{"z"}}, `partial[0]: device "z"`},
	} {
		t.Run(c.name, func(t *testing.T) {
			if err := c.t.Validate(); err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("got %v, want %q", err, c.want)
			}
		})
	}
}
