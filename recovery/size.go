package recovery

import (
	"fmt"

	"sbarbiter/drbd"
)

// outgrown says why DRBD will not connect a volume's two copies: one of them counts as
// good and is larger than all of the device beneath the other one. DRBD compares with what
// its metadata leaves of that device, which may be too little where this finds enough.
func (e Evidence) outgrown(i int, large Node) string {
	v, other := e.side(large).Volumes[i], e.side(e.Other(large)).Volumes[i]
	if other.Backing == 0 || v.Size <= other.Backing || !v.Disk.AtLeast(drbd.DiskOutdated) {
		return ""
	}
	has, room := Apart(v.Size, other.Backing)
	return fmt.Sprintf("%s has %s on %s, and the device beneath it on %s only %s: DRBD refuses to connect the two (the peer's disk size is too small); make that device larger first",
		v.Name(), has, large, e.Other(large), room)
}

// unfit says why DRBD would not connect the victim's copy to the other one: either of them
// refuses one that is too small for it. A copy that was invalidated takes any size.
func (e Evidence) unfit(d Diagnosis, victim Node) string {
	v := e.side(victim)
	for i := range v.Volumes {
		why := e.outgrown(i, e.Other(victim))
		if why == "" && !(d.full() && v.Family == drbd.Family84) {
			why = e.outgrown(i, victim)
		}
		if why != "" {
			return why
		}
	}
	return ""
}

// apart is what keeps DRBD from connecting copies that have not split; "": nothing known.
func (e Evidence) apart() string {
	for i := range e.Sides[0].Volumes {
		for _, s := range e.Sides {
			if why := e.outgrown(i, s.Node); why != "" {
				return why
			}
		}
	}
	return ""
}
