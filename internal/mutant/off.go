//go:build !mutants

package mutant

// Possible reports whether this program can be weakened at all.
const Possible = false

// Env is the variable of the environment that puts a weakening into force in
// another build.
const Env = "SBARBITER_MUTANT"

// On reports whether a weakening is in force: never in this build.
func On(Name) bool { return false }

// Weak returns rule; where a weakening is in force, weak instead.
func Weak[T any](_ Name, rule, _ T) T { return rule }

// Set does nothing in this build.
func Set(...Name) {}
