//go:build mutants

package mutant

// Possible reports whether this program can be weakened at all.
const Possible = true

var inForce [256]bool

// On reports whether a weakening is in force.
func On(n Name) bool { return inForce[n] }

// Weak returns rule; where a weakening is in force, weak instead.
func Weak[T any](n Name, rule, weak T) T {
	if inForce[n] {
		return weak
	}
	return rule
}

// Set puts weakenings into force and ends all others. Nothing may run meanwhile.
func Set(names ...Name) {
	inForce = [256]bool{}
	for _, n := range names {
		inForce[n] = n != None
	}
}
