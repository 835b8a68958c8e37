package sim

import (
	"cmp"
	"hash/maphash"
	"reflect"
	"slices"
	"sync"
	"time"

	"sbarbiter/agent"
	"sbarbiter/arbiter"
	"sbarbiter/internal/boottime"
)

// period is what every rhythm of a calm world goes into: the beats, probes,
// dials and the application's.
const period = time.Second

// old is how long ago something must have been for its exact age to mean
// nothing: longer than anything that the cores let pass before they do something
// about it, but for orders to move a group and frozen writes, of which a calm
// world has none.
const old = 6 * time.Second

// A portrait is the state of a world as numbers: nodes, witness, timers and
// paths, whatever could make a difference to what happens next. Two portraits
// one period apart that are the same but for the time show that the world goes
// round in circles: nothing in it knows what time it is, only how long ago
// something was.
//
// It leaves out what the state that it holds implies: the replicated state, which
// only changes with the index of its log, and DRBD's, which only changes when
// something happens to it, which is counted.
type portrait struct{ leaves []leaf }

type leaf struct {
	kind leafKind
	val  int64
	left time.Duration // until an instant that does not move with the time is ancient
}

type leafKind uint8

const (
	plainLeaf   leafKind = iota
	timeLeaf             // moves with the time
	ancientLeaf          // may lie so far back that it need not (or be of a slower clock, and move)
	countLeaf            // only grows, and nothing but its differences matters
	wildLeaf             // something is under way that cannot be compared
)

// looks are two portraits, one after the other. Worlds lend them to each other,
// since they take much room and are of no use once they were compared.
type looks struct{ before, behind portrait }

var allLooks = sync.Pool{New: func() any { return new(looks) }}

// samePeriod reports whether q is p one period later. If it is not, and only
// because something has happened a moment ago, it says how long that still counts.
func (p *portrait) samePeriod(q *portrait) (is bool, wait time.Duration) {
	if len(p.leaves) != len(q.leaves) {
		return false, lookAgain
	}
	is = true
	for i, a := range p.leaves {
		b := q.leaves[i]
		var same bool
		switch {
		case a.kind != b.kind || a.kind == wildLeaf:
		case a.kind == countLeaf:
			same = b.val >= a.val
		case a.kind == timeLeaf, a.kind == ancientLeaf && a.val != b.val:
			same = b.val-a.val == int64(period)
		default:
			same = a.val == b.val
		}
		switch {
		case same:
		case a.kind == timeLeaf && b.kind == timeLeaf && a.val == b.val:
			is, wait = false, max(wait, b.left+1)
		case a.kind == timeLeaf && b.kind == ancientLeaf && a.val == b.val: // it has just become old
			is, wait = false, max(wait, 1)
		default:
			return false, lookAgain
		}
	}
	return is, wait
}

// portray takes a world's portrait into p. It is no use while anything is on the
// heap.
func (w *World) portray(p *portrait) {
	k := painter{out: p.leaves[:0]}
	for _, n := range w.nodes {
		k.now = n.clock.now()
		k.paint(reflect.ValueOf(n).Elem())
	}
	k.add(plainLeaf, int64(w.witness.applied))
	for _, v := range w.witness.voters {
		k.now = v.clock.now()
		k.paint(reflect.ValueOf(v).Elem())
	}
	for _, at := range w.due {
		if at == never {
			k.add(plainLeaf, 0)
		} else {
			k.add(timeLeaf, int64(at))
		}
	}
	for _, v := range w.disks {
		if v != nil {
			k.volume(v)
		}
	}
	k.now = boottime.Instant(w.now)
	k.instant(boottime.Instant(w.stirred), busyFor)
	k.paint(reflect.ValueOf(&w.ways).Elem())
	k.paint(reflect.ValueOf(&w.wire).Elem())
	k.paint(reflect.ValueOf(w.source).Elem())
	p.leaves = k.out
}

// painter turns values into leaves.
type painter struct {
	out []leaf
	now boottime.Instant // on the clock of what is painted
}

func (k *painter) add(kind leafKind, val int64) { k.out = append(k.out, leaf{kind: kind, val: val}) }

func (k *painter) volume(v *volume) {
	for _, c := range v.ends {
		k.add(plainLeaf, int64(c.happened))
		k.add(plainLeaf, int64(len(c.wire.queue)+len(c.answers)))
	}
	k.add(plainLeaf, int64(v.app.next))
}

func (k *painter) paint(v reflect.Value) { planOf(v.Type())(k, v) }

// plan paints the values of one type.
type plan func(k *painter, v reflect.Value)

var plans sync.Map // reflect.Type -> plan

func planOf(t reflect.Type) plan {
	if p, ok := plans.Load(t); ok {
		return p.(plan)
	}
	p := newPlan(t)
	plans.Store(t, p)
	return p
}

// skipped are the types that a portrait leaves out.
var skipped = map[reflect.Type]string{
	reflect.TypeFor[*World]():          "the whole",
	reflect.TypeFor[*Node]():           "painted by itself",
	reflect.TypeFor[*timer]():          "painted with the other timers",
	reflect.TypeFor[*Witness]():        "its voters are painted",
	reflect.TypeFor[*voter]():          "painted by itself",
	reflect.TypeFor[[]record]():        "told by the number of commands carried out",
	reflect.TypeFor[[]uint64]():        "rounds of beats among voters",
	reflect.TypeFor[[]time.Duration](): "when voters were heard, a moment ago",
	reflect.TypeFor[*clock]():          "what it shows is in every instant",
	reflect.TypeFor[agent.Config]():    "never changes in an agent's life",
	reflect.TypeFor[tally]():           "counts for people",
	reflect.TypeFor[office]():          "for the checks of shots; it says what is past",
}

// passed are fields that a portrait leaves out.
var passed = map[string]string{
	"Machine.beatSent": "with no beat under way only those to come will be looked up",
	"peer.sent":        "the same",
	"Machine.by":       "the groups, which are painted",
	"Leader.order":     "the desks, which are painted",
}

// counters are the fields that number what is sent and asked.
var counters = map[string]bool{
	"Machine.beats": true, "peer.number": true, "PeerBeat.Number": true, "PeerBeat.Echo": true,
	"Beat.Number": true, "Leader.tokens": true, "Leader.wall": true, "voter.ticket": true,
	"voter.round": true, "Node.newest": true,
}

// deadlines are the instants that the cores only ever compare with the present:
// once one has passed, it makes no difference how long ago that was.
var deadlines = map[string]bool{
	"Machine.bindsTo": true, "Machine.helloAt": true, "promise.until": true,
	"group.stopBy": true, "group.backoff": true, "group.joinAt": true, "group.meetBy": true,
}

var stringSeed = maphash.MakeSeed()

func newPlan(t reflect.Type) plan {
	if _, ok := skipped[t]; ok {
		return func(*painter, reflect.Value) {}
	}
	switch t {
	case reflect.TypeFor[boottime.Instant]():
		return paintInstant
	case reflect.TypeFor[time.Duration]():
		return func(k *painter, v reflect.Value) { k.add(plainLeaf, v.Int()) }
	case reflect.TypeFor[*arbiter.State]():
		return func(k *painter, v reflect.Value) { k.paint(v.Elem().FieldByName("Version")) }
	case reflect.TypeFor[*arbiter.Cluster]():
		return func(*painter, reflect.Value) {}
	case reflect.TypeFor[session]():
		return paintSession
	}
	return planOfKind(t)
}

func planOfKind(t reflect.Type) plan {
	switch t.Kind() {
	case reflect.Struct:
		return structPlan(t)
	case reflect.Slice, reflect.Array:
		return listPlan(t)
	case reflect.Map:
		return mapPlan(t)
	case reflect.Pointer:
		elem := sync.OnceValue(func() plan { return planOf(t.Elem()) }) // types may be recursive
		return func(k *painter, v reflect.Value) {
			if v.IsNil() {
				k.add(plainLeaf, 0)
			} else {
				elem()(k, v.Elem())
			}
		}
	case reflect.Interface:
		return func(k *painter, v reflect.Value) {
			if v.IsNil() {
				k.add(plainLeaf, 0)
			} else {
				k.paint(v.Elem())
			}
		}
	case reflect.Func, reflect.Chan, reflect.UnsafePointer:
		return func(k *painter, v reflect.Value) {
			if !v.IsNil() {
				k.add(wildLeaf, 0)
			}
		}
	case reflect.String:
		return func(k *painter, v reflect.Value) { k.add(plainLeaf, int64(maphash.String(stringSeed, v.String()))) }
	}
	return paintNumber
}

func paintNumber(k *painter, v reflect.Value) {
	switch {
	case v.CanInt():
		k.add(plainLeaf, v.Int())
	case v.CanUint():
		k.add(plainLeaf, int64(v.Uint()))
	case v.CanFloat():
		k.add(plainLeaf, int64(v.Float()*1e9))
	case v.Bool():
		k.add(plainLeaf, 1)
	default:
		k.add(plainLeaf, 0)
	}
}

func paintInstant(k *painter, v reflect.Value) { k.instant(boottime.Instant(v.Int()), old) }

func paintDeadline(k *painter, v reflect.Value) { k.instant(boottime.Instant(v.Int()), period) }

func paintCount(k *painter, v reflect.Value) {
	if v.CanUint() {
		k.add(countLeaf, int64(v.Uint()))
	} else {
		k.add(countLeaf, v.Int())
	}
}

// instant adds an instant that means nothing more once it lies so far back.
func (k *painter) instant(at boottime.Instant, ancient time.Duration) {
	switch left := at.Add(ancient).Sub(k.now); {
	case at.IsZero():
		k.add(plainLeaf, 0)
	case left < 0:
		k.add(ancientLeaf, int64(at))
	default:
		k.out = append(k.out, leaf{timeLeaf, int64(at), left})
	}
}

// paintSession: it counts by the world's time, not by the node's.
func paintSession(k *painter, v reflect.Value) {
	k.paint(v.FieldByName("up"))
	k.paint(v.FieldByName("reign"))
	if v.FieldByName("up").Bool() {
		k.add(timeLeaf, v.FieldByName("heardAt").Int())
	}
}

func structPlan(t reflect.Type) plan {
	type field struct {
		i    int
		plan plan
	}
	var fields []field
	for i := range t.NumField() {
		f := t.Field(i)
		switch name := t.Name() + "." + f.Name; {
		case skipped[f.Type] != "" || passed[name] != "":
		case counters[name]:
			fields = append(fields, field{i, paintCount})
		case deadlines[name]:
			fields = append(fields, field{i, paintDeadline})
		default:
			fields = append(fields, field{i, planOf(f.Type)})
		}
	}
	return func(k *painter, v reflect.Value) {
		for i := range fields {
			fields[i].plan(k, v.Field(fields[i].i))
		}
	}
}

func listPlan(t reflect.Type) plan {
	if t.Elem().Kind() == reflect.Uint8 && t.Kind() == reflect.Slice {
		return func(k *painter, v reflect.Value) {
			k.add(plainLeaf, int64(maphash.Bytes(stringSeed, v.Bytes())))
		}
	}
	elem := sync.OnceValue(func() plan { return planOf(t.Elem()) })
	return func(k *painter, v reflect.Value) {
		k.add(plainLeaf, int64(v.Len()))
		for i := range v.Len() {
			elem()(k, v.Index(i))
		}
	}
}

func mapPlan(t reflect.Type) plan {
	key, elem := planOf(t.Key()), sync.OnceValue(func() plan { return planOf(t.Elem()) })
	return func(k *painter, v reflect.Value) {
		k.add(plainLeaf, int64(v.Len()))
		if v.Len() == 0 {
			return
		}
		keys := v.MapKeys()
		if len(keys) > 1 {
			slices.SortFunc(keys, compareKeys)
		}
		for _, at := range keys {
			key(k, at)
			elem()(k, v.MapIndex(at))
		}
	}
}

func compareKeys(a, b reflect.Value) int {
	switch {
	case a.Kind() == reflect.String:
		return cmp.Compare(a.String(), b.String())
	case a.CanUint():
		return cmp.Compare(a.Uint(), b.Uint())
	case a.CanInt():
		return cmp.Compare(a.Int(), b.Int())
	case a.Kind() == reflect.Struct:
		for i := range a.NumField() {
			if c := compareKeys(a.Field(i), b.Field(i)); c != 0 {
				return c
			}
		}
	}
	return 0
}
