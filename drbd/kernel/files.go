package kernel

import (
	"context"
	"crypto/sha256"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"regexp"

	"sbarbiter/drbd"
)

// remembered is what a command printed that only reads configuration files, and the sum
// of what was in them.
type remembered struct {
	files [sha256.Size]byte
	text  string
}

// fromFiles asks a command that prints nothing but what drbdadm finds in its
// configuration files, and does not ask again while they are the same: it takes
// drbdadm several processes each time.
func (d *Driver) fromFiles(ctx context.Context, f drbd.Family, cmd drbd.Command) (string, error) {
	key := cmd.String()
	if text, ok := d.printed(key); ok {
		return text, nil
	}
	before, readable := configured(d.cfg.Files)
	text, err := d.ask(ctx, f, cmd)
	if after, still := configured(d.cfg.Files); err == nil && readable && still && after == before {
		d.mu.Lock()
		d.known[key] = remembered{before, text}
		d.mu.Unlock()
	}
	return text, err
}

// printed is what a command has printed, if that is remembered and still true.
func (d *Driver) printed(command string) (string, bool) {
	d.mu.Lock()
	known, ok := d.known[command]
	d.mu.Unlock()
	if !ok {
		return "", false
	}
	now, readable := configured(d.cfg.Files)
	return known.text, readable && now == known.files
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
			_, err = d.fromFiles(ctx, f, drbd.For(f).ConnectLine(name))
		}
		if err != nil {
			d.log.Debug("cannot prepare for a recovery", "resource", name, "error", err)
		}
	}
}

// connectLine is the command that drbdadm would connect a resource with, if that is
// remembered: it saves the processes of drbdadm.
func (d *Driver) connectLine(c drbd.Commands, resource string, o drbd.ConnectOption) (drbd.Command, bool) {
	text, ok := d.printed(c.ConnectLine(resource).String())
	if !ok {
		return drbd.Command{}, false
	}
	return drbd.ParseConnectLine(text, resource, o)
}

// files are the configuration files as drbdadm understands them.
func (d *Driver) files(ctx context.Context, f drbd.Family) (drbd.Section, error) {
	cmd := drbd.For(f).Dump()
	text, err := d.fromFiles(ctx, f, cmd)
	if err != nil {
		return drbd.Section{}, err
	}
	s, err := drbd.ParseConfig(text)
	if err != nil {
		return drbd.Section{}, fmt.Errorf("run %q: %w", cmd, err)
	}
	return s, nil
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
