package lab

import (
	"debug/elf"
	"fmt"
	"os"
	"os/exec"
	"strings"
)

// need is one Debian package and the question whether it is there.
type need struct {
	pkg   string
	there func() bool
}

var needs = []need{
	{"user-mode-linux", func() bool { return os.Getenv(KernelVariable) != "" || program("linux.uml") && modulesDir() != "" }},
	{"drbd-utils", func() bool { return program("/sbin/drbdadm") }},
	{"busybox-static", func() bool { return isStatic("/bin/busybox") }},
	{"openipmi", func() bool { return program("ipmi_sim") }},
	{"ipmitool", func() bool { return program("ipmitool") }},
	{"socat", func() bool { return program("/usr/bin/socat") }},
	{"iproute2", func() bool { return program("ip") && program("bridge") }},
	{"e2fsprogs", func() bool { return program("mke2fs") }},
	{"kmod", func() bool { return program("modprobe") }},
	{"systemd", func() bool { return program("/lib/systemd/systemd") }},
}

// Missing lists the Debian packages that the lab needs and this machine lacks.
func Missing() []string {
	var pkgs []string
	for _, n := range needs {
		if !n.there() {
			pkgs = append(pkgs, n.pkg)
		}
	}
	return pkgs
}

// Ready returns nil if a lab can start here, or an error that says what to do.
func Ready() error {
	if os.Geteuid() != 0 {
		return fmt.Errorf("start lab: it makes network namespaces: run as root")
	}
	if pkgs := Missing(); len(pkgs) > 0 {
		return fmt.Errorf("start lab: packages are missing: %s", InstallLine(pkgs))
	}
	if err := kernelReady(); err != nil {
		return err
	}
	if _, err := os.Stat("/dev/net/tun"); err != nil {
		return fmt.Errorf("start lab: it needs tap devices: %w", err)
	}
	return nil
}

// InstallLine is the command that installs these Debian packages.
func InstallLine(pkgs []string) string {
	return "apt-get install --no-install-recommends -y " + strings.Join(pkgs, " ")
}

func program(name string) bool {
	_, err := exec.LookPath(name)
	return err == nil
}

// isStatic reports whether path is a program that runs without shared
// libraries: the initrd has none.
func isStatic(path string) bool {
	f, err := elf.Open(path)
	if err != nil {
		return false
	}
	defer f.Close()
	for _, p := range f.Progs {
		if p.Type == elf.PT_INTERP {
			return false
		}
	}
	return true
}
