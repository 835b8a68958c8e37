package model

import (
	"math/bits"
	"slices"

	"sbarbiter/drbd"
)

// bitset is a bitmap of blocks.
type bitset []uint64

func newBitset(blocks int) bitset { return make(bitset, (blocks+63)/64) }

func (s bitset) has(b Block) bool { return s[b/64]>>(b%64)&1 != 0 }
func (s bitset) set(b Block)      { s[b/64] |= 1 << (b % 64) }
func (s bitset) clear(b Block)    { s[b/64] &^= 1 << (b % 64) }

func (s bitset) count() uint64 {
	n := 0
	for _, w := range s {
		n += bits.OnesCount64(w)
	}
	return uint64(n)
}

// add sets every bit of other.
func (s bitset) add(other bitset) {
	for i, w := range other {
		s[i] |= w
	}
}

// disk is one volume's copy on one node: the medium, the cache before it that
// a power cut may lose, and DRBD's own record. It outlives crashes.
type disk struct {
	medium []Stamp
	cache  []content // oldest first; a block is in it once
	// The rest is metadata, which is written through.
	generation Generation
	flags      drbd.GenerationFlags
	differs    bitset // from the peer
	// hot are the extents of the activity log, least recently used first.
	hot []int
}

// Blocks are counted in extents by the activity log, which remembers only so
// many. The real ones hold 1024 blocks; a small disk needs smaller ones to
// have several.
const extentBlocks = 8

func newDisk(blocks int) disk {
	return disk{medium: make([]Stamp, blocks), generation: Generation{Current: justCreated}, differs: newBitset(blocks)}
}

func (d *disk) clone() disk {
	c := *d
	c.medium, c.cache = slices.Clone(d.medium), slices.Clone(d.cache)
	c.differs, c.hot = slices.Clone(d.differs), slices.Clone(d.hot)
	return c
}

func (d *disk) blocks() int { return len(d.medium) }

// read returns what the disk would answer: the cache first.
func (d *disk) read(b Block) Stamp {
	for _, c := range d.cache {
		if c.block == b {
			return c.stamp
		}
	}
	return d.medium[b]
}

// write puts a block into the cache.
func (d *disk) write(b Block, s Stamp) {
	d.cache = slices.DeleteFunc(d.cache, func(c content) bool { return c.block == b })
	d.cache = append(d.cache, content{b, s})
}

// destage moves one block from the cache to the medium.
func (d *disk) destage(b Block) {
	for i, c := range d.cache {
		if c.block == b {
			d.medium[b] = c.stamp
			d.cache = slices.Delete(d.cache, i, i+1)
			return
		}
	}
}

// flush moves all of the cache to the medium.
func (d *disk) flush() {
	for _, c := range d.cache {
		d.medium[c.block] = c.stamp
	}
	d.cache = d.cache[:0]
}

func extentOf(b Block) int { return int(b) / extentBlocks }

// warm notes in the activity log that a block's extent is being written. A
// full log forgets the extent that was used least recently, and flushes first:
// what it no longer covers must be on the medium. Extents in use stay; where
// the driver would wait for one of them, this log grows for a while.
func (d *disk) warm(b Block, limit int, inUse func(extent int) bool) {
	extent := extentOf(b)
	if i := slices.Index(d.hot, extent); i >= 0 {
		d.hot = slices.Delete(d.hot, i, i+1)
	} else if len(d.hot) >= limit {
		if i := slices.IndexFunc(d.hot, func(e int) bool { return !inUse(e) }); i >= 0 {
			d.flush()
			d.hot = slices.Delete(d.hot, i, i+1)
		}
	}
	d.hot = append(d.hot, extent)
}

// applyLog marks every block of the hot extents as differing: after a crash
// nobody knows which of them the peer has.
func (d *disk) applyLog() {
	for _, extent := range d.hot {
		for b := extent * extentBlocks; b < min((extent+1)*extentBlocks, d.blocks()); b++ {
			d.differs.set(Block(b))
		}
	}
	d.hot = nil
}

func (d *disk) markAll() {
	for b := range d.blocks() {
		d.differs.set(Block(b))
	}
}

// stateAtAttach is what the metadata says about the copy.
func (d *disk) stateAtAttach(c Config) drbd.DiskState {
	switch {
	case !d.flags.Consistent:
		return drbd.DiskInconsistent
	case !d.flags.WasUpToDate:
		return drbd.DiskOutdated
	case d.flags.PeerOutdated || !c.Fencing.asks():
		return drbd.DiskUpToDate
	}
	return drbd.DiskConsistent
}
