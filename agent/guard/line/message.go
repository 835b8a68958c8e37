// Package line is the line between an agent and its guard: what they say to each
// other, and the agent's end of it. The line is a socket of this machine, one
// message in one packet. What a word means is decided by package guard.
package line

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net/netip"
	"time"

	"sbarbiter/agent/guard"
	"sbarbiter/internal/boottime"
)

// SocketName is the socket's name in the runtime directory.
const SocketName = "guard.sock"

// Version is of the words below. Both ends must speak the same one.
const Version = 1

// MaxPacket bounds one message.
const MaxPacket = 64 << 10

// Hello introduces an agent.
type Hello struct {
	Version     int           `json:"v"`
	Boot        string        `json:"boot"`
	Incarnation uint64        `json:"incarnation"`
	Terms       guard.Terms   `json:"terms"` // without the watchdog, which the guard opens
	Device      string        `json:"device,omitempty"`
	Timeout     time.Duration `json:"timeout,omitempty"`
	Plans       []Plan        `json:"plans,omitempty"`
}

// Plan is how a group is stopped without its agent.
type Plan struct {
	Group     guard.GroupID           `json:"group"`
	Addresses []netip.Addr            `json:"addresses,omitempty"`
	Steps     map[guard.Step][]string `json:"steps"` // the command of each step
}

// Word is what may be running on this node, said again and again.
type Word struct {
	Number uint64           `json:"n"`
	At     boottime.Instant `json:"at"`
	Rights []guard.Right    `json:"rights,omitempty"`
}

// Farewell is why an agent ends.
type Farewell string

// The farewells.
const (
	Stays  Farewell = "groups go on" // for the agent that comes next
	Disarm Farewell = "nothing runs" // the watchdog may stop counting
)

// Message is one packet to the guard; exactly one of its parts is set.
type Message struct {
	Hello    *Hello   `json:"hello,omitempty"`
	Word     *Word    `json:"word,omitempty"`
	Farewell Farewell `json:"farewell,omitempty"`
}

// Welcome answers a Hello. With Err, the agent cannot be served, and the reason
// is for people.
type Welcome struct {
	Err  string          `json:"err,omitempty"`
	Down []guard.GroupID `json:"down,omitempty"` // stopped by the guard since they were handed over
	Dog  Dog             `json:"dog"`
}

// Dog is the watchdog that the guard feeds.
type Dog struct {
	Path     string        `json:"path,omitempty"`
	Driver   string        `json:"driver"`
	Software bool          `json:"software,omitempty"`
	Timeout  time.Duration `json:"timeout"` // as it counts; 0: there is none
}

// Reply is one packet to the agent; one of its parts is set.
type Reply struct {
	Welcome *Welcome      `json:"welcome,omitempty"`
	Took    guard.GroupID `json:"took,omitempty"`
	Done    *Done         `json:"done,omitempty"`
}

// Done answers a farewell.
type Done struct {
	Err string `json:"err,omitempty"`
}

// Encode writes a message or a reply.
func Encode(m any) []byte {
	b, err := json.Marshal(m)
	if err != nil {
		panic("line: encode: " + err.Error()) // plain data: cannot fail
	}
	return b
}

// DecodeMessage reads what an agent has sent. Whatever it does not know is an
// error: nothing is taken from half a word.
func DecodeMessage(b []byte) (Message, error) {
	var m Message
	if err := decode(b, &m); err != nil {
		return Message{}, err
	}
	parts := 0
	for _, has := range []bool{m.Hello != nil, m.Word != nil, m.Farewell != ""} {
		if has {
			parts++
		}
	}
	if parts != 1 {
		return Message{}, fmt.Errorf("decode message: it has %d parts, not one", parts)
	}
	if m.Farewell != "" && m.Farewell != Stays && m.Farewell != Disarm {
		return Message{}, fmt.Errorf("decode message: unknown farewell %q", m.Farewell)
	}
	return m, nil
}

func decode(b []byte, into any) error {
	d := json.NewDecoder(bytes.NewReader(b))
	d.DisallowUnknownFields()
	if err := d.Decode(into); err != nil {
		return fmt.Errorf("decode message: %w", err)
	}
	if d.More() {
		return fmt.Errorf("decode message: something follows it")
	}
	return nil
}
