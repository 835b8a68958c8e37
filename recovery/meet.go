package recovery

import (
	"fmt"

	"sbarbiter/drbd"
	"sbarbiter/internal/mutant"
)

// meets says why the two copies must not meet yet: DRBD asks for the wish to give a side up
// only where its own policies have not decided, and those may decide otherwise. A copy that
// is declared bad beforehand is not asked about.
func (e Evidence) meets(d Diagnosis) string {
	for _, s := range e.Sides {
		if why := s.meets(d.full()); why != "" {
			return why
		}
	}
	return ""
}

func (s Side) meets(full bool) string {
	if len(s.Policies) == 0 || mutant.On(mutant.DRBDMayChoose) || full && s.Family == drbd.Family84 {
		return ""
	}
	more := ""
	if n := len(s.Policies) - 1; n > 0 {
		more = fmt.Sprintf(" (and %d more like it)", n)
	}
	return fmt.Sprintf("DRBD on %s might decide by its own policy when the two meet, and discard the other side: %s%s", s.Node, s.Policies[0], more)
}

// Meets says why one node's side must not meet the other one yet; nil: it may, as far as
// that node can tell.
func (p Plan) Meets(s Side) error {
	if why := s.meets(p.Full); why != "" {
		return fmt.Errorf("plan of group %s: %s; then run it again", p.Group, why)
	}
	return nil
}
