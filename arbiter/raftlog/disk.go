package raftlog

import (
	"errors"
	"fmt"
	"log/slog"
	"runtime"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/hashicorp/raft"
)

// retryFull is how long a full disk is left alone before the next attempt.
const retryFull = time.Second

// Store is the part of the bolt file that raft and the engine use.
type Store interface {
	raft.LogStore
	raft.StableStore
	Close() error
}

// disk is the bolt file as raft sees it: it keeps raft's own reactions to
// write errors (it panics when it cannot store its term) from reaching the
// process. A full disk holds elections back until there is space; any other
// write error stops the engine, since after a failed fsync nobody knows what
// is on the disk.
type disk struct {
	Store
	dir     string
	log     *slog.Logger
	broken  *breaker
	full    atomic.Bool
	leaving chan struct{} // closed when raft is about to be stopped
}

func newDisk(file Store, dir string, log *slog.Logger, broken *breaker) *disk {
	return &disk{Store: file, dir: dir, log: log, broken: broken, leaving: make(chan struct{})}
}

// letGo ends every wait for space. It is called once.
func (d *disk) letGo() { close(d.leaving) }

func (d *disk) StoreLog(l *raft.Log) error { return d.StoreLogs([]*raft.Log{l}) }

// StoreLogs returns the error to raft, which answers the commands with it and
// steps down.
func (d *disk) StoreLogs(logs []*raft.Log) error {
	err := d.Store.StoreLogs(logs)
	if err == nil {
		d.spaceAgain()
		return nil
	}
	last, lookErr := d.LastIndex()
	switch {
	case !isFull(err):
		d.stopFor(fmt.Errorf("store log entries: %w", err))
	case lookErr != nil:
		d.stopFor(fmt.Errorf("store log entries: %w", errors.Join(err, lookErr)))
	case len(logs) > 0 && last >= logs[0].Index:
		// Refused and there all the same: it would come back after a restart.
		d.stopFor(fmt.Errorf("store log entries: entry %d stayed in the log: %w", last, err))
	default:
		d.noSpace(err)
	}
	return err
}

func (d *disk) Set(key, value []byte) error {
	d.store(func() error { return d.Store.Set(key, value) })
	return nil
}

func (d *disk) SetUint64(key []byte, value uint64) error {
	d.store(func() error { return d.Store.SetUint64(key, value) })
	return nil
}

// store writes term or vote, or does not return: raft would panic, or go on
// with a vote that it could cast twice. Ending the calling goroutine is what
// raft itself does with it at shutdown, and a shutdown always follows.
func (d *disk) store(write func() error) {
	if d.full.Load() {
		d.pause()
	}
	for {
		err := write()
		switch {
		case err == nil:
			d.spaceAgain()
			return
		case !isFull(err):
			d.stopFor(fmt.Errorf("store term or vote: %w", err))
			runtime.Goexit()
		}
		d.noSpace(err)
		if !d.pause() {
			runtime.Goexit()
		}
	}
}

// pause waits out retryFull; false means that the engine is stopping.
func (d *disk) pause() bool {
	timer := time.NewTimer(retryFull)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-d.leaving:
		return false
	case <-d.broken.tripped:
		return false
	}
}

func (d *disk) noSpace(err error) {
	if !d.full.Swap(true) {
		d.log.Error("disk full: no command can be stored, leadership is given up until there is space", "dir", d.dir, "err", err)
	}
}

func (d *disk) spaceAgain() {
	if d.full.Load() && d.full.Swap(false) {
		d.log.Info("disk has space again", "dir", d.dir)
	}
}

func (d *disk) stopFor(err error) {
	d.broken.trip(fmt.Errorf("witness log in %s cannot be trusted any more: %w: check the disk and its cabling, then start again; what was answered is stored", d.dir, err))
}

func isFull(err error) bool {
	return errors.Is(err, syscall.ENOSPC) || errors.Is(err, syscall.EDQUOT)
}
