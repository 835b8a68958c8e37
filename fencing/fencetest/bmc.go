package fencetest

import (
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"sbarbiter/fencing"
)

// The account at a BMC.
const (
	BMCUser     = "stonith"
	BMCPassword = "s3cret-of-bmc"
)

// BMC is a real ipmi_sim (package openipmi) on loopback. Its chassis control
// script keeps the machine's power in a directory.
type BMC struct {
	Address string // without faults on the way
	// Password is the one that the driver under test is given.
	Password string

	dir string
	// front is where the driver under test finds it.
	front string
}

// presencePing asks whether there is a BMC (RMCP and ASF 2.0, section 3.2.4.3).
var presencePing = []byte{0x06, 0x00, 0xff, 0x06, 0x00, 0x00, 0x11, 0xbe, 0x80, 0x00, 0x00, 0x00}

// chassisScript stands for the machine: DIR/power is its power, DIR/lying makes
// it deaf, DIR/late holds the nanoseconds by which an order takes effect late.
const chassisScript = `#!/bin/sh
# bmc.sh get power | set power 0|1
cd %q || exit 1
now=$(date +%%s%%N)
if [ -s pending ]; then
	read -r at value < pending
	if [ "$now" -ge "$at" ]; then echo "$value" > power; : > pending; fi
fi
case "$1 $2" in
"get power") echo "power:$(cat power)" ;;
"set power")
	[ -e lying ] && exit 0
	if [ -e late ]; then echo "$((now + $(cat late))) $3" > pending; else echo "$3" > power; fi ;;
esac
exit 0
`

// StartBMC starts a BMC with the fault of the setup, on the way to it too.
func StartBMC(t *testing.T, s Setup) *BMC {
	t.Helper()
	b := &BMC{dir: t.TempDir(), Password: BMCPassword}
	b.write(t, "bmc.sh", fmt.Sprintf(chassisScript, b.dir), 0o700)
	b.write(t, "power", map[fencing.Power]string{fencing.PowerOn: "1\n", fencing.PowerOff: "0\n"}[s.Power], 0o600)
	port := freePort(t)
	b.Address = net127(port)
	b.write(t, "lan.conf", lanConf(port, b.dir), 0o600)
	b.write(t, "sim.emu", "mc_setbmc 0x20\nmc_add 0x20 0 no-device-sdrs 0x23 9 8 0x9f 0x1291 0xf02 persist_sdr\nsel_enable 0x20 1000 0x0a\nmc_enable 0x20\n", 0o600)
	b.front = b.Address
	switch s.Fault {
	case Lying:
		b.write(t, "lying", "", 0o600)
	case Late:
		b.write(t, "late", fmt.Sprint(s.Delay.Nanoseconds()), 0o600)
	case Slow:
		b.front = StartWire(t, &Wire{BMC: b.Address, Delay: s.Delay})
	case Hanging:
		b.front = silence(t)
	case DropsLine:
		b.front = StartWire(t, &Wire{BMC: b.Address, Cut: func() bool { return b.Power() == fencing.PowerOff }})
	case WrongPassword:
		b.Password = "not-the-password"
	case Unreachable:
		b.front = net127(1) // nobody's port, also while other tests look for free ones
	}
	b.run(t, Program(t, "ipmi_sim", "openipmi"))
	return b
}

// Program finds a program that the tests need, or skips the test.
func Program(t *testing.T, name, debian string) string {
	t.Helper()
	path, err := exec.LookPath(name)
	if err != nil {
		path, err = exec.LookPath("/usr/sbin/" + name)
	}
	if err != nil {
		if os.Getenv("CI") == "true" {
			t.Fatalf("%s is missing, and CI needs it: apt-get install %s", name, debian)
		}
		t.Skipf("%s is missing: apt-get install %s", name, debian)
	}
	return path
}

// Front returns the address at which the driver under test finds the BMC, with
// the fault on the way.
func (b *BMC) Front() string { return b.front }

// PasswordFile writes a password to where a driver may read it.
func (b *BMC) PasswordFile(t *testing.T, password string) string {
	t.Helper()
	return b.write(t, "password-"+password, password+"\n", 0o600)
}

func lanConf(port int, dir string) string {
	const auths = "none md2 md5 straight"
	return fmt.Sprintf(`name "sbarbiter-test"
set_working_mc 0x20
  startlan 1
    addr 127.0.0.1 %d
    priv_limit admin
    allowed_auths_callback %[2]s
    allowed_auths_user %[2]s
    allowed_auths_operator %[2]s
    allowed_auths_admin %[2]s
    guid a123456789abcdefa123456789abcde1
  endlan
  chassis_control "%[3]s/bmc.sh"
  user 2 true "%[4]s" "%[5]s" admin 10 %[2]s
`, port, auths, dir, BMCUser, BMCPassword)
}

func (b *BMC) run(t *testing.T, program string) {
	t.Helper()
	log, err := os.Create(filepath.Join(b.dir, "log"))
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(program, "-n", "-p", "-c", filepath.Join(b.dir, "lan.conf"), "-f", filepath.Join(b.dir, "sim.emu"), "-s", filepath.Join(b.dir, "state"))
	cmd.Stdout, cmd.Stderr = log, log
	// A test binary that panics runs no cleanup.
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL)
		_ = cmd.Wait()
		_ = log.Close()
		if text, err := os.ReadFile(log.Name()); t.Failed() && err == nil {
			t.Logf("ipmi_sim: %s", text)
		}
	})
	b.awaitPresence(t)
}

func (b *BMC) awaitPresence(t *testing.T) {
	t.Helper()
	conn, err := net.Dial("udp", b.Address)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	answer := make([]byte, 64)
	for end := time.Now().Add(10 * time.Second); ; {
		_ = conn.SetDeadline(time.Now().Add(100 * time.Millisecond))
		if _, err = conn.Write(presencePing); err == nil {
			if _, err = conn.Read(answer); err == nil {
				return
			}
		}
		if time.Now().After(end) {
			t.Fatalf("ipmi_sim does not come up: %v", err)
		}
		time.Sleep(20 * time.Millisecond)
	}
}

// Power asks the machine itself, past the BMC.
func (b *BMC) Power() fencing.Power {
	out, err := exec.Command(filepath.Join(b.dir, "bmc.sh"), "get", "power").Output()
	switch strings.TrimSpace(string(out)) {
	case "power:1":
		return fencing.PowerOn
	case "power:0":
		return fencing.PowerOff
	}
	panic(fmt.Sprintf("chassis script says %q (%v)", out, err))
}

func (b *BMC) write(t *testing.T, name, text string, mode os.FileMode) string {
	t.Helper()
	path := filepath.Join(b.dir, name)
	if err := os.WriteFile(path, []byte(text), mode); err != nil {
		t.Fatal(err)
	}
	return path
}

func freePort(t *testing.T) int {
	t.Helper()
	conn, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	return conn.LocalAddr().(*net.UDPAddr).Port
}

// Wire is a UDP relay before a BMC: the network, with what it may do.
type Wire struct {
	BMC   string
	OnWay func(packet []byte) []byte // of the answers; nil: as they are
	Delay time.Duration              // of the answers
	Cut   func() bool                // true: the answer to this client is lost, and all later ones to it

	conn   net.PacketConn
	mu     sync.Mutex
	byPeer map[string]net.Conn
	lost   map[string]bool
	done   sync.WaitGroup
}

// StartWire returns the relay's address.
func StartWire(t *testing.T, w *Wire) string {
	t.Helper()
	conn, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	w.conn, w.byPeer, w.lost = conn, map[string]net.Conn{}, map[string]bool{}
	w.done.Go(w.forward)
	t.Cleanup(func() {
		_ = conn.Close()
		w.mu.Lock()
		for _, c := range w.byPeer {
			_ = c.Close()
		}
		w.mu.Unlock()
		w.done.Wait()
	})
	return conn.LocalAddr().String()
}

func (w *Wire) forward() {
	buf := make([]byte, 4096)
	for {
		n, peer, err := w.conn.ReadFrom(buf)
		if err != nil {
			return
		}
		w.mu.Lock()
		up := w.byPeer[peer.String()]
		if up == nil {
			if up, err = net.Dial("udp", w.BMC); err != nil {
				w.mu.Unlock()
				return
			}
			w.byPeer[peer.String()] = up
			w.done.Go(func() { w.back(up, peer) })
		}
		w.mu.Unlock()
		_, _ = up.Write(buf[:n])
	}
}

func (w *Wire) back(up net.Conn, peer net.Addr) {
	buf := make([]byte, 4096)
	for {
		n, err := up.Read(buf)
		if err != nil {
			return
		}
		if w.dropped(peer) {
			continue
		}
		time.Sleep(w.Delay)
		packet := buf[:n]
		if w.OnWay != nil {
			packet = w.OnWay(packet)
		}
		_, _ = w.conn.WriteTo(packet, peer)
	}
}

func (w *Wire) dropped(peer net.Addr) bool {
	if w.Cut == nil {
		return false
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	if len(w.lost) == 0 && w.Cut() {
		w.lost[peer.String()] = true
	}
	return w.lost[peer.String()]
}

func net127(port int) string { return fmt.Sprintf("127.0.0.1:%d", port) }

// silence returns the address of somebody who listens and never answers.
func silence(t *testing.T) string {
	t.Helper()
	conn, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	return conn.LocalAddr().String()
}
