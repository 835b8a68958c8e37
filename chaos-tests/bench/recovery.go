package main

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"sbarbiter/chaos-tests/lab"
	"sbarbiter/chaos-tests/pair"
)

// forkedVolume is how large the disk is whose two copies split: a little more than the
// 256 MiB of a small volume, for DRBD's own metadata lie in it.
const forkedVolume = 258 << 20

// policies are what a group of this suite is resolved by where nobody is asked.
const policies = "recovery: [discard-zero-changes, discard-unleased]"

// forked has a policy resolve what the rounds of this suite leave behind.
func forked(_, name, text string) string {
	if name == "cluster.yaml" {
		return strings.Replace(text, "drbd: true", "drbd: true, "+policies, 1)
	}
	return text
}

// byHand takes the policies away for the rest of the round.
func (b *bench) byHand(ctx context.Context) error {
	return b.Change(ctx, "cluster.yaml", func(text string) string { return strings.Replace(text, ", "+policies, "", 1) })
}

// forkedMiB is what the side that is given up has written.
const forkedMiB = 16

// split makes two copies that both have writes of their own and cannot see each other.
func (b *bench) split(ctx context.Context, write string) (holder, victim *lab.Node, err error) {
	if holder, err = b.Holder(ctx); err != nil {
		return nil, nil, err
	}
	return holder, b.Peer(holder), b.Fork(ctx, holder, write)
}

// meet lets the two copies see each other, until DRBD has given up on both sides.
func (b *bench) meet(ctx context.Context) error {
	if err := b.HealReplication(ctx); err != nil {
		return err
	}
	for b.HasParted(ctx) != nil {
		if err := pause(ctx, 50*time.Millisecond); err != nil {
			return fmt.Errorf("wait for DRBD to give up: %w", err)
		}
	}
	return nil
}

// autoResolve times a split brain that nobody is asked about, from the return of the
// link until the victim takes the survivor's data.
func (b *bench) autoResolve(ctx context.Context) (figures, error) {
	holder, victim, err := b.split(ctx, pair.WriteMiB(forkedMiB))
	if err != nil {
		return nil, err
	}
	copying := follow(ctx, victim)
	at := time.Now()
	if err := b.HealReplication(ctx); err != nil {
		return nil, err
	}
	c := <-copying
	if c.err != nil {
		return nil, c.err
	}
	f := b.stages(at, victim)
	f["auto_resolve_s"], f["in_step_s"] = seconds(c.began.Sub(at)), seconds(c.ended.Sub(at))
	return f, b.records(ctx, holder)
}

// stages are the moments of a recovery, as witness and victim tell them.
func (b *bench) stages(from time.Time, victim *lab.Node) figures {
	f := figures{}
	for _, e := range b.Timeline().Entries(from) {
		key := ""
		switch {
		case e.Host == "witness" && strings.Contains(e.Why, "is opened by"):
			key = "opened_s"
		case e.Host == "witness" && strings.Contains(e.Why, "stop-services is done"):
			key = "decided_s"
		case e.Host == string(victim.Name) && strings.HasPrefix(e.What, "recovery: ") && strings.Contains(e.What, "snapshot"):
			key = "kept_s"
		case e.Host == "witness" && strings.Contains(e.Why, "both sides are as they were decided on"):
			key = "measured_again_s"
		}
		if _, seen := f[key]; key != "" && !seen {
			f[key] = seconds(e.At.Sub(from))
		}
	}
	return f
}

// records checks that nothing of what the survivor has acknowledged is lost.
func (b *bench) records(ctx context.Context, survivor *lab.Node) error {
	audit, err := b.CheckRecords(ctx, survivor)
	if err == nil && len(audit.Lost) > 0 {
		err = fmt.Errorf("%d acknowledged records are lost on %s", len(audit.Lost), survivor.Name)
	}
	return err
}

// copied is when a victim's copy began to be overwritten, and when both were the same.
type copied struct {
	began, ended time.Time
	err          error
}

// watching prints two of DRBD's events as they come: that this copy is being
// overwritten, and that it is in step. A shell reads byte by byte, which would slow the
// node down: it gets no lines but those.
const watching = `f=$(mktemp -u); mkfifo $f; drbdsetup events2 --timestamps r0 >$f & p=$!
exec 3< <(exec grep --line-buffered -e replication:SyncTarget -e ' device .*disk:UpToDate' $f); s=
while read -r -t 90 line <&3; do
	case $line in
	*replication:SyncTarget*) [ -n "$s" ] || echo "$line"; s=1 ;;
	*) [ -z "$s" ] || { echo "$line"; break; } ;;
	esac
done
kill $p; rm $f`

// follow waits on the node itself: its clock is the lab's. It returns once the node
// looks, and says when it has seen both.
func follow(ctx context.Context, victim *lab.Node) <-chan copied {
	out := make(chan copied, 1)
	go func() {
		var c copied
		var said string
		said, _, c.err = victim.Run(ctx, watching)
		if c.err == nil {
			c.began, c.ended, c.err = moments(said)
		}
		out <- c
	}()
	return out
}

func moments(said string) (began, ended time.Time, err error) {
	lines := strings.Split(strings.TrimSpace(said), "\n")
	if len(lines) != 2 {
		return began, ended, fmt.Errorf("DRBD has not told of a resynchronisation: %q", said)
	}
	var all [2]time.Time
	for i, l := range lines {
		stamp, _, _ := strings.Cut(l, " ")
		all[i], err = time.Parse(time.RFC3339Nano, stamp)
		if err != nil {
			return began, ended, fmt.Errorf("read DRBD's event %q: %w", l, err)
		}
	}
	return all[0], all[1], nil
}

// overhead resolves the same split twice, by hand and with sbctl, and compares the time
// from the first command until both copies are in step.
func (b *bench) overhead(ctx context.Context) (figures, error) {
	manual, err := b.resolved(ctx, b.threeCommands)
	if err != nil {
		return nil, fmt.Errorf("by hand: %w", err)
	}
	if err := b.Mend(ctx); err != nil {
		return nil, err
	}
	ours, err := b.resolved(ctx, b.oneCommand)
	if err != nil {
		return nil, fmt.Errorf("with sbctl: %w", err)
	}
	return figures{
		"manual_in_step_s": manual["in_step_s"], "sbctl_in_step_s": ours["in_step_s"], "overhead_ratio": ours["in_step_s"] / manual["in_step_s"],
		"manual_sync_s": manual["sync_s"], "sbctl_sync_s": ours["sync_s"], "sync_ratio": ours["sync_s"] / manual["sync_s"], "sbctl_returns_s": ours["returns_s"],
	}, nil
}

// resolved splits the pair, lets it meet and times how it is resolved.
func (b *bench) resolved(ctx context.Context, resolve func(context.Context, *lab.Node, *lab.Node) error) (figures, error) {
	if err := b.byHand(ctx); err != nil {
		return nil, err
	}
	holder, victim, err := b.split(ctx, pair.WriteMiB(forkedMiB))
	if err != nil {
		return nil, err
	}
	if err := b.meet(ctx); err != nil {
		return nil, err
	}
	copying := follow(ctx, victim)
	if err := pause(ctx, time.Second); err != nil { // until it looks
		return nil, err
	}
	at := time.Now()
	if err := resolve(ctx, holder, victim); err != nil {
		return nil, err
	}
	returned := time.Now()
	c := <-copying
	if c.err != nil {
		return nil, c.err
	}
	f := figures{"sync_s": seconds(c.began.Sub(at)), "in_step_s": seconds(c.ended.Sub(at)), "returns_s": seconds(returned.Sub(at))}
	return f, b.records(ctx, holder)
}

// threeCommands are what an administrator types without sbarbiter, as fast as a script.
func (b *bench) threeCommands(ctx context.Context, survivor, victim *lab.Node) error {
	if err := victim.Must(ctx, "drbdadm disconnect r0 2>/dev/null; drbdadm secondary r0"); err != nil {
		return err
	}
	if err := victim.Must(ctx, "drbdadm connect --discard-my-data r0"); err != nil {
		return err
	}
	out, code, err := survivor.Run(ctx, "drbdadm connect r0")
	if err == nil && code != 0 && code != 10 { // it looks for the peer already
		err = fmt.Errorf("drbdadm connect on %s: exit %d: %s", survivor.Name, code, out)
	}
	return err
}

func (b *bench) oneCommand(ctx context.Context, survivor, _ *lab.Node) error {
	a, err := b.Sbctl(ctx, "resolve", pair.Group, "--keep", string(survivor.Name), "--typed", pair.Group, "--yes", "--reason", "measured")
	if err == nil && a.Exit != pair.ExitDone {
		err = fmt.Errorf("sbctl resolve: exit %d: %s", a.Exit, a.Text())
	}
	return err
}

const (
	previewFiles = 10_000
	// filling writes them, of 8 KiB each, in a hundred directories.
	filling = `cd ` + lab.MountPoint + ` && rm -rf full && for d in $(seq 100); do mkdir -p full/$d && head -c 819200 /dev/urandom | split -a 3 -b 8192 - full/$d/file-; done && sync -f .`
	// changing is what the side that nobody sees does to some of them.
	changing = `mount -t ext4 /dev/drbd0 ` + lab.MountPoint + ` && cd ` + lab.MountPoint + `/full && echo changed >1/file-aaa && rm 2/file-aab && echo new >3/added && cd / && umount ` + lab.MountPoint
)

// preview times sbctl preview of a split volume with many files.
func (b *bench) preview(ctx context.Context) (figures, error) {
	if err := b.byHand(ctx); err != nil {
		return nil, err
	}
	holder, err := b.Holder(ctx)
	if err != nil {
		return nil, err
	}
	if err := holder.Must(ctx, filling); err != nil {
		return nil, err
	}
	if _, _, err := b.split(ctx, changing); err != nil {
		return nil, err
	}
	if err := b.meet(ctx); err != nil {
		return nil, err
	}
	shell, err := b.SbctlConfig()
	if err != nil {
		return nil, err
	}
	at := time.Now()
	a, err := b.Sbctl(ctx, "--config", shell, "preview", pair.Group)
	took := time.Since(at)
	if err == nil && a.Exit != pair.ExitDone {
		err = fmt.Errorf("sbctl preview: exit %d: %s", a.Exit, a.Text())
	}
	if err != nil {
		return nil, err
	}
	for _, name := range []string{"full/1/file-aaa", "full/2/file-aab", "full/3/added"} {
		if !strings.Contains(a.Out, name) {
			return nil, fmt.Errorf("sbctl preview does not name %s: %s", name, a.Text())
		}
	}
	out, _, err := holder.Run(ctx, "find "+lab.MountPoint+"/full -type f | wc -l")
	if err == nil && strings.TrimSpace(out) != fmt.Sprint(previewFiles) {
		err = fmt.Errorf("there are %s files instead of %d", strings.TrimSpace(out), previewFiles)
	}
	return figures{"preview_s": seconds(took)}, errors.Join(err, holder.Must(ctx, "rm -rf "+lab.MountPoint+"/full"))
}
