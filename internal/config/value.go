package config

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/goccy/go-yaml/ast"
)

// value is one place in the file. A value whose node is nil is an absent key:
// every reader returns the zero value for it and reports nothing.
type value struct {
	src  *source
	path string
	node ast.Node
	pos  position
}

func (v value) absent() bool { return v.node == nil }

func (v value) fail(hint, format string, args ...any) {
	v.src.add(v.path, v.pos, fmt.Sprintf(format, args...), hint)
}

// or reads v, or returns def where the key is absent.
func or[T any](v value, def T, read func(value) T) T {
	if v.absent() {
		return def
	}
	return read(v)
}

// mapping is a value with named entries.
type mapping struct {
	value
	entries map[string]value
	known   []string
	shown   []string        // of these, what is said to who has written another
	meant   map[string]bool // known keys that an unknown one was probably meant to be
}

// mapping reads v as a mapping that may have the known keys and no others.
func (v value) mapping(known ...string) mapping { return v.mappingShowing(known, known) }

// mappingShowing is mapping for one whose keys depend on each other: of the known ones
// it shows those that fit to whoever has written another.
func (v value) mappingShowing(known, shown []string) mapping {
	m := mapping{value: v, entries: map[string]value{}, known: known, shown: shown, meant: map[string]bool{}}
	if v.absent() {
		return m
	}
	for _, key := range v.keys() {
		if !slices.Contains(known, key.name) {
			m.unknown(key)
			continue
		}
		m.entries[key.name] = key.value
	}
	return m
}

// entry is a key and its value; the value's pos is that of the value.
type entry struct {
	name  string
	at    position
	value value
}

// keys reads v as a mapping with names of the operator's choice, in file order.
func (v value) keys() []entry {
	if v.absent() {
		return nil
	}
	node, ok := v.node.(ast.MapNode)
	if !ok {
		v.fail("", "must be a mapping (key: value), not %s", kind(v.node))
		return nil
	}
	var out []entry
	for iter := node.MapRange(); iter.Next(); {
		key, ok := iter.Key().(*ast.StringNode)
		if !ok {
			v.src.add(v.path, place(iter.Key()), "a key must be a plain word", "")
			continue
		}
		out = append(out, v.entry(key, iter.Value()))
	}
	return out
}

func (v value) entry(key *ast.StringNode, node ast.Node) entry {
	at := place(key)
	child := value{src: v.src, path: join(v.path, key.Value), node: node, pos: place(node)}
	if _, null := node.(*ast.NullNode); null {
		child.pos = at // an empty value stands nowhere itself
	}
	v.src.at[child.path] = child.pos
	return entry{name: key.Value, at: at, value: child}
}

// word peeks at an entry that is a plain word, and complains of nothing.
func (v value) word(key string) string {
	node, ok := v.node.(ast.MapNode)
	if !ok {
		return ""
	}
	for iter := node.MapRange(); iter.Next(); {
		name, ok := iter.Key().(*ast.StringNode)
		if word, plain := iter.Value().(*ast.StringNode); ok && plain && name.Value == key {
			return word.Value
		}
	}
	return ""
}

// get returns the entry, absent or not.
func (m mapping) get(key string) value {
	if !slices.Contains(m.known, key) {
		panic("config: key " + key + " is read but not known")
	}
	if v, ok := m.entries[key]; ok {
		return v
	}
	return value{src: m.src, path: join(m.path, key), pos: m.pos}
}

// need returns an entry that must be there, and shows how it could look.
func (m mapping) need(key, example string) value {
	v := m.get(key)
	if v.absent() && m.isMapping() && !m.meant[key] {
		m.fail("add "+key+": "+example, "%s is missing", key)
	}
	return v
}

func (m mapping) unknown(key entry) {
	hint := "known here: " + strings.Join(m.shown, ", ")
	near := Closest(key.name, m.known)
	if near == "" && slices.Contains(m.known, key.name+"_file") {
		near = key.name + "_file"
	}
	if near != "" {
		hint = "did you mean " + near + "?"
		m.meant[near] = true
	}
	m.src.add(join(m.path, key.name), key.at, "unknown key", hint)
}

// list reads v as a list and each element with read. Elements get paths like
// links[0].
func list[T any](v value, read func(value) T) []T {
	if v.absent() {
		return nil
	}
	seq, ok := v.node.(*ast.SequenceNode)
	if !ok {
		hint := "write it as [a, b]"
		if s, ok := v.node.(*ast.StringNode); ok {
			hint = "write it as [" + s.Value + "]"
		}
		v.fail(hint, "must be a list, not %s", kind(v.node))
		return nil
	}
	var out []T
	for i, node := range seq.Values {
		item := value{src: v.src, path: fmt.Sprintf("%s[%d]", v.path, i), node: node, pos: place(node)}
		if _, null := node.(*ast.NullNode); null {
			item.pos = v.pos
		}
		v.src.at[item.path] = item.pos
		out = append(out, read(item))
	}
	return out
}

// isList tells a list from everything else, for keys that take either.
func (v value) isList() bool {
	_, ok := v.node.(*ast.SequenceNode)
	return ok
}

// isScalar tells a single word or number from lists and mappings.
func (v value) isScalar() bool {
	_, ok := v.node.(ast.ScalarNode)
	return ok
}

// text reads a non-empty word. Numbers are taken as they were written.
func (v value) text() string {
	var s string
	switch node := v.node.(type) {
	case nil:
		return ""
	case *ast.StringNode:
		s = node.Value
	case *ast.IntegerNode, *ast.FloatNode:
		s = node.GetToken().Value
	case *ast.BoolNode:
		v.fail(fmt.Sprintf("if you mean the word, quote it: %q", node.Token.Value), "must be a word, not true or false")
		return ""
	default:
		v.fail("", "must be a word, not %s", kind(v.node))
		return ""
	}
	if s == "" {
		v.fail("write a value or remove the key", "is empty")
	}
	if strings.ContainsFunc(s, func(r rune) bool { return r < ' ' || r == 0x7f }) {
		v.fail("", "has a control character in it")
		return ""
	}
	return s
}

func (v value) bool() bool {
	node, ok := v.node.(*ast.BoolNode)
	if !ok && !v.absent() {
		v.fail("write true or false", "must be true or false")
	}
	return ok && node.Value
}

// duration reads a positive time with its unit.
func (v value) duration() time.Duration {
	d, ok := v.anyDuration()
	if ok && d == 0 {
		v.fail("", "must be longer than nothing")
	}
	return d
}

// delay reads a time that may be nothing.
func (v value) delay() time.Duration {
	d, _ := v.anyDuration()
	return d
}

func (v value) anyDuration() (time.Duration, bool) {
	if v.absent() {
		return 0, false
	}
	raw := ""
	if v.isScalar() {
		raw = v.node.GetToken().Value
	}
	d, err := time.ParseDuration(raw)
	_, whole := v.node.(*ast.IntegerNode)
	_, fraction := v.node.(*ast.FloatNode)
	switch {
	case whole || fraction:
		v.fail("did you mean "+raw+"s?", "%s has no unit", raw)
	case err != nil:
		v.fail("write it as 20s, 1m30s or 500ms", "%q is not a time", raw)
	case d < 0:
		v.fail("did you mean "+strings.TrimPrefix(raw, "-")+"?", "%s is negative", raw)
	case d > maxDuration:
		v.fail("", "%s is longer than a day", raw)
	default:
		return d, true
	}
	return 0, false
}

// oneOf reads a word out of a fixed choice.
func (v value) oneOf(choice ...string) string {
	return v.oneOfLike(func(typed string) string { return Closest(typed, choice) }, choice...)
}

// oneOfLike is told by like which word was meant by one that is not known; "" for none.
func (v value) oneOfLike(like func(typed string) string, choice ...string) string {
	if v.absent() {
		return ""
	}
	before := len(v.src.errs)
	s := v.text()
	if slices.Contains(choice, s) || len(v.src.errs) > before {
		return s
	}
	hint := "one of " + strings.Join(choice, ", ")
	if near := like(s); near != "" {
		hint = "did you mean " + near + "?"
	}
	v.fail(hint, "%q is not known", s)
	return ""
}

// isMapping tells a mapping from everything else.
func (v value) isMapping() bool {
	_, ok := v.node.(ast.MapNode)
	return ok
}

func join(path, key string) string {
	if path == "" {
		return key
	}
	return path + "." + key
}

// place is where a node begins. Block mappings carry the position of their first
// colon, which is of no use to a reader.
func place(node ast.Node) position {
	if m, ok := node.(*ast.MappingNode); ok && !m.IsFlowStyle && len(m.Values) > 0 {
		node = m.Values[0].Key
	}
	if m, ok := node.(*ast.MappingValueNode); ok {
		node = m.Key
	}
	tok := node.GetToken()
	if tok == nil || tok.Position == nil {
		return position{}
	}
	return position{tok.Position.Line, tok.Position.Column}
}

func kind(node ast.Node) string {
	switch node.(type) {
	case *ast.NullNode:
		return "empty"
	case ast.MapNode:
		return "a mapping"
	case *ast.SequenceNode:
		return "a list"
	case *ast.AnchorNode, *ast.AliasNode:
		return "an anchor or alias (write it out)"
	case *ast.TagNode:
		return "a tagged value"
	case *ast.LiteralNode:
		return "a block of text"
	}
	return "a single value"
}
