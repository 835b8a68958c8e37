// Package linear answers "do several clients see one witness?": it holds what
// each of them asked and was told, and asks porcupine whether one order of all of
// it exists that agrees with what a group is supposed to be.
//
// The model is written from the protocol's rules, not from package arbiter's
// code, and knows nothing of time: where a leader's clock decides, it allows
// either answer. What it does not forgive: two holders, an epoch or an exclusion
// number that does not grow, a refusal for a reason that is not so, an answer from
// the past, an acknowledged command that is gone, a repeated request that is
// carried out twice.
package linear
