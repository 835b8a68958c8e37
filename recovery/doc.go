// Package recovery answers "which of two copies is kept, why, and what has to be
// done for it?" after both sides of a pair were written to. It diagnoses first:
// only a proven split brain is resolved by discarding. Then the operator's
// policies decide, each explaining itself with the figures it used, and a
// decision becomes a [Plan], which is data.
//
// It measures nothing and carries nothing out. What is not known is never taken
// for small, old or unused: a policy that lacks a figure passes.
package recovery
