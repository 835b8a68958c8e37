package recovery

import "time"

// What a node's sbagent prints about its copy and sbctl reads. Both have it from here: a key
// that only one of them knew would read as nothing, and where nothing is lost, somebody
// gives a copy up.

// Measured is a side with the group that it is of.
type Measured struct {
	Group string `json:"group"`
	Side  Side   `json:"side"`
}

// KeptCopy is what a node keeps of a volume whose copy was given up.
type KeptCopy struct {
	Recovery string    `json:"recovery"`
	Group    string    `json:"group"`
	Resource string    `json:"resource"`
	Number   int       `json:"number"`
	Driver   string    `json:"driver"`
	Source   string    `json:"source"` // what to look into: a file or a device
	Made     time.Time `json:"made"`
	Bytes    uint64    `json:"bytes"` // of room that it takes at the most
	// What was kept, and what DRBD said of it right before.
	Device     string  `json:"device"`
	Size       uint64  `json:"size"`
	Written    uint64  `json:"written_kib,omitempty"` // since the disk was attached
	Marked     *uint64 `json:"marked,omitempty"`
	Generation string  `json:"generation,omitempty"`
	// What a look at it has found.
	Age time.Duration `json:"age_ns"`
	// Lost says why it is not what it was any more; "": it is, as far as can be told.
	Lost string `json:"lost,omitempty"`
	// Filled is how much of its room is used up, in percent, of a copy that is lost once
	// that is full.
	Filled float64 `json:"filled_percent,omitempty"`
}

// Listing is the files of a node's copy of a group.
type Listing struct {
	Node    Node          `json:"node"`
	Group   string        `json:"group"`
	Volumes []VolumeFiles `json:"volumes"`
}

// VolumeFiles are the files of one volume of a copy.
type VolumeFiles struct {
	Volume string `json:"volume"` // as r0/0
	// From says where they were read.
	From string `json:"from,omitempty"`
	// Mounted is where it is; "": it was read off a disk.
	Mounted string `json:"mounted,omitempty"`
	// Problem says why there is no list, or what may be missing in it.
	Problem string `json:"problem,omitempty"`
	// Entries is nil where there is no list. One of nothing is a list.
	Entries    []Entry  `json:"entries"`
	Unreadable []string `json:"unreadable,omitempty"`
}
