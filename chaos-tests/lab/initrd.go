package lab

import (
	"bytes"
	"compress/gzip"
	_ "embed" // the guest's scripts
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

//go:embed guest/init
var guestInit []byte

var (
	initrdDirs   = []string{"bin", "dev", "mod", "new", "proc", "ro", "rw", "share", "sys"}
	initrdApplet = []string{"sh", "cp", "echo", "insmod", "mkdir", "mount", "poweroff", "rm", "switch_root", "uname"}
	initrdModule = []string{
		"fs/overlayfs/overlay.ko", "fs/autofs/autofs4.ko", "lib/crc-ccitt.ko", "net/ipv6/ipv6.ko",
		"lib/lru_cache.ko", drbdModule, "drivers/watchdog/softdog.ko",
		"net/netfilter/nfnetlink.ko", "net/netfilter/nf_tables.ko",
	}
)

// buildInitrd writes the compressed first root of a node: busybox, the modules
// that every node needs and the init script. (modprobe takes longer than all
// of the node's other preparations.)
func buildInitrd(path string) error {
	busybox, err := os.ReadFile("/bin/busybox")
	if err != nil {
		return fmt.Errorf("build initrd: %w", err)
	}
	var c cpio
	for _, d := range initrdDirs {
		c.add(d, 0o040755, nil)
	}
	c.add("bin/busybox", 0o100755, busybox)
	for _, a := range initrdApplet {
		c.add("bin/"+a, 0o120777, []byte("busybox"))
	}
	modules := initrdModule
	if HasDRBD9() {
		modules = append(slices.Clone(modules), transport)
	}
	for _, m := range modules {
		ko, err := os.ReadFile(filepath.Join(modulesDir(), "kernel", m))
		if err != nil {
			return fmt.Errorf("build initrd: %w", err)
		}
		c.add("mod/"+strings.ReplaceAll(filepath.Base(m), "-", "_"), 0o100644, ko)
	}
	c.add("init", 0o100755, guestInit)
	c.add("TRAILER!!!", 0, nil)
	return writeGzip(path, c.Bytes())
}

func writeGzip(path string, data []byte) error {
	var out bytes.Buffer
	z, err := gzip.NewWriterLevel(&out, gzip.BestSpeed)
	if err != nil {
		return fmt.Errorf("compress %s: %w", path, err)
	}
	if _, err := z.Write(data); err != nil {
		return fmt.Errorf("compress %s: %w", path, err)
	}
	if err := z.Close(); err != nil {
		return fmt.Errorf("compress %s: %w", path, err)
	}
	return os.WriteFile(path, out.Bytes(), 0o644)
}

// cpio collects files in the "new ASCII" format (kernel documentation,
// "initramfs buffer format").
type cpio struct {
	bytes.Buffer
	inode int
}

func (c *cpio) add(name string, mode int, data []byte) {
	c.inode++
	fmt.Fprintf(c, "070701%08x%08x%08x%08x%08x%08x%08x%08x%08x%08x%08x%08x%08x%s\x00",
		c.inode, mode, 0, 0, 1, 0, len(data), 0, 0, 0, 0, len(name)+1, 0, name)
	c.pad()
	c.Write(data)
	c.pad()
}

func (c *cpio) pad() {
	for c.Len()%4 != 0 {
		c.WriteByte(0)
	}
}
