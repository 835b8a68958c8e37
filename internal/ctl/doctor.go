package ctl

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"sbarbiter/doctor"
	"sbarbiter/internal/config"
	sbv1 "sbarbiter/proto/sb/v1"
)

// agentProgram examines the node that sbctl runs on.
const agentProgram = "sbagent"

// examineWithin is long: fence devices may take their time.
const examineWithin = time.Minute

// What sbctl doctor prints as JSON.
type (
	doctorJSON struct {
		Findings []doctor.Finding `json:"findings"` // the worst first
		Proofs   []proofJSON      `json:"proofs"`
	}
	proofJSON struct {
		Cluster string `json:"cluster"`
		Node    string `json:"node"`
		Device  string `json:"device"`
		At      string `json:"at"`
	}
)

func (a *app) doctorCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "doctor",
		Short: "what is wrong with the pairs before anything fails, and how to mend it",
		Long: `Doctor changes nothing. It asks the witness what the nodes have found on themselves
and what does not fit between them: DRBD's options and handlers, watchdogs, fence
devices and the way to them, secrets, certificates, clocks, other cluster managers,
configuration, timing, and when each fence device was last seen to work. On a node
it examines that node as well, with sbagent check --read-only, witness or not.

Each finding says why it matters and the exact fix. It ends with 1 where one is
critical: a guarantee does not hold, or an agent does not start.`,
		Example: "  sbctl doctor\n  sbctl doctor -o json",
		Args:    args(cobra.NoArgs, "no argument"),
		RunE:    func(cmd *cobra.Command, _ []string) error { return a.doctor(cmd) },
	}
}

func (a *app) doctor(cmd *cobra.Command) error {
	var out doctorJSON
	here, err := a.examineHere(cmd.Context())
	if err != nil {
		return err
	}
	out.Findings = append(out.Findings, here.found...)
	if err := a.askWitness(cmd, &out, here); err != nil {
		return err
	}
	out.Findings = doctor.Sorted(out.Findings)
	if a.as == jsonLines {
		out.Findings, out.Proofs = append([]doctor.Finding{}, out.Findings...), append([]proofJSON{}, out.Proofs...)
		err = a.json(out)
	} else {
		err = a.print("%s", drawDoctor(out, a.paper()))
	}
	if err != nil {
		return err
	}
	if n := doctor.Count(out.Findings, doctor.Critical); n > 0 {
		return fmt.Errorf("%d critical %s", n, verb(n, "finding", "findings"))
	}
	return nil
}

// local is what the node that sbctl runs on says of itself; without a name it is
// none.
type local struct {
	name, cluster string
	found         []doctor.Finding
}

// examineHere lets the agent's program examine this node, if it is one.
func (a *app) examineHere(ctx context.Context) (local, error) {
	file := first(a.Getenv("SBAGENT_CONFIG"), config.NodeFile)
	if _, err := os.Stat(file); err != nil {
		return local{}, nil
	}
	here := local{name: "this node"}
	if n, err := config.LoadNode(file); err == nil {
		here.name, here.cluster = n.Name, n.Cluster // else the examination says what is wrong with the file
	}
	ctx, cancel := context.WithTimeout(ctx, examineWithin)
	defer cancel()
	cmd := exec.CommandContext(ctx, agentProgram, "check", "--read-only", "--json", "--config", file)
	var said strings.Builder
	cmd.Stderr = &said
	raw, failed := cmd.Output() // it also fails where something is critical
	if err := json.Unmarshal(raw, &here.found); err != nil {
		return local{}, fmt.Errorf("examine this node: %w", errors.Join(failed, errors.New(strings.TrimSpace(said.String()))))
	}
	for i := range here.found {
		here.found[i].Node = here.name
	}
	return here, nil
}

// askWitness adds what the witness knows of others than the node here, which was
// examined just now. On a node that cannot reach one, that is a finding; elsewhere
// there is nothing else to say.
func (a *app) askWitness(cmd *cobra.Command, out *doctorJSON, here local) error {
	w, err := a.witness(cmd.Context())
	if err != nil {
		if here.name == "" {
			return err
		}
		out.Findings = append(out.Findings, doctor.Finding{
			Node: here.name, Severity: doctor.Warning, Subject: "witness", What: err.Error(),
			Why: "what the other node has found, and what does not fit between them, is not known", Fix: "sbctl --witness HOST doctor",
		})
		return nil
	}
	defer w.close()
	for i := range out.Findings { // so far, of the node here
		out.Findings[i].Fix = addressed(out.Findings[i].Fix, w.among(here.cluster))
	}
	pairs, err := a.chosen(cmd, w)
	if err != nil {
		return err
	}
	if len(pairs) == 0 {
		out.Findings = append(out.Findings, doctor.Finding{
			Node: "witness", Severity: doctor.Warning, Subject: "clusters", What: "no cluster is declared",
			Why: "nothing is granted to anybody, and nothing was looked at", Fix: "sbctl cluster add -f cluster.yaml",
		})
	}
	for _, p := range pairs {
		name := p.def.GetCluster()
		answer, err := ask(cmd.Context(), w, &sbv1.DoctorRequest{Cluster: name}, w.Doctor)
		if err != nil {
			return err
		}
		for _, f := range answer.GetFindings() {
			if here.name != "" && f.GetNode() == here.name {
				continue
			}
			out.Findings = append(out.Findings, doctor.Finding{
				Node: first(f.GetNode(), name), Severity: doctor.Severity(f.GetSeverity()), Subject: f.GetSubject(), What: f.GetWhat(), Why: f.GetWhy(),
				Fix: addressed(f.GetFix(), w.among(name)),
			})
		}
		for _, proof := range answer.GetProofs() {
			out.Proofs = append(out.Proofs, proofJSON{name, proof.GetNode(), proof.GetDevice(), moment(proof.GetAtMs())})
		}
	}
	return nil
}

func drawDoctor(out doctorJSON, on paper) string {
	var b strings.Builder
	for _, f := range out.Findings {
		tint := map[doctor.Severity]colour{doctor.Critical: red, doctor.Warning: yellow}[f.Severity]
		about := f.Node
		if f.Subject != f.Node { // it may be about the node itself
			about += ": " + f.Subject
		}
		fmt.Fprintf(&b, "%s  %s: %s\n", tinted(pad(string(f.Severity), 8), tint).show(on.colourful), about, f.What)
		fmt.Fprintf(&b, "          why: %s\n          fix: %s\n", f.Why, f.Fix)
	}
	if len(out.Findings) == 0 {
		b.WriteString(tinted("nothing found", green).show(on.colourful) + "\n")
	}
	if len(out.Proofs) > 0 {
		b.WriteByte('\n')
		g := heading("NODE", "FENCE DEVICE", "LAST SEEN SWITCHING IT OFF")
		for _, p := range out.Proofs {
			g.add(c(p.Node), c(p.Device), c(p.At))
		}
		g.draw(&b, on)
	}
	return b.String()
}
