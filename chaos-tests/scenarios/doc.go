// Package scenarios holds the stories that a pair has to survive, each a test
// of real programs on real DRBD nodes: what breaks, what has to follow and in
// what time. In every one of them nobody writes beside somebody else, no
// acknowledged record is lost and at most one node is shot.
package scenarios
