package witness_test

import (
	"strings"
	"testing"

	"sbarbiter/arbiter/leader"
	"sbarbiter/arbiter/wire"
	"sbarbiter/doctor"
	"sbarbiter/internal/boottime"
	sbv1 "sbarbiter/proto/sb/v1"
	"sbarbiter/timing"
)

// reports sends a beat with what the node says of itself.
func (n *node) reports(r leader.Report) {
	n.t.Helper()
	b := n.nextBeat()
	b.Report = &r
	b.Groups = append(b.Groups, leader.GroupBeat{Group: "misspelt", Phase: "stopped"})
	if err := n.stream.Send(&sbv1.FromAgent{Message: &sbv1.FromAgent_Beat{Beat: wire.ToBeat(b, boottime.Now())}}); err != nil {
		n.t.Fatal(err)
	}
}

func TestDoctorGathersWhatTheNodesHaveFoundAndWhatDoesNotFit(t *testing.T) {
	h := start(t, newDir(t))
	op, a, b := h.pair()
	plan, _ := timing.Profile(timing.ProfileSTONITH)
	numbers := timing.Node{Plan: plan, ReadBack: plan.Watchdog, Hardware: true}
	found := doctor.Finding{Severity: doctor.Critical, Subject: "r0", What: "fencing is dont-care", Why: "writes", Fix: "write it"}
	a.reports(leader.Report{
		ConfigHash: "one", Timing: numbers, Examined: true, Findings: []doctor.Finding{found},
		Switches: map[string]string{"ipmi 10.0.0.242": "4c4c4544-0031-4210-8052-b4c04f4e3699"},
	})
	b.reports(leader.Report{ConfigHash: "other", Timing: numbers, Examined: true, Machine: "4c4c4544-0031-4210-8052-b4c04f4e3632"})
	eventually(t, "both have been heard", func() bool {
		got, err := op.Doctor(short(t), &sbv1.DoctorRequest{Cluster: string(cluster)})
		if err != nil {
			t.Fatal(err)
		}
		var all []string
		for _, f := range got.GetFindings() {
			all = append(all, f.GetNode()+": "+f.GetWhat())
		}
		text := strings.Join(all, "\n")
		return strings.Contains(text, "node-a: fencing is dont-care") && strings.Contains(text, "do not say the same") &&
			strings.Contains(text, "it has another machine's UUID") && strings.Contains(text, "group misspelt, which is not declared")
	})
	numbersNow, err := op.Timing(short(t), &sbv1.TimingRequest{Cluster: string(cluster)})
	if err != nil || len(numbersNow.GetMissing()) != 0 || len(numbersNow.GetRules()) < 5 {
		t.Errorf("timing: %v %v", numbersNow, err)
	}
}
