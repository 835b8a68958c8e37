package drbd

import (
	"errors"
	"fmt"
	"strconv"
	"strings"
)

// Metadata is what "dump-md" says of a volume that its generations do not.
type Metadata struct {
	Size uint64 // bytes of data
	// OutOfSync counts the bytes that the bitmap has marked as differing from the
	// peer. While the disk is attached the driver knows better.
	OutOfSync uint64
	// Clean says that the activity log was applied; else blocks that it names may
	// differ as well. It is not while the disk is attached.
	Clean bool
	// Several says that there is more than one bitmap, as DRBD 9 has them with max-peers
	// above 1: OutOfSync is of the last one alone, which is all that drbdmeta counts.
	Several bool
}

// ParseMetadata reads the text of "drbdmeta dump-md" of either family: a text of
// statements, in which comments tell what was counted. Of DRBD 9's bitmaps, one
// for each peer, a pair has one.
func ParseMetadata(text string) (Metadata, error) {
	m, version, sized, counted := Metadata{Clean: true}, "", false, false
	var bits, perBit uint64
	for line := range strings.Lines(text) {
		words := strings.Fields(strings.ReplaceAll(line, ";", " "))
		if strings.Contains(line, "unclean") {
			m.Clean = false
		}
		if len(words) == 3 && words[0] == "#" {
			words = words[1:]
		}
		if len(words) != 2 {
			continue
		}
		n, err := strconv.ParseUint(words[1], 10, 63)
		switch {
		case words[0] == "version":
			version = words[1]
		case err != nil:
		case words[0] == "la-size-sect":
			m.Size, sized = n<<9, true
		case words[0] == "max-peers":
			m.Several = n > 1
		case words[0] == "bm-byte-per-bit":
			perBit = n
		case words[0] == "bits-set":
			bits, counted = bits+n, true
		}
	}
	if version != `"v08"` && version != `"v09"` {
		return Metadata{}, fmt.Errorf("read metadata: version %s is neither v08 nor v09", clip(version))
	}
	if !sized || perBit == 0 {
		return Metadata{}, errors.New("read metadata: it does not say how large the volume is")
	}
	if !counted { // which comes after the bitmap: nothing counted is not nothing changed
		return Metadata{}, errors.New("read metadata: it ends before it says how much has changed")
	}
	m.OutOfSync = bits * perBit
	return m, nil
}

// StoredDisk is the state in which a disk with these generations is attached, as
// long as it has not met its peer (both families, with fencing).
func (g Generations) StoredDisk() DiskState {
	switch {
	case !g.Flags.Consistent:
		return DiskInconsistent
	case !g.Flags.WasUpToDate:
		return DiskOutdated
	}
	return DiskConsistent
}

// VolumeOf finds the number of the volume with a minor, in "drbdadm dump".
func VolumeOf(dump Section, resource string, m Minor) (int, bool) {
	res, ok := dump.resource(resource)
	if !ok {
		return 0, false
	}
	for _, host := range append([]Section{res}, res.all("on")...) {
		if host.minor() == m { // the only volume needs no section of its own
			return 0, true
		}
		for _, vol := range host.all("volume") {
			if n, err := strconv.Atoi(strings.Join(vol.Args, "")); err == nil && vol.minor() == m {
				return n, true
			}
		}
	}
	return 0, false
}

// minor is what a volume's device statement says: "device /dev/drbd0 minor 0".
func (s Section) minor() Minor {
	for _, o := range s.Options {
		if n := len(o.Values); o.Keyword == "device" && n > 1 && o.Values[n-2] == "minor" {
			if m, err := strconv.ParseUint(o.Values[n-1], 10, 20); err == nil {
				return Minor(m)
			}
		}
	}
	return NoMinor
}
