// Package carry is a node's hands in a recovery: it measures this node's copy of
// a group and carries out the steps of a plan that are this node's. Which step
// comes next, and whether a plan still holds, others decide.
//
// Every step asks "already done?" first, so that it may be asked for again at any
// time, by whoever goes on with the recovery. None forces anything, and none
// resumes I/O: that would complete the frozen writes of a side that lost.
package carry
