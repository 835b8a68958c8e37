package lab

import (
	"context"
	"errors"
	"fmt"
	"net"
	"slices"
	"sync"
	"time"

	"sbarbiter/chaos-tests/lab/record"
)

// Truth is what the writers said, at the lab's own clock: who wrote, what was
// acknowledged, and whether two ever wrote at once.
type Truth struct {
	addr string
	conn *net.UDPConn
	done chan struct{}

	mu      sync.Mutex
	reports []heard
}

// heard is a report with the time of its arrival.
type heard struct {
	record.Report
	at time.Time
}

func listenTruth(s space) (*Truth, error) {
	conn, err := s.listenUDP(net.JoinHostPort(labAddr, "4000"))
	if err != nil {
		return nil, fmt.Errorf("listen to writers: %w", err)
	}
	// A burst after a thaw must not be lost; less is all right.
	_ = conn.SetReadBuffer(4 << 20)
	t := &Truth{addr: conn.LocalAddr().String(), conn: conn, done: make(chan struct{})}
	go t.listen()
	return t, nil
}

func (t *Truth) close() {
	_ = t.conn.Close()
	<-t.done
}

func (t *Truth) listen() {
	defer close(t.done)
	buf := make([]byte, 1500)
	for {
		n, err := t.conn.Read(buf)
		if errors.Is(err, net.ErrClosed) {
			return
		}
		now := time.Now()
		p, err := record.ParseReport(buf[:n])
		if err != nil {
			continue // not of a writer of ours
		}
		t.mu.Lock()
		t.reports = append(t.reports, heard{p, now})
		t.mu.Unlock()
	}
}

// Ack is an acknowledged record and the time of its acknowledgement.
type Ack struct {
	record.Record
	At time.Time
}

// Acks returns all acknowledged records in order of time. Times are the
// lab's; what a frozen node had still to send is dated back by its own clock.
func (t *Truth) Acks() []Ack {
	var acks []Ack
	for _, h := range t.dated() {
		if h.Kind == record.Acked {
			acks = append(acks, Ack{h.Record, h.at})
		}
	}
	return acks
}

// LastAck returns the latest acknowledged record; ok is false if there is none.
func (t *Truth) LastAck() (last Ack, ok bool) {
	acks := t.Acks()
	if len(acks) == 0 {
		return Ack{}, false
	}
	return acks[len(acks)-1], true
}

// Reset forgets everything heard so far.
func (t *Truth) Reset() {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.reports = nil
}

func (t *Truth) dated() []heard {
	t.mu.Lock()
	reports := slices.Clone(t.reports)
	t.mu.Unlock()
	return dateBack(reports)
}

// dateBack replaces arrival by sending, in the lab's time: the shortest way
// that any report of one boot took tells the offset of that boot's clock.
func dateBack(reports []heard) []heard {
	shortest := map[string]int64{}
	for _, h := range reports {
		took := h.at.UnixNano() - h.Sent
		if best, ok := shortest[h.Boot]; !ok || took < best {
			shortest[h.Boot] = took
		}
	}
	for i, h := range reports {
		late := h.at.UnixNano() - h.Sent - shortest[h.Boot]
		reports[i].at = h.at.Add(-time.Duration(late))
	}
	slices.SortStableFunc(reports, func(a, b heard) int { return a.at.Compare(b.at) })
	return reports
}

// DualActive is how long both nodes were able to write at the same time: the
// overlap of their spans, a span being acknowledgements of one writer process
// with less than a second from each to the next. A writer that is blocked, by
// DRBD or a frozen node, is not active; a single acknowledgement within the
// other node's span counts as a millisecond, so that none goes unseen.
func (t *Truth) DualActive() time.Duration { return overlap(t.dated(), record.Acked) }

// DualRunning is how long writer processes ran on both nodes at the same
// time, able to write or not.
func (t *Truth) DualRunning() time.Duration { return overlap(t.dated(), record.Running) }

// Gap is a time in which no record was acknowledged by anybody.
type Gap struct {
	From, To time.Time
	Before   string // node that wrote last
	After    string // node that wrote next
}

// Length is how long the gap was.
func (g Gap) Length() time.Duration { return g.To.Sub(g.From) }

// Gaps returns the gaps that were at least as long as min, oldest first.
func (t *Truth) Gaps(min time.Duration) []Gap {
	var gaps []Gap
	acks := t.Acks()
	for i := 1; i < len(acks); i++ {
		g := Gap{From: acks[i-1].At, To: acks[i].At, Before: acks[i-1].Node, After: acks[i].Node}
		if g.Length() >= min {
			gaps = append(gaps, g)
		}
	}
	return gaps
}

// Audit compares what was acknowledged with what a file holds.
type Audit struct {
	Acked   int   // records that were acknowledged
	Found   int   // whole records in the file
	Corrupt int   // records of the file that are not whole
	Lost    []Ack // acknowledged, and not in the file
}

// CheckRecords compares a file of records, as it was read after the latest of
// acks, with these.
func CheckRecords(file []byte, acks []Ack) Audit {
	a := Audit{Acked: len(acks)}
	there := map[record.Record]bool{}
	for chunk := range slices.Chunk(file, record.Size) {
		r, err := record.Parse(chunk)
		if err != nil {
			a.Corrupt++
			continue
		}
		a.Found++
		there[r] = true
	}
	for _, ack := range acks {
		if !there[ack.Record] {
			a.Lost = append(a.Lost, ack)
		}
	}
	return a
}

// CheckRecords compares everything acknowledged until now with the records on
// a node that has the file system mounted. A record that is being written
// while the file is read may count as corrupt.
func (l *Lab) CheckRecords(ctx context.Context, n *Node) (Audit, error) {
	acks := l.Truth.Acks()
	file, err := n.ReadFile(ctx, RecordsPath)
	if err != nil {
		return Audit{}, err
	}
	return CheckRecords(file, acks), nil
}
