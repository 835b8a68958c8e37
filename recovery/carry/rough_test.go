package carry

import (
	"testing"

	"pgregory.net/rapid"

	"sbarbiter/recovery"
)

// Documents come from elsewhere: whatever is in one, hands refuse it or carry it out,
// and never fall over it.
func TestHandsRefuseWhateverCannotBeRight(t *testing.T) {
	world := split(t)
	whole, n := world.plan("node-b"), world.node("node-b")
	kinds := []recovery.StepKind{
		recovery.StopServices, recovery.Demote, recovery.DumpMetadata, recovery.Snapshot, recovery.Disconnect, recovery.Measure, recovery.Invalidate,
		recovery.Discard, recovery.Connect, recovery.FollowResync, recovery.Readmit, "", "format",
	}
	nodes := rapid.SampledFrom([]recovery.Node{"node-a", "node-b", "node-c", ""})
	steps := rapid.Custom(func(t *rapid.T) recovery.Step {
		return recovery.Step{
			Node: nodes.Draw(t, "node"), Kind: rapid.SampledFrom(kinds).Draw(t, "kind"),
			Resource: rapid.SampledFrom([]string{"r0", "r0", "", "..", "r0/0"}).Draw(t, "resource"), Volume: rapid.IntRange(-1, 2).Draw(t, "volume"),
		}
	})
	rapid.Check(t, func(t *rapid.T) {
		p := whole.Clone()
		p.Version = rapid.SampledFrom([]int{1, 1, 1, 0, 2}).Draw(t, "version")
		p.Victim, p.Survivor = nodes.Draw(t, "victim"), nodes.Draw(t, "survivor")
		p.Steps = append(p.Steps[:rapid.IntRange(0, len(p.Steps)).Draw(t, "kept")], rapid.SliceOfN(steps, 0, 12).Draw(t, "steps")...)
		p.Basis = p.Basis[:rapid.IntRange(0, len(p.Basis)).Draw(t, "basis")]
		world.log = nil
		_, err := n.Do(t.Context(), p, steps.Draw(t, "step"), rapid.SampledFrom([]string{"1", "..", ""}).Draw(t, "id"))
		if p.Check() != nil && (err == nil || len(world.log) > 0) {
			t.Fatalf("%+v: %v; done: %q", p, err, world.log)
		}
	})
}
