package agent

import (
	"bytes"
	"encoding/json"
	"fmt"
	"time"

	"sbarbiter/arbiter"
	"sbarbiter/internal/boottime"
	"sbarbiter/recovery"
)

// Memory is what a node must not forget, fsynced before anything is said that
// depends on it.
type Memory struct {
	Floor    arbiter.Epoch                   `json:"floor"` // highest epoch seen
	Seen     arbiter.Version                 `json:"seen"`  // highest version of a witness seen
	Groups   map[arbiter.GroupID]GroupMemory `json:"groups"`
	Mandates []arbiter.MandateID             `json:"mandates,omitempty"` // begun, and perhaps in flight
	Begun    arbiter.MandateID               `json:"begun,omitempty"`    // the highest ever begun here
	// Reviving is the shot after which the peer is to be switched on again and is not
	// known to be; 0: none.
	Reviving arbiter.MandateID        `json:"reviving,omitempty"`
	Asking   map[arbiter.GroupID]bool `json:"asking,omitempty"` // open asks
	// Promise is the longest promise that may still bind: a shorter one in the
	// configuration counts only once this one has run out.
	Promise time.Duration `json:"promise,omitempty"`
	Words   uint64        `json:"words,omitempty"` // records of its own given so far
	// Left is the boot that ended in order: its machine was shut down, so that its
	// disks have written what was in their caches.
	Left arbiter.BootID `json:"left,omitempty"`
	// Tenures are for when this node was Primary, oldest first.
	Tenures map[arbiter.GroupID][]recovery.Tenure `json:"tenures,omitempty"`
	// Fresh: the store began empty, and no witness has spoken since. What it lacks
	// it lacks in the next life of the agent too.
	Fresh bool `json:"fresh,omitempty"`
}

// GroupMemory is what a node must not forget about a group.
type GroupMemory struct {
	Holder    arbiter.NodeID `json:"holder,omitempty"` // the last known
	Epoch     arbiter.Epoch  `json:"epoch,omitempty"`  // of that holder
	GivenBack bool           `json:"given_back,omitempty"`
	// Reinstated is the highest epoch that the peer was promised after a boot
	// of its: that boot is no later word of the peer.
	Reinstated arbiter.Epoch           `json:"reinstated,omitempty"`
	Excluded   arbiter.ExclusionNumber `json:"excluded,omitempty"` // of the own copy, as a witness said
	OwnWord    uint64                  `json:"own_word,omitempty"` // number of the own record that the copy is stale
	Obtained   arbiter.ExclusionNumber `json:"obtained,omitempty"` // of the peer's copy, at this node's request
	PeerWord   uint64                  `json:"peer_word,omitempty"`
	// Spoilt: the disk has failed, and the copy was not declared bad as a whole since.
	Spoilt bool `json:"spoilt,omitempty"`
	// Obeyed is the latest order to give the copy up that was carried out or begun.
	Obeyed  arbiter.ExclusionNumber `json:"obeyed,omitempty"`
	Pending bool                    `json:"pending,omitempty"` // no witness has heard of PeerWord yet
}

// NewMemory returns the memory of a node that has none.
func NewMemory() *Memory {
	return &Memory{Groups: map[arbiter.GroupID]GroupMemory{}, Asking: map[arbiter.GroupID]bool{}}
}

type storedMemory struct {
	Version int     `json:"v"`
	Memory  *Memory `json:"memory"`
}

const memoryVersion = 1

// Encode writes m for the store.
func (m *Memory) Encode() []byte {
	b, err := json.Marshal(storedMemory{memoryVersion, m})
	if err != nil {
		panic("agent: encode memory: " + err.Error()) // plain data: cannot fail
	}
	return b
}

// DecodeMemory reads what Encode wrote.
func DecodeMemory(b []byte) (*Memory, error) {
	s := storedMemory{Memory: NewMemory()}
	d := json.NewDecoder(bytes.NewReader(b))
	d.DisallowUnknownFields()
	if err := d.Decode(&s); err != nil {
		return nil, fmt.Errorf("decode agent memory: %w", err)
	}
	if s.Version != memoryVersion || s.Memory == nil {
		return nil, fmt.Errorf("decode agent memory: format %d, this program knows %d; run the version of sbagent that wrote it, or a later one", s.Version, memoryVersion)
	}
	return s.Memory, nil
}

// BootMemory dies with the machine's boot: what a restarted agent goes by.
type BootMemory struct {
	Boot   arbiter.BootID                `json:"boot"`
	Groups map[arbiter.GroupID]HeldRight `json:"groups"`
	// Cleared: the quarantine of this boot is over.
	Cleared bool `json:"cleared,omitempty"`
	// Joined are the groups whose DRBD was let look for its peer.
	Joined []arbiter.GroupID `json:"joined,omitempty"`
	// Followed are the groups whose copy was given up here, and whose resync was looked
	// after last.
	Followed []arbiter.GroupID `json:"followed,omitempty"`
	// Orderly: the boot before this one ended in order.
	Orderly bool `json:"orderly,omitempty"`
}

// HeldRight is a right to run a group, in instants of this boot.
type HeldRight struct {
	Epoch   arbiter.Epoch    `json:"epoch"`
	Sent    boottime.Instant `json:"sent,omitempty"` // of the latest request that has made it longer
	Lease   boottime.Instant `json:"lease"`          // runs out at
	Promise boottime.Instant `json:"promise"`        // the peer's; runs out at
	Started bool             `json:"started"`
	// Stopping: a stop was ordered; it runs to its end.
	Stopping bool `json:"stopping,omitempty"`
	Barred   bool `json:"barred,omitempty"` // its addresses are blocked
}

// Encode writes b for the file under /run.
func (b *BootMemory) Encode() []byte {
	out, err := json.Marshal(b)
	if err != nil {
		panic("agent: encode boot memory: " + err.Error()) // plain data: cannot fail
	}
	return out
}

// DecodeBootMemory reads what Encode wrote; anything else, or another boot's,
// counts as nothing.
func DecodeBootMemory(raw []byte, boot arbiter.BootID) *BootMemory {
	b := &BootMemory{}
	if err := json.Unmarshal(raw, b); err != nil || b.Boot != boot || b.Groups == nil {
		return &BootMemory{Boot: boot, Groups: map[arbiter.GroupID]HeldRight{}}
	}
	return b
}
