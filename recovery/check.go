package recovery

import (
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"sbarbiter/drbd"
	"sbarbiter/internal/mutant"
)

// mostSteps bounds a plan: one of hundreds of volumes fits.
const mostSteps = 4096

// mostVolume is the highest number that DRBD gives a volume.
const mostVolume = 1<<16 - 1

var named = regexp.MustCompile(`^[A-Za-z0-9_][A-Za-z0-9_.-]{0,127}$`)

// IsName reports whether a resource, a group, a node or a recovery may be called so: the name
// becomes part of paths, of snapshots' names and of command lines.
func IsName(s string) bool { return named.MatchString(s) }

// ParseVolume reads a volume's name, as r0/0.
func ParseVolume(name string) (resource string, number int, err error) {
	resource, digits, _ := strings.Cut(name, "/")
	number, err = strconv.Atoi(digits)
	if err != nil || strconv.Itoa(number) != digits || number < 0 || number > mostVolume || !IsName(resource) {
		return "", 0, fmt.Errorf("%q does not name a volume: that is a resource and a number, as r0/0", name)
	}
	return resource, number, nil
}

// place is where in a plan a step may stand. What has one place may come in any order.
func (p Plan) place(s Step) (int, error) {
	places := map[StepKind]int{
		StopServices: 1, Demote: 2, Disconnect: 3, DumpMetadata: 4, Snapshot: 4, Measure: 5,
		Invalidate: 6, Discard: 6, Connect: 7, FollowResync: 8, Readmit: 9,
	}
	at, known := places[s.Kind]
	onVictim := at <= 4 || at == 6
	switch {
	case !known:
		return 0, fmt.Errorf("%q is no step", s.Kind)
	case s.Kind == Connect && s.Node == p.Victim:
		return 6, nil // after its copy was declared bad
	case s.Kind == Disconnect && s.Node == p.Survivor:
		return 5, nil // see PartSurvivor
	case onVictim && s.Node != p.Victim:
		return 0, fmt.Errorf("%s is for the node whose copy is given up, %s, and not for %q", s.Kind, p.Victim, s.Node)
	case !onVictim && s.Node != p.Survivor:
		return 0, fmt.Errorf("%s is for the node whose copy is kept, %s, and not for %q", s.Kind, p.Survivor, s.Node)
	}
	return at, nil
}

// Check says what makes p a plan that nobody must carry out: one that MakePlan would
// not make. Whoever is handed a plan asks this first.
func (p Plan) Check() error {
	if err := p.check(); err != nil {
		return fmt.Errorf("the plan for group %q is refused: %w", p.Group, err)
	}
	return nil
}

func (p Plan) check() error {
	switch {
	case p.Version != PlanVersion:
		return fmt.Errorf("it has version %d and this program carries out %d", p.Version, PlanVersion)
	case !IsName(p.Group):
		return errors.New("it names no group")
	case !IsName(string(p.Victim)) || !IsName(string(p.Survivor)) || p.Victim == p.Survivor:
		return fmt.Errorf("it needs two nodes, not %q and %q", p.Victim, p.Survivor)
	case p.Family != drbd.Family84 && p.Family != drbd.Family9:
		return fmt.Errorf("it is for DRBD %q, which is neither %s nor %s", p.Family, drbd.Family84, drbd.Family9)
	case len(p.Steps) > mostSteps:
		return fmt.Errorf("it has %d steps, more than the %d that can be", len(p.Steps), mostSteps)
	}
	volumes, err := p.volumes()
	if err != nil {
		return err
	}
	if err := p.ordered(); err != nil {
		return err
	}
	return p.complete(volumes)
}

// volumes are those that were decided on, each of which has a generation on both
// sides.
func (p Plan) volumes() ([]string, error) {
	sides := map[Node][]string{}
	for _, b := range p.Basis {
		if _, _, err := ParseVolume(b.Volume); err != nil {
			return nil, err
		}
		if _, err := drbd.ParseGI(b.Generations); err != nil {
			return nil, fmt.Errorf("%s of %s: %w", b.Volume, b.Node, err)
		}
		if slices.Contains(sides[b.Node], b.Volume) {
			return nil, fmt.Errorf("it names %s of %s twice", b.Volume, b.Node)
		}
		sides[b.Node] = append(sides[b.Node], b.Volume)
	}
	if len(sides[p.Victim]) == 0 || !slices.Equal(sides[p.Victim], sides[p.Survivor]) || len(p.Basis) != 2*len(sides[p.Victim]) {
		return nil, fmt.Errorf("it does not say for the same volumes of %s and %s which generation was decided on", p.Victim, p.Survivor)
	}
	return sides[p.Victim], nil
}

// ordered: each step is one that its node may do, and none stands before one that it
// has to follow.
func (p Plan) ordered() error {
	last := 0
	for i, s := range p.Steps {
		at, err := p.place(s)
		switch {
		case err != nil:
			return fmt.Errorf("step %d: %w", i+1, err)
		case at < last && !mutant.On(mutant.OrderIgnored):
			return fmt.Errorf("step %d: %s cannot follow %s", i+1, s.Kind, p.Steps[i-1].Kind)
		case s.Volume < 0 || s.Volume > mostVolume:
			return fmt.Errorf("step %d: there is no volume %d", i+1, s.Volume)
		case s.Resource != "" && !IsName(s.Resource):
			return fmt.Errorf("step %d: %q is no name of a resource", i+1, s.Resource)
		case slices.Contains(p.Steps[:i], s):
			return fmt.Errorf("step %d: it has %q twice", i+1, s)
		}
		last = at
	}
	return nil
}

// complete: nothing is given up before it was parted, kept and measured again, and in
// the end all is in step.
func (p Plan) complete(volumes []string) error {
	var need, may []Step
	for _, name := range volumes {
		resource, number, err := ParseVolume(name)
		if err != nil {
			return err
		}
		need = append(
			need,
			Step{Node: p.Victim, Kind: DumpMetadata, Resource: resource, Volume: number}, Step{Node: p.Victim, Kind: Snapshot, Resource: resource, Volume: number},
			Step{Node: p.Victim, Kind: Demote, Resource: resource}, Step{Node: p.Victim, Kind: Disconnect, Resource: resource}, Step{Node: p.Survivor, Kind: Connect, Resource: resource},
		)
		need = append(need, p.givingUp(resource)...)
		may = append(may, Step{Node: p.Survivor, Kind: Disconnect, Resource: resource})
	}
	need = append(need, Step{Node: p.Victim, Kind: StopServices}, Step{Node: p.Survivor, Kind: Measure}, Step{Node: p.Survivor, Kind: FollowResync}, Step{Node: p.Survivor, Kind: Readmit})
	for _, s := range need {
		if !slices.ContainsFunc(p.Steps, func(o Step) bool { o.Bytes, o.Own = 0, 0; return o == s }) {
			return fmt.Errorf("it lacks the step %q", s)
		}
	}
	for _, s := range p.Steps {
		s.Bytes, s.Own = 0, 0
		if !slices.Contains(need, s) && !slices.Contains(may, s) {
			return fmt.Errorf("%q has nothing to do with what was decided on", s)
		}
	}
	return nil
}
