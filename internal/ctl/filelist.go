package ctl

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"sbarbiter/recovery"
)

// volumeFiles are the files of one volume, as a node's sbagent prints them.
type volumeFiles struct {
	Volume     string           `json:"volume"`
	From       string           `json:"from"`
	Problem    string           `json:"problem"`
	Entries    []recovery.Entry `json:"entries"`
	Unreadable []string         `json:"unreadable"`
}

type listing struct {
	Node    string        `json:"node"`
	Volumes []volumeFiles `json:"volumes"`
}

func (l listing) volume(name string) (volumeFiles, bool) {
	i := slices.IndexFunc(l.Volumes, func(v volumeFiles) bool { return v.Volume == name })
	if i < 0 {
		return volumeFiles{}, false
	}
	return l.Volumes[i], true
}

// fileLoss is what giving one side's copy up means for the files of a volume.
type fileLoss struct {
	Volume string `json:"volume"`
	Victim string `json:"victim"`
	// Compared: both lists are there. Else no difference means nothing.
	Compared bool                  `json:"compared"`
	Problems []string              `json:"problems,omitempty"`
	Loss     recovery.Loss         `json:"loss"`
	Files    []recovery.Difference `json:"files"`
}

// losses compares two listings, volume by volume. What cannot be listed is said.
func losses(victim, survivor listing, forks recovery.Forks) []fileLoss {
	var out []fileLoss
	for _, v := range victim.Volumes {
		l := fileLoss{Volume: v.Volume, Victim: victim.Node}
		s, there := survivor.volume(v.Volume)
		for node, of := range map[string]volumeFiles{victim.Node: v, survivor.Node: s} {
			if of.Problem != "" {
				l.Problems = append(l.Problems, node+": "+of.Problem)
			}
			if n := len(of.Unreadable); n > 0 {
				l.Problems = append(l.Problems, fmt.Sprintf("%s: %d names cannot be read, as %q", node, n, of.Unreadable[0]))
			}
		}
		slices.Sort(l.Problems)
		if there && v.Entries != nil && s.Entries != nil {
			l.Compared = true
			l.Files = recovery.CompareFiles(v.Entries, s.Entries, forks)
			l.Loss = recovery.CountLoss(l.Files)
		}
		out = append(out, l)
	}
	return out
}

// lost are the names that only the victim has, or has otherwise.
func (l fileLoss) lost() []string {
	var out []string
	for _, d := range l.Files {
		if d.Victim != nil && d.Victim.Kind != recovery.FileDir && (d.Fate == recovery.LostFile || d.Fate == recovery.LostChange) {
			out = append(out, d.Path)
		}
	}
	return out
}

// shown is how many files are listed where not all are asked for.
const shown = 40

// tellIf writes the list of what would be lost.
func (l fileLoss) tellIf(b *strings.Builder, on paper, most int) {
	fmt.Fprintf(b, "files of %s, if %s is discarded:\n", l.Volume, l.Victim)
	l.tell(b, on, most)
}

// tell writes the list for people, below its heading; what is lost first.
func (l fileLoss) tell(b *strings.Builder, on paper, most int) {
	for _, p := range l.Problems {
		fmt.Fprintf(b, "  %s\n", shownAs(p))
	}
	if !l.Compared {
		b.WriteString("  not compared: there are not two lists\n")
		return
	}
	if l.Files == nil {
		b.WriteString("  no difference\n")
		return
	}
	files := slices.Clone(l.Files)
	slices.SortStableFunc(files, func(x, y recovery.Difference) int { return gravity(y.Fate) - gravity(x.Fate) })
	g := heading("", "size", "written", "")
	for _, d := range files[:min(len(files), most)] {
		e := d.Victim
		if e == nil {
			e = d.Survivor
		}
		g.add(c(string(d.Fate)), c(recovery.Bytes(e.Size)), c(e.Written.Local().Format(time.DateTime)), c(d.Path))
	}
	g.draw(b, on)
	if more := len(files) - most; more > 0 {
		fmt.Fprintf(b, "and %d more; --all lists them\n", more)
	}
	fmt.Fprintf(b, "%d files are lost or reverted, with %s in them\n", l.Loss.Files, recovery.Bytes(l.Loss.Bytes))
}

func gravity(f recovery.Fate) int {
	switch f {
	case recovery.LostFile:
		return 3
	case recovery.LostChange:
		return 2
	case recovery.Undeleted:
		return 1
	case recovery.SurvivorOnly:
	}
	return 0
}

// ownFiles lists the files of a node's own copy.
func (a *app) ownFiles(ctx context.Context, node, group string) (listing, error) {
	var l listing
	if err := a.askNode(ctx, node, &l, "files", group); err != nil {
		return listing{}, err
	}
	return l, l.check()
}

// check refuses a list of volumes whose names cannot be: they become part of paths.
func (l listing) check() error {
	for _, v := range l.Volumes {
		if _, _, err := recovery.ParseVolume(v.Volume); err != nil {
			return fmt.Errorf("its answer makes no sense: %w", err)
		}
	}
	return nil
}
