package carry

import (
	"context"
	"strings"
	"time"

	"sbarbiter/internal/program"
	"sbarbiter/recovery"
)

const (
	probeLimit = 5 * time.Second
	probeWords = 200 // bytes shown of what a probe printed
)

// positions asks the probes. One that fails says so in its place: what it would
// have printed is for people alone.
func positions(ctx context.Context, probes []Probe) []recovery.Position {
	var out []recovery.Position
	for _, p := range probes {
		out = append(out, recovery.Position{Probe: p.Name, Text: p.ask(ctx)})
	}
	return out
}

func (p Probe) ask(ctx context.Context) string {
	limit := p.Limit
	if limit <= 0 {
		limit = probeLimit
	}
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	if len(p.Command) == 0 {
		return "not known: no command is configured"
	}
	o, err := program.Run(ctx, program.Call{Path: p.Command[0], Args: p.Command[1:]})
	switch {
	case err != nil:
		return "not known: " + err.Error()
	case o.Code != 0:
		return "not known: " + strings.TrimSpace(p.Command[0]+" failed: "+o.LastLine())
	}
	line, _, _ := strings.Cut(strings.TrimSpace(string(o.Stdout)), "\n")
	if len(line) > probeWords {
		line = line[:probeWords] + "..."
	}
	return strings.ToValidUTF8(line, "?")
}
