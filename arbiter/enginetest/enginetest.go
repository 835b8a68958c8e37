// Package enginetest examines a replicated log: whichever engine orders the
// witness's commands, it must pass [Examine]. It knows nothing of any engine's
// insides, and leaves an engine's own troubles (its disk, its directory) to that
// engine's tests.
package enginetest

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	"sbarbiter/arbiter/engine"
)

// patience bounds every wait for something that must happen.
const patience = 20 * time.Second

// Engine is what a witness asks of a log.
type Engine interface {
	Run(ctx context.Context) error
	Apply(ctx context.Context, cmd []byte) (outcome []byte, index uint64, err error)
	Barrier(ctx context.Context) error
	VerifyLeader(ctx context.Context) error
	Leadership() <-chan engine.Leadership
	LastIndex() uint64
}

// Store is one place where a log is kept.
type Store struct {
	// Open opens an engine on the store: the first time on an empty one, later,
	// after the engine before has ended, on what that one left.
	Open func(t testing.TB, machine engine.Machine) Engine

	// Compact makes the running engine put a snapshot in place of its log.
	Compact func(t testing.TB, e Engine)
}

// Group is three engines that elect a leader among them.
type Group struct {
	Open [3]func(t testing.TB, machine engine.Machine) Engine

	// Cut takes one engine's connection to everybody away, Heal gives it back.
	Cut, Heal func(t testing.TB, member int)
}

// Kind makes stores of the kind under examination.
type Kind struct {
	NewStore func(t testing.TB) Store
	NewGroup func(t testing.TB) Group
}

// Examine runs the whole examination.
func Examine(t *testing.T, k Kind) {
	for name, story := range map[string]func(*testing.T, Store){
		"OutcomesFollowTheOrderOfTheLog":         outcomesFollowTheOrder,
		"ARestartReplaysEverything":              restartReplays,
		"ASnapshotStandsForTheLogBeforeIt":       snapshotStandsForLog,
		"ACommandNotUnderstoodStopsTheEngine":    notUnderstoodStops,
		"NothingIsAcceptedBeforeRunOrAfterIt":    nothingOutsideRun,
		"AnImpatientCallerKnowsNothing":          impatientCallerKnowsNothing,
		"TheLastEdgeOfLeadershipIsNeverLost":     lastEdgeIsKept,
		"ALeaderIsVerifiedWhileItLeads":          leaderIsVerified,
		"ALateReaderOfLeadershipSeesTheNewTerms": termsGrow,
	} {
		t.Run(name, func(t *testing.T) { story(t, k.NewStore(t)) })
	}
	for name, story := range map[string]func(*testing.T, Group){
		"ADeposedLeaderIsNotVerified":        deposedIsNotVerified,
		"AnUnknownOutcomeIsTheSameForAll":    unknownIsTheSameForAll,
		"AStoppedLeaderLeavesAnotherLeading": stoppedLeaderIsReplaced,
	} {
		t.Run(name, func(t *testing.T) { story(t, k.NewGroup(t)) })
	}
}

// Poison is the command that [Journal] does not understand.
const Poison = "poison"

// errPoison is why.
var errPoison = errors.New("journal: command of a later release")

// Journal is a machine that writes down what it is told. It may be read while
// an engine drives it.
type Journal struct {
	// Gate, where set, is received from before each command is applied.
	Gate chan struct{}

	mu       sync.Mutex
	entries  []Entry
	restored int
}

// Entry is one command as it was applied.
type Entry struct {
	Index uint64
	Cmd   string
}

// Apply notes the command; the outcome is its number and itself.
func (j *Journal) Apply(index uint64, cmd []byte) ([]byte, error) {
	if j.Gate != nil {
		<-j.Gate
	}
	if string(cmd) == Poison {
		return nil, errPoison
	}
	j.mu.Lock()
	defer j.mu.Unlock()
	j.entries = append(j.entries, Entry{index, string(cmd)})
	return []byte(outcome(len(j.entries), string(cmd))), nil
}

func outcome(n int, cmd string) string { return fmt.Sprintf("%d:%s", n, cmd) }

// Snapshot encodes the journal, one line an entry.
func (j *Journal) Snapshot() ([]byte, error) {
	var b []byte
	for _, e := range j.Entries() {
		b = fmt.Appendf(b, "%d %q\n", e.Index, e.Cmd)
	}
	return b, nil
}

// Restore reads what Snapshot wrote.
func (j *Journal) Restore(b []byte) error {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.entries = nil
	j.restored++
	for line := range slices.Values(splitLines(b)) {
		var e Entry
		if _, err := fmt.Sscanf(line, "%d %q", &e.Index, &e.Cmd); err != nil {
			return fmt.Errorf("journal: line %q: %w", line, err)
		}
		j.entries = append(j.entries, e)
	}
	return nil
}

// Entries returns what has been applied so far.
func (j *Journal) Entries() []Entry {
	j.mu.Lock()
	defer j.mu.Unlock()
	return slices.Clone(j.entries)
}

// Restored counts how often a snapshot was restored.
func (j *Journal) Restored() int {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.restored
}

func (j *Journal) has(cmd string) bool {
	return slices.ContainsFunc(j.Entries(), func(e Entry) bool { return e.Cmd == cmd })
}

func splitLines(b []byte) (lines []string) {
	for len(b) > 0 {
		end := slices.Index(b, '\n')
		lines = append(lines, string(b[:end]))
		b = b[end+1:]
	}
	return lines
}
