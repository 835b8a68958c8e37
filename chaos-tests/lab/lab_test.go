package lab

import (
	"bytes"
	"context"
	"net"
	"os"
	"os/exec"
	"slices"
	"strings"
	"testing"
	"time"
)

func TestBothNodesComeUpWithDRBDConnectedAndUpToDate(t *testing.T) {
	l, ctx := theLab(t)
	for _, n := range l.Nodes() {
		out, code, err := n.Run(ctx, "hostname; drbd-state; systemctl is-system-running; ls /dev/watchdog1; findmnt -no FSTYPE /var/lib/sbarbiter; free -m")
		if err != nil || code != 0 {
			t.Fatalf("%s: exit %d, %v: %s", n.Name, code, err, out)
		}
		t.Log(out)
		for _, want := range []string{string(n.Name), "Connected", "UpToDate/UpToDate", "running", "/dev/watchdog1", "ext4"} {
			if !strings.Contains(out, want) {
				t.Errorf("%s does not say %q", n.Name, want)
			}
		}
	}
}

func TestScriptsReportOutputAndExitStatus(t *testing.T) {
	l, ctx := theLab(t)
	began := time.Now()
	out, code, err := l.A.Run(ctx, `echo "it's"; (sleep 60 &) ; echo two >&2; exit 3`)
	t.Logf("one script: %v", time.Since(began))
	if err != nil || code != 3 || out != "it's\ntwo\n" {
		t.Fatalf("got %q, exit %d, %v", out, code, err)
	}
}

func TestPowerCutReadsOffAtTheBMCAndOnBootsTheNode(t *testing.T) {
	l, ctx := theLab(t)
	bmc := l.BMCs[NodeB]
	power := func() string {
		out, err := bmc.IPMI(ctx, "chassis", "power", "status")
		must(t, err)
		return out
	}
	if got := power(); got != "Chassis Power is on" {
		t.Fatalf("before: %q", got)
	}
	must(t, l.B.PowerCut(ctx))
	if got := power(); got != "Chassis Power is off" {
		t.Fatalf("after the cut: %q", got)
	}
	_, err := bmc.IPMI(ctx, "chassis", "power", "on")
	must(t, err)
	eventually(t, 20*time.Second, "BMC power on to node up", func() bool { return l.B.says(ctx, "systemctl is-active lab-drbd.service") })
	eventually(t, 20*time.Second, "then to DRBD UpToDate", func() bool { return l.B.WaitDRBD(ctx, "ds:UpToDate/UpToDate") == nil })
	_, err = bmc.IPMI(ctx, "chassis", "power", "off")
	must(t, err)
	eventually(t, 5*time.Second, "BMC power off to status off", func() bool { return power() == "Chassis Power is off" })
	if l.B.Powered() {
		t.Error("the BMC says off while processes are alive")
	}
	_, err = bmc.IPMI(ctx, "chassis", "power", "on")
	must(t, err)
	must(t, l.B.WaitUp(ctx))
	boots := l.B.Boots()
	for _, verb := range []string{"cycle", "reset"} {
		_, err = bmc.IPMI(ctx, "chassis", "power", verb)
		must(t, err)
		boots++
		eventually(t, 5*time.Second, "chassis power "+verb, func() bool { return l.B.Boots() == boots && l.B.Powered() })
	}
	must(t, l.B.WaitUp(ctx))
}

func TestBMCRefusesAWrongPasswordAndAnswersNobodyWhenDead(t *testing.T) {
	l, ctx := theLab(t)
	bmc := l.BMCs[NodeA]
	must(t, bmc.SetPassword("changed"))
	defer func() { must(t, bmc.SetPassword(BMCPassword)) }()
	if out, err := bmc.IPMI(ctx, "chassis", "power", "status"); err != nil {
		t.Fatalf("with the new password: %v: %s", err, out)
	}
	bmc.password = BMCPassword
	if out, err := bmc.IPMI(ctx, "chassis", "power", "status"); err == nil {
		t.Fatalf("with the old password: %s", out)
	}
	bmc.Stop()
	soon, cancel := context.WithTimeout(ctx, 3*time.Second) // ipmitool alone would ask on for twelve
	defer cancel()
	if out, err := bmc.IPMI(soon, "chassis", "power", "status"); err == nil {
		t.Fatalf("dead BMC answered: %s", out)
	}
}

func TestReplicationCutIsNoticedByDRBDAndNothingElseIsLost(t *testing.T) {
	l, ctx := theLab(t)
	must(t, l.CutReplication(ctx))
	eventually(t, 10*time.Second, "cut to DRBD noticing", func() bool { return l.A.says(ctx, "! drbd-state | grep -q cs:Connected") })
	if !l.A.pings(ctx, NodeB.Addr()) || l.A.pings(ctx, NodeB.ReplicationAddr()) {
		t.Error("want the management link up and the replication link cut")
	}
	must(t, l.HealReplication(ctx))
	began := time.Now()
	must(t, l.WaitDRBD(ctx, "cs:Connected", "ds:UpToDate/UpToDate"))
	t.Logf("mended to UpToDate: %v", time.Since(began))
}

func TestIsolatedNodeReachesNobodyUntilHealed(t *testing.T) {
	l, ctx := theLab(t)
	others := []string{GatewayAddr, WitnessAddr, NodeA.BMCAddr(), NodeB.BMCAddr(), NodeA.Addr(), NodeA.ReplicationAddr(), NodeA.ReplicationAddr6()}
	if got := l.B.reach(ctx, others...); len(got) != len(others) {
		t.Errorf("before: only %v answered", got)
	}
	must(t, l.Isolate(ctx, NodeB))
	if got := l.B.reach(ctx, others...); len(got) != 0 {
		t.Errorf("isolated: %v answered", got)
	}
	if !l.A.pings(ctx, GatewayAddr) || l.A.pings(ctx, NodeB.Addr()) {
		t.Error("node-a must reach the gateway, not node-b")
	}
	must(t, l.Heal(ctx, NodeB))
	eventually(t, 5*time.Second, "healed to first answer", func() bool { return l.B.pings(ctx, NodeA.Addr()) })
}

func TestCutBetweenNodesLeavesWitnessGatewayAndBMCs(t *testing.T) {
	l, ctx := theLab(t)
	must(t, l.CutBetweenNodes(ctx))
	for _, n := range l.Nodes() {
		if got := n.reach(ctx, GatewayAddr, WitnessAddr, NodeA.BMCAddr(), NodeB.BMCAddr()); len(got) != 4 {
			t.Errorf("%s reaches only %v", n.Name, got)
		}
		p := n.Name.Peer()
		if got := n.reach(ctx, p.Addr(), p.ReplicationAddr(), p.ReplicationAddr6()); len(got) != 0 {
			t.Errorf("%s still reaches %v", n.Name, got)
		}
	}
	must(t, l.HealBetweenNodes(ctx))
	eventually(t, 5*time.Second, "mended", func() bool { return l.A.pings(ctx, NodeB.Addr()) && l.A.pings(ctx, NodeB.ReplicationAddr()) })
}

func TestManagementCutLeavesReplicationAndEverybodyElse(t *testing.T) {
	l, ctx := theLab(t)
	must(t, l.CutManagement(ctx))
	want := []string{GatewayAddr, WitnessAddr, NodeB.BMCAddr(), NodeB.ReplicationAddr()}
	if got := l.A.reach(ctx, append(want, NodeB.Addr())...); len(got) != len(want) || slices.Contains(got, NodeB.Addr()) {
		t.Errorf("node-a reaches %v, want %v", got, want)
	}
	must(t, l.HealManagement(ctx))
	eventually(t, 5*time.Second, "mended", func() bool { return l.A.pings(ctx, NodeB.Addr()) })
}

func TestTrafficIsCountedPerCable(t *testing.T) {
	l, ctx := theLab(t)
	before, err := l.A.ManagementTraffic(ctx)
	must(t, err)
	must(t, l.A.Must(ctx, "busybox ping -c5 -i0.1 -s1000 "+WitnessAddr))
	after, err := l.A.ManagementTraffic(ctx)
	must(t, err)
	// Five requests and five answers, and what ARP may add.
	if d := after.Sub(before); d.Packets < 10 || d.Packets > 40 || d.Bytes < 10_000 {
		t.Errorf("counted %+v", d)
	}
}

func TestGatewayGoesDownForAllOrForOne(t *testing.T) {
	l, ctx := theLab(t)
	must(t, l.Gateway.LoseFor(ctx, NodeB))
	if !l.A.pings(ctx, GatewayAddr) || l.B.pings(ctx, GatewayAddr) {
		t.Error("want the gateway lost by node-b only")
	}
	must(t, l.Gateway.FindFor(ctx, NodeB))
	if !l.B.pings(ctx, GatewayAddr) {
		t.Error("node-b does not find the gateway again")
	}
	must(t, l.Gateway.Down(ctx))
	if l.A.pings(ctx, GatewayAddr) || l.B.pings(ctx, GatewayAddr) || !l.A.pings(ctx, WitnessAddr) {
		t.Error("want the gateway lost by both, and the witness by nobody")
	}
	must(t, l.Gateway.Up(ctx))
	eventually(t, 5*time.Second, "gateway back", func() bool { return l.A.pings(ctx, GatewayAddr) && l.B.pings(ctx, GatewayAddr) })
}

func TestGuestResetsComeBackWithNetwork(t *testing.T) {
	l, ctx := theLab(t)
	resets := map[string]string{
		"sysrq b":            "echo b >/proc/sysrq-trigger",
		"panic (sysrq c)":    "echo c >/proc/sysrq-trigger",
		"systemctl reboot":   "systemctl reboot -ff",
		"softdog, 2 s to go": `busybox watchdog -F -t 60 -T 2 /dev/watchdog1`,
	}
	for name, script := range resets {
		t.Run(name, func(t *testing.T) {
			boots := l.B.Boots()
			must(t, l.B.Must(ctx, "setsid sh -c "+quote("sleep 0.2; "+script)+" >/dev/null 2>&1 </dev/null &"))
			eventually(t, 15*time.Second, "to power on again", func() bool { return l.B.Boots() == boots+1 })
			must(t, l.B.WaitUp(ctx))
			if !l.B.pings(ctx, NodeA.ReplicationAddr()) {
				t.Error("came back without network")
			}
		})
	}
}

func TestFrozenNodeGoesOnWhereItWas(t *testing.T) {
	l, ctx := theLab(t)
	must(t, l.A.Must(ctx, "setsid sh -c 'while :; do :; done' >/dev/null 2>&1 </dev/null &"))
	boots := l.A.Boots()
	for range 5 {
		must(t, l.A.Freeze())
		short, cancel := context.WithTimeout(ctx, 500*time.Millisecond)
		if l.A.says(short, "true") {
			t.Error("a frozen node answered")
		}
		cancel()
		must(t, l.A.Thaw())
		eventually(t, 10*time.Second, "thawed to answer", func() bool { return l.A.says(ctx, "true") })
	}
	if l.A.Boots() != boots {
		t.Error("the node did not survive being frozen")
	}
	must(t, l.A.PowerCut(ctx))
}

func TestFilesSurviveAPowerCutAsOnADisk(t *testing.T) {
	l, ctx := theLab(t)
	must(t, l.B.WriteFile(ctx, "/etc/sbarbiter/x.yaml", []byte("zero, and longer"), 0o600))
	must(t, l.B.Must(ctx, "grep -q zero /etc/sbarbiter/x.yaml"))
	must(t, l.B.WriteFile(ctx, "/etc/sbarbiter/x.yaml", []byte("one"), 0o600))
	must(t, l.B.Must(ctx, "grep -qx one /etc/sbarbiter/x.yaml && echo kept >/var/lib/sbarbiter/k && sync"))
	must(t, l.B.PowerCut(ctx))
	must(t, l.B.PowerOn(ctx))
	must(t, l.B.WaitUp(ctx))
	must(t, l.B.Must(ctx, "grep -qx one /etc/sbarbiter/x.yaml && grep -q kept /var/lib/sbarbiter/k && [ $(stat -c %a /etc/sbarbiter/x.yaml) = 600 ]"))
	data, err := l.B.ReadFile(ctx, "/var/lib/sbarbiter/k")
	if err != nil || string(data) != "kept\n" {
		t.Fatalf("ReadFile = %q, %v", data, err)
	}
}

func TestWriterGoesOnAtThePeerAndNothingAcknowledgedIsLost(t *testing.T) {
	l, ctx := theLab(t)
	must(t, l.A.StartWriter(ctx))
	eventually(t, 10*time.Second, "first 50 records", func() bool { return len(l.Truth.Acks()) >= 50 })
	must(t, l.A.PowerCut(ctx))
	must(t, l.B.Must(ctx, "printf '#!/bin/sh\\nexit 7\\n' >/tmp/sbagent; chmod +x /tmp/sbagent; ln -sf /tmp/sbagent /usr/sbin/sbagent"))
	eventually(t, 10*time.Second, "DRBD notices", func() bool { return l.B.says(ctx, "! drbd-state | grep -q cs:Connected") })
	must(t, l.B.StartWriter(ctx))
	eventually(t, 10*time.Second, "the peer writes", func() bool { last, ok := l.Truth.LastAck(); return ok && last.Node == string(NodeB) })
	audit, err := l.CheckRecords(ctx, l.B)
	must(t, err)
	if audit.Acked < 50 || len(audit.Lost) != 0 {
		t.Errorf("audit: %d acked, lost %v", audit.Acked, audit.Lost)
	}
	if d := l.Truth.DualActive(); d != 0 {
		t.Errorf("dual active for %v", d)
	}
	gaps := l.Truth.Gaps(500 * time.Millisecond)
	if len(gaps) != 1 || gaps[0].Before != "node-a" || gaps[0].After != "node-b" {
		t.Fatalf("gaps: %+v", gaps)
	}
	t.Logf("gap %.2f s, %d records acknowledged, %d in the file", gaps[0].Length().Seconds(), audit.Acked, audit.Found)
	must(t, l.B.StopWriter(ctx))
}

func TestNothingLeavesTheLabsNamespaces(t *testing.T) {
	l, ctx := theLab(t)
	for _, n := range l.Nodes() {
		if n.says(ctx, "ip route get 192.0.2.1") {
			t.Errorf("%s has a way out", n.Name)
		}
	}
	for _, s := range []space{l.net.sw, l.net.gw, l.net.wit, l.net.bmc} {
		routes, err := exec.CommandContext(ctx, "ip", "-n", string(s), "route", "show", "default").Output()
		if err != nil || len(routes) > 0 {
			t.Errorf("%s has a way out: %s %v", s, routes, err)
		}
	}
	addrs, err := net.InterfaceAddrs()
	must(t, err)
	for _, a := range addrs {
		if strings.HasPrefix(a.String(), "10.9") {
			t.Errorf("the host itself has the lab's address %s", a)
		}
	}
}

// TestMain closes the shared lab after all tests, so what is left after a
// lab's end is looked at here, on a lab of its own whose process is killed.
func TestNothingIsLeftWhenTheLabsProcessIsKilled(t *testing.T) {
	theLab(t)
	dir := t.TempDir()
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), "LAB_CHILD_DIR="+dir)
	out, err := cmd.StdoutPipe()
	must(t, err)
	must(t, cmd.Start())
	prefix := make([]byte, 64)
	k, err := out.Read(prefix)
	must(t, err)
	name := strings.TrimSpace(string(prefix[:k]))
	left := func() bool {
		list, err := exec.Command("ip", "netns", "list").Output()
		must(t, err)
		entries, err := os.ReadDir(dir)
		must(t, err)
		return bytes.Contains(list, []byte(name+"-")) || len(entries) > 0
	}
	if !strings.HasPrefix(name, "sblab") || !left() {
		t.Fatalf("the child made no lab: %q", name)
	}
	must(t, cmd.Process.Kill())
	_ = cmd.Wait() // killed, as ordered
	eventually(t, 10*time.Second, "all gone", func() bool { return !left() })
}

func TestFrozenWriterLeavesAGapAndNoFalseActivity(t *testing.T) {
	l, ctx := theLab(t)
	must(t, l.A.StartWriter(ctx))
	eventually(t, 10*time.Second, "first 50 records", func() bool { return len(l.Truth.Acks()) >= 50 })
	must(t, l.CutReplication(ctx))
	must(t, l.A.Freeze())
	time.Sleep(2 * time.Second)
	must(t, l.A.Thaw())
	must(t, l.HealReplication(ctx))
	written := len(l.Truth.Acks())
	eventually(t, 20*time.Second, "it goes on writing", func() bool { return len(l.Truth.Acks()) > written+20 })
	gaps := l.Truth.Gaps(time.Second)
	if len(gaps) != 1 || gaps[0].Length() < 2*time.Second {
		t.Errorf("gaps: %+v", gaps)
	}
	must(t, l.A.StopWriter(ctx))
	if d := l.Truth.DualActive(); d != 0 {
		t.Errorf("dual active for %v", d)
	}
}
