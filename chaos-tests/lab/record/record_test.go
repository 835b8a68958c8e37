package record

import (
	"errors"
	"testing"
)

func TestRecordSurvivesItsEncoding(t *testing.T) {
	want := Record{Seq: 42, Node: "node-a", Run: "00c0ffee"}
	b := want.Marshal()
	if len(b) != Size {
		t.Fatalf("length %d, want %d", len(b), Size)
	}
	if got, err := Parse(b); err != nil || got != want {
		t.Fatalf("Parse = %v, %v", got, err)
	}
}

func TestEveryFlippedByteIsNoticed(t *testing.T) {
	b := Record{Seq: 7, Node: "node-b", Run: "00000001"}.Marshal()
	for i := range b {
		b[i] ^= 1
		if _, err := Parse(b); !errors.Is(err, ErrCorrupt) {
			t.Errorf("flip at %d went unnoticed", i)
		}
		b[i] ^= 1
	}
}

func TestTornRecordIsCorrupt(t *testing.T) {
	b := Record{Seq: 7, Node: "node-b", Run: "00000001"}.Marshal()
	if _, err := Parse(b[:Size-1]); !errors.Is(err, ErrCorrupt) {
		t.Fatalf("err = %v", err)
	}
}

func TestReportSurvivesItsEncoding(t *testing.T) {
	want := Report{Kind: Acked, Record: Record{Seq: 3, Node: "node-a", Run: "1"}, Boot: "x-y", Sent: 99}
	if got, err := ParseReport(want.Marshal()); err != nil || got != want {
		t.Fatalf("ParseReport = %+v, %v", got, err)
	}
}
