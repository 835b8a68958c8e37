package fencing

import "context"

// Identifier is a Fencer whose device can tell which machine it switches. It is
// asked by examinations alone: no shot waits for it, and nothing is proven by it.
type Identifier interface {
	// Machine returns the UUID that the device has for its machine (SMBIOS 7.2.1,
	// IPMI 2.0 section 22.14), "" where it has none.
	Machine(ctx context.Context) (string, error)
}
