package raftlog

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"runtime/debug"
	"time"

	"github.com/hashicorp/go-hclog"
	"github.com/hashicorp/raft"
	raftboltdb "github.com/hashicorp/raft-boltdb/v2"
	"go.etcd.io/bbolt"
	bolterrors "go.etcd.io/bbolt/errors"
)

// What can be wrong with a state directory.
var (
	// ErrNoState means that Init was never run there, or its work is gone.
	ErrNoState = errors.New("no witness state")
	// ErrForeign means that the directory belongs to something or somebody else.
	ErrForeign = errors.New("state of another owner")
	// ErrDamaged means that stored bytes are not what was written.
	ErrDamaged = errors.New("witness state is damaged")
	// ErrInUse means that another process has the directory open.
	ErrInUse = errors.New("witness state is in use")
)

const (
	metaName     = "meta"
	boltName     = "raft.bolt"
	snapshotsDir = "snapshots"

	// keepSnapshots: raft writes the next one before it removes the oldest.
	keepSnapshots = 2
	// lockWait: a second process is told so instead of being left waiting.
	lockWait = time.Second
)

// adviceDamaged ends every message about damage. A new directory is a new
// incarnation of the witness, which learns from the agents before it grants.
const adviceDamaged = "move %s away and make a new one with 'sbwitness --init'; the witness then learns from the nodes before it grants anything"

func damaged(dir, what string, err error) error {
	return fmt.Errorf("%s: %w: %w: "+adviceDamaged, what, ErrDamaged, err, dir)
}

// openSnapshots returns the store and the index of the newest snapshot, 0 for
// none, after reading that snapshot against its checksum.
func openSnapshots(dir string, log hclog.Logger) (raft.SnapshotStore, uint64, error) {
	snaps, err := raft.NewFileSnapshotStoreWithLogger(dir, keepSnapshots, log)
	if err != nil {
		return nil, 0, fmt.Errorf("open snapshots in %s: %w", dir, err)
	}
	list, err := snaps.List()
	if err != nil {
		return nil, 0, fmt.Errorf("list snapshots in %s: %w", dir, err)
	}
	if len(list) == 0 {
		return snaps, 0, nil
	}
	_, body, err := snaps.Open(list[0].ID)
	if err != nil {
		return nil, 0, damaged(dir, "read snapshot "+filepath.Join(dir, snapshotsDir, list[0].ID), err)
	}
	if err := body.Close(); err != nil {
		return nil, 0, fmt.Errorf("close snapshot %s: %w", list[0].ID, err)
	}
	return snaps, list[0].Index, nil
}

// openBolt opens the log under its lock. It reads everything first, so that
// damage is an error here and not a crash later. Blank means that the log holds
// no command.
func openBolt(dir string, snapshot uint64) (store *raftboltdb.BoltStore, blank bool, err error) {
	path := filepath.Join(dir, boltName)
	if err := checkFile(dir, path); err != nil {
		return nil, false, err
	}
	if err := readPages(path); err != nil {
		return nil, false, explainBolt(dir, path, err)
	}
	store, err = raftboltdb.New(raftboltdb.Options{Path: path, BoltOptions: boltOptions()})
	if err != nil {
		return nil, false, explainBolt(dir, path, err)
	}
	blank, err = readEntries(store, snapshot)
	if err != nil {
		return nil, false, errors.Join(damaged(dir, "read "+path, err), store.Close())
	}
	return store, blank, nil
}

// boltOptions keep the file small and its writes few: the list of free pages is
// rebuilt at every open.
func boltOptions() *bbolt.Options {
	return &bbolt.Options{
		Timeout:        lockWait,
		NoFreelistSync: true,
		FreelistType:   bbolt.FreelistMapType,
		NoStatistics:   true,
	}
}

// checkFile stops bbolt from making a new, empty log where one is missing.
func checkFile(dir, path string) error {
	info, err := os.Stat(path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return damaged(dir, "open "+path, err)
	case err != nil:
		return fmt.Errorf("open witness log: %w", err)
	case info.Size() == 0:
		return damaged(dir, "open "+path, errors.New("the file is empty"))
	}
	return nil
}

// readPages visits every page that can be reached, read-only. bbolt panics on
// a broken page, and reading a truncated file is a fault: both become errors.
func readPages(path string) (err error) {
	defer debug.SetPanicOnFault(debug.SetPanicOnFault(true))
	defer func() {
		switch p := recover().(type) {
		case nil:
		case runtime.Error: // a fault, or a page full of zeros
			err = errors.New("the file is cut short or a page in it is broken")
		default:
			err = fmt.Errorf("a page in it is broken: %v", p)
		}
	}()
	options := boltOptions()
	options.ReadOnly = true
	db, err := bbolt.Open(path, 0o600, options)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, db.Close()) }()
	return db.View(func(tx *bbolt.Tx) error {
		return tx.ForEach(func(_ []byte, b *bbolt.Bucket) error {
			return b.ForEach(func(_, _ []byte) error { return nil })
		})
	})
}

func explainBolt(dir, path string, err error) error {
	switch {
	case errors.Is(err, bolterrors.ErrTimeout):
		return fmt.Errorf("lock %s: %w: another sbwitness runs on this directory; stop it first (fuser %s names it)", path, ErrInUse, path)
	case errors.Is(err, fs.ErrPermission), isFull(err):
		return fmt.Errorf("open witness log: %w", err)
	default:
		return damaged(dir, "open "+path, err)
	}
}

// readEntries checks that the log joins up with the newest snapshot and that
// every entry behind it can be read.
func readEntries(store *raftboltdb.BoltStore, snapshot uint64) (blank bool, err error) {
	first, err := store.FirstIndex()
	if err != nil {
		return false, err
	}
	last, err := store.LastIndex()
	if err != nil {
		return false, err
	}
	switch {
	case last == 0 && snapshot == 0:
		return false, errors.New("neither log nor snapshot is there")
	case last > snapshot && first > snapshot+1:
		return false, fmt.Errorf("the log begins at entry %d, the newest readable snapshot ends at %d", first, snapshot)
	}
	blank = true
	for index := max(first, snapshot+1); index <= last; index++ {
		var entry raft.Log
		if err := store.GetLog(index, &entry); err != nil {
			return false, fmt.Errorf("entry %d: %w", index, err)
		}
		if entry.Index != index {
			return false, fmt.Errorf("entry %d says that it is %d", index, entry.Index)
		}
		if entry.Type != raft.LogCommand {
			continue
		}
		blank = false
		if _, err := unframe(entry.Data); err != nil {
			return false, fmt.Errorf("entry %d: %w", index, err)
		}
	}
	return blank, nil
}
