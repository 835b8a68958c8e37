package lab

import (
	"context"
	"fmt"
	"strings"
	"time"
)

// Where the pair's file system is mounted, and where the writer's records are.
const (
	MountPoint  = "/srv/data"
	RecordsPath = MountPoint + "/records"
	Device      = "/dev/drbd0"
	WriterUnit  = "lab-writer.service"
)

// InitDRBD makes r0 anew on both nodes, without a first sync, and an ext4 on
// it. Nobody is Primary afterwards. What the disks held is lost.
func (l *Lab) InitDRBD(ctx context.Context) error {
	if err := l.each(ctx, "drbdadm down r0; wipefs -qa /dev/ubda; drbdadm create-md --force r0 && drbdadm up r0"); err != nil {
		return err
	}
	if err := l.WaitDRBD(ctx, "cs:Connected", "ds:Inconsistent/Inconsistent"); err != nil {
		return err
	}
	if err := l.A.Must(ctx, "drbdadm new-current-uuid --clear-bitmap r0"); err != nil {
		return err
	}
	if err := l.WaitDRBD(ctx, "cs:Connected", "ds:UpToDate/UpToDate"); err != nil {
		return err
	}
	return l.A.Must(ctx, "drbdadm primary r0 && mke2fs -q -t ext4 -F "+Device+" && sync && drbdadm secondary r0")
}

// WaitDRBD returns when drbd-state of both nodes prints all these words.
func (l *Lab) WaitDRBD(ctx context.Context, words ...string) error {
	return l.both(func(n *Node) error { return n.WaitDRBD(ctx, words...) })
}

// WaitDRBD returns when the node's drbd-state prints all these words, such
// as "cs:Connected" or "ro:Primary/Secondary".
func (n *Node) WaitDRBD(ctx context.Context, words ...string) error {
	last := ""
	for {
		try, cancel := context.WithTimeout(ctx, 2*time.Second)
		out, _, err := n.Run(try, "drbd-state")
		cancel()
		if err == nil {
			last = out
			if containsAll(out, words) {
				return nil
			}
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("wait for DRBD on %s to say %v: %w: last seen %s", n.Name, words, ctx.Err(), last)
		case <-time.After(50 * time.Millisecond):
		}
	}
}

func containsAll(s string, words []string) bool {
	for _, w := range words {
		if !strings.Contains(s, w) {
			return false
		}
	}
	return true
}

// StartWriter promotes r0 on the node, mounts it and starts the writer, as an
// agent would. For labs without agents.
func (n *Node) StartWriter(ctx context.Context) error {
	return n.Must(ctx, "drbdadm primary r0 && mount "+Device+" "+MountPoint+" && systemctl start "+WriterUnit)
}

// StopWriter undoes StartWriter.
func (n *Node) StopWriter(ctx context.Context) error {
	return n.Must(ctx, "systemctl stop "+WriterUnit+" && umount "+MountPoint+" && drbdadm secondary r0")
}
