package main

import (
	"fmt"
	"os"

	"sbarbiter/internal/sim"
)

// replayFile plays the schedule in a file and prints its timeline.
func replayFile(name string) error {
	raw, err := os.ReadFile(name)
	if err != nil {
		return fmt.Errorf("read the schedule: %w", err)
	}
	s, err := sim.DecodeSchedule(raw)
	if err != nil {
		return fmt.Errorf("%s: %w", name, err)
	}
	w := sim.Play(s)
	fmt.Print(sim.Story(s, w))
	if broken := w.Broken(); len(broken) > 0 {
		return fmt.Errorf("%s: %s", name, broken[0])
	}
	return nil
}
