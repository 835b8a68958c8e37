package ctl

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"sbarbiter/internal/archive"
	"sbarbiter/recovery"
)

// salvaging is what the flags of salvage say.
type salvaging struct {
	id, to string
	every  bool
	all    bool
	files  []string
}

func (a *app) salvageCommand() *cobra.Command {
	var s salvaging
	cmd := &cobra.Command{
		Use: "salvage GROUP [FILE...]", Short: "list, and bring back, what only the discarded copy had",
		Long: `Salvage looks into the copy that was kept before it was given up, compares it with
what is there now (what is mounted, else the disk of the node that does not keep it),
says which that is, and lists what only the discarded one had. With --to it
brings files of it here: into a directory, where nothing is written over, or into
an archive (a name that ends with .tar). The pair is not touched.

Files come with their times, modes and extended attributes, access lists among them;
run by root also with their owners, set-id bits and capabilities. Device nodes, pipes
and sockets are left out. What cannot be read is named, all else is brought, and the
exit code is 1.`,
		Example: "  sbctl salvage nfs\n  sbctl salvage nfs --to rescued/\n  sbctl salvage nfs --to rescued.tar reports/2026.ods\n  sbctl salvage nfs --everything --to all.tar",
		Args:    args(cobra.MinimumNArgs(1), "a group, and perhaps files"),
	}
	nodes := nodesFlag(cmd)
	f := cmd.Flags()
	f.StringVar(&s.id, "recovery", "", "of which recovery, where several are kept (default: the latest)")
	f.StringVar(&s.to, "to", "", "a directory, made if there is none, or a name that ends with .tar")
	f.BoolVar(&s.every, "everything", false, "the whole of the kept copy, not only what is missing now")
	f.BoolVar(&s.all, "all", false, "list every file")
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		if s.files = args[1:]; s.every && len(s.files) > 0 {
			return usage(cmd, "name files, or say --everything")
		}
		if s.to == "" && (s.every || len(s.files) > 0) {
			return usage(cmd, "say where the files shall go, with --to")
		}
		pair, err := a.pairOf(cmd, args[0], *nodes)
		if err != nil {
			return err
		}
		return a.salvage(cmd.Context(), args[0], pair, s)
	}
	return cmd
}

func (a *app) salvage(ctx context.Context, group string, pair [2]string, s salvaging) error {
	keeper, id, err := a.keeper(ctx, group, pair, s.id)
	if err != nil {
		return err
	}
	var kept listing
	if err := a.askNode(ctx, keeper, &kept, "files", group, "--of", "kept", "--recovery", id); err != nil {
		return err
	}
	if err := kept.check(); err != nil {
		return fmt.Errorf("ask %s: %w", keeper, err)
	}
	now := a.filesNow(ctx, group, pair, keeper, kept)
	found := losses(keeper, kept.each(), now, recovery.Forks{})
	compareWith(found, now)
	if s.to == "" {
		return a.showKept(keeper, id, found, s.all)
	}
	wanted, lacking := kept.having(s.files, fmt.Sprintf("the copy that %s keeps from recovery %s", keeper, id))
	for _, l := range found {
		for _, p := range l.Problems {
			a.say("%s: %s", l.Volume, shownAs(p))
		}
		names := wanted[l.Volume]
		if len(s.files) > 0 && len(names) == 0 {
			continue
		}
		if !s.every && len(names) == 0 {
			if !l.Compared {
				return fmt.Errorf("salvage %s: what only the discarded copy had cannot be told, as it could not be compared with what is there now; --everything brings all of it", l.Volume)
			}
			if names = l.lost(); len(names) == 0 {
				a.say("%s: there is nothing that only the discarded copy had, compared with %s", l.Volume, shownAs(l.Against))
				continue
			}
		}
		if err := a.bring(ctx, keeper, group, id, l.Volume, names, place(s.to, l.Volume, len(found))); incomplete(err) {
			lacking = append(lacking, err) // the other volumes are brought all the same
		} else if err != nil {
			return err
		}
	}
	return errors.Join(lacking...)
}

// having tells for each volume which of the names are to be asked of it: those that
// it has, or may have where not all of it could be listed. What no volume of the copy
// has is an error, which the others do not wait for.
func (l listing) having(names []string, copyOf string) (wanted map[string][]string, lacking []error) {
	wanted = map[string][]string{}
	for _, n := range names {
		asked := false
		for _, v := range l.Volumes {
			if mayHave(v, n) {
				wanted[v.Volume] = append(wanted[v.Volume], n)
				asked = true
			}
		}
		if !asked {
			lacking = append(lacking, fmt.Errorf("%s has no file %q; a name begins at the root of its file system, as sbctl salvage lists it", copyOf, n))
		}
	}
	return wanted, lacking
}

func mayHave(v recovery.VolumeFiles, name string) bool {
	name = path.Clean(name)
	return v.Entries == nil || v.Problem != "" || len(v.Unreadable) > 0 || name == "." ||
		slices.ContainsFunc(v.Entries, func(e recovery.Entry) bool { return e.Path == name || strings.HasPrefix(e.Path, name+"/") })
}

// place is where a volume's files go: several volumes each have their own.
func place(to, volume string, of int) string {
	if of == 1 {
		return to
	}
	name := strings.ReplaceAll(volume, "/", "-")
	if base, ok := strings.CutSuffix(to, ".tar"); ok {
		return base + "-" + name + ".tar"
	}
	return strings.TrimSuffix(to, "/") + "/" + name
}

// keeper finds the node that keeps a recovery's copies; the latest's if id is "".
func (a *app) keeper(ctx context.Context, group string, pair [2]string, id string) (node, recoveryID string, err error) {
	var latest recovery.KeptCopy
	var errs []error
	for _, n := range pair {
		var all []recovery.KeptCopy
		if err := a.askNode(ctx, n, &all, "kept", group); err != nil {
			errs = append(errs, err)
			continue
		}
		for _, k := range all {
			if (id == "" || k.Recovery == id) && !k.Made.Before(latest.Made) {
				node, latest = n, k
			}
		}
	}
	switch {
	case node != "":
		if len(errs) > 0 {
			a.say("sbctl: %v; it may keep a later copy", errors.Join(errs...))
		}
		return node, latest.Recovery, nil
	case len(errs) == len(pair):
		return "", "", fmt.Errorf("salvage group %s: neither %s nor %s could be asked what it keeps; %s:\n%w", group, pair[0], pair[1], reachedBy, errors.Join(errs...))
	case len(errs) > 0:
		return "", "", errors.Join(append(errs, fmt.Errorf("salvage group %s: the other node keeps no copy of it%s", group, of(id)))...)
	default:
		return "", "", fmt.Errorf("salvage group %s: neither %s nor %s keeps a copy of it%s", group, pair[0], pair[1], of(id))
	}
}

func of(id string) string {
	if id == "" {
		return ""
	}
	return " from recovery " + id
}

func (a *app) showKept(keeper, id string, found []fileLoss, all bool) error {
	if a.as == jsonLines {
		return a.json(map[string]any{"node": keeper, "recovery": id, "files": found})
	}
	var b strings.Builder
	fmt.Fprintf(&b, "%s keeps what it had before recovery %s.\n", keeper, id)
	most := shown
	if all {
		most = 1 << 30
	}
	for _, l := range found {
		b.WriteByte('\n')
		fmt.Fprintf(&b, "files of %s, as %s had them before its copy was given up, beside those that are there now:\n", l.Volume, l.Victim)
		l.tell(&b, a.paper(), most)
	}
	return a.list(b.String())
}

// bring fetches files of a kept volume; all of them if none is named.
func (a *app) bring(ctx context.Context, node, group, id, volume string, names []string, to string) error {
	ask := []string{"salvage", group, volume, "--recovery", id}
	var in io.Reader
	if len(names) > 0 {
		ask = append(ask, "--files", "-", "--null")
		in = strings.NewReader(strings.Join(names, "\x00") + "\x00") // no file's name has that
	}
	if strings.HasSuffix(to, ".tar") {
		f, err := os.OpenFile(to, os.O_CREATE|os.O_WRONLY|os.O_EXCL, 0o600)
		if err != nil {
			return fmt.Errorf("salvage into an archive: %w", err)
		}
		err = a.onNode(ctx, node, in, f, ask...)
		if end := errors.Join(f.Sync(), f.Close()); end != nil || err != nil && !incomplete(err) {
			return errors.Join(err, end, os.Remove(to))
		}
		a.say("%s: in %s", volume, to)
		return err
	}
	if err := os.MkdirAll(to, 0o700); err != nil {
		return fmt.Errorf("salvage into a directory: %w", err)
	}
	r, w := io.Pipe()
	go func() { w.CloseWithError(a.onNode(ctx, node, in, w, ask...)) }()
	files, err := archive.Unpack(r, to)
	if err == nil || incomplete(err) {
		_, end := io.Copy(io.Discard, r) // what follows the archive's end, and how the other side ended
		err = errors.Join(err, end)
	}
	r.CloseWithError(err)
	if err != nil {
		return fmt.Errorf("salvage %s: %d files are in %s: %w", volume, len(files), to, err)
	}
	a.say("%s: %d files in %s", volume, len(files), to)
	return nil
}
