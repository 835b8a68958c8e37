package config

import (
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"

	"github.com/goccy/go-yaml/ast"

	"sbarbiter/recovery"
)

// ParsePolicies reads a list of recovery policies, in the order in which they
// are asked. file is its name in errors. The error is of type [Errors].
func ParsePolicies(file string, data []byte) ([]recovery.Policy, error) {
	src, top, err := parse(file, data)
	if err != nil {
		return nil, err
	}
	policies := top.policies()
	if err := src.err(); err != nil {
		return nil, err
	}
	return policies, nil
}

func (v value) policies() []recovery.Policy {
	out := list(v, value.policy)
	if v.isList() && len(out) == 0 {
		v.fail("write [manual] to be asked every time", "names no policy")
	}
	for i, p := range out {
		if p.Name == recovery.Manual && i < len(out)-1 {
			v.item(i+1).fail("put manual last", "is never asked: manual ends the list")
		}
	}
	return out
}

// policy reads a policy's name alone, or a mapping with what limits it.
func (v value) policy() recovery.Policy {
	before := len(v.src.errs)
	var p recovery.Policy
	if v.isScalar() {
		p.Name = v.policyName()
	} else {
		m := v.mapping("policy", "node", "of", "min_ratio", "max_discard", "require_snapshot", "require_unmounted", "not_if_open")
		p = recovery.Policy{
			Name: m.need("policy", "discard-zero-changes").policyName(),
			Node: recovery.Node(m.get("node").host()), Of: list(m.get("of"), value.policyName),
			MinRatio: m.get("min_ratio").ratio(),
			Guards: recovery.Guards{
				RequireSnapshot: m.get("require_snapshot").bool(), RequireUnmounted: m.get("require_unmounted").bool(),
				NotIfOpen: m.get("not_if_open").bool(),
			},
		}
		if at := m.get("max_discard"); !at.absent() {
			n := at.bytes()
			p.MaxDiscard = &n
		}
	}
	if err := p.Validate(); err != nil && len(v.src.errs) == before {
		v.fail("", "%v", err)
	}
	return p
}

func (v value) policyName() recovery.PolicyName {
	var choice []string
	for _, n := range recovery.PolicyNames {
		choice = append(choice, string(n))
	}
	return recovery.PolicyName(v.oneOfLike(func(typed string) string { return string(recovery.LikePolicy(typed)) }, choice...))
}

// ratio reads how many times as much.
func (v value) ratio() float64 {
	if v.absent() {
		return 0
	}
	f, err := strconv.ParseFloat(v.text(), 64)
	if err != nil || math.IsNaN(f) || math.IsInf(f, 0) || f < 1 {
		v.fail("write 10 for ten times as much", "must be a number from 1 up")
		return 0
	}
	return f
}

// units of sizes. Storage is bought in powers of ten and used in powers of two:
// only the latter are taken, so that nothing has to be guessed.
var units = map[string]uint64{"B": 1, "KiB": 1 << 10, "MiB": 1 << 20, "GiB": 1 << 30, "TiB": 1 << 40}

// Bytes reads an amount of data as it is typed, 64MiB.
func Bytes(text string) (uint64, error) {
	digits := strings.TrimRight(text, "BiKMGTkmgtb ")
	n, err := strconv.ParseUint(digits, 10, 64)
	unit, known := units[strings.TrimSpace(text[len(digits):])]
	if err != nil || !known || n > math.MaxUint64/unit {
		return 0, fmt.Errorf("%q is not an amount of data: write it as 64MiB or 2GiB", text)
	}
	return n * unit, nil
}

// bytes reads an amount of data with its unit; 0 needs none.
func (v value) bytes() uint64 {
	raw := v.text()
	digits := strings.TrimRight(raw, "BiKMGTkmgtb ")
	n, err := strconv.ParseUint(digits, 10, 64)
	unit, known := units[strings.TrimSpace(raw[len(digits):])]
	_, whole := v.node.(*ast.IntegerNode)
	switch {
	case err != nil || !known && !whole:
		v.fail("write it as 64MiB or 2GiB", "%q is not an amount of data", raw)
	case whole && n != 0:
		v.fail("did you mean "+raw+"MiB?", "%s has no unit", raw)
	case n > math.MaxUint64/max(unit, 1):
		v.fail("", "%s is more than any disk holds", raw)
	default:
		return n * unit
	}
	return 0
}

// clusterPolicies are the policies of a cluster's group, which name its nodes.
func (v value) clusterPolicies(drbd bool, nodes [2]string) []recovery.Policy {
	before := len(v.src.errs)
	out := v.policies()
	if !drbd {
		v.fail("remove it, or write drbd: true", "the group has no copies that could split")
	}
	if len(v.src.errs) > before {
		return out
	}
	for i, p := range out {
		if p.Node != "" && nodes[0] != "" && !slices.Contains(nodes[:], string(p.Node)) {
			v.item(i).fail("one of "+strings.Join(slices.Compact(nodes[:]), ", "), "%q is not a node of this cluster", p.Node)
		}
	}
	return out
}
