package config

import (
	"cmp"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"net/netip"
	"slices"

	"sbarbiter/timing"
)

// Hash is a fingerprint of what both nodes' files must agree about: cluster and
// names, witnesses, links, timing, groups and what they run. It is the same on
// both nodes of a pair, whichever is "node" and whichever "peer". Left out is what
// may rightly differ: fence devices, reference addresses, the watchdog's device,
// directories and interface names.
func (n Node) Hash() string {
	text, err := json.Marshal(n.shared())
	if err != nil {
		// Only strings, numbers and addresses are in it; they can be written.
		panic("config: encode for the hash: " + err.Error())
	}
	sum := sha256.Sum256(text)
	return hex.EncodeToString(sum[:])
}

// sharedVersion changes with what is hashed, so that unlike versions never agree
// by chance.
const sharedVersion = 1

type sharedNode struct {
	Version   int
	Cluster   string
	Nodes     []string
	Witnesses []netip.AddrPort
	Links     [][]netip.AddrPort
	Timing    timing.Plan
	Groups    []sharedGroup
}

type sharedGroup struct {
	Group
	Services []sharedService
}

type sharedService struct {
	Kind string
	Service
}

func (n Node) shared() sharedNode {
	s := sharedNode{
		Version: sharedVersion, Cluster: n.Cluster, Timing: n.Timing,
		Nodes:     slices.Sorted(slices.Values([]string{n.Name, n.Peer})),
		Witnesses: slices.SortedFunc(slices.Values(n.Witnesses), netip.AddrPort.Compare),
	}
	for _, l := range n.Links {
		ends := []netip.AddrPort{zoneless(l.Local), zoneless(l.Peer)}
		slices.SortFunc(ends, netip.AddrPort.Compare)
		s.Links = append(s.Links, ends)
	}
	slices.SortFunc(s.Links, func(a, b []netip.AddrPort) int { return slices.CompareFunc(a, b, netip.AddrPort.Compare) })
	for _, g := range n.Groups {
		shared := sharedGroup{Group: g}
		for _, service := range g.Services {
			if a, ok := service.Spec.(Address); ok {
				a.Interface = ""
				service.Spec = a
			}
			shared.Services = append(shared.Services, sharedService{service.Spec.Kind(), service})
		}
		s.Groups = append(s.Groups, shared)
	}
	slices.SortFunc(s.Groups, func(a, b sharedGroup) int { return cmp.Compare(a.Name, b.Name) })
	return s
}

// zoneless drops the interface from a link-local address: it is each node's own.
func zoneless(a netip.AddrPort) netip.AddrPort {
	return netip.AddrPortFrom(a.Addr().WithZone(""), a.Port())
}
