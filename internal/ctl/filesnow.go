package ctl

import (
	"context"
	"fmt"
	"slices"

	"sbarbiter/recovery"
)

// filesNow lists what is there now of the volumes of a kept copy: each where it is
// mounted, else on the disk of the node that does not keep the copy. The keeper's own
// disk, while it is not mounted, may be what was given up still: beside that, nothing
// looks lost, and somebody releases the copy.
func (a *app) filesNow(ctx context.Context, group string, pair [2]string, keeper string, kept listing) []volumeOf {
	other := pair[0]
	if other == keeper {
		other = pair[1]
	}
	var lists []listing
	for _, node := range []string{other, keeper} {
		l, err := a.ownFiles(ctx, node, group)
		if err != nil {
			a.say("sbctl: no list of %s's files: %v", node, err)
			continue
		}
		lists = append(lists, listing{Node: recovery.Node(node), Volumes: l.Volumes})
	}
	var out []volumeOf
	for _, v := range kept.Volumes {
		var all []volumeOf
		for _, l := range lists {
			all = append(all, slices.DeleteFunc(l.each(), func(o volumeOf) bool { return o.Volume != v.Volume })...)
		}
		out = append(out, volumeNow(v.Volume, keeper, all))
	}
	return out
}

// volumeNow chooses among the lists of one volume, the keeper's last.
func volumeNow(volume, keeper string, lists []volumeOf) volumeOf {
	for _, l := range lists {
		if l.Entries != nil && l.Mounted != "" {
			return l
		}
	}
	none := volumeOf{VolumeFiles: recovery.VolumeFiles{Volume: volume}}
	for _, l := range lists {
		switch {
		case l.Entries != nil && l.node != keeper:
			return l
		case l.Entries != nil:
			none.instead = append(none.instead, fmt.Sprintf("%s: %s, which is not mounted and may be the copy that was given up itself: it is not compared with that", l.node, l.From))
		default:
			none.instead = append(none.instead, l.problems()...)
		}
	}
	return none
}

// compareWith notes which list each volume was compared with.
func compareWith(found []fileLoss, now []volumeOf) {
	for i, l := range found {
		if j := slices.IndexFunc(now, func(v volumeOf) bool { return v.Volume == l.Volume }); l.Compared && j >= 0 {
			found[i].Against = now[j].place()
		}
	}
}
