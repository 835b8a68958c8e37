package raftlog

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"sync"
	"sync/atomic"

	"github.com/hashicorp/raft"

	"sbarbiter/arbiter/engine"
)

// Every command and snapshot carries a version, so that a later release can
// change the form, and a checksum, since bbolt guards only its own pages' links
// and a flipped bit in a grant must not pass.
const (
	frameVersion  = 1
	frameHeader   = 1 + 4     // version, CRC-32C of the command
	snapshotMagic = "sbsnap1" // then the index, big endian, then the state
)

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

func frame(cmd []byte) []byte {
	b := make([]byte, frameHeader, frameHeader+len(cmd))
	b[0] = frameVersion
	binary.BigEndian.PutUint32(b[1:], crc32.Checksum(cmd, castagnoli))
	return append(b, cmd...)
}

func unframe(b []byte) ([]byte, error) {
	switch {
	case len(b) < frameHeader:
		return nil, fmt.Errorf("entry of %d bytes is too short", len(b))
	case b[0] != frameVersion:
		return nil, fmt.Errorf("entry has format %d, this program reads %d", b[0], frameVersion)
	}
	cmd := b[frameHeader:]
	if crc32.Checksum(cmd, castagnoli) != binary.BigEndian.Uint32(b[1:]) {
		return nil, errors.New("entry's checksum does not match")
	}
	return cmd, nil
}

// breaker remembers the first reason to stop for good.
type breaker struct {
	tripped chan struct{}
	once    sync.Once
	why     error
}

func newBreaker() *breaker { return &breaker{tripped: make(chan struct{})} }

func (b *breaker) trip(err error) {
	b.once.Do(func() {
		b.why = err
		close(b.tripped)
	})
}

// cause is nil while all is well.
func (b *breaker) cause() error {
	select {
	case <-b.tripped:
		return b.why
	default:
		return nil
	}
}

// applied is what one command came to.
type applied struct {
	outcome []byte
	index   uint64
	err     error
}

// replayer feeds the machine from raft, which calls it from one goroutine at a
// time. Raft cannot be told of a command that was not understood; the breaker
// is, and from then on nothing reaches the machine.
type replayer struct {
	machine engine.Machine
	broken  *breaker
	dir     string
	last    atomic.Uint64
}

var _ raft.FSM = (*replayer)(nil)

func (p *replayer) Apply(l *raft.Log) any {
	if cause := p.broken.cause(); cause != nil {
		return applied{err: cause}
	}
	cmd, err := unframe(l.Data)
	if err != nil {
		return p.giveUp(fmt.Errorf("read log entry %d in %s: %w: %w", l.Index, p.dir, ErrDamaged, err))
	}
	outcome, err := p.machine.Apply(l.Index, cmd)
	if err != nil {
		return p.giveUp(fmt.Errorf("apply log entry %d in %s: %w: nothing after it can be applied; start a release of this program that knows the command", l.Index, p.dir, err))
	}
	p.last.Store(l.Index)
	return applied{outcome: outcome, index: l.Index}
}

func (p *replayer) giveUp(err error) applied {
	p.broken.trip(err)
	return applied{err: err}
}

func (p *replayer) Snapshot() (raft.FSMSnapshot, error) {
	if cause := p.broken.cause(); cause != nil {
		return nil, cause // the state may be half a command
	}
	state, err := p.machine.Snapshot()
	if err != nil {
		return nil, fmt.Errorf("encode snapshot: %w", err)
	}
	b := binary.BigEndian.AppendUint64([]byte(snapshotMagic), p.last.Load())
	return snapshot(append(b, state...)), nil
}

// Restore trips the breaker on failure: raft would go on to an older snapshot,
// which may not join up with the log.
func (p *replayer) Restore(r io.ReadCloser) error {
	if cause := p.broken.cause(); cause != nil {
		return cause
	}
	err := p.restore(r)
	if err != nil {
		err = fmt.Errorf("restore snapshot in %s: %w", p.dir, err)
		p.broken.trip(err)
	}
	return err
}

func (p *replayer) restore(r io.ReadCloser) error {
	defer r.Close()
	b, err := io.ReadAll(r)
	if err != nil {
		return err
	}
	const head = len(snapshotMagic) + 8
	if len(b) < head || string(b[:len(snapshotMagic)]) != snapshotMagic {
		return fmt.Errorf("%w: not a snapshot of this program", ErrDamaged)
	}
	if err := p.machine.Restore(b[head:]); err != nil {
		return err
	}
	p.last.Store(binary.BigEndian.Uint64(b[len(snapshotMagic):]))
	return nil
}

// snapshot is an encoded state on its way to the disk.
type snapshot []byte

func (s snapshot) Persist(sink raft.SnapshotSink) error {
	if _, err := sink.Write(s); err != nil {
		return errors.Join(fmt.Errorf("write snapshot: %w", err), sink.Cancel())
	}
	return sink.Close()
}

func (snapshot) Release() {}
