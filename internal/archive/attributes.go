package archive

import (
	"errors"
	"fmt"
	"maps"
	"os"
	"slices"
	"strings"

	"golang.org/x/sys/unix"
)

const (
	// record begins the name of an extended attribute in an archive, as of star and of
	// GNU tar (tar --xattrs --xattrs-include='*').
	record = "SCHILY.xattr."
	// mostAttributes bounds those of one file, in bytes: an archive's reader takes no more.
	mostAttributes = 512 << 10
)

// attributesOf are a file's extended attributes, as an archive's records. With an error
// these are the ones that could be read.
func attributesOf(f *os.File) (map[string]string, error) {
	names, err := attributeNames(f)
	if err != nil || len(names) == 0 {
		return nil, err
	}
	out := map[string]string{}
	total := 0
	var errs []error
	for _, name := range names {
		value, err := attribute(f, name)
		total += len(name) + len(value)
		switch {
		case err != nil:
			errs = append(errs, fmt.Errorf("attribute %s: %w", name, err))
		case strings.Contains(name, "=") || total > mostAttributes:
			errs = append(errs, fmt.Errorf("attribute %s does not fit into an archive", name))
		default:
			out[record+name] = value
		}
	}
	return out, errors.Join(errs...)
}

func attributeNames(f *os.File) ([]string, error) {
	text, err := grown(func(b []byte) (int, error) { return unix.Flistxattr(int(f.Fd()), b) })
	if errors.Is(err, unix.EOPNOTSUPP) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("its attributes: %w", err)
	}
	return slices.DeleteFunc(strings.Split(text, "\x00"), func(s string) bool { return s == "" }), nil
}

func attribute(f *os.File, name string) (string, error) {
	return grown(func(b []byte) (int, error) { return unix.Fgetxattr(int(f.Fd()), name, b) })
}

// grown reads into as much as it takes: without room the kernel says how much that is.
func grown(read func([]byte) (int, error)) (string, error) {
	for {
		n, err := read(nil)
		if err != nil || n == 0 {
			return "", err
		}
		b := make([]byte, n)
		n, err = read(b)
		if errors.Is(err, unix.ERANGE) {
			continue
		}
		return string(b[:max(n, 0)]), err
	}
}

// mayHave reports whether an attribute is given to what is unpacked. Labels of one
// machine's security policy mean nothing on another, which gives its own.
func mayHave(name string) bool {
	switch {
	case strings.HasPrefix(name, "user."), name == "system.posix_acl_access", name == "system.posix_acl_default":
		return true
	case name == "security.capability", strings.HasPrefix(name, "trusted."):
		return privileged()
	}
	return false
}

// setAttributes gives a file its attributes, and returns which ones it could not.
func setAttributes(f *os.File, records map[string]string) []error {
	var errs []error
	for _, key := range slices.Sorted(maps.Keys(records)) {
		name, ok := strings.CutPrefix(key, record)
		if !ok || !mayHave(name) {
			continue
		}
		if err := unix.Fsetxattr(int(f.Fd()), name, []byte(records[key]), 0); err != nil {
			errs = append(errs, fmt.Errorf("attribute %s: %w", name, err))
		}
	}
	return errs
}
