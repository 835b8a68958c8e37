package fenceagent

import (
	"context"
	"encoding/xml"
	"fmt"
	"slices"
	"strings"
	"time"

	"sbarbiter/internal/program"
)

// describeWithin bounds the agent's description of itself: no device is asked.
const describeWithin = 10 * time.Second

// Parameter is an option that an agent knows.
type Parameter struct {
	Name       string
	Required   bool // and without a default
	Deprecated bool
	// Choice is what it may be; empty: anything.
	Choice []string
}

// Secret reports whether the option is a password, which belongs into a file.
func (p Parameter) Secret() bool {
	return strings.Contains(p.Name, "passw") && !strings.HasSuffix(p.Name, "_script")
}

type metadata struct {
	Parameters []struct {
		Name       string `xml:"name,attr"`
		Required   string `xml:"required,attr"`
		Deprecated string `xml:"deprecated,attr"`
		Content    struct {
			Default *string `xml:"default,attr"`
			Type    string  `xml:"type,attr"`
			Options []struct {
				Value string `xml:"value,attr"`
			} `xml:"option"`
		} `xml:"content"`
	} `xml:"parameters>parameter"`
}

// Describe asks an agent which options it knows. Those that cannot be set are
// left out.
func Describe(ctx context.Context, agent string) ([]Parameter, error) {
	ctx, cancel := context.WithTimeout(ctx, describeWithin)
	defer cancel()
	out, err := program.Run(ctx, program.Call{Path: agent, Input: []byte("action=metadata\n")})
	if err != nil {
		return nil, fmt.Errorf("ask %s for its options: %w", agent, err)
	}
	if out.Code != 0 {
		return nil, fmt.Errorf("ask %s for its options: exit code %d: %s", agent, out.Code, out.LastLine())
	}
	var m metadata
	if err := xml.Unmarshal(out.Stdout, &m); err != nil {
		return nil, fmt.Errorf("ask %s for its options: the answer is no fence agent's: %w", agent, err)
	}
	var params []Parameter
	for _, p := range m.Parameters {
		if slices.Contains(Reserved, p.Name) {
			continue
		}
		q := Parameter{
			Name: p.Name, Deprecated: yes(p.Deprecated),
			Required: yes(p.Required) && (p.Content.Default == nil || *p.Content.Default == ""),
		}
		if p.Content.Type == "select" {
			for _, o := range p.Content.Options {
				q.Choice = append(q.Choice, o.Value)
			}
		}
		params = append(params, q)
	}
	if len(params) == 0 {
		return nil, fmt.Errorf("ask %s for its options: it describes none; is it a fence agent", agent)
	}
	return params, nil
}

func yes(s string) bool { return s == "1" || strings.EqualFold(s, "true") }
