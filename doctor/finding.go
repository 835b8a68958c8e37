// Package doctor says what is wrong with a node or a pair before anything fails:
// it takes facts that somebody has looked up and returns findings, each with why
// it matters and the exact way to mend it. It looks at nothing itself.
package doctor

// Finding is something that somebody should mend.
type Finding struct {
	Severity Severity
	Subject  string // the node, device, resource or file
	What     string
	Why      string // it matters
	Fix      string // the exact command, or line to write
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
