package ipmi

import (
	"crypto/hmac"
	"encoding/binary"
	"net"
	"sync"

	"github.com/bougou/go-ipmi/pkg/crypto"
	"github.com/bougou/go-ipmi/pkg/types"
)

// The layout of an RMCP+ packet (IPMI 2.0, table 13-8): the RMCP header, then
// authentication type, payload type, session, sequence, length, payload, pad,
// pad length, next header, and the authentication code.
const (
	offFormat   = 4
	offType     = 5
	offSession  = 6
	offLength   = 14
	offPayload  = 16
	formatPlus  = 0x06
	typeMask    = 0x3f
	sealed      = 0xc0 // encrypted and authenticated, payload type IPMI
	offRandom   = 8    // in RAKP message 1 (table 13-11)
	offRole     = 24
	trailerSize = 2  // pad length and next header
	minSealed   = 32 // initialisation vector and one block of AES
)

// line is the UDP connection to a BMC that hands on only what can be believed.
//
// The library decrypts an answer without looking at its authentication code,
// takes one that is neither signed nor encrypted, and trusts the padding it
// finds in it: whoever can send a datagram could say "power is off", or crash
// the process. So the code is checked here, before the library sees the packet.
// Copies of an earlier answer, which a repeated request brings, are dropped too.
type line struct {
	net.Conn

	mu      sync.Mutex // guards the rest
	want    uint8      // payload type that is waited for
	random  [16]byte   // sent in RAKP message 1
	role    uint8
	key     []byte // K1, once the BMC has proved that it knows the password
	alg     types.IntegrityAlg
	session uint32 // our own id
}

// Write sends one packet and remembers which answer it asks for.
func (l *line) Write(packet []byte) (int, error) {
	l.sending(packet)
	return l.Conn.Write(packet)
}

func (l *line) sending(packet []byte) {
	if len(packet) < offPayload {
		return
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	switch kind := packet[offType] & typeMask; types.PayloadType(kind) {
	case types.PayloadTypeIPMI:
		l.want = uint8(types.PayloadTypeIPMI)
	case types.PayloadTypeRAKPMessage1:
		if len(packet) > offPayload+offRole {
			copy(l.random[:], packet[offPayload+offRandom:])
			l.role = packet[offPayload+offRole]
		}
		l.want = kind + 1
	default:
		l.want = kind + 1 // every answer of the session setup is its request's number plus one
	}
}

// arm makes the line demand that packets are signed with the key of this
// session.
func (l *line) arm(user, password string, suite types.CipherSuiteID, consoleSession uint32, bmcRandom [16]byte) error {
	auth, alg, _, _ := types.GetCipherSuiteAlgorithms(suite)
	l.mu.Lock()
	defer l.mu.Unlock()
	sik, err := crypto.DeriveSIK(auth, l.random[:], bmcRandom[:], l.role, user, crypto.PadPassword20([]byte(password)))
	if err != nil {
		return err
	}
	l.key, err = crypto.DeriveK1(auth, sik)
	l.alg, l.session = alg, consoleSession
	return err
}

// Read returns the next packet that answers the last request. Others are
// dropped, as if they had been lost on the way.
func (l *line) Read(b []byte) (int, error) {
	for {
		n, err := l.Conn.Read(b)
		if err != nil {
			return n, err
		}
		if l.admits(b[:n]) {
			return fillRefusal(b, n), nil
		}
	}
}

// fillRefusal completes a refusal of the session setup to the eight bytes that
// the specification demands. OpenIPMI's BMC sends the tag and the status only,
// which the library takes for a broken packet: it would not try the next cipher
// suite.
func fillRefusal(b []byte, n int) int {
	const status, full = 1, 8
	payload := n - offPayload
	if b[offType] == sealed || payload <= status || payload >= full || b[offPayload+status] == 0 || len(b) < offPayload+full {
		return n
	}
	clear(b[n : offPayload+full])
	binary.LittleEndian.PutUint16(b[offLength:], full)
	return offPayload + full
}

func (l *line) admits(packet []byte) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(packet) < offPayload || packet[offFormat] != formatPlus {
		return false
	}
	payload := int(binary.LittleEndian.Uint16(packet[offLength:]))
	if len(packet) < offPayload+payload {
		return false
	}
	if l.want != uint8(types.PayloadTypeIPMI) {
		return packet[offType] == l.want && binary.LittleEndian.Uint32(packet[offSession:]) == 0
	}
	size, ok := crypto.IntegrityAuthCodeLen(l.alg)
	if !ok || l.key == nil || packet[offType] != sealed || payload < minSealed || len(packet) < offPayload+payload+trailerSize+size {
		return false
	}
	if binary.LittleEndian.Uint32(packet[offSession:]) != l.session {
		return false
	}
	signed, code := packet[offFormat:len(packet)-size], packet[len(packet)-size:]
	want, err := crypto.SessionIntegrityAuthCode(l.alg, signed, l.key, "")
	return err == nil && hmac.Equal(want, code)
}

// dialer hands an open line to the library, which would resolve names without
// a context and cannot write the address of an IPv6 host.
type dialer struct{ l *line }

// Dial returns the line, whatever the address.
func (d dialer) Dial(string, string) (net.Conn, error) { return d.l, nil }
