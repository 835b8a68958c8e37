package arbiter_test

import (
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"sbarbiter/arbiter"
)

// TestCloneHasItsOwnStorage fills every field of a cluster and looks for a map,
// slice or pointer that a copy has in common with it. A field added later and
// forgotten in Clone is found here.
func TestCloneHasItsOwnStorage(t *testing.T) {
	c := &arbiter.Cluster{}
	fill(reflect.ValueOf(c).Elem())
	d := c.Clone()
	if !reflect.DeepEqual(c, d) {
		t.Errorf("the copy differs\n%+v\n%+v", c, d)
	}
	shared(t, "Cluster", reflect.ValueOf(c), reflect.ValueOf(d))
}

// TestCopiesOfAHistoryGrowApart appends to both sides of a copy, up to where the
// oldest entries go, and looks at what the other side has.
func TestCopiesOfAHistoryGrowApart(t *testing.T) {
	s := arbiter.NewState()
	s.Apply(1, arbiter.Entry{Command: arbiter.Define{Definition: arbiter.Definition{
		Cluster: pair, Nodes: [2]arbiter.NodeID{"node-a", "node-b"}, Timing: timing(), Groups: map[arbiter.GroupID]arbiter.GroupDefinition{"nfs": {}},
	}}})
	say := func(s *arbiter.State, by string, from, to uint64) {
		for i := from; i <= to; i++ {
			s.Apply(i, arbiter.Entry{Command: arbiter.Maintenance{Cluster: pair, On: i%2 == 0, By: by}})
		}
	}
	say(s, "before", 2, 300)
	other := &arbiter.State{Version: s.Version, Clusters: map[arbiter.ClusterID]*arbiter.Cluster{pair: s.Clusters[pair].Clone()}}
	say(s, "here", 301, 400)
	say(other, "there", 301, 400)
	for by, side := range map[string]*arbiter.State{"here": s, "there": other} {
		for _, r := range side.Clusters[pair].Audit {
			said := by
			if r.Index <= 300 {
				said = "before"
			}
			if !strings.Contains(r.Inputs, said) {
				t.Errorf("%s: record %d is %s", by, r.Index, r.Inputs)
			}
		}
	}
}

// fill puts one element into every map, slice and pointer beneath v.
func fill(v reflect.Value) {
	switch v.Kind() {
	case reflect.Pointer:
		v.Set(reflect.New(v.Type().Elem()))
		fill(v.Elem())
	case reflect.Slice:
		v.Set(reflect.MakeSlice(v.Type(), 1, 1))
		fill(v.Index(0))
	case reflect.Map:
		v.Set(reflect.MakeMap(v.Type()))
		key, value := reflect.New(v.Type().Key()).Elem(), reflect.New(v.Type().Elem()).Elem()
		fill(value)
		v.SetMapIndex(key, value)
	case reflect.Struct:
		if v.Type() == reflect.TypeFor[time.Time]() {
			return
		}
		for i := range v.NumField() {
			fill(v.Field(i))
		}
	}
}

// common is what a copy may share: histories that are only appended to, and of
// which a copy has its own end, and what is only replaced as a whole.
var common = []string{"Cluster.Audit", "Cluster.Nodes{}.Superseded", "Cluster.Nodes{}.Answers", "Cluster.Definition.Groups"}

func shared(t *testing.T, path string, a, b reflect.Value) {
	t.Helper()
	switch a.Kind() {
	case reflect.Pointer, reflect.Slice, reflect.Map:
		if a.Pointer() == b.Pointer() {
			if !slices.Contains(common, path) {
				t.Errorf("%s is shared", path)
			}
			return
		}
	}
	switch a.Kind() {
	case reflect.Pointer:
		shared(t, path, a.Elem(), b.Elem())
	case reflect.Slice:
		shared(t, path+"[]", a.Index(0), b.Index(0))
	case reflect.Map:
		key := a.MapKeys()[0]
		shared(t, path+"{}", a.MapIndex(key), b.MapIndex(key))
	case reflect.Struct:
		if a.Type() == reflect.TypeFor[time.Time]() {
			return // its zone is nobody's to change
		}
		for i := range a.NumField() {
			shared(t, path+"."+a.Type().Field(i).Name, a.Field(i), b.Field(i))
		}
	}
}
