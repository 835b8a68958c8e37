package scenarios

import (
	"os"
	"testing"
)

// allScenarios names the environment variable that asks for what takes CI too long:
// make scenarios-all.
const allScenarios = "SBARBITER_ALL_SCENARIOS"

func TestScenariosThatTakeLonger(t *testing.T) {
	stories := map[string]func(*testing.T){
		"BMC slower than a shot":                slowerThanAShot,
		"BMC slower than a shot, target back":   slowerThanAShotAndBackMeanwhile,
		"BMC hangs":                             hangingBMC,
		"BMC dies with its host":                bmcDiesWithItsHost,
		"no watchdog, no takeover by the clock": noWatchdogNoClock,
		"both want to shoot":                    bothWantToShoot,
		"recovery of a machine that is off":     orderWaitsForAMachineThatIsOff,
		"stop program hangs":                    stopProgramThatHangs,
		"open file":                             openFileIsNoObstacle,
		"mount held by the kernel":              mountHeldByTheKernel,
		"fork bomb":                             forkBomb,
		"busy processes":                        busyProcesses,
		"memory pressure":                       memoryPressure,
		"agent that stands still":               agentThatStandsStill,
		"isolated holder is moved":              isolatedHolderIsMoved,
		"service that does not start":           serviceThatDoesNotStart,
		"both copies are stale":                 bothCopiesAreStale,
		"forced copy whose disk failed once":    forcedCopyWhoseDiskFailedOnce,
		"machine with the good copy is lost":    machineWithTheGoodCopyIsLost,
		"last holder alone after a cold start":  lastHolderAloneAfterAColdStart,
		"watchdog that cannot serve":            watchdogThatCannotServe,
		"fence path over the lost link":         fencePathOverTheLostLink,
	}
	if os.Getenv(allScenarios) == "" {
		t.Logf("%d more with %s=1 (make scenarios-all)", len(stories), allScenarios)
		return
	}
	for name, tell := range stories {
		t.Run(name, tell)
	}
}
