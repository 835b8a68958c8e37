package lab

import (
	"bytes"
	"context"
	"embed"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"

	"sbarbiter/deploy"
)

//go:embed guest
var guest embed.FS

// nodeFiles says where the lab's own files go in a node.
var nodeFiles = map[string]string{
	"lab-setup.service":   "/etc/systemd/system/lab-setup.service",
	"lab-control.service": "/etc/systemd/system/lab-control.service",
	"lab-shell.service":   "/etc/systemd/system/lab-shell.service",
	"lab-writer.service":  "/etc/systemd/system/lab-writer.service",
	"lab-drbd.service":    "/etc/systemd/system/lab-drbd.service",
	"drbd.conf":           "/etc/drbd.conf",
	"journald.conf":       "/etc/systemd/journald.conf",
}

// layNodes fills both nodes' exchange directories.
func (l *Lab) layNodes(ctx context.Context) error {
	if err := buildInitrd(l.initrd()); err != nil {
		return err
	}
	if err := l.collectBinaries(ctx); err != nil {
		return err
	}
	for _, n := range l.Nodes() {
		if err := l.layNode(ctx, n); err != nil {
			return err
		}
	}
	return nil
}

func (l *Lab) layNode(ctx context.Context, n *Node) error {
	setup, err := guest.ReadFile("guest/setup")
	if err != nil {
		return err
	}
	if err := (File{Path: "setup", Data: setup}).put(n.share); err != nil {
		return err
	}
	files := []File{
		{Path: "/etc/hostname", Data: []byte(n.Name + "\n")},
		{Path: "/etc/fstab"},
		{Path: "/etc/hosts", Data: []byte(hosts())},
		{Path: "/etc/machine-id", Data: fmt.Appendf(nil, "5b1ab000000000000000000000000%03d\n", n.Name.number())},
		{Path: "/etc/lab-node.env", Data: []byte(l.nodeEnv(n))},
	}
	for src, path := range nodeFiles {
		data, err := guest.ReadFile("guest/" + src)
		if err != nil {
			return err
		}
		files = append(files, File{Path: path, Data: data})
	}
	state, err := guest.ReadFile("guest/drbd-state")
	if err != nil {
		return err
	}
	files = append(files,
		File{Path: "/usr/bin/drbd-state", Data: state, Mode: 0o755},
		File{Path: "/etc/drbd.d/global_common.conf", Data: deployed("global_common.conf")},
		File{Path: resPath, Data: deployed(Resource())})
	for _, f := range append(files, l.cfg.Files[n.Name]...) {
		if err := n.lay(f); err != nil {
			return err
		}
	}
	if err := layUnits(filepath.Join(n.share, "units")); err != nil {
		return err
	}
	if err := l.enable(n); err != nil {
		return err
	}
	// Linked where possible: a copy per node would cost 100 MB for nothing.
	return run(ctx, "cp", "-al", filepath.Join(l.dir, "bin"), filepath.Join(n.share, "bin"))
}

// debianUnits are the units that a bare node needs of Debian's own.
const debianUnits = "basic.target emergency.target exit.target final.target halt.target local-fs-pre.target " +
	"local-fs.target multi-user.target network-online.target network-pre.target network.target nss-lookup.target " +
	"paths.target poweroff.target reboot.target remote-fs.target rescue.target shutdown.target slices.target " +
	"sockets.target sysinit.target time-sync.target timers.target umount.target " +
	"systemd-halt.service systemd-journald-dev-log.socket systemd-journald.service systemd-journald.socket " +
	"systemd-poweroff.service systemd-reboot.service"

// layUnits copies Debian's units into the directory that a node sees in place
// of /usr/lib/systemd/system.
func layUnits(dir string) error {
	wants := filepath.Join(dir, "sysinit.target.wants")
	if err := os.MkdirAll(wants, 0o755); err != nil {
		return fmt.Errorf("lay units: %w", err)
	}
	for u := range strings.FieldsSeq(debianUnits) {
		data, err := os.ReadFile("/usr/lib/systemd/system/" + u)
		if err != nil {
			return fmt.Errorf("lay units: %w", err)
		}
		if err := (File{Path: u, Data: data}).put(dir); err != nil {
			return err
		}
	}
	return errors.Join(
		os.Symlink("../systemd-journald.service", filepath.Join(wants, "systemd-journald.service")),
		os.Symlink("multi-user.target", filepath.Join(dir, "default.target")))
}

func hosts() string {
	return fmt.Sprintf("127.0.0.1 localhost\n%s node-a\n%s node-b\n%s witness\n%s gateway\n",
		NodeA.Addr(), NodeB.Addr(), WitnessAddr, GatewayAddr)
}

func (l *Lab) nodeEnv(n *Node) string {
	return fmt.Sprintf("NODE=%s\nMGMT=%s\nREPL=%s\nREPL6=%s\nLAB=%s\nTRUTH=%s\n",
		n.Name, n.Name.Addr(), n.Name.ReplicationAddr(), n.Name.ReplicationAddr6(), n.Name.controlAddr(), l.Truth.addr)
}

// enable makes the node's systemd start the lab's units and the caller's.
func (l *Lab) enable(n *Node) error {
	etc := filepath.Join(n.share, "root/etc/systemd/system")
	wants := map[string]string{"lab-setup.service": "sysinit.target.wants"}
	for _, u := range append([]string{"lab-control.service", "lab-shell.service", "lab-drbd.service"}, l.cfg.Units...) {
		wants[u] = "multi-user.target.wants"
	}
	for unit, dir := range wants {
		if err := os.MkdirAll(filepath.Join(etc, dir), 0o755); err != nil {
			return fmt.Errorf("enable %s: %w", unit, err)
		}
		if err := os.Symlink("../"+unit, filepath.Join(etc, dir, unit)); err != nil {
			return fmt.Errorf("enable %s: %w", unit, err)
		}
	}
	return nil
}

// collectBinaries copies the built programs into the lab, so that a later
// build changes nothing under a running node, and links them into /usr/sbin.
func (l *Lab) collectBinaries(ctx context.Context) error {
	bin := filepath.Join(l.dir, "bin")
	if err := os.MkdirAll(bin, 0o755); err != nil {
		return fmt.Errorf("collect programs: %w", err)
	}
	if l.cfg.Binaries != "" {
		if err := run(ctx, "cp", "-a", filepath.Clean(l.cfg.Binaries)+"/.", bin); err != nil {
			return fmt.Errorf("collect programs: %w", err)
		}
	}
	if _, err := os.Stat(filepath.Join(bin, "lab-writer")); err != nil {
		if err := buildWriter(ctx, filepath.Join(bin, "lab-writer")); err != nil {
			return err
		}
	}
	entries, err := os.ReadDir(bin)
	if err != nil {
		return fmt.Errorf("collect programs: %w", err)
	}
	for _, n := range l.Nodes() {
		sbin := filepath.Join(n.share, "root/usr/sbin")
		if err := os.MkdirAll(sbin, 0o755); err != nil {
			return fmt.Errorf("link programs: %w", err)
		}
		for _, e := range entries {
			if err := os.Symlink("/h/bin/"+e.Name(), filepath.Join(sbin, e.Name())); err != nil {
				return fmt.Errorf("link programs: %w", err)
			}
		}
	}
	return nil
}

// buildWriter compiles the writer; it must need no library of its node.
func buildWriter(ctx context.Context, path string) error {
	cmd := exec.CommandContext(ctx, "go", "build", "-o", path, "sbarbiter/chaos-tests/lab/writer")
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("build lab-writer (or put it into Config.Binaries): %w: %s", err, out)
	}
	return nil
}

// deployed is a file of DRBD's section as it is installed, on the lab's disks.
func deployed(name string) []byte {
	data, err := deploy.Files.ReadFile("drbd/" + name)
	if err != nil {
		panic("lab: deploy/drbd is not embedded: " + err.Error())
	}
	return bytes.ReplaceAll(data, []byte("/dev/vg0/r0"), []byte("/dev/ubda"))
}
