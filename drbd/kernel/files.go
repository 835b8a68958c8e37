package kernel

import (
	"context"
	"crypto/sha256"
	"io"
	"os"
	"path/filepath"
	"regexp"

	"sbarbiter/drbd"
)

// topic is what is learnt, of which driver: drbdadm tells each what that takes.
type topic struct {
	family drbd.Family
	key    string
}

// remembered is what was learnt from configuration files alone, and the sum of what was
// in them.
type remembered struct {
	files [sha256.Size]byte
	what  any
}

// fromFiles learns what rests on nothing but the driver's family and drbdadm's
// configuration files, and does not learn it again while they are the same: it takes
// drbdadm several processes each time. What it returns is not to be changed.
func fromFiles[T any](d *Driver, f drbd.Family, key string, learn func() (T, error)) (T, error) {
	if what, ok := learnt[T](d, f, key); ok {
		return what, nil
	}
	before, readable := configured(d.cfg.Files)
	what, err := learn()
	if after, still := configured(d.cfg.Files); err == nil && readable && still && after == before {
		d.mu.Lock()
		d.known[topic{f, key}] = remembered{before, what}
		d.mu.Unlock()
	}
	return what, err
}

// learnt is what is remembered, if that is still true.
func learnt[T any](d *Driver, f drbd.Family, key string) (what T, ok bool) {
	d.mu.Lock()
	known, there := d.known[topic{f, key}]
	d.mu.Unlock()
	if !there {
		return what, false
	}
	now, readable := configured(d.cfg.Files)
	if !readable || now != known.files {
		return what, false
	}
	what, ok = known.what.(T)
	return what, ok
}

// Prepare reads what a recovery will want to know of the configuration files: it is
// remembered, and an outage need not wait for it. What cannot be read is asked again
// then.
func (d *Driver) Prepare(ctx context.Context) {
	f, err := d.Family(ctx)
	if err != nil {
		return
	}
	for _, name := range d.cfg.Resources {
		if _, err = d.Backing(ctx, name); err == nil && f == drbd.Family84 {
			cmd := drbd.For(f).ConnectLine(name)
			_, err = fromFiles(d, f, cmd.String(), func() (string, error) { return d.ask(ctx, f, cmd) })
		}
		if err != nil {
			d.log.Debug("cannot prepare for a recovery", "resource", name, "error", err)
		}
	}
}

// connectLine is the command that drbdadm would connect a resource with, if that is
// remembered: it saves the processes of drbdadm.
func (d *Driver) connectLine(c drbd.Commands, resource string, o drbd.ConnectOption) (drbd.Command, bool) {
	text, ok := learnt[string](d, c.Family(), c.ConnectLine(resource).String())
	if !ok {
		return drbd.Command{}, false
	}
	return drbd.ParseConnectLine(text, resource, o)
}

// files are the configuration files as drbdadm understands them.
func (d *Driver) files(ctx context.Context, f drbd.Family) (drbd.Section, error) {
	cmd := drbd.For(f).Dump()
	return fromFiles(d, f, cmd.String(), func() (drbd.Section, error) { return d.config(ctx, f, cmd) })
}

// include finds the names of further files: of any, and of a resource's template.
var include = regexp.MustCompile(`\b(?:include|template-file)\s+"?([^";\n]+?)"?\s*;`)

// configured sums up the files that match a pattern, with all that they include.
func configured(pattern string) (sum [sha256.Size]byte, readable bool) {
	waiting, err := filepath.Glob(pattern)
	if err != nil || len(waiting) == 0 {
		return sum, false
	}
	h := sha256.New()
	seen := map[string]bool{}
	for len(waiting) > 0 {
		name := waiting[0]
		waiting = waiting[1:]
		if seen[name] {
			continue
		}
		seen[name] = true
		text, err := os.ReadFile(name)
		if err != nil {
			return sum, false
		}
		if _, err := io.WriteString(h, name+"\x00"+string(text)+"\x00"); err != nil {
			return sum, false
		}
		waiting = append(waiting, included(name, text)...)
	}
	return [sha256.Size]byte(h.Sum(nil)), true
}

// included are the files that one includes, by patterns that count from where it is. So
// they do for drbdadm from where a directory's symbolic link leads.
func included(name string, text []byte) []string {
	var out []string
	dir, err := filepath.EvalSymlinks(filepath.Dir(name))
	if err != nil {
		dir = filepath.Dir(name)
	}
	for _, m := range include.FindAllSubmatch(text, -1) {
		pattern := string(m[1])
		if !filepath.IsAbs(pattern) {
			pattern = filepath.Join(dir, pattern)
		}
		found, err := filepath.Glob(pattern)
		if err != nil {
			continue // drbdadm says so
		}
		out = append(out, found...)
	}
	return out
}
