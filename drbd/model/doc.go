// Package model imitates two DRBD nodes. It answers "what would the driver
// do?" for simulation and for predicting what a connection will lead to:
// which side of a handshake becomes the source, what survives a crash, when
// I/O freezes, which handler is called and what its answer changes.
//
// It has two layers. The lower one is functions on facts: [Compare] relates
// two nodes' generations, [Judge] carries the comparison on through the
// automatic recovery to the end of a handshake, [Sanitize] and [Check] say
// which states exist. The rules of the driver 8.4 and of DRBD 9 are two tables
// over the same vocabulary. The upper layer is [Node]: one end of a resource
// that takes events and answers with effects.
//
// It leaves time, transport and chance to the caller: a message, a handler's
// answer or a power cut comes when the caller hands it over, and generations
// are drawn from a seed. Left out are what two nodes with trusted arbitration
// never meet: third nodes (but for their bitmap slots in a comparison), online
// verification, congestion, stacked devices, resizing, and protocols so old
// that they lack a rule.
package model
