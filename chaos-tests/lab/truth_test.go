package lab

import (
	"testing"
	"time"

	"sbarbiter/chaos-tests/lab/record"
)

// story builds reports from the times, in milliseconds, at which they arrive.
type story struct {
	t0      time.Time
	reports []heard
}

func newStory() *story { return &story{t0: time.Unix(1000, 0)} }

func (s *story) ms(n int) time.Time { return s.t0.Add(time.Duration(n) * time.Millisecond) }

// acks lets a writer acknowledge a record every 20 ms, without delay.
func (s *story) acks(node, run string, from, to int) {
	for at := from; at <= to; at += 20 {
		s.hear(record.Acked, node, run, at, at)
	}
}

func (s *story) hear(kind record.Kind, node, run string, sent, arrived int) {
	seq := uint64(len(s.reports) + 1)
	s.reports = append(s.reports, heard{record.Report{
		Kind: kind, Record: record.Record{Seq: seq, Node: node, Run: run},
		Boot: "boot-" + node, Sent: s.ms(sent).UnixNano() + int64(7*time.Hour),
	}, s.ms(arrived)})
}

func (s *story) truth() *Truth { return &Truth{reports: s.reports} }

func TestTakeoverAfterTheLastAckIsNotDual(t *testing.T) {
	s := newStory()
	s.acks("node-a", "1", 0, 2000)
	s.acks("node-b", "2", 3000, 5000)
	if d := s.truth().DualActive(); d != 0 {
		t.Errorf("dual active %v, want 0", d)
	}
	gaps := s.truth().Gaps(100 * time.Millisecond)
	if len(gaps) != 1 || gaps[0].Length() != time.Second || gaps[0].Before != "node-a" || gaps[0].After != "node-b" {
		t.Errorf("gaps %+v, want one of 1 s from node-a to node-b", gaps)
	}
}

func TestTwoWritersAtOnceAreDualForTheirOverlap(t *testing.T) {
	s := newStory()
	s.acks("node-a", "1", 0, 2000)
	s.acks("node-b", "2", 1500, 5000)
	if d := s.truth().DualActive(); d != 500*time.Millisecond {
		t.Errorf("dual active %v, want 500ms", d)
	}
}

func TestOneAckInsideTheOthersSpanIsSeen(t *testing.T) {
	s := newStory()
	s.acks("node-a", "1", 0, 2000)
	s.acks("node-b", "2", 3000, 9000)
	s.acks("node-a", "1", 6000, 6000)
	if d := s.truth().DualActive(); d != time.Millisecond {
		t.Errorf("dual active %v, want 1ms", d)
	}
}

func TestBlockedWriterRunsButIsNotActive(t *testing.T) {
	s := newStory()
	s.acks("node-a", "1", 0, 2000)
	s.acks("node-b", "2", 3000, 5000)
	for at := 0; at <= 4000; at += 20 {
		s.hear(record.Running, "node-a", "1", at, at)
	}
	for at := 3000; at <= 5000; at += 20 {
		s.hear(record.Running, "node-b", "2", at, at)
	}
	if d := s.truth().DualActive(); d != 0 {
		t.Errorf("dual active %v, want 0", d)
	}
	if d := s.truth().DualRunning(); d != time.Second {
		t.Errorf("dual running %v, want 1s", d)
	}
}

func TestWhatAFrozenNodeHadStillToSendIsDatedBack(t *testing.T) {
	s := newStory()
	s.acks("node-a", "1", 0, 2000)
	s.acks("node-b", "2", 3000, 9000)
	s.hear(record.Acked, "node-a", "1", 2010, 6000)
	if d := s.truth().DualActive(); d != 0 {
		t.Errorf("dual active %v, want 0: the write was acknowledged before the freeze", d)
	}
	if last, ok := s.truth().LastAck(); !ok || last.Node != "node-b" {
		t.Errorf("last ack %+v, want node-b's", last)
	}
}

func TestAuditTellsLostAndCorruptRecordsFromPresentOnes(t *testing.T) {
	s := newStory()
	s.acks("node-a", "1", 0, 100)
	acks := s.truth().Acks()
	var file []byte
	for _, a := range acks[:4] {
		file = append(file, a.Record.Marshal()...)
	}
	file[record.Size+3] ^= 1
	// The same number, written again by the other node, is another write.
	file = append(file, record.Record{Seq: acks[4].Seq, Node: "node-b", Run: "2"}.Marshal()...)
	a := CheckRecords(append(file, "torn"...), acks)
	if a.Acked != 6 || a.Found != 4 || a.Corrupt != 2 || len(a.Lost) != 3 {
		t.Errorf("audit %+v, want 6 acked, 4 found, 2 corrupt, 3 lost", a)
	}
}
