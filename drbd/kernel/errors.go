package kernel

import (
	"errors"
	"fmt"

	"sbarbiter/drbd"
)

// Refusals: DRBD answered no to a command, and that command changed nothing.
// Each of them is ErrRefused. Of several volumes, Demote and Outdate may have
// changed those before the one that was refused.
var (
	ErrRefused         = errors.New("DRBD refused")
	ErrHeldOpen        = fmt.Errorf("%w: the device is held open", ErrRefused)
	ErrNeedUpToDate    = fmt.Errorf("%w: it needs up-to-date data", ErrRefused)
	ErrPeerPrimary     = fmt.Errorf("%w: the peer is primary", ErrRefused)
	ErrPeerNotOutdated = fmt.Errorf("%w: the peer is not known to be outdated", ErrRefused)
	ErrPeerRefused     = fmt.Errorf("%w: the peer declined", ErrRefused)
	ErrDiskTooBad      = fmt.Errorf("%w: the disk is worse than outdated", ErrRefused)
	ErrTransient       = fmt.Errorf("%w: the state is changing, try again", ErrRefused)
	ErrIsPrimary       = fmt.Errorf("%w: this node is primary", ErrRefused)
	ErrConnected       = fmt.Errorf("%w: the peer is connected", ErrRefused)
	ErrAlready         = fmt.Errorf("%w: it is connecting already, disconnect first", ErrRefused)
	ErrUnconfigured    = fmt.Errorf("%w: the resource is not configured in the kernel", ErrRefused)
)

// Ignorance: what became of a command, or what state there is, is not known.
var (
	// ErrTimeout: the time ran out. The command was killed with its process
	// group, but one that waits inside the kernel (for fence-peer, say) cannot
	// be, and may still take effect.
	ErrTimeout = errors.New("the time ran out, the outcome is unknown")
	// ErrBusy: an earlier command on the same resource is still in the kernel,
	// so that this one was not begun.
	ErrBusy = errors.New("an earlier command is still running")
	// ErrNotDone: the command reported success, and the state read back says
	// otherwise.
	ErrNotDone = errors.New("DRBD reported success, but the state does not show it")
	// ErrNoDriver: the driver is not loaded, or its tools do not work.
	ErrNoDriver = errors.New("DRBD's driver or tools do not answer")
	// ErrPartlyPromoted: some volumes are Primary, and taking that back has not
	// worked either.
	ErrPartlyPromoted = errors.New("some volumes stayed primary")
)

// refusals says which error an outcome is.
var refusals = map[drbd.Outcome]error{
	drbd.OutcomeHeldOpen:        ErrHeldOpen,
	drbd.OutcomeOpenedOnPeer:    ErrHeldOpen,
	drbd.OutcomeNeedUpToDate:    ErrNeedUpToDate,
	drbd.OutcomeDiskless:        ErrNeedUpToDate,
	drbd.OutcomePeerPrimary:     ErrPeerPrimary,
	drbd.OutcomePeerNotOutdated: ErrPeerNotOutdated,
	drbd.OutcomePeerRefused:     ErrPeerRefused,
	drbd.OutcomeDiskTooBad:      ErrDiskTooBad,
	drbd.OutcomeTransient:       ErrTransient,
	drbd.OutcomeConnected:       ErrConnected,
	drbd.OutcomeWhilePrimary:    ErrIsPrimary,
	drbd.OutcomeAlready:         ErrAlready,
	drbd.OutcomeUnconfigured:    ErrUnconfigured,
	drbd.OutcomeNoDriver:        ErrNoDriver,
}

// errorOf wraps a result that is not OutcomeDone.
func errorOf(cmd drbd.Command, res drbd.Result) error {
	err := refusals[res.Outcome]
	if err == nil {
		err = ErrRefused
	}
	return fmt.Errorf("run %q: %w (exit %d: %s)", cmd, err, res.Exit, res.Detail)
}
