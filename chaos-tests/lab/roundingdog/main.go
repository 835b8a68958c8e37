// Command lab-roundingdog is a watchdog driver in user space (CUSE) for a lab node:
// /dev/watchdog2, which rounds the timeout that it is asked for up to a multiple of
// its own. It resets nothing; what is looked at is what its user believes.
package main

import (
	"encoding/binary"
	"errors"
	"flag"
	"fmt"
	"os"

	"golang.org/x/sys/unix"
)

func main() {
	multiple := flag.Int("multiple", 8, "seconds; timeouts are multiples of it")
	flag.Parse()
	if err := serve(uint32(*multiple)); err != nil {
		fmt.Fprintln(os.Stderr, "lab-roundingdog:", err)
		os.Exit(1)
	}
}

// What the kernel sends and is answered: linux/fuse.h.
const (
	opOpen, opWrite, opRelease, opIoctl, opInterrupt, opInit = 14, 16, 18, 39, 36, 4096

	requestHead, answerHead = 40, 16
)

// request is one of the kernel's.
type request struct {
	op     uint32
	unique uint64
	body   []byte
}

// serve answers the kernel until it hangs up.
func serve(multiple uint32) error {
	fd, err := unix.Open("/dev/cuse", unix.O_RDWR|unix.O_CLOEXEC, 0)
	if err != nil {
		return fmt.Errorf("open /dev/cuse (modprobe cuse): %w", err)
	}
	dog := &dog{multiple: multiple, timeout: 60}
	buf := make([]byte, 128<<10)
	for {
		n, err := unix.Read(fd, buf)
		switch {
		case errors.Is(err, unix.EINTR):
			continue
		case errors.Is(err, unix.ENODEV):
			return nil
		case err != nil:
			return fmt.Errorf("read a request: %w", err)
		}
		r := request{binary.LittleEndian.Uint32(buf[4:]), binary.LittleEndian.Uint64(buf[8:]), buf[requestHead:n]}
		if r.op == opInterrupt {
			continue // wants no answer
		}
		body, failure := dog.answer(r)
		if _, err := unix.Write(fd, frame(r.unique, body, failure)); err != nil {
			return fmt.Errorf("answer request %d: %w", r.op, err)
		}
	}
}

func frame(unique uint64, body []byte, failure unix.Errno) []byte {
	out := make([]byte, answerHead, answerHead+len(body))
	binary.LittleEndian.PutUint32(out, uint32(answerHead+len(body)))
	binary.LittleEndian.PutUint32(out[4:], uint32(-int32(failure)))
	binary.LittleEndian.PutUint64(out[8:], unique)
	return append(out, body...)
}

func words(w ...uint32) (out []byte) {
	for _, u := range w {
		out = binary.LittleEndian.AppendUint32(out, u)
	}
	return out
}

// dog is the driver.
type dog struct {
	multiple, timeout uint32 // seconds
}

func (d *dog) answer(r request) ([]byte, unix.Errno) {
	switch r.op {
	case opInit:
		// Version, flags, sizes of reads and writes, numbers of the device, spares.
		head := append(words(7, binary.LittleEndian.Uint32(r.body[4:]), 0, 0, 4096, 4096, 0, 0), make([]byte, 40)...)
		return append(head, "DEVNAME=watchdog2\x00"...), 0
	case opOpen:
		return words(0, 0, 0, 0), 0
	case opWrite:
		return words(binary.LittleEndian.Uint32(r.body[16:]), 0), 0
	case opRelease:
		return nil, 0
	case opIoctl:
		return d.ioctl(binary.LittleEndian.Uint32(r.body[12:]), r.body[32:])
	}
	return nil, unix.ENOSYS
}

func (d *dog) ioctl(cmd uint32, in []byte) ([]byte, unix.Errno) {
	done := words(0, 0, 0, 0)
	switch cmd {
	case unix.WDIOC_GETSUPPORT:
		var name [32]byte
		copy(name[:], "lab rounding watchdog")
		return append(append(done, words(unix.WDIOF_MAGICCLOSE|unix.WDIOF_SETTIMEOUT|unix.WDIOF_KEEPALIVEPING, 0)...), name[:]...), 0
	case unix.WDIOC_SETTIMEOUT:
		d.timeout = (binary.LittleEndian.Uint32(in) + d.multiple - 1) / d.multiple * d.multiple
		return append(done, words(d.timeout)...), 0
	case unix.WDIOC_GETTIMEOUT:
		return append(done, words(d.timeout)...), 0
	case unix.WDIOC_KEEPALIVE, unix.WDIOC_SETOPTIONS:
		return done, 0
	}
	return nil, unix.ENOTTY
}
