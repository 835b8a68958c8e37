package linear

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"github.com/anishathalye/porcupine"

	"sbarbiter/arbiter"
)

// History is what clients asked and were told, in the order in which it
// happened: what begins after something else has ended comes after it.
type History struct {
	mu  sync.Mutex // never held while waiting
	now int64
	ops []porcupine.Operation
	// clients numbers those who ask one thing at a time.
	clients int
}

// Client asks one thing at a time.
type Client struct {
	h  *History
	id int
}

// Client returns one more.
func (h *History) Client() *Client {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.clients++
	return &Client{h: h, id: h.clients - 1}
}

// Begin notes that something is asked. The answer goes to the function that it
// returns; until then, and without one for ever, it may be carried out at any
// time. What certainly was not asked is not noted at all: drop it.
func (c *Client) Begin(asks ...Ask) (end func(told ...Told)) {
	c.h.mu.Lock()
	defer c.h.mu.Unlock()
	c.h.now++
	began := c.h.now
	return func(told ...Told) { c.end(began, asks, told) }
}

func (c *Client) end(began int64, asks []Ask, told []Told) {
	c.h.mu.Lock()
	defer c.h.mu.Unlock()
	c.h.now++
	for i, t := range told {
		op := porcupine.Operation{ClientId: c.id, Input: asks[i], Call: began, Output: t, Return: c.h.now}
		c.h.ops = append(c.h.ops, op)
		if !t.Known {
			c.h.clients++ // the picture's rows are without overlaps
			c.id = c.h.clients - 1
		}
	}
}

// Len counts what was asked, and what of it was not answered.
func (h *History) Len() (asked, unanswered int) {
	for _, op := range h.ops {
		if !op.Output.(Told).Known {
			unanswered++
		}
	}
	return len(h.ops), unanswered
}

// Count counts the answers of one kind.
func (h *History) Count(verb Verb, fits func(Told) bool) (n int) {
	for _, op := range h.ops {
		if t := op.Output.(Told); op.Input.(Ask).Verb == verb && t.Known && fits(t) {
			n++
		}
	}
	return n
}

// Model is [Step] as porcupine wants it, each group by itself.
func Model() porcupine.Model {
	m := porcupine.NondeterministicModel{
		Partition: byGroup,
		Init:      func() []any { return []any{State{}} },
		Step: func(state, input, output any) (next []any) {
			for _, s := range Step(state.(State), input.(Ask), output.(Told)) {
				next = append(next, s)
			}
			return next
		},
		DescribeOperation: func(input, output any) string { return fmt.Sprintf("%v: %v", input, output) },
		DescribeState:     func(state any) string { return fmt.Sprint(state) },
	}
	return m.ToModel()
}

func byGroup(ops []porcupine.Operation) (parts [][]porcupine.Operation) {
	of := map[arbiter.GroupID]int{}
	for _, op := range ops {
		g := op.Input.(Ask).Group
		if _, known := of[g]; !known {
			of[g] = len(parts)
			parts = append(parts, nil)
		}
		parts[of[g]] = append(parts[of[g]], op)
	}
	return parts
}

// Check looks for an order of the history that the model allows. The error says
// that there is none, or that none was found in time; a picture of the history
// is then in dir.
func (h *History) Check(dir, name string, within time.Duration) error {
	model := Model()
	h.now++
	for i := range h.ops {
		if !h.ops[i].Output.(Told).Known {
			h.ops[i].Return = h.now // it may be on its way to the last
		}
	}
	result, info := porcupine.CheckOperationsVerbose(model, h.ops, within)
	if result == porcupine.Ok {
		return nil
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return fmt.Errorf("keep history: %w", err)
	}
	path := filepath.Join(dir, strings.ReplaceAll(name, "/", "-")+".html")
	if err := porcupine.VisualizePath(model, info, path); err != nil {
		return fmt.Errorf("draw history: %w", err)
	}
	if result == porcupine.Unknown {
		return fmt.Errorf("no order of the history was found within %v, nor that there is none; see %s", within, path)
	}
	return fmt.Errorf("%w; see %s", ErrNoOrder, path)
}

// ErrNoOrder says that the clients did not see one witness.
var ErrNoOrder = errors.New("no order of the history agrees with the model")
