// Package handler carries a question of DRBD's kernel from the program that
// drbdadm starts to the agent, and the exit code back. What is answered is the
// agent's business.
//
// A call is one JSON object on a line each way, over a socket that only root can
// use.
package handler

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"time"

	"golang.org/x/sync/errgroup"
)

// SocketName is the socket's name in the agent's runtime directory.
const SocketName = "handler.sock"

// NoAnswer is the exit code that leaves the kernel as careful as it is: frozen
// I/O stays frozen, a promotion is refused.
const NoAnswer = 1

const (
	// requestWithin bounds the time between connecting and having asked.
	requestWithin = 5 * time.Second
	maxRequest    = 64 << 10
)

// Request is a handler call as drbdadm made it.
type Request struct {
	Args []string          `json:"args"` // the handler's name first
	Env  map[string]string `json:"env"`  // what DRBD said about it
}

// Answer is what the handler program ends with.
type Answer struct {
	Exit int    `json:"exit"`
	Why  string `json:"why,omitempty"`
}

// Serve answers calls on the socket at path until ctx ends. The context given to
// answer ends when whoever asked has gone.
func Serve(ctx context.Context, path string, answer func(context.Context, Request) Answer) error {
	l, err := listen(path)
	if err != nil {
		return err
	}
	g, ctx := errgroup.WithContext(ctx)
	g.Go(func() error {
		<-ctx.Done()
		return l.Close()
	})
	g.Go(func() error {
		for {
			conn, err := l.Accept()
			if ctx.Err() != nil {
				return nil
			}
			if err != nil {
				return fmt.Errorf("accept handler calls on %s: %w", path, err)
			}
			g.Go(func() error { serve(ctx, conn, answer); return nil })
		}
	})
	return g.Wait()
}

// listen takes the place of a socket that an earlier agent has left behind; the
// lock of the state directory says that there is no other one.
func listen(path string) (net.Listener, error) {
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return nil, fmt.Errorf("make directory of handler socket: %w", err)
	}
	if err := os.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("remove old handler socket: %w", err)
	}
	l, err := net.Listen("unix", path)
	if err != nil {
		return nil, fmt.Errorf("listen for handler calls: %w", err)
	}
	if err := os.Chmod(path, 0o600); err != nil {
		return nil, errors.Join(fmt.Errorf("keep others from the handler socket: %w", err), l.Close())
	}
	return l, nil
}

func serve(ctx context.Context, conn net.Conn, answer func(context.Context, Request) Answer) {
	defer conn.Close()
	if err := conn.SetReadDeadline(time.Now().Add(requestWithin)); err != nil {
		return
	}
	in := bufio.NewReaderSize(conn, 4096)
	req, err := read[Request](in)
	if err != nil {
		return // a caller that asks nothing gets no answer
	}
	if err := conn.SetReadDeadline(time.Time{}); err != nil {
		return
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	stop := context.AfterFunc(ctx, func() { conn.Close() })
	defer stop()
	gone := make(chan struct{})
	go func() {
		defer close(gone)
		defer cancel()
		// Nothing more is asked: this ends when the caller hangs up, or we do.
		_, _ = in.ReadByte()
	}()
	out := answer(ctx, req)
	// An agent that is ending decides nothing any more. It hangs up, so that the
	// program asks the next one: the kernel asks only once.
	if ctx.Err() == nil {
		// Whoever is not there any more cannot be told.
		_ = json.NewEncoder(conn).Encode(out)
	}
	conn.Close()
	<-gone
}

func read[T any](r *bufio.Reader) (T, error) {
	var v T
	line, err := readLine(r)
	if err != nil {
		return v, err
	}
	if err := json.Unmarshal(line, &v); err != nil {
		return v, fmt.Errorf("read handler message: %w", err)
	}
	return v, nil
}

func readLine(r *bufio.Reader) ([]byte, error) {
	var line []byte
	for {
		part, err := r.ReadSlice('\n')
		line = append(line, part...)
		switch {
		case err == nil:
			return line, nil
		case !errors.Is(err, bufio.ErrBufferFull):
			return nil, fmt.Errorf("read handler message: %w", err)
		case len(line) > maxRequest:
			return nil, fmt.Errorf("read handler message: longer than %d bytes", maxRequest)
		}
	}
}
