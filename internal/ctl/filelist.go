package ctl

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"sbarbiter/recovery"
)

// listing is what a node has listed.
type listing recovery.Listing

// volumeOf is a volume's files, and whose they are.
type volumeOf struct {
	node string
	recovery.VolumeFiles
	// instead says of other lists of the volume why they were not taken.
	instead []string
}

// each volume of a node's listing.
func (l listing) each() []volumeOf {
	var out []volumeOf
	for _, v := range l.Volumes {
		out = append(out, volumeOf{node: string(l.Node), VolumeFiles: v})
	}
	return out
}

// place is where the list was read.
func (v volumeOf) place() string {
	if v.Mounted != "" {
		return fmt.Sprintf("%s, mounted at %s", v.node, v.Mounted)
	}
	return fmt.Sprintf("%s, %s, which is not mounted", v.node, v.From)
}

// problems are what a reader of the list should know.
func (v volumeOf) problems() []string {
	out := slices.Clone(v.instead)
	if v.Problem != "" {
		out = append(out, v.node+": "+v.Problem)
	}
	if n := len(v.Unreadable); n > 0 {
		out = append(out, fmt.Sprintf("%s: %d names cannot be read, as %q", v.node, n, v.Unreadable[0]))
	}
	return out
}

// fileLoss is what giving one side's copy up means for the files of a volume.
type fileLoss struct {
	Volume string `json:"volume"`
	Victim string `json:"victim"`
	// Compared: both lists are there. Else no difference means nothing.
	Compared bool `json:"compared"`
	// Against says which list it was compared with, where that could be one or another.
	Against  string                `json:"against,omitempty"`
	Problems []string              `json:"problems,omitempty"`
	Loss     recovery.Loss         `json:"loss"`
	Files    []recovery.Difference `json:"files"`
}

// losses compares two copies, volume by volume. What cannot be listed is said.
func losses(victim string, theirs, others []volumeOf, forks recovery.Forks) []fileLoss {
	var out []fileLoss
	for _, v := range theirs {
		l := fileLoss{Volume: v.Volume, Victim: victim, Problems: v.problems()}
		i := slices.IndexFunc(others, func(o volumeOf) bool { return o.Volume == v.Volume })
		if i >= 0 {
			l.Problems = append(l.Problems, others[i].problems()...)
		}
		slices.Sort(l.Problems)
		if i >= 0 && v.Entries != nil && others[i].Entries != nil {
			l.Compared = true
			l.Files = recovery.CompareFiles(v.Entries, others[i].Entries, forks)
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
	if l.Against != "" {
		fmt.Fprintf(b, "  compared with %s\n", shownAs(l.Against))
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
