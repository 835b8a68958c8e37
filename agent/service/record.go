package service

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// identity is a program's session: the leader's number and start time, within
// one boot.
type identity struct {
	PID     int    `json:"pid"`
	Started uint64 `json:"started_ticks"`
	Boot    string `json:"boot"`
}

// record is the note about a running program that outlives the agent.
type record struct {
	path string
}

func newRecord(dir, label string) record {
	return record{path: filepath.Join(dir, label+".run")}
}

// markName is the variable that marks a program as this unit's.
const markName = "SBARBITER_UNIT="

func (r record) mark() string { return markName + r.path }

// prepare makes sure that the record can be written, and leaves word that a
// start is under way.
func (r record) prepare() error {
	if err := os.MkdirAll(filepath.Dir(r.path), 0o700); err != nil {
		return fmt.Errorf("make runtime directory: %w", err)
	}
	return r.write(identity{})
}

func (r record) write(id identity) error {
	boot, err := bootID()
	if err != nil {
		return err
	}
	id.Boot = boot
	raw, err := json.Marshal(id)
	if err != nil {
		return fmt.Errorf("encode record of %s: %w", r.path, err)
	}
	next := r.path + ".new"
	if err := os.WriteFile(next, append(raw, '\n'), 0o600); err != nil {
		return fmt.Errorf("write record: %w", err)
	}
	if err := os.Rename(next, r.path); err != nil {
		return fmt.Errorf("write record: %w", err)
	}
	return nil
}

func (r record) forget() error {
	if err := os.Remove(r.path); err != nil && !errors.Is(err, os.ErrNotExist) {
		return fmt.Errorf("remove record: %w", err)
	}
	return nil
}

// identify says which session is the unit's. Where the record says only that a
// start was under way, the marked process that leads a session is looked for.
func (r record) identify(all []process) (id identity, known bool, err error) {
	raw, err := os.ReadFile(r.path)
	if errors.Is(err, os.ErrNotExist) {
		return identity{}, false, nil
	}
	if err != nil {
		return identity{}, false, fmt.Errorf("read record: %w", err)
	}
	if err := json.Unmarshal(raw, &id); err != nil {
		return identity{}, false, fmt.Errorf("read record %s: %w: stop the program by hand and remove the file", r.path, err)
	}
	boot, err := bootID()
	if err != nil {
		return identity{}, false, err
	}
	if id.Boot != boot {
		return identity{}, false, nil
	}
	if id.PID != 0 {
		return id, true, nil
	}
	i := slices.IndexFunc(all, func(p process) bool { return p.session == p.pid && r.marks(p) })
	if i < 0 {
		return identity{}, false, nil
	}
	id = identity{PID: all[i].pid, Started: all[i].started}
	return id, true, r.write(id)
}

// marks says whether the process was started with our mark.
func (r record) marks(p process) bool {
	raw, err := os.ReadFile(procPath(p.pid, "environ"))
	return err == nil && slices.ContainsFunc(bytes.Split(raw, []byte{0}), func(kv []byte) bool { return string(kv) == r.mark() })
}

func bootID() (string, error) {
	raw, err := os.ReadFile("/proc/sys/kernel/random/boot_id")
	if err != nil {
		return "", fmt.Errorf("read boot id: %w", err)
	}
	return strings.TrimSpace(string(raw)), nil
}
