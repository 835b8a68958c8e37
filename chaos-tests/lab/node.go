package lab

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// Node is one of the two machines.
type Node struct {
	Name NodeName

	lab     *Lab
	share   string // the node's exchange directory on the host, /h in the node
	machine *machine
}

func newNode(l *Lab, name NodeName) *Node {
	n := &Node{Name: name, lab: l, share: filepath.Join(l.dir, string(name))}
	n.machine = newMachine(string(name), n.boot, func(f string, a ...any) { l.log.note(string(name), f, a...) })
	return n
}

// PowerCut takes the node's power away and returns when none of its processes
// is alive.
func (n *Node) PowerCut(ctx context.Context) error {
	return n.machine.use(ctx, opOff, "lab")
}

// PowerOn starts the node; it returns before the node is up (see WaitUp).
func (n *Node) PowerOn(ctx context.Context) error {
	return n.machine.use(ctx, opOn, "lab")
}

// Powered says whether any process of the node is alive.
func (n *Node) Powered() bool { return n.machine.current.Load() != nil }

// Boots counts how often the node was started, by whomever.
func (n *Node) Boots() int { return int(n.machine.boots.Load()) }

// Freeze stops the node in its tracks: it computes, sends and answers nothing
// until Thaw. Its power stays on.
func (n *Node) Freeze() error { return n.halt("frozen", (*group).freeze) }

// Thaw lets a frozen node go on where it was.
func (n *Node) Thaw() error { return n.halt("thawed", (*group).thaw) }

func (n *Node) halt(what string, act func(*group) error) error {
	g := n.machine.current.Load()
	if g == nil {
		return fmt.Errorf("%s must be powered on to be %s", n.Name, what)
	}
	if err := act(g); err != nil {
		return err
	}
	n.lab.log.note(string(n.Name), "%s", what)
	return nil
}

// boot starts the node's kernel.
func (n *Node) boot() (*group, error) {
	if err := os.WriteFile(filepath.Join(n.share, "boot-token"), nil, 0o644); err != nil {
		return nil, fmt.Errorf("write boot token: %w", err)
	}
	out, in, err := os.Pipe()
	if err != nil {
		return nil, fmt.Errorf("make console: %w", err)
	}
	cmd := n.lab.net.sw.command(context.Background(), kernelProgram(), n.bootArgs()...)
	cmd.Stdout, cmd.Stderr = in, in
	cmd.Env = append(os.Environ(), "TMPDIR="+n.lab.ramDir())
	g, err := startGroup(cmd)
	in.Close()
	if err != nil {
		out.Close()
		return nil, err
	}
	go n.watchConsole(out, g)
	return g, nil
}

// ramDir is where UML keeps the nodes' RAM: a RAM disk if it is big enough
// (in many containers it is not), else the lab's own directory.
func (l *Lab) ramDir() string {
	const shm = "/dev/shm"
	var fs unix.Statfs_t
	err := unix.Statfs(shm, &fs)
	if err == nil && int64(fs.Bavail)*fs.Bsize > 2*l.cfg.Memory+64<<20 {
		return shm
	}
	return l.dir
}

func (n *Node) bootArgs() []string {
	l, num := n.lab, n.Name.number()
	nic := func(i int, w wire) string {
		return fmt.Sprintf("vec%d:transport=tap,ifname=%s,depth=128,gro=1,mac=02:00:00:00:0%x:0%d", i, n.Name.tap(w), 10+i, num)
	}
	return []string{
		"mem=" + strconv.FormatInt(l.cfg.Memory>>20, 10) + "M",
		"initrd=" + l.initrd(), "ubda=" + n.disk(), "ubdb=" + n.stateDisk(),
		"umid=" + string(n.Name), "uml_dir=" + filepath.Join(l.dir, "umid"),
		nic(0, management), nic(1, replication), nic(2, outOfBand),
		"con=null", "con0=null,fd:1", "ssl=null", "console=tty0",
		// A second of measuring for a RAID that no node has.
		"initcall_blacklist=raid6_select_algo",
		"labshare=" + n.share, "labmodules=" + modulesDir(), "labnode=" + string(n.Name),
	}
}

func (n *Node) disk() string      { return filepath.Join(n.lab.dir, string(n.Name)+".disk") }
func (n *Node) stateDisk() string { return filepath.Join(n.lab.dir, string(n.Name)+".state") }

// ConsolePath is the file that takes what the node's kernel and services print.
func (n *Node) ConsolePath() string { return filepath.Join(n.lab.dir, string(n.Name)+".console") }

// firstWords begin the output of a UML process; a second time they mean that
// the guest has reset itself, in the same process and without network.
const firstWords = "Core dump limits :"

// watchConsole keeps the console and makes a guest's reset a real one.
func (n *Node) watchConsole(out io.ReadCloser, g *group) {
	defer out.Close()
	file, err := os.OpenFile(n.ConsolePath(), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o644)
	if err != nil {
		n.lab.log.note(string(n.Name), "console is lost: %v", err)
		return
	}
	defer file.Close()
	starts := 0
	for r := bufio.NewReader(out); ; {
		line, err := r.ReadString('\n')
		// A full disk must not block the node's console.
		_, _ = file.WriteString(line)
		if strings.HasPrefix(line, firstWords) {
			if starts++; starts > 1 {
				g.kill()
			}
		}
		if err != nil {
			return
		}
	}
}

// WaitUp returns when the node's shell answers and DRBD's start was tried.
// Services of Config.Units may still be starting.
func (n *Node) WaitUp(ctx context.Context) error {
	for {
		try, cancel := context.WithTimeout(ctx, 2*time.Second)
		out, code, err := n.Run(try, "case $(systemctl show -P ActiveState lab-drbd.service) in active|failed) ;; *) systemctl show -p ActiveState lab-drbd.service; systemctl list-jobs; exit 1;; esac")
		cancel()
		if err == nil && code == 0 {
			return nil
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("wait for %s to come up (its console: %s): %w; at last exit %d: %s", n.Name, n.ConsolePath(), errors.Join(ctx.Err(), err), code, out)
		case <-time.After(50 * time.Millisecond):
		}
	}
}

// WriteFile puts a file into the node, now if it is up and again at each boot:
// as if it were on the node's system disk.
func (n *Node) WriteFile(ctx context.Context, path string, data []byte, mode fs.FileMode) error {
	if err := n.lay(File{Path: path, Data: data, Mode: mode}); err != nil {
		return err
	}
	if !n.Powered() {
		return nil
	}
	out, code, err := n.Run(ctx, fmt.Sprintf("mkdir -p %s && cp -a /h/root%s %s", quote(filepath.Dir(path)), quote(path), quote(path)))
	if err == nil && code != 0 {
		err = fmt.Errorf("exit %d: %s", code, out)
	}
	if err != nil {
		return fmt.Errorf("write %s on %s: %w", path, n.Name, err)
	}
	return nil
}

// lay puts a file where the node's next boot takes it from.
func (n *Node) lay(f File) error {
	return f.put(filepath.Join(n.share, "root"))
}

// ReadFile fetches a file from the node, which must be up.
func (n *Node) ReadFile(ctx context.Context, path string) ([]byte, error) {
	name := fmt.Sprintf("out.%d", n.lab.serial.Add(1))
	host := filepath.Join(n.share, name)
	defer os.Remove(host)
	out, code, err := n.Run(ctx, fmt.Sprintf("cp %s /h/%s 2>&1", quote(path), name))
	if err == nil && code != 0 {
		err = fmt.Errorf("exit %d: %s", code, out)
	}
	if err != nil {
		return nil, fmt.Errorf("read %s on %s: %w", path, n.Name, err)
	}
	return os.ReadFile(host)
}

// ShellCommand is what a person types to get a shell in the node. No network
// fault touches it.
func (n *Node) ShellCommand() string {
	return fmt.Sprintf("ip netns exec %s socat FILE:$(tty),raw,echo=0 TCP:%s:2223", n.lab.net.sw, n.Name.controlAddr())
}
