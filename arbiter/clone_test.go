package arbiter_test

import (
	"reflect"
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

func shared(t *testing.T, path string, a, b reflect.Value) {
	t.Helper()
	switch a.Kind() {
	case reflect.Pointer, reflect.Slice, reflect.Map:
		if a.Pointer() == b.Pointer() {
			t.Errorf("%s is shared", path)
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
