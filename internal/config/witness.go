package config

import (
	"net/netip"
)

// Witness is what an arbiter host is told.
type Witness struct {
	Name     string
	Listen   netip.AddrPort
	StateDir string
	PKIDir   string
}

// ParseWitness reads the text of a witness file. file is its name in errors,
// hostname the witness's name where the file gives none. The error is of type
// [Errors] and holds everything that is wrong.
func ParseWitness(file string, data []byte, hostname string) (Witness, error) {
	src, top, err := parse(file, data)
	if err != nil {
		return Witness{}, err
	}
	m := top.mapping("name", "listen", "state_dir", "pki")
	w := Witness{
		Name:     or(m.get("name"), hostname, value.host),
		Listen:   or(m.get("listen"), netip.AddrPortFrom(netip.IPv4Unspecified(), defaultWitnessPort), addrPort(defaultWitnessPort)),
		StateDir: or(m.get("state_dir"), defaultStateDir, value.absolute),
		PKIDir:   or(m.get("pki"), defaultPKIDir, value.absolute),
	}
	if err := src.err(); err != nil {
		return Witness{}, err
	}
	return w, nil
}
