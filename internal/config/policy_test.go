package config

import (
	"reflect"
	"strings"
	"testing"

	"sbarbiter/recovery"
)

func TestPoliciesAreReadInTheirOrder(t *testing.T) {
	limit := uint64(64 << 20)
	got, err := ParsePolicies("p.yaml", []byte(`
- discard-zero-changes
- {policy: consensus, of: [discard-unleased, discard-younger-primary]}
- policy: discard-least-changes
  min_ratio: 10
  max_discard: 64MiB
  require_snapshot: true
- {policy: discard-node, node: node-b, not_if_open: true, require_unmounted: true}
- manual
`))
	if err != nil {
		t.Fatal(err)
	}
	want := []recovery.Policy{
		{Name: recovery.DiscardZeroChanges},
		{Name: recovery.Consensus, Of: []recovery.PolicyName{recovery.DiscardUnleased, recovery.DiscardYoungerPrimary}},
		{Name: recovery.DiscardLeastChanges, MinRatio: 10, Guards: recovery.Guards{MaxDiscard: &limit, RequireSnapshot: true}},
		{Name: recovery.DiscardNode, Node: "node-b", Guards: recovery.Guards{NotIfOpen: true, RequireUnmounted: true}},
		{Name: recovery.Manual},
	}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("got  %+v\nwant %+v", got, want)
	}
}

func TestPolicyThatCannotBeMeantIsRefusedWithItsLine(t *testing.T) {
	for text, want := range map[string]string{
		"- discard-zero-change":              "did you mean discard-zero-changes?",
		"- discard-younger":                  "did you mean discard-younger-primary?",
		"- {policy: least-changes}":          "did you mean discard-least-changes?",
		"- {policy: consensus, of: [older]}": "did you mean discard-older-primary?",
		"- discard-foo":                      "one of discard-zero-changes, discard-unleased",
		"- whoever":                          "one of discard-zero-changes, discard-unleased",
		"discard-zero-changes":               "must be a list",
		"[]":                                 "names no policy",
		"- {policy: manual}\n- discard-secondary":                    "p.yaml:2: [1]: is never asked",
		"- {policy: discard-node}":                                   "the node is missing: write {policy: discard-node, node: NAME}",
		"- {policy: consensus}":                                      "the policies are missing: write {policy: consensus, of: [NAME, NAME]}",
		"- {policy: consensus, of: [discard-unleased]}":              "at least two",
		"- {policy: consensus, of: [discard-unlesed, manual]}":       "did you mean discard-unleased?",
		"- {policy: discard-secondary, max_discard: 64}":             "did you mean 64MiB?",
		"- {policy: discard-secondary, max_discard: 64MB}":           "write it as 64MiB",
		"- {policy: discard-secondary, max_discard: -1MiB}":          "is not an amount",
		"- {policy: discard-secondary, max_discard: 99999999999TiB}": "more than any disk",
		"- {policy: discard-least-changes, min_ratio: 0.1}":          "number from 1 up",
		"- {policy: discard-least-changes, min_ratio: ten}":          "number from 1 up",
		"- {policy: discard-unleased, require_snapshots: true}":      "did you mean require_snapshot?",
		"- {node: node-b}": "policy is missing",
	} {
		_, err := ParsePolicies("p.yaml", []byte(text))
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %q", text, err, want)
		}
	}
}
