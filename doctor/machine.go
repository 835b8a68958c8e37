package doctor

import (
	"encoding/hex"
	"slices"
	"strings"
)

// Machine reports whether s is the UUID of some machine: boards that were never
// given one show zeros or ones.
func Machine(s string) bool {
	_, ok := uuid(s)
	return ok
}

// SameMachine reports whether two UUIDs are of one machine. The first three
// fields of one are printed as numbers, and are stored by a PC with their low
// byte first (SMBIOS 7.2.1); IPMI 2.0 (section 20.8) sends all of it in reverse.
// BMCs do all of this, so that any of these orders counts.
func SameMachine(a, b string) bool {
	x, ok := uuid(a)
	y, known := uuid(b)
	if !ok || !known {
		return false
	}
	back := slices.Clone(x)
	slices.Reverse(back)
	return slices.Equal(x, y) || slices.Equal(fields(x), y) || slices.Equal(back, y) || slices.Equal(fields(back), y)
}

func uuid(s string) ([]byte, bool) {
	raw, err := hex.DecodeString(strings.ReplaceAll(strings.TrimSpace(s), "-", ""))
	if err != nil || len(raw) != 16 {
		return nil, false
	}
	first := raw[0]
	blank := (first == 0 || first == 0xff) && !slices.ContainsFunc(raw, func(b byte) bool { return b != first })
	return raw, !blank
}

// fields returns a UUID with the bytes of its first three fields in reverse.
func fields(u []byte) []byte {
	out := slices.Clone(u)
	slices.Reverse(out[0:4])
	slices.Reverse(out[4:6])
	slices.Reverse(out[6:8])
	return out
}
