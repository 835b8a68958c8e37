package scenarios

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"sbarbiter/chaos-tests/lab"
	"sbarbiter/chaos-tests/pair"
)

// byClockToo lets a lost holder be taken over from by lease and watchdog, where
// power cannot be had.
func (s *story) byClockToo() {
	s.t.Helper()
	s.must("let the clock count as well", s.Change(s.ctx, "cluster.yaml", func(text string) string {
		return strings.Replace(text, "fencing: stonith", "fencing: [stonith, watchdog]\naccept_pause_risk: true", 1)
	}))
}

// restsOn checks what the present grant rests on.
func (s *story) restsOn(grade string) {
	s.t.Helper()
	g, err := s.Group(s.ctx)
	s.must("ask what the grant rests on", err)
	if g.Basis.Grade != grade {
		s.t.Errorf("granted with grade %s, want %s", g.Basis.Grade, grade)
	}
}

func (s *story) bothBMCs(f func() *lab.BMCFault) {
	for _, n := range s.Nodes() {
		s.BMCs[n.Name].Break(f())
	}
}

// Both may want to shoot: the standby has begun, its controller takes two seconds,
// and meanwhile the holder is back on the network and hears nothing of a peer that
// has a shot on its way. Nobody but the standby is permitted to.
func TestSlowBMCShootsOneThoughItsTargetIsBackMeanwhile(t *testing.T) {
	s := begin(t)
	s.bothBMCs(func() *lab.BMCFault { return &lab.BMCFault{Late: 2 * time.Second} })

	s.must("isolate the holder", s.Isolate(s.ctx, s.holder.Name))
	s.within(15*time.Second, "a shot is permitted", s.told("witness", "shot permitted"))
	s.must("plug its cables in again", s.Heal(s.ctx, s.holder.Name))

	s.takenOver(20 * time.Second)
	if s.told("witness", "given back", string(s.holder.Name))() == nil {
		s.restsOn("E5") // on a slow machine its right is over before it is back, and its receipt comes first
	} else {
		s.restsOn("E3")
	}
	s.throughout(3*time.Second, "the new holder stays", s.writing(s.standby))
	s.shotOnly(s.holder)
}

// A controller that says off of a machine that runs is believed: nothing else
// speaks against it. What the machine writes is frozen by its kernel, and its guard
// resets it when its right is over.
func TestIsolatedHolderWhoseBMCLiesWritesNothingBesideTheNewOne(t *testing.T) {
	s := begin(t)
	s.BMCs[s.holder.Name].Break(&lab.BMCFault{Lies: true})
	anew := s.rebooted(s.holder)

	s.must("isolate the holder", s.Isolate(s.ctx, s.holder.Name))

	s.takenOver(20 * time.Second)
	s.within(30*time.Second, "the old holder resets itself", anew)
	s.throughout(2*time.Second, "it does not write", s.notOn(s.holder))
	s.must("plug its cables in again", s.Heal(s.ctx, s.holder.Name))
	s.recovers(s.holder)
	s.must("the new holder stays", s.heldBy(s.standby)())
	s.nobodyShot()
}

// withWitnessDevices gives the witness's host the nodes' fence devices.
func (s *story) withWitnessDevices() {
	s.t.Helper()
	device := func(n lab.NodeName) string {
		file := filepath.Join(s.Witness.Dir(), string(n)+".ipmi")
		s.must("lay the password", os.WriteFile(file, []byte(lab.BMCPassword+"\n"), 0o600))
		return fmt.Sprintf("    %s: [{driver: ipmi, address: %s, user: %s, password_file: %s}]\n", n, n.BMCAddr(), lab.BMCUser, file)
	}
	text := "fencing:\n  " + pair.Cluster + ":\n" + device(lab.NodeA) + device(lab.NodeB)
	s.must("give the witness fence devices", s.Change(s.ctx, "witness.yaml", func(old string) string { return old + text }))
	s.within(30*time.Second, "full redundancy", s.redundant)
}

// The way to the holder's BMC was the link that is lost: the standby cannot shoot.
// The witness's own host reaches it from its side of the network.
func fencePathOverTheLostLink(t *testing.T) {
	s := begin(t)
	s.withWitnessDevices()

	s.must("the standby loses its way to the BMC", s.BMCs[s.holder.Name].LoseFor(s.ctx, s.standby.Name.Addr()))
	s.must("isolate the holder", s.Isolate(s.ctx, s.holder.Name))

	s.within(45*time.Second, "the witness's host shoots", s.told("witness", "shooting"))
	s.takenOver(30 * time.Second)
	s.restsOn("E3")
	s.shotOnly(s.holder)
}

// In a maintenance window the standby is switched off and on again by the holder,
// exactly as it would be shot; when, is kept.
func TestRehearsalSwitchesTheStandbyOffAndOnAndIsRemembered(t *testing.T) {
	s := begin(t)
	rehearse := []string{"fence", "test", string(s.standby.Name), "--rehearse", "--yes"}
	if a := s.sbctl(pair.ExitRefused, rehearse...); !strings.Contains(a.Err, "no_maintenance") {
		t.Errorf("outside of a maintenance window it says: %s", a.Text())
	}
	s.sbctl(0, "maintenance", "on", "--for", "10m")
	if a := s.sbctl(pair.ExitRefused, "fence", "test", string(s.holder.Name), "--rehearse", "--yes"); !strings.Contains(a.Err, "holds_group") {
		t.Errorf("for the holder it says: %s", a.Text())
	}
	anew := s.rebooted(s.standby)

	a := s.sbctl(0, rehearse...)

	t.Log(a.Text())
	s.must("it has started anew", anew())
	if !strings.Contains(a.Out, "seen going off and on again") {
		t.Errorf("it prints: %s", a.Out)
	}
	s.within(5*time.Second, "the holder writes on", s.writes(s.holder))
	s.sbctl(0, "maintenance", "off")
	s.within(60*time.Second, "full redundancy", s.redundant)
	s.within(10*time.Second, "doctor knows of it", func() error {
		d, err := s.Sbctl(s.ctx, "doctor")
		if strings.Contains(d.Out, "drbd.service") { // an installation as the README has it: sbagent brings DRBD up
			s.t.Errorf("DRBD is brought up by somebody else:\n%s", d.Out)
		}
		if err == nil && strings.Contains(d.Text(), "was ever seen switching it off") && !strings.Contains(d.Text(), string(s.holder.Name)) {
			err = errors.New(d.Text())
		}
		return err
	})
	s.must("the holder stays", s.heldBy(s.holder)())
	s.shotOnly(s.standby)
}

// A controller that needs longer than a shot may take proves nothing in time, and
// switches off a machine that nobody shoots any more. No other one is shot, and the
// group goes on.
func slowerThanAShot(t *testing.T) {
	s := begin(t)
	s.bothBMCs(func() *lab.BMCFault { return &lab.BMCFault{Late: 10 * time.Second} })

	s.must("isolate the holder", s.Isolate(s.ctx, s.holder.Name))

	s.takenOver(90 * time.Second)
	s.throughout(10*time.Second, "the new holder stays", s.writing(s.standby))
	s.shotOnly(s.holder)
}

// The same, and the holder is back before the late command has its effect.
func slowerThanAShotAndBackMeanwhile(t *testing.T) {
	s := begin(t)
	s.bothBMCs(func() *lab.BMCFault { return &lab.BMCFault{Late: 10 * time.Second} })

	s.must("isolate the holder", s.Isolate(s.ctx, s.holder.Name))
	s.within(15*time.Second, "a shot is permitted", s.told("witness", "shot permitted"))
	s.must("plug its cables in again", s.Heal(s.ctx, s.holder.Name))

	s.within(90*time.Second, "somebody writes", s.writesAnew())
	time.Sleep(15 * time.Second) // whatever was sent has landed
	s.within(60*time.Second, "somebody writes still", s.writesAnew())
	if shots := s.Shots(); len(shots) > 1 || len(shots) == 1 && shots[0] != string(s.holder.Name) {
		t.Errorf("shot: %v", shots)
	}
}

// A controller that takes what it is sent and answers nothing: nobody is promoted
// on a guess; once it answers again, the next shot is proven.
func hangingBMC(t *testing.T) {
	s := begin(t)
	s.must("hang the holder's BMC", s.BMCs[s.holder.Name].Hang())

	s.must("cut the holder's power", s.holder.PowerCut(s.ctx))

	s.within(40*time.Second, "it says what to do", s.told(string(s.standby.Name), "sbctl fence confirm "+string(s.holder.Name)))
	s.throughout(5*time.Second, "nobody is promoted", s.notOn(s.standby))
	s.must("it answers again", s.BMCs[s.holder.Name].Mend(s.ctx))
	s.takenOver(60 * time.Second)
	s.shotOnly(s.holder)
}

// The controller has no power of its own. The lease and the watchdog that was armed
// under it are waited for instead, and no longer.
func bmcDiesWithItsHost(t *testing.T) {
	s := begin(t)
	s.byClockToo()
	s.within(30*time.Second, "full redundancy", s.redundant)
	bound, err := s.Bound(s.ctx, pair.AfterPowerCutWithDevice)
	s.must("ask sbctl timing", err)

	s.KillBMC(s.holder.Name)
	s.must("cut the holder's power", s.holder.PowerCut(s.ctx))

	took := s.takenOver(90 * time.Second)
	t.Logf("taken over after %.1f s, sbctl timing says at most %.1f s", took.Seconds(), bound.Seconds())
	if took < ttl {
		t.Errorf("taken over after %v, before the lease of %v was over", took, ttl)
	}
	s.restsOn("E2")
	s.nobodyShot()
}

// A holder without an armed watchdog is never taken over from by the clock.
func noWatchdogNoClock(t *testing.T) {
	// From the start: a guard does not let go of a watchdog under a group that runs.
	s := ownPair(t, pair.Config{Accepted: "watchdog is not armed", Edit: func(_, name, text string) string {
		if name == "cluster.yaml" {
			return strings.Replace(text, "fencing: stonith", "fencing: [stonith, watchdog]\naccept_pause_risk: true", 1)
		}
		return strings.Replace(text, "watchdog:\n  device: /dev/watchdog1", "watchdog: none", 1)
	}})
	s.KillBMC(s.holder.Name)
	s.must("cut the holder's power", s.holder.PowerCut(s.ctx))

	s.throughout(ttl+15*time.Second, "nobody is promoted", s.notOn(s.standby))
	s.sbctl(0, "fence", "confirm", string(s.holder.Name), "--reason", "its plug is out", "--typed", string(s.holder.Name), "--yes")
	s.takenOver(20 * time.Second)
	s.restsOn("E1")
	s.nobodyShot()
}

// Each holds a group of its own. The standby's shot at the holder is on its way, by
// a controller that takes two seconds, when the holder's network is back and it
// misses the standby's group in turn.
func bothWantToShoot(t *testing.T) {
	s := own(t, func(_, name, text string) string {
		switch {
		case name == "cluster.yaml":
			return text + "  web: {drbd: false}\n"
		case strings.HasPrefix(name, "node"):
			return text + "  web:\n    services:\n      - command: {run: [/bin/sleep, \"100000\"]}\n"
		}
		return text
	})
	s.bothBMCs(func() *lab.BMCFault { return &lab.BMCFault{Late: 2 * time.Second} })
	s.within(60*time.Second, "the standby holds the second group", func() error { return s.webOn(s.standby) })
	s.within(20*time.Second, "full redundancy", s.redundant)

	s.must("isolate the holder", s.Isolate(s.ctx, s.holder.Name))
	s.within(15*time.Second, "a shot is permitted", s.told("witness", "shot permitted"))
	s.must("plug its cables in again", s.Heal(s.ctx, s.holder.Name))

	s.takenOver(20 * time.Second)
	s.throughout(5*time.Second, "the new holder stays", s.writing(s.standby))
	s.shotOnly(s.holder)
}

// webOn moves the second group to a node, unless it is there.
func (s *story) webOn(n *lab.Node) error {
	c, err := s.Status(s.ctx)
	if err != nil {
		return err
	}
	for _, g := range c.Groups {
		switch {
		case g.Name != "web":
		case g.Holder == string(n.Name):
			return nil
		case g.Holder != "":
			_, err = s.Sbctl(s.ctx, "switchover", "web", "--to", string(n.Name), "--yes", "--wait")
		}
	}
	return errors.Join(err, errors.New("not yet"))
}
