package pair

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"

	"sbarbiter/chaos-tests/lab"
)

// Fork has both nodes written to while they cannot see each other: the holder goes on
// by right, and somebody forces the other copy, whose agent does not run meanwhile, and runs
// a script there that writes to it. It returns with the replication link cut and both agents
// at work.
func (p *Pair) Fork(ctx context.Context, holder *lab.Node, write string) error {
	if err := p.LeaveBehind(ctx, holder); err != nil {
		return err
	}
	other := p.Peer(holder)
	forced := time.Now()
	if err := other.Must(ctx, "set -e; systemctl stop sbagent"+Force(write+"\n"+Demote)+"systemctl start sbagent"); err != nil {
		return fmt.Errorf("force the copy of %s: %w", other.Name, err)
	}
	return poll(ctx, 50*time.Millisecond, func() error {
		for _, e := range p.Timeline().Entries(forced) {
			if e.Host == string(other.Name) && e.What == "witness found" {
				return nil
			}
		}
		return fmt.Errorf("the agent of %s has not found the witness again", other.Name)
	})
}

// LeaveBehind cuts the replication link, and returns once the other copy counts as stale.
func (p *Pair) LeaveBehind(ctx context.Context, holder *lab.Node) error {
	if err := p.CutReplication(ctx); err != nil {
		return err
	}
	other := string(p.Peer(holder).Name)
	if err := poll(ctx, 100*time.Millisecond, func() error {
		g, err := p.Group(ctx)
		if err == nil && !g.IsExcluded(other) {
			err = fmt.Errorf("the copy of %s is not excluded", other)
		}
		return err
	}); err != nil {
		return fmt.Errorf("cut replication: %w", err)
	}
	return nil
}

// Demote is the end of a script for Force that does not leave the copy Primary.
const Demote = "drbdadm secondary r0"

// Force is a script that promotes a node's copy, as often as DRBD has doubts, and writes
// to it. No handler is asked meanwhile.
func Force(write string) string { return force("", write) }

// ForceMounted is likewise a script, for a node with an agent that looks on, and demotes at
// once what nobody uses: the file system is on /mnt as soon as it can be.
func ForceMounted(write string) string {
	return "\n(for i in $(seq 1000); do ! mount /dev/drbd0 /mnt 2>/dev/null || break; done) &" +
		force("&& sleep 0.3 && mountpoint -q /mnt", write)
}

func force(and, write string) string {
	return `
		set -e
		helper=/sys/module/drbd/parameters/usermode_helper; was=$(cat $helper); printf /bin/true >$helper
		forced=; for try in 1 2 3 4 5; do drbdadm primary --force r0 ` + and + ` && { forced=1; break; }; sleep 1; done; [ -n "$forced" ]
		` + write + `
		printf %s "$was" >$helper
		`
}

// WriteMiB is a script that writes so much to the middle of the volume.
func WriteMiB(n int) string {
	return fmt.Sprintf("dd if=/dev/urandom of=/dev/drbd0 bs=1M count=%d seek=90 oflag=direct status=none", n)
}

// HasParted returns nil if DRBD has given up looking for the peer on a node, as it
// does when it finds that the two have split.
func (p *Pair) HasParted(ctx context.Context) error {
	for _, n := range p.Nodes() {
		out, _, err := n.Run(ctx, "drbdadm cstate r0")
		if err != nil {
			return err
		}
		if strings.Contains(out, "StandAlone") {
			return nil
		}
	}
	return errors.New("neither is StandAlone")
}

// Recovery is a recovery from split brain, as sbctl tells of it.
type Recovery struct {
	ID    uint64 `json:"id"`
	Order struct {
		By string `json:"by"`
	} `json:"order"`
	Outcome string `json:"outcome"`
	Failure string `json:"failure"` // why the step under way is not done yet
	Note    string `json:"note"`
	Plan    struct {
		Victim string `json:"victim"`
	} `json:"plan"`
}

// LastRecovery is the group's latest; the zero Recovery if there was none.
func (p *Pair) LastRecovery(ctx context.Context) (Recovery, error) {
	a, err := p.Sbctl(ctx, "-o", "json", "recovery", "list", Group)
	if err != nil {
		return Recovery{}, err
	}
	if a.Exit != ExitDone {
		return Recovery{}, fmt.Errorf("ask for recoveries: sbctl exit %d: %s", a.Exit, a.Text())
	}
	var last Recovery
	for line := range strings.Lines(a.Out) {
		var r Recovery
		if err := json.Unmarshal([]byte(line), &r); err != nil {
			return Recovery{}, fmt.Errorf("ask for recoveries: %w: %.300s", err, line)
		}
		last = r
	}
	return last, nil
}
