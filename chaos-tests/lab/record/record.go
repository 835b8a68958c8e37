// Package record is what the lab's writer writes, and what it says about it:
// numbered, checksummed records in a file, and datagrams that tell which of
// them were acknowledged. Writing and judging them is left to others.
package record

import (
	"errors"
	"fmt"
	"hash/crc32"
	"strconv"
	"strings"
)

// Size is the length of every record in bytes, its newline included.
const Size = 64

// Record is one numbered entry. Two records are the same write only if all
// three fields agree: after a rollback another node may use a number again.
type Record struct {
	Seq  uint64
	Node string // at most 16 bytes, no spaces
	Run  string // names one process of the writer; 8 hex digits
}

// ErrCorrupt says that bytes are no whole record.
var ErrCorrupt = errors.New("not a whole record")

// Marshal returns the Size bytes of the record.
func (r Record) Marshal() []byte {
	body := fmt.Sprintf("%020d %-16.16s %-8.8s", r.Seq, r.Node, r.Run)
	line := fmt.Sprintf("%s %08x", body, crc32.ChecksumIEEE([]byte(body)))
	return fmt.Appendf(nil, "%-*s\n", Size-1, line)
}

// Parse reads one record; its error is ErrCorrupt.
func Parse(b []byte) (Record, error) {
	if len(b) != Size || b[Size-1] != '\n' {
		return Record{}, ErrCorrupt
	}
	f := strings.Fields(string(b))
	if len(f) != 4 {
		return Record{}, ErrCorrupt
	}
	seq, err := strconv.ParseUint(f[0], 10, 64)
	r := Record{Seq: seq, Node: f[1], Run: f[2]}
	if err != nil || string(r.Marshal()) != string(b) {
		return Record{}, ErrCorrupt
	}
	return r, nil
}

// Kind is what a datagram says.
type Kind string

// The kinds of datagrams.
const (
	Started Kind = "start" // the writer runs; Seq is the last record found in its file
	Running Kind = "run"   // it still runs; Seq is the last acknowledged record
	Acked   Kind = "ack"   // fsync has returned for this record
	Stopped Kind = "stop"  // it writes no more
)

// Report is one datagram.
type Report struct {
	Kind   Kind
	Record Record
	Boot   string // the kernel's boot id
	Sent   int64  // nanoseconds since 1970 by the sender's clock
}

// Marshal returns the datagram.
func (p Report) Marshal() []byte {
	return fmt.Appendf(nil, "%s %d %s %s %s %d", p.Kind, p.Record.Seq, p.Record.Node, p.Record.Run, p.Boot, p.Sent)
}

// ParseReport reads a datagram.
func ParseReport(b []byte) (Report, error) {
	var p Report
	_, err := fmt.Sscanf(string(b), "%s %d %s %s %s %d",
		&p.Kind, &p.Record.Seq, &p.Record.Node, &p.Record.Run, &p.Boot, &p.Sent)
	if err != nil {
		return Report{}, fmt.Errorf("parse report %q: %w", b, err)
	}
	return p, nil
}
