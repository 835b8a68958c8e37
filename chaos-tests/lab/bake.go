package lab

import (
	"context"
	"crypto/sha256"
	"fmt"
	"os"
	"path/filepath"
	"slices"
)

// resPath is DRBD's configuration of r0 in the nodes.
const resPath = "/etc/drbd.d/r0.res"

// bakedDisk is where the disk of a node with DRBD's metadata and an empty
// ext4 is kept; its name changes with everything that goes into it.
func bakedDisk(cfg Config, n NodeName) string {
	key := sha256.Sum256(fmt.Appendf(slices.Clone(resource(cfg, n)), "%d %s", cfg.DiskSize, modulesDir()))
	return filepath.Join(cfg.CacheDir, fmt.Sprintf("disk-%x-%s", key[:6], n))
}

// resource is the configuration of r0 as the node will have it.
func resource(cfg Config, n NodeName) []byte {
	for _, f := range cfg.Files[n] {
		if filepath.Clean("/"+f.Path) == resPath {
			return f.Data
		}
	}
	return deployed(Resource())
}

func isBaked(cfg Config) bool {
	for _, n := range []NodeName{NodeA, NodeB} {
		if _, err := os.Stat(bakedDisk(cfg, n)); err != nil {
			return false
		}
	}
	return true
}

// bake makes DRBD's metadata and the file system in a lab of their own, where
// nobody's services can interfere, and keeps the disks for every later lab.
func bake(ctx context.Context, cfg Config) error {
	bare := cfg
	bare.Binaries, bare.LogDir, bare.Units, bare.Witness = "", "", nil, WitnessConfig{}
	bare.Files = map[NodeName][]File{}
	for _, n := range []NodeName{NodeA, NodeB} {
		bare.Files[n] = []File{{Path: resPath, Data: resource(cfg, n)}}
	}
	l, err := open(ctx, bare)
	if err != nil {
		return err
	}
	defer l.Close()
	if err := l.InitDRBD(ctx); err != nil {
		return err
	}
	if err := l.each(ctx, "drbdadm down r0 && sync && blockdev --flushbufs /dev/ubda"); err != nil {
		return err
	}
	if err := os.MkdirAll(cfg.CacheDir, 0o755); err != nil {
		return err
	}
	return l.both(func(n *Node) error { return n.keepDisk(ctx) })
}

// keepDisk copies the node's disk to where later labs find it, all or nothing.
func (n *Node) keepDisk(ctx context.Context) error {
	baked := bakedDisk(n.lab.cfg, n.Name)
	tmp := fmt.Sprintf("%s.%s", baked, filepath.Base(n.lab.dir))
	if err := run(ctx, "cp", "--sparse=always", n.disk(), tmp); err != nil {
		return err
	}
	return os.Rename(tmp, baked)
}

// prepareDisks gives each node its two disks: baked ones if there are.
func (l *Lab) prepareDisks(ctx context.Context) error {
	return l.both(func(n *Node) error {
		if err := blank(n.stateDisk(), 32<<20); err != nil {
			return err
		}
		if err := run(ctx, "mke2fs", "-q", "-t", "ext4", "-F", n.stateDisk()); err != nil {
			return err
		}
		if isBaked(l.cfg) {
			return run(ctx, "cp", "--sparse=always", bakedDisk(l.cfg, n.Name), n.disk())
		}
		return blank(n.disk(), l.cfg.DiskSize)
	})
}

// blank makes a file of zeros that takes no room.
func blank(path string, size int64) error {
	if err := os.WriteFile(path, nil, 0o644); err != nil {
		return fmt.Errorf("make disk: %w", err)
	}
	if err := os.Truncate(path, size); err != nil {
		return fmt.Errorf("make disk: %w", err)
	}
	return nil
}
