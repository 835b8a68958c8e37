package recovery

import (
	"sbarbiter/drbd"
)

// Generations of the real 8.4 driver: two sides that were both promoted after
// their link was cut.
const (
	giOlder   = "6BB4841B974EA3B3:2118A6CB62BB9567:0000000000000000:0000000000000000:1:1:1:0:0:0:0"
	giYounger = "D6F3F795B57E18AB:2118A6CB62BB9566:0000000000000000:0000000000000000:1:1:1:0:0:0:0"
	// in step with each other, before the cut
	giBoth = "2118A6CB62BB9566:0000000000000000:0000000000000000:0000000000000000:1:1:0:1:0:0:0"
	giNew  = "0000000000000004:0000000000000000:0000000000000000:0000000000000000:0:0:0:0:0:0:0"
	// nothing in common with the others
	giStranger = "AAAA000000000002:BBBB000000000002:CCCC000000000002:DDDD000000000002:1:1:0:0:0:0:0"
	// nor has this, but an empty history, which 8.4 takes for the same one
	giYoungStranger = "AAAA000000000002:BBBB000000000002:0000000000000000:0000000000000000:1:1:0:0:0:0:0"
	// two pairs of which both began with new disks, and went on alone later
	giBegun1 = "1111000000000002:2222000000000002:3333000000000002:0000000000000004:1:1:0:0:0:0:0"
	giBegun2 = "AAAA000000000002:BBBB000000000002:CCCC000000000002:0000000000000004:1:1:0:0:0:0:0"
	// two new disks, each of which somebody has forced
	giForced1 = "1111000000000002:0000000000000004:0000000000000000:0000000000000000:1:1:0:0:0:0:0"
	giForced2 = "AAAA000000000002:0000000000000004:0000000000000000:0000000000000000:1:1:0:0:0:0:0"
	// a further promotion alone: the fork is history on both sides
	giOldFork1 = "1111000000000002:2222000000000002:2118A6CB62BB9566:0000000000000000:1:1:0:0:0:0:0"
	giOldFork2 = "3333000000000002:4444000000000002:2118A6CB62BB9566:0000000000000000:1:1:0:0:0:0:0"
)

const mib = 1 << 20

func counted(n uint64) *uint64 { return &n }

// split is a pair of which node-a was the holder under epoch 8, and node-b was
// promoted by hand afterwards.
func split() Evidence {
	return Evidence{Group: "nfs", Sides: [2]Side{
		{
			Node: "node-a", Family: drbd.Family84, Role: drbd.RolePrimary,
			Volumes: []Volume{{Resource: "r0", Size: 256 * mib, Disk: drbd.DiskUpToDate, Generations: giOlder, OutOfSync: counted(10 * mib), SnapshotRoom: 256 * mib}},
			Tenures: []Tenure{{Epoch: 8, Leased: true}},
		},
		{
			Node: "node-b", Family: drbd.Family84, Role: drbd.RoleSecondary,
			Volumes: []Volume{{Resource: "r0", Size: 256 * mib, Disk: drbd.DiskUpToDate, Generations: giYounger, OutOfSync: counted(2 * mib), SnapshotRoom: 256 * mib}},
			Tenures: []Tenure{{Epoch: 4, Leased: true}, {Epoch: 8}},
		},
	}}
}

// with returns the evidence changed.
func (e Evidence) with(change func(*Evidence)) Evidence {
	for i := range e.Sides {
		e.Sides[i].Volumes = append([]Volume(nil), e.Sides[i].Volumes...)
		e.Sides[i].Tenures = append([]Tenure(nil), e.Sides[i].Tenures...)
	}
	change(&e)
	return e
}

// turned returns the same evidence with the sides in the other order.
func (e Evidence) turned() Evidence {
	e.Sides[0], e.Sides[1] = e.Sides[1], e.Sides[0]
	return e
}

// second gives both sides a second volume that differs by so much.
func second(a, b uint64) func(*Evidence) {
	return func(e *Evidence) {
		for i, n := range []uint64{a, b} {
			v := e.Sides[i].Volumes[0]
			v.Resource, v.OutOfSync = "r1", counted(n)
			e.Sides[i].Volumes = append(e.Sides[i].Volumes, v)
		}
	}
}
