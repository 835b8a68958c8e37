// Package fencing answers "is the other node's power off, and how sure are
// we?". It holds what counts as proof (the grades), the levels of devices that
// are tried, and [Shot], the machine that decides which device is asked next and
// when to stop. It reads no clock and talks to no device: package shooter
// performs a Shot's actions with drivers that fill the port [Fencer], and who
// may be shot at all is the arbiter's business.
package fencing
