package recovery

import (
	"cmp"
	"encoding/json"
	"slices"
	"time"
	"unicode/utf8"
)

// FileKind is what an entry of a file system is.
type FileKind string

// Kinds of entries; all that is not one of the first three is FileOther.
const (
	FileRegular FileKind = "file"
	FileDir     FileKind = "directory"
	FileLink    FileKind = "link"
	FileOther   FileKind = "other"
)

// Entry is one file of a side's copy.
type Entry struct {
	Path    string    `json:"path"` // from the root of the file system, without a leading slash
	Kind    FileKind  `json:"kind"`
	Size    uint64    `json:"size"`
	Inode   uint64    `json:"inode"`
	Written time.Time `json:"written"` // mtime: anybody may set it
	// Changed is the inode's ctime: only the kernel sets it. In two copies of one
	// file system a file with the same inode and ctime was touched by neither.
	Changed time.Time `json:"changed"`
}

// entry has no methods of its own.
type entry Entry

// shipped is an entry on its way: a name that is not UTF-8 would not be the same
// after it.
type shipped struct {
	entry
	Raw []byte `json:"path_bytes,omitempty"`
}

// MarshalJSON writes a name that is not UTF-8 as bytes besides.
func (e Entry) MarshalJSON() ([]byte, error) {
	s := shipped{entry: entry(e)}
	if !utf8.ValidString(e.Path) {
		s.Raw = []byte(e.Path)
	}
	return json.Marshal(s) //nolint:wrapcheck // the encoder names the place
}

// UnmarshalJSON reads what MarshalJSON has written.
func (e *Entry) UnmarshalJSON(b []byte) error {
	var s shipped
	if err := json.Unmarshal(b, &s); err != nil {
		return err //nolint:wrapcheck // the decoder names the place
	}
	*e = Entry(s.entry)
	if s.Raw != nil {
		e.Path = string(s.Raw)
	}
	return nil
}

// touched reports whether the entry was changed after the fork. A zero fork is
// not known, and then nothing is said to be untouched.
func (e Entry) touched(fork time.Time) bool { return fork.IsZero() || e.Changed.After(fork) }

// Fate is what becomes of a file if the victim's copy is given up.
type Fate string

// The fates. What cannot be told apart without a time of the fork is called by
// what is lost: the worse of two readings.
const (
	LostFile     Fate = "lost"       // only the victim has it: added there, or deleted on the survivor
	LostChange   Fate = "reverted"   // the victim's version goes, the survivor's stays
	Undeleted    Fate = "comes back" // deleted on the victim, untouched on the survivor
	SurvivorOnly Fate = "kept"       // added or changed on the survivor alone: no loss
)

// Difference is a file in which two copies differ.
type Difference struct {
	Path string `json:"path"`
	Fate Fate   `json:"fate"`
	// Victim and Survivor are the file on each side; nil: it is not there.
	Victim   *Entry `json:"victim,omitempty"`
	Survivor *Entry `json:"survivor,omitempty"`
}

// Forks are when each side's own clock read the moment of the fork; zero: not
// known.
type Forks struct{ Victim, Survivor time.Time }

// CompareFiles lists in which files two copies of one file system differ, by
// path. A directory whose contents alone differ is not listed.
func CompareFiles(victim, survivor []Entry, fork Forks) []Difference {
	theirs := map[string]Entry{}
	for _, s := range survivor {
		theirs[s.Path] = s
	}
	var out []Difference
	for _, v := range victim {
		s, both := theirs[v.Path]
		delete(theirs, v.Path)
		switch {
		case !both:
			out = append(out, onlyOnVictim(v, fork))
		case v.same(s) || v.Kind == FileDir && s.Kind == FileDir:
		default:
			out = append(out, Difference{Path: v.Path, Fate: fateOf(v, fork), Victim: &v, Survivor: &s})
		}
	}
	for _, s := range theirs {
		fate := SurvivorOnly
		if !fork.Survivor.IsZero() && !s.touched(fork.Survivor) {
			fate = Undeleted
		}
		out = append(out, Difference{Path: s.Path, Fate: fate, Survivor: &s})
	}
	slices.SortFunc(out, func(a, b Difference) int { return cmp.Compare(a.Path, b.Path) })
	return out
}

func (e Entry) same(f Entry) bool {
	return e.Kind == f.Kind && e.Inode == f.Inode && e.Size == f.Size && e.Changed.Equal(f.Changed) && e.Written.Equal(f.Written)
}

// onlyOnVictim: it was added there, or the survivor has deleted it. Deleting it
// was the survivor's wish if the victim has not touched it since.
func onlyOnVictim(v Entry, fork Forks) Difference {
	d := Difference{Path: v.Path, Fate: LostFile, Victim: &v}
	if !v.touched(fork.Victim) {
		d.Fate = SurvivorOnly
	}
	return d
}

func fateOf(v Entry, fork Forks) Fate {
	if !v.touched(fork.Victim) {
		return SurvivorOnly
	}
	return LostChange
}

// Loss counts what a list of differences gives up.
type Loss struct {
	Files int    `json:"files"` // lost or reverted
	Bytes uint64 `json:"bytes"` // of their contents on the victim
}

// CountLoss adds up what is given up.
func CountLoss(list []Difference) Loss {
	var l Loss
	for _, d := range list {
		if d.Victim == nil || d.Fate != LostFile && d.Fate != LostChange {
			continue
		}
		l.Files++
		if d.Victim.Kind == FileRegular {
			l.Bytes += d.Victim.Size
		}
	}
	return l
}
