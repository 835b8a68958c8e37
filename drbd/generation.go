package drbd

import (
	"fmt"
	"strconv"
	"strings"
)

// UUID identifies a generation of data. In the current UUID, bit 0 is no part
// of the identity: it says that the node is Primary.
type UUID uint64

// JustCreated is the current UUID of metadata that never held data
// (UUID_JUST_CREATED in the kernel's drbd.h).
const JustCreated UUID = 4

// Same reports whether u and v name the same generation.
func (u UUID) Same(v UUID) bool { return u&^1 == v&^1 }

// String formats u as DRBD's tools do.
func (u UUID) String() string { return fmt.Sprintf("%016X", uint64(u)) }

// Generations are the generation identifiers and metadata flags of one volume,
// as "get-gi" prints them.
type Generations struct {
	Current UUID
	Bitmap  UUID    // where the peer was left behind; 0 if it was not
	History [2]UUID // younger first
	Flags   GenerationFlags
}

// GenerationFlags are the flags of the metadata. Those that a family does not
// have stay false.
type GenerationFlags struct {
	Consistent        bool
	WasUpToDate       bool
	Primary           bool // is or was
	Connected         bool // is or was
	FullSync          bool // was setting every bit of the bitmap
	PeerOutdated      bool // the peer is recorded as outdated or inconsistent
	CrashedPrimary    bool // and has not seen its peer since
	ActivityLogClean  bool // DRBD 9
	ActivityLogOff    bool // DRBD 9
	PrimaryLostQuorum bool // DRBD 9
	PeerFencing       bool // DRBD 9: a fencing policy other than dont-care
	PeerDeviceSeen    bool // DRBD 9
}

// Alone reports whether the copy may have what its peer has not: it has left the peer
// behind, and was not begun to be overwritten since.
func (g Generations) Alone() bool { return g.Bitmap != 0 && g.Flags.Consistent }

// ParseGI reads a line of "drbdadm get-gi" or "drbdsetup get-gi": four UUIDs
// and the flags, 7 of them on 8.4 and 12 on 9.
func ParseGI(text string) (Generations, error) {
	columns := strings.Split(strings.TrimSpace(text), ":")
	var g Generations
	flags := g.Flags.columns(len(columns) - 4)
	if flags == nil {
		return Generations{}, fmt.Errorf("read generations %q: %d columns, neither 11 (8.4) nor 16 (9)", clip(text), len(columns))
	}
	for i, to := range []*UUID{&g.Current, &g.Bitmap, &g.History[0], &g.History[1]} {
		n, err := strconv.ParseUint(columns[i], 16, 64)
		if err != nil {
			return Generations{}, fmt.Errorf("read generations: column %d is no UUID: %q", i+1, clip(columns[i]))
		}
		*to = UUID(n)
	}
	for i, to := range flags {
		switch columns[4+i] {
		case "0":
		case "1":
			*to = true
		default:
			return Generations{}, fmt.Errorf("read generations: column %d is no flag: %q", 5+i, clip(columns[4+i]))
		}
	}
	return g, nil
}

// columns returns where the family with n flags puts each of them, or nil.
func (f *GenerationFlags) columns(n int) []*bool {
	switch n {
	case 7:
		return []*bool{
			&f.Consistent, &f.WasUpToDate, &f.Primary, &f.Connected, &f.FullSync, &f.PeerOutdated, &f.CrashedPrimary,
		}
	case 12:
		return []*bool{
			&f.Consistent, &f.WasUpToDate, &f.Primary, &f.CrashedPrimary, &f.ActivityLogClean, &f.ActivityLogOff,
			&f.PrimaryLostQuorum, &f.Connected, &f.PeerOutdated, &f.PeerFencing, &f.FullSync, &f.PeerDeviceSeen,
		}
	}
	return nil
}

// clip shortens outside text for an error message.
func clip(text string) string {
	const most = 120
	if len(text) > most {
		return text[:most] + "..."
	}
	return text
}
