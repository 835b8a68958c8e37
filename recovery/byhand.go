package recovery

import (
	"fmt"
	"slices"
	"strings"

	"sbarbiter/drbd"
)

// byHand says step by step how one side's copy is kept of all volumes where no command
// does that. With metadata made anew on the other side DRBD copies all of it, on either
// family, whatever the two had to do with each other before: to invalidate it is not
// enough on 9, which goes by the generations. Only what a person copies away is kept.
func (e Evidence) byHand(d Diagnosis) string {
	a, b := e.Sides[0].Node, e.Sides[1].Node
	all := e.resources(func(int) bool { return true })
	where, force := "the disks beneath them", ""
	if r := e.resources(func(i int) bool { return d.Volumes[i].Kind == NoGoodCopy }); r != "" {
		where = "the disks beneath them on both nodes"
		force = fmt.Sprintf("; on %[1]s: drbdadm primary --force %[2]s (type it again where DRBD refuses it at first), and drbdadm secondary %[2]s", a, r)
	}
	return fmt.Sprintf("Choose one side for all volumes, by what the applications' own tools say of both. "+
		"To keep %[1]s's (or %[2]s's, with the names exchanged): sbctl maintenance on --for 2h; on both: systemctl stop sbagent; "+
		"on %[2]s: drbdadm down %[3]s; copy %[4]s away, as nothing else keeps what they hold; on %[2]s: drbdadm create-md %[3]s%[5]s; "+
		"on %[2]s: drbdadm up %[3]s; on %[1]s, where that is StandAlone: drbdadm connect %[3]s. "+
		"Once drbdadm status says UpToDate of both sides, give the group back: on both: systemctl start sbagent; sbctl maintenance off; "+
		"and if sbctl status calls both copies stale: sbctl group init %[6]s --keep %[1]s --reason 'brought together by hand'", a, b, all, where, force, e.Group)
}

// resources are those of the volumes that are wanted, as they are typed.
func (e Evidence) resources(wanted func(i int) bool) string {
	var out []string
	for i, v := range e.Sides[0].Volumes {
		if wanted(i) && !slices.Contains(out, v.Resource) {
			out = append(out, v.Resource)
		}
	}
	return strings.Join(out, " ")
}

// noneWhole tells what both sides have of the volumes of which no copy is good.
func (e Evidence) noneWhole(d Diagnosis) string {
	var out []string
	a, b := e.Sides[0], e.Sides[1]
	for i, f := range d.Volumes {
		if f.Kind == NoGoodCopy {
			out = append(out, fmt.Sprintf("%s is %s on %s and %s on %s", f.Volume, a.Volumes[i].Disk, a.Node, b.Volumes[i].Disk, b.Node))
		}
	}
	return "the copy that DRBD would take is itself not consistent: " + strings.Join(out, ", ")
}

// diskless names the disks that are not there, and how each comes back.
func (e Evidence) diskless() (why, advice string) {
	var gone, attach []string
	for _, s := range e.Sides {
		for _, v := range s.Volumes {
			if !v.Disk.AtLeast(drbd.DiskInconsistent) {
				gone = append(gone, fmt.Sprintf("%s is %s on %s", v.Name(), v.Disk, s.Node))
				attach = append(attach, fmt.Sprintf("on %s: drbdadm attach %s", s.Node, v.Name()))
			}
		}
	}
	return "a copy cannot be looked at: " + strings.Join(gone, ", "),
		fmt.Sprintf("%s (a disk that has failed is replaced before that, and the new one gets its metadata by drbdadm create-md); then look again: sbctl resolve %s --dry-run",
			strings.Join(attach, "; "), e.Group)
}

// strangers names the volumes whose copies have nothing in common.
func strangers(d Diagnosis) string {
	var out []string
	for _, f := range d.Volumes {
		if f.Kind == Unrelated {
			out = append(out, f.Volume)
		}
	}
	return strings.Join(out, ", ")
}
