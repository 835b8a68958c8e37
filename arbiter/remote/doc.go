// Package remote answers what a witness says: it keeps an agent's one session to
// the leader, whichever witness that is, carries requests to it, and tells
// verdicts from failures. It decides nothing: when to say what, and what an
// answer means, is the agent's business, to which everything comes as an event.
//
// An error means only that nothing is known. The request may have been carried
// out.
package remote
