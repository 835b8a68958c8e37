package lab

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
)

// KernelVariable names the directory of another kernel for the nodes than Debian's: one
// with "linux" and "modules" in it, as chaos-tests/lab/drbd9/build.sh makes it.
const KernelVariable = "SBARBITER_LAB_KERNEL"

const drbdModule = "drivers/block/drbd/drbd.ko"

// transport is DRBD 9's own way over TCP, which 8.4 has in itself.
const transport = "drivers/block/drbd/drbd_transport_tcp.ko"

// program is the nodes' kernel, which is a program of this host.
func kernelProgram() string {
	if dir := os.Getenv(KernelVariable); dir != "" {
		return filepath.Join(dir, "linux")
	}
	return "linux.uml"
}

// modulesDir is the directory of the kernel's modules, "" if there is none.
func modulesDir() string {
	all := "/usr/lib/uml/modules"
	if dir := os.Getenv(KernelVariable); dir != "" {
		all = filepath.Join(dir, "modules")
	}
	dirs, err := filepath.Glob(filepath.Join(all, "*", "kernel", drbdModule))
	if err != nil || len(dirs) == 0 {
		return ""
	}
	return strings.TrimSuffix(dirs[len(dirs)-1], "/kernel/"+drbdModule)
}

// HasDRBD9 reports whether the nodes' driver is DRBD 9 instead of 8.4.
func HasDRBD9() bool {
	_, err := os.Stat(filepath.Join(modulesDir(), "kernel", transport))
	return err == nil
}

// kernelReady returns an error that says what to do where a kernel was named that is
// not there.
func kernelReady() error {
	dir := os.Getenv(KernelVariable)
	if dir == "" || program(kernelProgram()) && modulesDir() != "" && filepath.IsAbs(dir) {
		return nil
	}
	return fmt.Errorf("start lab: %s=%s has no kernel with DRBD in it: name the whole path of what make lab9-kernel has built, or unset it", KernelVariable, dir)
}

// Resource is a file name of deploy/drbd: r0 as it is for the nodes' driver.
func Resource() string {
	if HasDRBD9() {
		return "r0-drbd9.res"
	}
	return "r0.res"
}
