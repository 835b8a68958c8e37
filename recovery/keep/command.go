package keep

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"

	"sbarbiter/internal/program"
)

// Command is the driver that calls the operator's own program:
//
//	PROGRAM ARGUMENTS... VERB LABEL DEVICE BYTES DIRECTORY
//
// The verbs are "room", which prints how many bytes of changes a copy could hold;
// "keep", which makes it and prints what to look into; and "drop", which removes
// it and does not mind if it is not there. The label is a name for the copy.
type Command struct{ Argv []string }

// Name is "command".
func (Command) Name() string { return "command" }

func (c Command) call(ctx context.Context, verb string, v Volume, dir string) (string, error) {
	if len(c.Argv) == 0 {
		return "", errors.New("no program is configured")
	}
	args := append(append([]string(nil), c.Argv[1:]...), verb, v.label(), v.Device, strconv.FormatUint(v.Size, 10), dir)
	o, err := program.Run(ctx, program.Call{Path: c.Argv[0], Args: args})
	if err != nil {
		return "", fmt.Errorf("run %s %s: %w", c.Argv[0], verb, err)
	}
	if o.Code != 0 {
		return "", fmt.Errorf("run %s %s: exit %d: %s", c.Argv[0], verb, o.Code, o.LastLine())
	}
	return strings.TrimSpace(string(o.Stdout)), nil
}

// Offer asks the program.
func (c Command) Offer(ctx context.Context, v Volume, dir string) (Offer, error) {
	text, err := c.call(ctx, "room", v, dir)
	if err != nil {
		return Offer{}, err
	}
	room, err := strconv.ParseUint(text, 10, 64)
	if err != nil {
		return Offer{}, fmt.Errorf("run %s room: it printed %q and not a number of bytes", c.Argv[0], text)
	}
	return Offer{Room: min(room, v.Size), Cost: v.changes()}, nil
}

// Keep has the program make the copy.
func (c Command) Keep(ctx context.Context, v Volume, dir string) (string, uint64, error) {
	source, err := c.call(ctx, "keep", v, dir)
	if err != nil {
		return "", 0, err
	}
	if !strings.HasPrefix(source, "/") || strings.Contains(source, "\n") {
		return "", 0, fmt.Errorf("run %s keep: it printed %q and not the one path to look into", c.Argv[0], source)
	}
	return source, v.changes(), nil
}

// Drop has the program remove the copy.
func (c Command) Drop(ctx context.Context, v Volume, dir string) error {
	_, err := c.call(ctx, "drop", v, dir)
	return err
}
