package config

import (
	"path"
	"strconv"
	"strings"
	"time"
)

// SnapshotDriver says how a copy is kept before it is given up.
type SnapshotDriver string

// The drivers. Auto goes by what the backing device is.
const (
	SnapshotAuto    SnapshotDriver = "auto"
	SnapshotCopy    SnapshotDriver = "copy"
	SnapshotLVM     SnapshotDriver = "lvm"
	SnapshotZFS     SnapshotDriver = "zfs"
	SnapshotReflink SnapshotDriver = "reflink"
	SnapshotCommand SnapshotDriver = "command"
	SnapshotNone    SnapshotDriver = "none"
)

// Snapshots is how and where this node keeps what a recovery overwrites.
type Snapshots struct {
	Driver    SnapshotDriver
	Directory string
	Quota     uint64 // bytes of all copies together
	CopyUpTo  uint64 // bytes of the largest volume that is copied whole
	Command   []string
	// RemindAfter is the age from which somebody is reminded of a copy; 0: nobody is.
	RemindAfter time.Duration
}

const (
	mostDays           = 3650
	defaultRemindAfter = 30 * 24 * time.Hour
	defaultQuota       = 64 << 30
	defaultCopyUpTo    = 4 << 30
)

// snapshots reads the section, which may be absent.
func (v value) snapshots(stateDir string) Snapshots {
	m := v.mapping("driver", "directory", "quota", "copy_up_to", "command", "remind_after")
	s := Snapshots{
		Driver: or(m.get("driver"), SnapshotAuto, func(v value) SnapshotDriver {
			return SnapshotDriver(v.oneOf(string(SnapshotAuto), string(SnapshotCopy), string(SnapshotLVM), string(SnapshotZFS),
				string(SnapshotReflink), string(SnapshotCommand), string(SnapshotNone)))
		}),
		Directory:   or(m.get("directory"), path.Join(stateDir, "kept"), value.absolute),
		Quota:       or(m.get("quota"), defaultQuota, value.bytes),
		CopyUpTo:    or(m.get("copy_up_to"), defaultCopyUpTo, value.bytes),
		Command:     m.get("command").argv(),
		RemindAfter: or(m.get("remind_after"), defaultRemindAfter, value.days),
	}
	if isCommand := s.Driver == SnapshotCommand; isCommand != (len(s.Command) > 0) {
		m.get("command").fail("write driver: command and command: [/path/of/program]", "driver command and a command belong together")
	}
	return s
}

// days reads a number of days, as 30d.
func (v value) days() time.Duration {
	raw := v.text()
	n, err := strconv.ParseUint(strings.TrimSuffix(raw, "d"), 10, 16)
	if err != nil || !strings.HasSuffix(raw, "d") || n > mostDays {
		v.fail("write it as 30d; 0d for never", "%q is not a number of days", raw)
		return 0
	}
	return time.Duration(n) * 24 * time.Hour
}

// Probe is a command that prints how far an application has come; for people.
type Probe struct {
	Name    string
	Command []string
	Timeout time.Duration
}

const defaultProbeTimeout = 5 * time.Second

func (v value) probe() Probe {
	m := v.mapping("name", "command", "timeout")
	return Probe{
		Name:    m.need("name", "gtid").name(),
		Command: m.need("command", "[/usr/local/sbin/position]").argv(),
		Timeout: or(m.get("timeout"), defaultProbeTimeout, value.duration),
	}
}
