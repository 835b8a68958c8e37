// Command lab-writer appends numbered, checksummed records to a file, with an
// fsync after each, and tells the lab which of them were acknowledged. It
// goes on where the file ends. A pair's group runs it as its service.
package main

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"flag"
	"fmt"
	"io"
	"net"
	"os"
	"os/signal"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"sbarbiter/chaos-tests/lab/record"
)

func main() {
	node := flag.String("node", "", "name of this node")
	file := flag.String("file", "", "file to append to")
	to := flag.String("to", "", "UDP address of the lab")
	every := flag.Duration("every", 20*time.Millisecond, "time from one record to the next")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	err := run(ctx, *node, *file, *to, *every)
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "lab-writer:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, node, path, to string, every time.Duration) error {
	f, last, err := open(path)
	if err != nil {
		return err
	}
	defer f.Close()
	r, err := newReporter(node, to)
	if err != nil {
		return err
	}
	defer r.conn.Close()
	r.acked.Store(last)
	r.say(record.Started, last)
	ctx, cancel := context.WithCancel(ctx)
	var beats sync.WaitGroup
	beats.Go(func() { r.beat(ctx, every) })
	err = r.write(ctx, f, last, every)
	cancel()
	beats.Wait()
	r.say(record.Stopped, r.acked.Load())
	return err
}

// open finds the last whole record of the file, cuts off what follows it and
// leaves the file there.
func open(path string) (*os.File, uint64, error) {
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o644)
	if err != nil {
		return nil, 0, err
	}
	data, err := io.ReadAll(f)
	if err != nil {
		f.Close()
		return nil, 0, fmt.Errorf("read %s: %w", path, err)
	}
	end, last := lastRecord(data)
	if end != len(data) {
		fmt.Fprintf(os.Stderr, "lab-writer: %s: cut off %d torn bytes after record %d\n", path, len(data)-end, last)
	}
	if err := errors.Join(f.Truncate(int64(end)), seek(f, end)); err != nil {
		f.Close()
		return nil, 0, fmt.Errorf("resume %s: %w", path, err)
	}
	return f, last, nil
}

func seek(f *os.File, to int) error {
	_, err := f.Seek(int64(to), io.SeekStart)
	return err
}

// lastRecord returns where the last whole record ends, and its number.
func lastRecord(data []byte) (end int, last uint64) {
	for end = len(data) / record.Size * record.Size; end > 0; end -= record.Size {
		if r, err := record.Parse(data[end-record.Size : end]); err == nil {
			return end, r.Seq
		}
	}
	return 0, 0
}

type reporter struct {
	conn  net.Conn
	node  string
	run   string
	boot  string
	acked atomic.Uint64
}

func newReporter(node, to string) (*reporter, error) {
	boot, err := os.ReadFile("/proc/sys/kernel/random/boot_id")
	if err != nil {
		return nil, err
	}
	conn, err := net.Dial("udp", to)
	if err != nil {
		return nil, err
	}
	id := make([]byte, 4)
	if _, err := rand.Read(id); err != nil {
		return nil, err
	}
	return &reporter{conn: conn, node: node, run: hex.EncodeToString(id), boot: string(bytes.TrimSpace(boot))}, nil
}

func (r *reporter) record(seq uint64) record.Record {
	return record.Record{Seq: seq, Node: r.node, Run: r.run}
}

func (r *reporter) say(kind record.Kind, seq uint64) {
	p := record.Report{Kind: kind, Record: r.record(seq), Boot: r.boot, Sent: time.Now().UnixNano()}
	// A lab that does not listen must not stop the writing.
	_, _ = r.conn.Write(p.Marshal())
}

// beat says that the process lives, also while a write is blocked.
func (r *reporter) beat(ctx context.Context, every time.Duration) {
	for t := time.NewTicker(every); ; {
		select {
		case <-ctx.Done():
			t.Stop()
			return
		case <-t.C:
			r.say(record.Running, r.acked.Load())
		}
	}
}

func (r *reporter) write(ctx context.Context, f *os.File, last uint64, every time.Duration) error {
	t := time.NewTicker(every)
	defer t.Stop()
	for seq := last + 1; ; seq++ {
		if _, err := f.Write(r.record(seq).Marshal()); err != nil {
			return fmt.Errorf("write record %d: %w", seq, err)
		}
		if err := f.Sync(); err != nil {
			return fmt.Errorf("write record %d: %w", seq, err)
		}
		r.acked.Store(seq)
		r.say(record.Acked, seq)
		select {
		case <-ctx.Done():
			return nil
		case <-t.C:
		}
	}
}
