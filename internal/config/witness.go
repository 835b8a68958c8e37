package config

import (
	"fmt"
	"net/netip"
)

// Witness is what an arbiter host is told.
type Witness struct {
	Name     string
	Listen   netip.AddrPort
	StateDir string
	PKIDir   string
	// Fencing is how this host powers off nodes that their peers could not: by
	// cluster and node. Usually empty.
	Fencing map[string]map[string]Fencing

	src *source
}

// ParseWitness reads the text of a witness file. file is its name in errors,
// hostname the witness's name where the file gives none. The error is of type
// [Errors] and holds everything that is wrong.
func ParseWitness(file string, data []byte, hostname string) (Witness, error) {
	src, top, err := parse(file, data)
	if err != nil {
		return Witness{}, err
	}
	m := top.mapping("name", "listen", "state_dir", "pki", "fencing")
	w := Witness{
		Name:     or(m.get("name"), hostname, value.host),
		Listen:   or(m.get("listen"), netip.AddrPortFrom(netip.IPv4Unspecified(), defaultWitnessPort), addrPort(defaultWitnessPort)),
		StateDir: or(m.get("state_dir"), defaultStateDir, value.absolute),
		PKIDir:   or(m.get("pki"), defaultPKIDir, value.absolute),
		Fencing:  m.get("fencing").fencingOf(),
		src:      src,
	}
	if err := src.err(); err != nil {
		return Witness{}, err
	}
	return w, nil
}

// fencingOf reads the devices of each cluster's nodes. Two nodes with one device
// are refused: whoever is shot, the other one would be.
func (v value) fencingOf() map[string]map[string]Fencing {
	if v.absent() {
		return nil
	}
	out := map[string]map[string]Fencing{}
	seen := map[string]string{} // device or its address: whose
	for _, cluster := range v.keys() {
		nodes := map[string]Fencing{}
		for _, node := range cluster.value.keys() {
			f := node.value.fencing()
			nodes[node.name] = f
			node.value.foreignTo(f, cluster.name+"/"+node.name, seen)
		}
		if cluster.value.isMapping() && len(nodes) == 0 {
			cluster.value.fail("write NODE: [devices]", "names no node")
		}
		out[cluster.name] = nodes
	}
	return out
}

// foreignTo refuses devices that another node has already.
func (v value) foreignTo(f Fencing, owner string, seen map[string]string) {
	for i, level := range f {
		for j, d := range level {
			if d.Spec == nil {
				continue
			}
			key := d.Name()
			if address, part := d.Spec.unit(); address.IsValid() {
				key = address.String() + " " + part
			}
			if other, taken := seen[key]; taken && other != owner {
				v.src.addAt(v.deviceAt(i, j)+".address", fmt.Sprintf("this is the device of %s already: it cannot power off both", other), "write the other node's device")
			}
			seen[key] = owner
		}
	}
}
