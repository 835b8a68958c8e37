package lab

import (
	"context"
	_ "embed" // the chassis control program
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

// The account that each BMC knows at first.
const (
	BMCUser     = "stonith"
	BMCPassword = "s3cret"
)

//go:embed guest/chassis.sh
var chassisScript []byte

const bmcConfig = `name "bmc"
set_working_mc 0x20
  startlan 1
    addr %s 623
    priv_limit admin
    allowed_auths_callback none md2 md5 straight
    allowed_auths_user none md2 md5 straight
    allowed_auths_operator none md2 md5 straight
    allowed_auths_admin none md2 md5 straight
    guid a123456789abcdefa123456789abcde%d
  endlan
  chassis_control "/bin/sh %s/chassis.sh %s"
  user 2 true "%s" "%s" admin 10 none md2 md5 straight
`

const bmcCommands = `mc_setbmc 0x20
mc_add 0x20 0 no-device-sdrs 0x23 9 8 0x9f 0x1291 0xf02 persist_sdr
sel_enable 0x20 1000 0x0a
mc_enable 0x20
`

// BMC is a node's baseboard management controller: ipmi_sim, speaking IPMI
// 2.0 (cipher suite 3) on UDP port 623. It shares no fate with its node.
// Its methods belong to one goroutine.
type BMC struct {
	lab      *Lab
	node     NodeName
	password string
	proc     *group
	starts   int
	fault    atomic.Pointer[BMCFault]
}

// BMCFault is what is wrong with a BMC that answers.
type BMCFault struct {
	Late time.Duration // from a command that it has taken to its effect
	Lies bool          // takes every command, switches nothing, and says off from the first "off" on

	said    atomic.Bool // the first "off" has come
	mu      sync.Mutex  // guards pending
	pending []*time.Timer
}

// after does something late, unless the BMC is mended before.
func (f *BMCFault) after(do func()) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.pending = append(f.pending, time.AfterFunc(f.Late, do))
}

func (f *BMCFault) end() {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, t := range f.pending {
		t.Stop()
	}
}

func (f *BMCFault) String() string {
	if f.Lies {
		return "says off, and switches nothing"
	}
	return fmt.Sprintf("takes %v", f.Late)
}

// Break makes a BMC's commands late, or lies. Mend ends it.
func (b *BMC) Break(f *BMCFault) {
	b.fault.Store(f)
	b.lab.log.note(b.host(), "%v", f)
}

// Hang makes the BMC take what it is sent and answer nobody, until Mend.
func (b *BMC) Hang() error {
	b.lab.log.note(b.host(), "hangs")
	return b.proc.freeze()
}

// LoseFor drops the BMCs' answers to one address: they share one cable.
func (b *BMC) LoseFor(ctx context.Context, addr string) error {
	b.lab.log.note(b.host(), "not reached from %s", addr)
	return b.lab.net.bmc.ip(ctx, "route replace blackhole "+addr+"/32")
}

// Mend makes the BMC as it was: started, reached by all, honest and quick, with its
// first password.
func (b *BMC) Mend(ctx context.Context) error {
	if f := b.fault.Swap(nil); f != nil {
		f.end()
	}
	for _, n := range []NodeName{NodeA, NodeB} {
		// Replaced first, so that there is one to delete.
		if err := b.lab.net.bmc.ip(ctx, "route replace blackhole "+n.Addr()+"/32", "route del blackhole "+n.Addr()+"/32"); err != nil {
			return err
		}
	}
	if b.password != BMCPassword {
		return b.SetPassword(BMCPassword)
	}
	if b.proc != nil {
		if err := b.proc.thaw(); err != nil {
			return err
		}
	}
	return b.Start()
}

func newBMC(l *Lab, node NodeName) *BMC {
	return &BMC{lab: l, node: node, password: BMCPassword}
}

func (b *BMC) host() string { return "bmc-" + b.node.letter() }

// Start plugs the BMC in. A started one stays as it is.
func (b *BMC) Start() error {
	if b.proc != nil {
		return nil
	}
	b.starts++
	l := b.lab
	dir := filepath.Join(l.dir, fmt.Sprintf("%s.%d", b.host(), b.starts))
	conf := fmt.Sprintf(bmcConfig, b.node.BMCAddr(), b.node.number(), l.dir, b.node, BMCUser, b.password)
	for _, f := range []File{
		{Path: "lan.conf", Data: []byte(conf), Mode: 0o600},
		{Path: "sim.emu", Data: []byte(bmcCommands)},
		{Path: "state/.keep"},
		{Path: "../chassis.sh", Data: chassisScript},
	} {
		root := dir
		if f.Path == "../chassis.sh" {
			root, f.Path = l.dir, "chassis.sh"
		}
		if err := f.put(root); err != nil {
			return err
		}
	}
	cmd := l.net.bmc.command(context.Background(), "ipmi_sim", "-n", "-p",
		"-c", filepath.Join(dir, "lan.conf"), "-f", filepath.Join(dir, "sim.emu"), "-s", filepath.Join(dir, "state"))
	g, err := startGroup(cmd)
	if err != nil {
		return err
	}
	b.proc = g
	l.log.note(b.host(), "started")
	return b.listening()
}

// listening waits until ipmi_sim has opened its port, as the kernel lists it.
func (b *BMC) listening() error {
	want := fmt.Sprintf(" %02X005A0A:026F ", 240+b.node.number())
	for end := time.Now().Add(5 * time.Second); time.Now().Before(end); time.Sleep(5 * time.Millisecond) {
		ports, err := os.ReadFile(fmt.Sprintf("/proc/%d/net/udp", b.proc.id))
		if err == nil && strings.Contains(string(ports), want) {
			return nil
		}
	}
	return fmt.Errorf("start %s: ipmi_sim does not listen on %s:623", b.host(), b.node.BMCAddr())
}

// Stop kills the BMC: it answers nobody until Start.
func (b *BMC) Stop() {
	if b.proc == nil {
		return
	}
	b.proc.kill()
	<-b.proc.gone
	b.proc = nil
	b.lab.log.note(b.host(), "dead")
}

// SetPassword restarts the BMC with another password for its account.
func (b *BMC) SetPassword(password string) error {
	b.Stop()
	b.password = password
	return b.Start()
}

// IPMI performs an ipmitool command against the BMC, from the witness's host,
// with the password that the BMC has now.
func (b *BMC) IPMI(ctx context.Context, args ...string) (string, error) {
	all := append([]string{
		"-I", "lanplus", "-C", "3", "-H", b.node.BMCAddr(), "-U", BMCUser, "-P", b.password, "-N", "1", "-R", "3",
	}, args...)
	out, err := b.lab.net.wit.command(ctx, "ipmitool", all...).CombinedOutput()
	if err != nil {
		return string(out), fmt.Errorf("ipmitool %s at %s: %w: %s", strings.Join(args, " "), b.host(), err, out)
	}
	return strings.TrimSpace(string(out)), nil
}
