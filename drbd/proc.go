package drbd

import (
	"fmt"
	"strconv"
	"strings"
)

// Proc is what /proc/drbd says. DRBD 9 has no device lines there.
type Proc struct {
	Version string // of the driver, such as 8.4.11
	Family  Family
	Devices []ProcDevice
}

// ProcDevice is one minor's lines in 8.4's /proc/drbd.
type ProcDevice struct {
	Minor Minor
	// Unconfigured minors are known to the driver and used by nobody.
	Unconfigured bool
	Conn         ConnState
	Replication  ReplState
	Role         Role
	PeerRole     Role
	Disk         DiskState
	PeerDisk     DiskState
	Suspended    bool
	OutOfSyncKiB uint64
	WrittenKiB   uint64 // since the disk was attached
}

// ParseProcDRBD reads /proc/drbd of either family. It is an error if the text
// has no version line, or names a driver of neither family.
func ParseProcDRBD(text string) (Proc, error) {
	var p Proc
	for n, line := range strings.Split(text, "\n") {
		if err := p.line(strings.Fields(line)); err != nil {
			return Proc{}, fmt.Errorf("read /proc/drbd line %d: %w", n+1, err)
		}
	}
	if p.Family == FamilyNone {
		return Proc{}, fmt.Errorf("read /proc/drbd: no version of driver 8.4 or 9 in it")
	}
	return p, nil
}

func (p *Proc) line(words []string) error {
	if len(words) < 2 {
		return nil
	}
	if words[0] == "version:" {
		p.Version, p.Family = words[1], familyOf(words[1])
		return nil
	}
	if minor, ok := procMinor(words[0]); ok && strings.HasPrefix(words[1], "cs:") {
		dev, err := parseProcDevice(minor, words[1:])
		p.Devices = append(p.Devices, dev)
		return err
	}
	if strings.HasPrefix(words[0], "ns:") && len(p.Devices) > 0 {
		return p.Devices[len(p.Devices)-1].counters(words)
	}
	return nil
}

// familyOf takes 8.4 and what came after it in the same line, and every 9.
func familyOf(version string) Family {
	switch {
	case strings.HasPrefix(version, "8.4."):
		return Family84
	case strings.HasPrefix(version, "9."):
		return Family9
	}
	return FamilyNone
}

func procMinor(word string) (Minor, bool) {
	digits, ok := strings.CutSuffix(word, ":")
	n, err := strconv.ParseUint(digits, 10, 20)
	return Minor(n), ok && err == nil
}

func parseProcDevice(minor Minor, words []string) (ProcDevice, error) {
	d := ProcDevice{Minor: minor}
	cs := strings.TrimPrefix(words[0], "cs:")
	if cs == "Unconfigured" {
		d.Unconfigured = true
		d.Conn, d.Replication, d.Disk = ConnStandAlone, ReplOff, DiskDiskless
		d.Role, d.PeerRole, d.PeerDisk = RoleSecondary, RoleUnknown, DiskUnknown
		return d, nil
	}
	d.Conn, d.Replication = ParseCState(cs)
	for _, word := range words[1:] {
		f, _ := splitField(word)
		mine, peers, pair := strings.Cut(f.value, "/")
		switch {
		case f.key == "ro" && pair:
			d.Role, d.PeerRole = ParseRole(mine), ParseRole(peers)
		case f.key == "ds" && pair:
			d.Disk, d.PeerDisk = ParseDiskState(mine), ParseDiskState(peers)
		}
	}
	if d.Role == "" || d.Disk == "" {
		return d, fmt.Errorf("minor %d: no ro: and ds: pairs", minor)
	}
	// The flags close the line; the protocol's letter before them is a blank
	// while StandAlone, so nothing can be counted from the left.
	d.Suspended = strings.HasPrefix(words[len(words)-1], "s")
	return d, nil
}

func (d *ProcDevice) counters(words []string) (err error) {
	for _, word := range words {
		f, ok := splitField(word)
		switch {
		case !ok:
		case f.key == "oos":
			d.OutOfSyncKiB, err = parseCount(f)
		case f.key == "dw":
			d.WrittenKiB, err = parseCount(f)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// WithProc returns r with what only 8.4's /proc/drbd knows filled in: each
// volume's own role, its counts of what is out of sync and was written and, while StandAlone, what is
// recorded about the peer's disks. Volumes whose minor it does not list stay as
// they are.
func (r Resource) WithProc(p Proc) Resource {
	r = r.Clone()
	alone := r.Peer == nil && len(r.Volumes) > 0
	peer := Connection{NodeID: NoNodeID, State: ConnStandAlone, PeerRole: RoleUnknown}
	for i := range r.Volumes {
		v := &r.Volumes[i]
		d, ok := p.device(v.Minor)
		if !ok || d.Conn != ConnStandAlone {
			alone = false
		}
		if ok {
			v.Role, v.OutOfSyncKiB, v.WrittenKiB = d.Role, d.OutOfSyncKiB, max(v.WrittenKiB, d.WrittenKiB)
		}
		peer.Volumes = append(peer.Volumes, d.peerVolume(v.Number))
	}
	if alone {
		r.Peer = &peer
	}
	return r
}

func (d ProcDevice) peerVolume(number int) PeerVolume {
	return PeerVolume{Number: number, Replication: d.Replication, PeerDisk: d.PeerDisk, OutOfSyncKiB: d.OutOfSyncKiB}
}

// AtProc returns r as 8.4's /proc/drbd shows it now: roles, disks and the
// connection are p's, while names, sizes and the reasons of a suspension stay
// those of r. Ok is false if p does not have every volume of r configured;
// then p says nothing about this resource.
func (r Resource) AtProc(p Proc) (now Resource, ok bool) {
	now = r.WithProc(p)
	peer := Connection{Name: "peer", NodeID: 0}
	if now.Peer != nil {
		peer = *now.Peer
	}
	peer.Volumes = nil
	now.Role = RoleUnknown
	for i := range now.Volumes {
		v := &now.Volumes[i]
		d, found := p.device(v.Minor)
		if !found || d.Unconfigured {
			return Resource{}, false
		}
		v.Disk = d.Disk
		if now.Role != RolePrimary {
			now.Role = d.Role // the highest, as the tools show it
		}
		peer.State, peer.PeerRole = d.Conn, d.PeerRole
		peer.Volumes = append(peer.Volumes, d.peerVolume(v.Number))
	}
	now.Peer = &peer
	return now, len(now.Volumes) > 0
}

func (p Proc) device(m Minor) (ProcDevice, bool) {
	for _, d := range p.Devices {
		if d.Minor == m {
			return d, true
		}
	}
	return ProcDevice{}, false
}
