package lab

import (
	"bufio"
	"errors"
	"fmt"
	"net"
	"os"
	"strings"
	"sync"
	"time"
)

// powerServer answers the chassis control programs of the BMCs.
type powerServer struct {
	listener net.Listener
	node     func(NodeName) *Node
	bmc      func(NodeName) *BMC
	serving  sync.WaitGroup
}

func servePower(path string, node func(NodeName) *Node, bmc func(NodeName) *BMC) (*powerServer, error) {
	l, err := net.Listen("unix", path)
	if err != nil {
		return nil, fmt.Errorf("serve power switches: %w", err)
	}
	s := &powerServer{listener: l, node: node, bmc: bmc}
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
	fault := s.bmc(n.Name).fault.Load()
	verb := strings.Join(words[1:], " ")
	if verb == "get power" {
		if n.Powered() && (fault == nil || !fault.said.Load()) {
			return "power:1", nil
		}
		return "power:0", nil
	}
	op, why := opOff, "its BMC"
	switch verb {
	case "set power 0":
	case "set power 1":
		op = opOn
	case "set reset 1", "set cycle 1", "set reset", "set cycle":
		op, why = opCycle, "its BMC, cycle"
	default:
		return "", errChassis
	}
	n.switchPower(fault, op, why)
	return "", nil
}

// switchPower presses the node's switch as its BMC does today.
func (n *Node) switchPower(fault *BMCFault, op powerOp, why string) {
	switch {
	case fault == nil:
		n.machine.press(op, why)
	case fault.Lies:
		fault.said.Store(op == opOff)
		n.lab.log.note("bmc-"+n.Name.letter(), "told to switch %s, and does not", n.Name)
	default:
		n.lab.log.note("bmc-"+n.Name.letter(), "told to switch %s, in %v", n.Name, fault.Late)
		fault.after(func() { n.machine.press(op, why) })
	}
}
