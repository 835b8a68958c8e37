// Package witness answers agents and operators: it is the gRPC service on top of
// a replicated log. It decides nothing. Who may write is decided by package
// arbiter, what time means by package leader; here is the one goroutine that
// drives a leadership, the streams to the agents, and the audit file.
//
// # Who owns what
//
// The office, one goroutine, owns the leadership and the list of sessions. It
// never waits: proposals and verifications run beside it and come back as
// events, answers to a session go into a bounded outbox. The engine's goroutine
// owns the replicated state; the office takes copies of it. The audit writer owns
// the audit file.
//
// # Order of closing
//
// No new calls; sessions and event streams end and calls under way are answered,
// for a bounded time; the office ends; the engine hands its lead over and stops;
// what is left of the audit log is written and its file closed.
package witness
