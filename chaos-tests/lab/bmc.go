package lab

import (
	"bufio"
	"context"
	_ "embed" // the chassis control program
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
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

// powerServer answers the chassis control programs of the BMCs.
type powerServer struct {
	listener net.Listener
	node     func(NodeName) *Node
	serving  sync.WaitGroup
}

func servePower(path string, node func(NodeName) *Node) (*powerServer, error) {
	l, err := net.Listen("unix", path)
	if err != nil {
		return nil, fmt.Errorf("serve power switches: %w", err)
	}
	s := &powerServer{listener: l, node: node}
	s.serving.Go(s.accept)
	return s, nil
}

func (s *powerServer) close() {
	_ = s.listener.Close()
	s.serving.Wait()
	_ = os.Remove(s.listener.Addr().String())
}

func (s *powerServer) accept() {
	for {
		conn, err := s.listener.Accept()
		if err != nil {
			return
		}
		s.serving.Go(func() { s.answer(conn) })
	}
}

func (s *powerServer) answer(conn net.Conn) {
	defer conn.Close()
	_ = conn.SetDeadline(time.Now().Add(5 * time.Second))
	line, err := bufio.NewReader(conn).ReadString('\n')
	if err != nil {
		return
	}
	reply, err := s.perform(strings.Fields(line))
	if err != nil {
		reply = "error: " + err.Error()
	}
	_, _ = fmt.Fprintln(conn, reply)
}

var errChassis = errors.New("no such chassis command")

// perform carries out "NODE get power" and "NODE set power|reset|... N".
// Setting returns when the switch is pressed, like a real BMC; "get power"
// tells the truth, which after "off" is 1 until the node's last process is dead.
func (s *powerServer) perform(words []string) (string, error) {
	if len(words) < 3 {
		return "", errChassis
	}
	n := s.node(NodeName(words[0]))
	if n == nil {
		return "", errChassis
	}
	switch strings.Join(words[1:], " ") {
	case "get power":
		if n.Powered() {
			return "power:1", nil
		}
		return "power:0", nil
	case "set power 0":
		n.machine.press(opOff, "its BMC")
	case "set power 1":
		n.machine.press(opOn, "its BMC")
	case "set reset 1", "set cycle 1", "set reset", "set cycle":
		n.machine.press(opCycle, "its BMC, cycle")
	default:
		return "", errChassis
	}
	return "", nil
}
