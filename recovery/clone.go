package recovery

import "slices"

// Clone returns a copy that shares nothing with e.
func (e Evidence) Clone() Evidence {
	for i := range e.Sides {
		e.Sides[i] = e.Sides[i].Clone()
	}
	return e
}

// Clone returns a copy that shares nothing with s.
func (s Side) Clone() Side {
	s.Mounted, s.Tenures, s.Positions = slices.Clone(s.Mounted), slices.Clone(s.Tenures), slices.Clone(s.Positions)
	s.Volumes, s.Policies = slices.Clone(s.Volumes), slices.Clone(s.Policies)
	for i, v := range s.Volumes {
		s.Volumes[i].OutOfSync = copied(v.OutOfSync)
	}
	return s
}

// Clone returns a copy that shares nothing with d.
func (d Decision) Clone() Decision {
	d.Diagnosis.Volumes, d.Opinions = slices.Clone(d.Diagnosis.Volumes), slices.Clone(d.Opinions)
	for i, o := range d.Opinions {
		d.Opinions[i].Policy = o.Policy.Clone()
	}
	return d
}

// Clone returns a copy that shares nothing with p.
func (p Policy) Clone() Policy {
	p.Of, p.MaxDiscard = slices.Clone(p.Of), copied(p.MaxDiscard)
	return p
}

// ClonePolicies returns a copy that shares nothing with list.
func ClonePolicies(list []Policy) []Policy {
	list = slices.Clone(list)
	for i, p := range list {
		list[i] = p.Clone()
	}
	return list
}

// Clone returns a copy that shares nothing with p.
func (p Plan) Clone() Plan {
	p.Basis, p.Steps = slices.Clone(p.Basis), slices.Clone(p.Steps)
	return p
}

func copied[T any](p *T) *T {
	if p == nil {
		return nil
	}
	v := *p
	return &v
}
