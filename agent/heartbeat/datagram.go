package heartbeat

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"hash"

	"sbarbiter/internal/boottime"
)

// A datagram on the wire, numbers in network order:
//
//	4  "SBH" and the version
//	4  link: the first bytes of SHA-256 of its name
//	1  length of the boot id, then the boot id
//	8  incarnation of the sender
//	8  seq: one per payload, the same on all links
//	8  clock: the sender's boot time when it left
//	   echo, of what the sender received on this link:
//	8    incarnation it belongs to; 0 when nothing was received
//	8    newest seq received on any link
//	1    how many of the last "span" arrived on this link
//	1    span
//	8    clock of the last one that arrived on this link
//	4    microseconds since then; the greatest value also means "more"
//	2  length of the payload, then the payload
//	32 HMAC-SHA256 of all of the above
const (
	version     = 1
	headerFixed = 4 + 4 + 1 + 8 + 8 + 8 + 30 + 2
	maxDatagram = headerFixed + maxName + MaxPayload + sha256.Size
	minDatagram = headerFixed + 1 + sha256.Size

	holdUnknown = ^uint32(0)
)

var (
	errMalformed = errors.New("not a heartbeat of ours")
	errVersion   = errors.New("another version of the heartbeat")
	errAuth      = errors.New("authentication is wrong")
)

// echo tells the other side how its own datagrams fare on one link.
type echo struct {
	incarnation uint64
	newest      uint64
	received    uint8
	span        uint8
	clock       boottime.Instant
	hold        uint32 // microseconds
}

type datagram struct {
	link        uint32
	boot        string
	incarnation uint64
	seq         uint64
	clock       boottime.Instant
	echo        echo
	payload     []byte // borrowed from the buffer it was decoded from
}

// linkTag is what a datagram carries for a link's name.
func linkTag(name string) uint32 {
	sum := sha256.Sum256([]byte(name))
	return binary.BigEndian.Uint32(sum[:])
}

// seal authenticates one direction between two nodes of one cluster. It is for
// one goroutine.
type seal struct {
	mac hash.Hash
	sum [sha256.Size]byte
}

// newSeal derives the key of one direction, so that a datagram sent back to its
// author, or shown to another cluster with the same secret, is worth nothing.
func newSeal(key []byte, cluster, sender, receiver string) *seal {
	kdf := hmac.New(sha256.New, key)
	kdf.Write([]byte("sbarbiter heartbeat datagram\x00"))
	for _, name := range []string{cluster, sender, receiver} {
		var n [2]byte
		binary.BigEndian.PutUint16(n[:], uint16(len(name)))
		kdf.Write(n[:])
		kdf.Write([]byte(name))
	}
	return &seal{mac: hmac.New(sha256.New, kdf.Sum(nil))}
}

func (s *seal) of(b []byte) []byte {
	s.mac.Reset()
	s.mac.Write(b)
	return s.mac.Sum(s.sum[:0])
}

// encode appends d to dst.
func (s *seal) encode(dst []byte, d *datagram) []byte {
	start := len(dst)
	be := binary.BigEndian
	dst = append(dst, 'S', 'B', 'H', version)
	dst = be.AppendUint32(dst, d.link)
	dst = append(dst, byte(len(d.boot)))
	dst = append(dst, d.boot...)
	dst = be.AppendUint64(dst, d.incarnation)
	dst = be.AppendUint64(dst, d.seq)
	dst = be.AppendUint64(dst, uint64(d.clock))
	dst = be.AppendUint64(dst, d.echo.incarnation)
	dst = be.AppendUint64(dst, d.echo.newest)
	dst = append(dst, d.echo.received, d.echo.span)
	dst = be.AppendUint64(dst, uint64(d.echo.clock))
	dst = be.AppendUint32(dst, d.echo.hold)
	dst = be.AppendUint16(dst, uint16(len(d.payload)))
	dst = append(dst, d.payload...)
	return append(dst, s.of(dst[start:])...)
}

// decode reads b, which stays the owner of d's payload. Nothing behind the
// version is looked at before the authentication has held.
func (s *seal) decode(b []byte, d *datagram) error {
	if len(b) < minDatagram || len(b) > maxDatagram || string(b[:3]) != "SBH" {
		return errMalformed
	}
	if b[3] != version {
		return fmt.Errorf("%w: %d, this agent speaks %d", errVersion, b[3], version)
	}
	body, tag := b[:len(b)-sha256.Size], b[len(b)-sha256.Size:]
	if !hmac.Equal(s.of(body), tag) {
		return errAuth
	}
	return d.parse(body[4:])
}

func (d *datagram) parse(b []byte) error {
	boot := int(b[4])
	if boot == 0 || boot > maxName || len(b)+4 < headerFixed+boot {
		return errMalformed
	}
	be := binary.BigEndian
	d.link = be.Uint32(b)
	d.boot = string(b[5 : 5+boot])
	b = b[5+boot:]
	d.incarnation = be.Uint64(b)
	d.seq = be.Uint64(b[8:])
	d.clock = boottime.Instant(be.Uint64(b[16:]))
	d.echo = echo{
		incarnation: be.Uint64(b[24:]),
		newest:      be.Uint64(b[32:]),
		received:    b[40],
		span:        b[41],
		clock:       boottime.Instant(be.Uint64(b[42:])),
		hold:        be.Uint32(b[50:]),
	}
	d.payload = b[56:]
	if int(be.Uint16(b[54:])) != len(d.payload) || len(d.payload) > MaxPayload {
		return errMalformed
	}
	if d.incarnation == 0 || d.seq == 0 || d.echo.received > d.echo.span || d.echo.span > windowSpan {
		return errMalformed
	}
	return nil
}
