package store

import (
	"encoding/binary"
	"fmt"
	"hash/crc32"
)

// A file is, numbers in network order:
//
//	4  "SBST"
//	2  version
//	   kind, cluster, node, boot id: each its length in 1 byte, then itself
//	4  length of the body, then the body
//	4  CRC-32C of all of the above
//
// The last line holds for every version: damage is told from a newer sbarbiter.
const (
	magic       = "SBST"
	fileVersion = 1
	crcSize     = 4
	maxField    = 255
)

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

type record struct {
	kind string
	id   Identity
	boot string
	body []byte
}

// encode needs fields of at most maxField bytes, which their constructors check.
func encode(r record) []byte {
	b := append([]byte(nil), magic...)
	b = binary.BigEndian.AppendUint16(b, fileVersion)
	for _, field := range []string{r.kind, r.id.Cluster, r.id.Node, r.boot} {
		b = append(b, byte(len(field)))
		b = append(b, field...)
	}
	b = binary.BigEndian.AppendUint32(b, uint32(len(r.body)))
	return sum(append(b, r.body...))
}

// sum appends the checksum of b.
func sum(b []byte) []byte {
	return binary.BigEndian.AppendUint32(b, crc32.Checksum(b, castagnoli))
}

// damage is why bytes are no record.
type damage string

func (d damage) Error() string { return string(d) }

// decode returns a damage, or an error that wraps [ErrVersion].
func decode(b []byte) (r record, err error) {
	if len(b) > maxFile {
		return r, damage(fmt.Sprintf("more than %d bytes", maxFile))
	}
	if len(b) < len(magic)+2+crcSize {
		return r, damage(fmt.Sprintf("%d bytes are too short", len(b)))
	}
	stored := binary.BigEndian.Uint32(b[len(b)-crcSize:])
	b = b[:len(b)-crcSize]
	if crc32.Checksum(b, castagnoli) != stored {
		return r, damage("its checksum is wrong")
	}
	if string(b[:len(magic)]) != magic {
		return r, damage("it is no state file")
	}
	b = b[len(magic):]
	if v := binary.BigEndian.Uint16(b); v != fileVersion {
		return r, fmt.Errorf("%w: format %d, this agent knows %d", ErrVersion, v, fileVersion)
	}
	b = b[2:]
	for _, field := range []*string{&r.kind, &r.id.Cluster, &r.id.Node, &r.boot} {
		if len(b) == 0 || len(b) < 1+int(b[0]) {
			return r, damage("it ends within its header")
		}
		*field, b = string(b[1:1+int(b[0])]), b[1+int(b[0]):]
	}
	if len(b) < 4 || int64(binary.BigEndian.Uint32(b)) != int64(len(b)-4) {
		return r, damage("its length is wrong")
	}
	r.body = b[4:]
	return r, nil
}
