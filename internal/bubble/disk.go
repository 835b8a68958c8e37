package bubble

import (
	"errors"
	"math/rand/v2"
	"sync"

	"github.com/hashicorp/raft"

	"sbarbiter/arbiter/raftlog"
)

// errKilled is what a killed process would see, if it could see anything.
var errKilled = errors.New("this process was killed")

// Disk stands between a witness's log and its bolt file and fails when it is
// told to.
type Disk struct {
	raftlog.Store

	mu    sync.Mutex // never held while waiting
	fault error      // of every write
	keeps bool       // what fails is stored all the same, as after a failed fsync
	stall chan struct{}
}

// Fail makes every write fail with err and leave nothing behind; nil mends it.
func (d *Disk) Fail(err error) { d.set(err, false) }

// FailSync makes every write fail with err after it was made: whether it is
// stored is anybody's guess.
func (d *Disk) FailSync(err error) { d.set(err, true) }

func (d *Disk) set(err error, keeps bool) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.fault, d.keeps = err, keeps
}

// kill lets the write that is under way happen or not, and no later one.
func (d *Disk) kill() { d.set(errKilled, rand.N(2) == 0) }

// Stall makes writes wait until the function that it returns is called.
func (d *Disk) Stall() (goOn func()) {
	d.mu.Lock()
	defer d.mu.Unlock()
	gate := make(chan struct{})
	d.stall = gate
	return sync.OnceFunc(func() { close(gate) })
}

// write makes one write, or fails it.
func (d *Disk) write(do func() error) error {
	d.mu.Lock()
	gate := d.stall
	d.mu.Unlock()
	if gate != nil {
		<-gate
	}
	d.mu.Lock()
	fault, keeps := d.fault, d.keeps
	if errors.Is(fault, errKilled) {
		d.keeps = false // only the first write was under way
	}
	d.mu.Unlock()
	if fault != nil && !keeps {
		return fault
	}
	return errors.Join(fault, do())
}

// StoreLog stores one entry.
func (d *Disk) StoreLog(l *raft.Log) error { return d.StoreLogs([]*raft.Log{l}) }

// StoreLogs stores entries.
func (d *Disk) StoreLogs(logs []*raft.Log) error {
	return d.write(func() error { return d.Store.StoreLogs(logs) })
}

// DeleteRange forgets entries.
func (d *Disk) DeleteRange(first, last uint64) error {
	return d.write(func() error { return d.Store.DeleteRange(first, last) })
}

// Set stores a value.
func (d *Disk) Set(key, value []byte) error {
	return d.write(func() error { return d.Store.Set(key, value) })
}

// SetUint64 stores a number.
func (d *Disk) SetUint64(key []byte, value uint64) error {
	return d.write(func() error { return d.Store.SetUint64(key, value) })
}
