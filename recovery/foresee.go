package recovery

import (
	"slices"

	"sbarbiter/drbd"
)

// Foresee has the plan say how much of each volume is overwritten by what is measured now.
// The survivor's services write on while the victim's copy is kept, for hours where that
// waits for room, and the resync copies that as well: what is kept has to hold it.
func (p *Plan) Foresee(e Evidence) {
	d := Diagnose(e)
	for i := range d.Volumes {
		v := e.side(p.Victim).Volumes[i]
		if s := p.keeps(v.Resource, v.Number); s != nil && s.Bytes > 0 { // 0: all of it as it is
			s.Bytes = max(s.Bytes, e.overwritten(d, p.Victim, i))
			s.Own = max(s.Own, min(v.marked(), s.Bytes))
		}
	}
}

// overwritten is how many bytes of a victim's volume the resync may overwrite. Declared bad,
// as on 8.4 or after its disk has failed, a copy is overwritten as a whole, whatever became
// of each of its volumes.
func (e Evidence) overwritten(d Diagnosis, victim Node, i int) uint64 {
	s := e.side(victim)
	if d.Volumes[i].Full || s.Distrusted || d.full() && s.Family == drbd.Family84 {
		return s.Volumes[i].Size
	}
	return d.Volumes[i].AtMost
}

// Room is how many bytes of changes what is kept of a volume has to hold; 0: all of it.
func (p Plan) Room(resource string, number int) uint64 {
	if s := p.keeps(resource, number); s != nil {
		return s.Bytes
	}
	return 0
}

// keeps is the step that keeps a volume, nil if there is none.
func (p Plan) keeps(resource string, number int) *Step {
	i := slices.IndexFunc(p.Steps, func(s Step) bool { return s.Kind == Snapshot && s.Resource == resource && s.Volume == number })
	if i < 0 {
		return nil
	}
	return &p.Steps[i]
}

// Overwrites are the findings about a group's volumes with what this plan makes of them: a
// copy that is declared bad is overwritten as a whole.
func (p Plan) Overwrites(found []VolumeFinding) []VolumeFinding {
	found = slices.Clone(found)
	for i, f := range found {
		if resource, number, err := ParseVolume(f.Volume); err == nil {
			found[i].AtMost = max(f.AtMost, p.Room(resource, number))
		}
	}
	return found
}
