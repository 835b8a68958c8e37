// Package raftlog keeps one machine the same on every witness: it stores
// commands in a replicated log (hashicorp/raft on a bbolt file) and feeds them
// to the machine in order. What a command means, and everything about time, is
// left to the machine and to the log's user; commands are opaque bytes.
//
// # Directory
//
// [Init] makes a state directory once, on an operator's word; [Open] never
// does, so a lost disk is noticed instead of being replaced by an empty one.
//
//	meta        who this is, in plain text with a checksum
//	raft.bolt   log, term and vote; its file lock keeps a second process out
//	snapshots/  the machine's state, two generations
//
// # What stops it
//
// A command that the machine cannot decode, a damaged entry, or a disk error
// other than "full" ends [Engine.Run] with that error. Nothing after it is
// applied or answered. A full disk does not: commands fail, leadership is given
// up, and the engine stands for election again about once a second until there
// is space.
//
// # Order of closing
//
// Run ends in this order: no new calls, calls under way are answered, the lead
// is handed to another voter if there is one, raft stops, the transport is
// closed, the bolt file is closed and its lock released.
package raftlog
