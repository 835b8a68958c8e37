// Package bubble runs the shells as they are, in fake time: witnesses on raft,
// bolt files and gRPC with certificates, and the runners of two nodes, inside
// one testing/synctest bubble. It answers "does what the cores decide survive
// the shells?": goroutines, closing, leader changes, failing disks, a day of
// renewals.
//
// Real are: raft, the bolt file on a real disk, the audit file, gRPC, TLS, the
// agent's client, runner, machine and store. Made up are: the wires (package
// bufconn's and raft's in memory, both behind a switch), and on a node DRBD,
// services, power, heartbeats and the watchdog. Everything waits on the bubble's
// clock, which jumps ahead when all wait; a host's boot-time clock is derived
// from it and may run fast or slow.
package bubble
