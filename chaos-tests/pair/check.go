package pair

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"sbarbiter/chaos-tests/lab"
)

// Report is what an outsider can say about a stretch of a pair's life.
type Report struct {
	DualActive  time.Duration // both nodes were able to write
	DualRunning time.Duration // writer processes ran on both nodes
	Acked       int           // records that were acknowledged
	Lost        int           // of these, missing on the node that holds the group
	Audited     bool          // the records could be compared
	Unaudited   string        // why not
	Shots       []string      // nodes that their BMC was told to switch off, in order
	Gap         time.Duration // the longest time in which nobody wrote
}

// Begin starts a new stretch, in which the writer has written: reports and
// timeline count from here.
func (p *Pair) Begin(ctx context.Context) error {
	p.Truth.Reset()
	p.since = time.Now()
	return poll(ctx, 10*time.Millisecond, func() error {
		if len(p.Truth.Acks()) < 2 {
			return errors.New("the writer does not write")
		}
		return nil
	})
}

// Since is when the present stretch began.
func (p *Pair) Since() time.Time { return p.since }

// Shots lists the nodes that were ordered off through their BMC in this
// stretch, whether they were on or not.
func (p *Pair) Shots() []string {
	var shot []string
	for _, e := range p.Events() {
		if e.At.After(p.since) && strings.HasPrefix(e.What, "power cut (its BMC") && !slices.Contains(shot, e.Host) {
			shot = append(shot, e.Host)
		}
	}
	return shot
}

// Report looks at the present stretch. The records are compared on the node
// that wrote last, if it can be asked; the group may be on its way to another.
func (p *Pair) Report(ctx context.Context) Report {
	r := Report{
		DualActive:  p.Truth.DualActive(),
		DualRunning: p.Truth.DualRunning(),
		Acked:       len(p.Truth.Acks()),
		Shots:       p.Shots(),
	}
	for _, g := range p.Truth.Gaps(noticed) {
		r.Gap = max(r.Gap, g.Length())
	}
	if r.Acked == 0 {
		return r
	}
	ctx, cancel := context.WithTimeout(ctx, 30*time.Second)
	defer cancel()
	var audit lab.Audit
	err := poll(ctx, 500*time.Millisecond, func() (err error) {
		last, _ := p.Truth.LastAck()
		audit, err = p.CheckRecords(ctx, p.Lab.Node(lab.NodeName(last.Node)))
		return err
	})
	if err != nil {
		r.Unaudited = err.Error()
		return r
	}
	r.Audited, r.Lost = true, len(audit.Lost)
	return r
}

// Violations returns what must never be, whatever was broken.
func (r Report) Violations() error {
	var errs []error
	if r.DualActive > 0 {
		errs = append(errs, fmt.Errorf("both nodes were able to write for %v", r.DualActive))
	}
	if r.Lost > 0 {
		errs = append(errs, fmt.Errorf("%d of %d acknowledged records are lost", r.Lost, r.Acked))
	}
	if len(r.Shots) > 1 {
		errs = append(errs, fmt.Errorf("shot %s: at most one node may be shot for one fault", strings.Join(r.Shots, ", ")))
	}
	return errors.Join(errs...)
}
