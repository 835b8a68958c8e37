//go:build mutants

package mutant

import (
	"os"
	"strconv"
)

// Possible reports whether this program can be weakened at all.
const Possible = true

// Env is the variable of the environment that puts one weakening into force, by
// its number, for a test that is run in a process of its own.
const Env = "SBARBITER_MUTANT"

var inForce [256]bool

func init() {
	if n, err := strconv.ParseUint(os.Getenv(Env), 10, 8); err == nil {
		Set(Name(n))
	}
}

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
