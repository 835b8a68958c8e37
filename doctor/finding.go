// Package doctor says what is wrong with a node or a pair before anything fails:
// it takes facts that somebody has looked up and returns findings, each with why
// it matters and the exact way to mend it. It looks at nothing itself.
package doctor

import "fmt"

// Finding is something that somebody should mend.
type Finding struct {
	Node     string   `json:"node,omitempty"` // on which it was found; "": between the nodes, or said by the reader's place
	Severity Severity `json:"severity"`
	Subject  string   `json:"subject"` // the node, device, resource or file
	What     string   `json:"what"`
	Why      string   `json:"why"` // it matters
	Fix      string   `json:"fix"` // the exact command, or line to write
}

// String is the finding for people, in three lines.
func (f Finding) String() string {
	return fmt.Sprintf("%-8s  %s: %s\n          why: %s\n          fix: %s", f.Severity, f.Subject, f.What, f.Why, f.Fix)
}

// Count says how many findings are of that severity.
func Count(found []Finding, s Severity) (n int) {
	for _, f := range found {
		if f.Severity == s {
			n++
		}
	}
	return n
}

// Severity is how much depends on it.
type Severity string

// The severities, worst first.
const (
	Critical Severity = "critical" // a guarantee does not hold, or an agent does not start
	Warning  Severity = "warning"  // something will not work when it is needed
	Note     Severity = "note"     // worth knowing
)

// Severities are all of them, the worst first.
var Severities = []Severity{Critical, Warning, Note}
