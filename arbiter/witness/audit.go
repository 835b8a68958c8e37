package witness

import (
	"bufio"
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"slices"
	"sync"
	"syscall"
	"time"

	"sbarbiter/arbiter"
)

// retryAudit is how long a full disk is left alone before the next attempt.
const retryAudit = time.Second

// Audit is the file of all decisions, one JSON object a line, in the order of
// the log. It follows the log: after a crash the lines that are missing come
// again with the replay, and those that are there are not written twice.
type Audit struct {
	path string
	log  *slog.Logger
	file *os.File
	wake chan struct{}

	mu      sync.Mutex // guards the rest; never held while waiting
	size    int64      // of the file, as far as it is durable
	last    uint64     // highest index taken
	taken   map[recordKey]bool
	queue   []arbiter.Record
	readers map[*reader]struct{}
}

// recordKey tells the records of one log entry apart.
type recordKey struct {
	cluster, what string
	group         arbiter.GroupID
	node          arbiter.NodeID
}

func keyOf(r arbiter.Record) recordKey { return recordKey{r.Cluster, r.What, r.Group, r.Node} }

func inOrder(records []arbiter.Record) {
	slices.SortStableFunc(records, func(a, b arbiter.Record) int { return cmp.Compare(a.Index, b.Index) })
}

// OpenAudit opens the file, or makes it. A last line that a crash has cut short
// is removed; it comes again.
func OpenAudit(path string, log *slog.Logger) (*Audit, error) {
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, fmt.Errorf("open audit log: %w", err)
	}
	a := &Audit{
		path: path, log: log, file: f, wake: make(chan struct{}, 1),
		taken: map[recordKey]bool{}, readers: map[*reader]struct{}{},
	}
	if err := a.findEnd(); err != nil {
		return nil, errors.Join(fmt.Errorf("open audit log %s: %w", path, err), f.Close())
	}
	return a, nil
}

// Close gives back the file of an audit log that was never run.
func (a *Audit) Close() error { return a.file.Close() }

// findEnd looks for the last whole line, from the end, and takes up the log
// behind it.
func (a *Audit) findEnd() error {
	size, err := a.file.Seek(0, io.SeekEnd)
	if err != nil {
		return err
	}
	for window := int64(64 << 10); ; window *= 2 {
		from := max(0, size-window)
		b := make([]byte, size-from)
		if _, err := a.file.ReadAt(b, from); err != nil && !errors.Is(err, io.EOF) {
			return err
		}
		end, enough := a.takeTail(b)
		if from == 0 && a.last == 0 && bytes.IndexByte(b, '\n') >= 0 {
			return errors.New("this is no audit log of sbwitness; move it away")
		}
		if enough || from == 0 {
			a.size = from + end
			break
		}
	}
	if a.size < size {
		a.log.Warn("audit log was cut short, the rest comes again from the log", "file", a.path, "bytes", size-a.size)
	}
	return a.file.Truncate(a.size)
}

// takeTail notes the records of the last index in b, the end of the file. It
// returns where the last whole record ends, and whether all of that index can
// have been seen.
func (a *Audit) takeTail(b []byte) (end int64, enough bool) {
	a.last = 0
	clear(a.taken)
	for stop := bytes.LastIndexByte(b, '\n'); stop >= 0; {
		start := bytes.LastIndexByte(b[:stop], '\n')
		var r arbiter.Record
		err := json.Unmarshal(b[start+1:stop], &r)
		switch {
		case err != nil && start >= 0:
		case err != nil: // the line begins before b does, or it is no line of ours
			return end, false
		case a.last == 0:
			a.last, end = r.Index, int64(stop)+1
			a.taken[keyOf(r)] = true
		case r.Index == a.last:
			a.taken[keyOf(r)] = true
		default:
			return end, true
		}
		stop = start
	}
	return end, false
}

// add queues what was not taken before. It never waits.
func (a *Audit) add(records ...arbiter.Record) {
	a.mu.Lock()
	defer a.mu.Unlock()
	for _, r := range records {
		if r.Index < a.last {
			continue
		}
		if r.Index > a.last {
			a.last = r.Index
			clear(a.taken)
		}
		if k := keyOf(r); !a.taken[k] {
			a.taken[k] = true
			a.queue = append(a.queue, r)
		}
	}
	if len(a.queue) > 0 {
		select {
		case a.wake <- struct{}{}:
		default:
		}
	}
}

// run writes what is added until ctx ends and the queue is empty, then closes
// the file. It ends early when the disk fails other than by being full.
func (a *Audit) run(ctx context.Context) error {
	defer a.file.Close()
	defer a.dismiss()
	for {
		select {
		case <-a.wake:
			if err := a.write(ctx); err != nil {
				return err
			}
		case <-ctx.Done():
			return a.write(ctx)
		}
	}
}

// write makes the queue durable, and then shows it to the readers.
func (a *Audit) write(ctx context.Context) error {
	a.mu.Lock()
	batch := a.queue
	a.queue = nil
	at := a.size
	a.mu.Unlock()
	if len(batch) == 0 {
		return nil
	}
	text, ends, err := encodeRecords(batch, at)
	if err != nil {
		return fmt.Errorf("write audit log %s: %w", a.path, err)
	}
	if ok, err := a.store(ctx, text, at); !ok {
		return err
	}
	a.publish(batch, ends)
	return nil
}

func encodeRecords(batch []arbiter.Record, at int64) (text []byte, ends []int64, err error) {
	for _, r := range batch {
		line, err := json.Marshal(r)
		if err != nil {
			return nil, nil, err
		}
		text = append(append(text, line...), '\n')
		ends = append(ends, at+int64(len(text)))
	}
	return text, ends, nil
}

// store writes text at the place given. While the disk is full it tries again,
// and leaves no half line behind; it gives up without an error when ctx ends,
// for the next start brings the records again.
func (a *Audit) store(ctx context.Context, text []byte, at int64) (stored bool, err error) {
	for full := false; ; {
		_, err := a.file.WriteAt(text, at)
		if err == nil {
			err = a.file.Sync()
		}
		if err == nil {
			return true, nil
		}
		if !errors.Is(err, syscall.ENOSPC) && !errors.Is(err, syscall.EDQUOT) {
			return false, fmt.Errorf("write audit log %s: %w: check the disk, then start again; what was decided is in the log beside it", a.path, err)
		}
		if !full {
			full = true
			a.log.Error("disk full: decisions wait for space before they are written to the audit log", "file", a.path, "error", err)
		}
		if err := a.file.Truncate(at); err != nil {
			return false, fmt.Errorf("cut audit log %s: %w", a.path, err)
		}
		select {
		case <-time.After(retryAudit):
		case <-ctx.Done():
			return false, nil
		}
	}
}

// publish shows durable records to the journal and to the readers.
func (a *Audit) publish(batch []arbiter.Record, ends []int64) {
	for _, r := range batch {
		a.log.Info("decision", "cluster", r.Cluster, "group", r.Group, "node", r.Node, "what", r.What,
			"reason", r.Reason, "sentence", r.Sentence, "epoch", r.Epoch, "index", r.Index)
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	a.size = ends[len(ends)-1]
	for rd := range a.readers {
		for i := range batch {
			select {
			case rd.live <- batch[i]:
			default: // too slow: it may ask again from where it is
				a.drop(rd)
			}
			if rd.gone {
				break
			}
		}
	}
}

// reader is one subscription.
type reader struct {
	live chan arbiter.Record // closed when the reader was too slow or the log is closed
	gone bool
}

const readerAhead = 256 // records that a slow reader may be behind

// subscribe returns where the file ends now, and a reader of what comes then.
func (a *Audit) subscribe() (end int64, rd *reader) {
	a.mu.Lock()
	defer a.mu.Unlock()
	rd = &reader{live: make(chan arbiter.Record, readerAhead)}
	a.readers[rd] = struct{}{}
	return a.size, rd
}

func (a *Audit) unsubscribe(rd *reader) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.drop(rd)
}

func (a *Audit) drop(rd *reader) {
	if !rd.gone {
		rd.gone = true
		delete(a.readers, rd)
		close(rd.live)
	}
}

func (a *Audit) dismiss() {
	a.mu.Lock()
	defer a.mu.Unlock()
	for rd := range a.readers {
		a.drop(rd)
	}
}

// end returns where the durable part of the file ends.
func (a *Audit) end() int64 {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.size
}

// read hands the records up to the place given to each, in order, until it
// returns false.
func (a *Audit) read(end int64, each func(arbiter.Record) bool) error {
	f, err := os.Open(a.path)
	if err != nil {
		return fmt.Errorf("read audit log: %w", err)
	}
	defer f.Close()
	d := json.NewDecoder(bufio.NewReader(io.NewSectionReader(f, 0, end)))
	for {
		var r arbiter.Record
		err := d.Decode(&r)
		switch {
		case errors.Is(err, io.EOF):
			return nil
		case err != nil:
			return fmt.Errorf("read audit log %s: %w", a.path, err)
		case !each(r):
			return nil
		}
	}
}
