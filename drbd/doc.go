// Package drbd knows DRBD's facts: what its states mean, how its tools print
// them, what its kernel asks of a handler, which command line does what, and
// which settings arbitration depends on. It answers "what does DRBD say, and
// how is it told?" for resources of two nodes, on the in-tree driver 8.4 and
// on DRBD 9 alike.
//
// It is pure: text goes in, values come out. Running the tools and following
// their event stream is the shell's business (package kernel); whether a node
// may be promoted is the agent's.
//
// Every parser ignores keys that it does not know, since newer tools add some,
// and turns a state that it does not know into an explicit Unrecognised, which
// no question about health ever answers with yes. A value that a text left out
// is the empty string, and counts just as little.
package drbd
