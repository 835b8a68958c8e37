// Package kernel is the only one that runs DRBD's tools: it follows the event
// stream of a node's resources and carries out what the agent decided. It
// decides nothing itself; what the tools say is package drbd's to understand.
//
// Every action asks first whether its end is reached already, acts, and reads
// the state back, since the tools exit 0 also where nothing was done. An error
// that is [ErrRefused] means that DRBD said no. Every other error means that
// the outcome is not known: the command may still take effect.
//
// No action but [Driver.PromoteOutdated] uses --force, and nothing here ever resumes
// frozen I/O: that would turn writes that only this node has into acknowledged ones.
package kernel
