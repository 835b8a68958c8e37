package main

import (
	"bytes"
	"strings"
	"testing"

	"sbarbiter/recovery/carry"
)

func TestAnUndoingThatIsDoneSaysSoAndWhatIsNext(t *testing.T) {
	g := carry.Group{Name: "nfs", Resources: []string{"r0", "r1"}}
	done := []carry.Undone{{Volume: "r0/0", Differs: 5 << 20, From: "/kept/a", Kept: "undo-1"}, {Volume: "r1/0", From: "/kept/b", Kept: "undo-1"}}
	for _, c := range []struct {
		all  []carry.Undone
		wish carry.Wish
		want string
	}{
		{done, carry.CarryOut, "r0/0: put back: 5.0 MiB were written from /kept/a\n" +
			"r1/0: nothing was written: it is as it was kept in /kept/b already\n" +
			"What was there is kept here as recovery undo-1: sbctl --cluster nfs1 salvage nfs --recovery undo-1\n" +
			"Next: drbdadm secondary r0 r1; then systemctl start sbagent on both nodes, and sbctl --cluster nfs1 maintenance off\n"},
		{[]carry.Undone{{Volume: "r0/0", From: "/kept/a"}}, carry.CarryOut, "r0/0: nothing was written: it is as it was kept in /kept/a already\n" +
			"Next: drbdadm secondary r0 r1; then systemctl start sbagent on both nodes, and sbctl --cluster nfs1 maintenance off\n"},
		{done[:1], carry.OnlyShow, "r0/0: 5.0 MiB differ from /kept/a\nnothing was written; add --yes to put it back\n"},
	} {
		var out bytes.Buffer
		tellUndone(&out, "nfs1", g, c.all, c.wish)
		if out.String() != c.want {
			t.Errorf("%s:\n%s\nand not\n%s", c.wish, out.String(), strings.TrimSpace(c.want))
		}
	}
}
