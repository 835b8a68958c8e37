package drbd

import (
	"fmt"
	"path"
	"strconv"
	"strings"
)

// MetadataAccess is how drbdmeta finds a volume's metadata.
type MetadataAccess struct {
	Minor Minor
	// Words are minor, format, device and index, as drbdmeta takes them.
	Words []string
}

// External reports whether the metadata is on another device than the data.
func (a MetadataAccess) External() bool { return strings.Contains(a.Words[3], "external") }

// ParseMetadataAccess reads a line that drbdadm would run, as
// "drbdmeta 0 v08 /dev/vg0/r0 internal dump-md". For DRBD 9 it puts the directory that it
// was itself started from before the program.
func ParseMetadataAccess(line string) (MetadataAccess, error) {
	words := strings.Fields(line)
	if len(words) != 6 || path.Base(words[0]) != "drbdmeta" || words[5] != "dump-md" {
		return MetadataAccess{}, fmt.Errorf("read how to find metadata: %q is no call of drbdmeta", clip(line))
	}
	minor, err := strconv.ParseUint(words[1], 10, 20)
	if err != nil {
		return MetadataAccess{}, fmt.Errorf("read how to find metadata: %q is no minor", clip(words[1]))
	}
	return MetadataAccess{Minor: Minor(minor), Words: words[1:5]}, nil
}
