package raftlog

import (
	"bytes"
	"errors"
	"fmt"
	"hash/crc32"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/hashicorp/raft"
	raftboltdb "github.com/hashicorp/raft-boltdb/v2"
)

// metaTitle is the meta file's first line up to the format's number.
const (
	metaTitle  = "sbarbiter witness state, format "
	metaFormat = "1"
	unfinished = ".init" // suffix of files of an Init that was cut short
)

// Voter is one witness that votes in elections.
type Voter struct {
	// Name is the witness's name, the one that it is opened with.
	Name string
	// Addr is where its transport is reached, in the transport's own terms.
	Addr string
}

// Init makes a state directory for the witness of that name. Without voters
// the witness is the only one; otherwise the list, the same on each of them and
// containing name, founds the group. It never touches a directory that has a
// state already, and one that was cut short is simply run again.
func Init(dir, name string, voters ...Voter) error {
	if err := checkVoters(name, voters); err != nil {
		return fmt.Errorf("make witness state: %w", err)
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return fmt.Errorf("make witness state: %w", err)
	}
	if err := clearUnfinished(dir); err != nil {
		return err
	}
	meta, bolt := filepath.Join(dir, metaName), filepath.Join(dir, boltName)
	if err := writeSynced(meta+unfinished, encodeMeta(name)); err != nil {
		return fmt.Errorf("make witness state: %w", err)
	}
	if err := found(dir, bolt+unfinished, name, voters); err != nil {
		return fmt.Errorf("make witness state in %s: %w", dir, err)
	}
	// The meta file comes last: with it the state exists, without it it does not.
	err := errors.Join(syncDir(dir), os.Rename(bolt+unfinished, bolt))
	if err == nil {
		err = errors.Join(os.Rename(meta+unfinished, meta), syncDir(dir))
	}
	if err != nil {
		return fmt.Errorf("make witness state: %w", err)
	}
	return nil
}

func checkVoters(name string, voters []Voter) error {
	if err := checkName(name); err != nil {
		return err
	}
	if len(voters) == 0 {
		return nil
	}
	if len(voters)%2 == 0 {
		return fmt.Errorf("%d voters outlive no more losses than %d; name an odd number", len(voters), len(voters)-1)
	}
	seen := map[string]bool{}
	for _, v := range voters {
		if err := checkName(v.Name); err != nil {
			return err
		}
		if seen[v.Name] {
			return fmt.Errorf("voter %q is named twice", v.Name)
		}
		seen[v.Name] = true
	}
	if !seen[name] {
		return fmt.Errorf("this witness, %q, is not among the voters", name)
	}
	return nil
}

func checkName(name string) error {
	if name == "" || strings.ContainsAny(name, " \t\r\n") {
		return fmt.Errorf("%q is no witness name: one word is needed", name)
	}
	return nil
}

// clearUnfinished removes what an interrupted Init left, and refuses a
// directory that holds anything else.
func clearUnfinished(dir string) error {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return fmt.Errorf("make witness state: %w", err)
	}
	names := map[string]bool{}
	for _, entry := range entries {
		names[entry.Name()] = true
	}
	if names[metaName] {
		return fmt.Errorf("make witness state: %s: %w: it is there already; start sbwitness on it, or move it away to begin a new incarnation", dir, ErrForeign)
	}
	// Both files of a state that was in use have lost their suffix.
	ours := map[string]bool{
		"lost+found": true, metaName + unfinished: true, boltName + unfinished: true,
		boltName: names[metaName+unfinished],
	}
	for _, entry := range entries {
		if !ours[entry.Name()] {
			return fmt.Errorf("make witness state: %s: %w: it holds %q; name an empty directory", dir, ErrForeign, entry.Name())
		}
	}
	for _, name := range []string{boltName, boltName + unfinished, metaName + unfinished} {
		if err := os.Remove(filepath.Join(dir, name)); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return fmt.Errorf("make witness state: %w", err)
		}
	}
	return nil
}

// found writes the first entry of the log: who votes.
func found(dir, path, name string, voters []Voter) error {
	if len(voters) == 0 {
		voters = []Voter{{Name: name, Addr: name}}
	}
	var who raft.Configuration
	for _, v := range voters {
		who.Servers = append(who.Servers, raft.Server{ID: raft.ServerID(v.Name), Address: raft.ServerAddress(v.Addr)})
	}
	store, err := raftboltdb.New(raftboltdb.Options{Path: path, BoltOptions: boltOptions()})
	if err != nil {
		return err
	}
	conf := raft.DefaultConfig()
	conf.LocalID = raft.ServerID(name)
	conf.Logger = newRaftLogger(nil)
	_, transport := raft.NewInmemTransport(raft.ServerAddress(name))
	err = raft.BootstrapCluster(conf, store, store, raft.NewInmemSnapshotStore(), transport, who)
	return errors.Join(err, store.Close())
}

// checkIdentity reads the meta file and compares it with who is asking.
func checkIdentity(dir, name string) error {
	path := filepath.Join(dir, metaName)
	b, err := os.ReadFile(path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return fmt.Errorf("open witness state: %s: %w: make it once with 'sbwitness --init'; if it was there before, the disk was lost or is not mounted", dir, ErrNoState)
	case err != nil:
		return fmt.Errorf("open witness state: %w", err)
	}
	stored, err := decodeMeta(b)
	if err != nil {
		return fmt.Errorf("open witness state: %s: %w: check that dir is right, or move it away and run 'sbwitness --init'", path, err)
	}
	if stored != name {
		return fmt.Errorf("open witness state: %s: %w: it belongs to witness %q, this one is %q; set the name or the directory right", dir, ErrForeign, stored, name)
	}
	return nil
}

// The meta file is text, for people who look:
//
//	sbarbiter witness state, format 1
//	name w1
//	crc32c 1c2d3e4f
func encodeMeta(name string) []byte {
	body := metaTitle + metaFormat + "\nname " + name + "\n"
	return fmt.Appendf(nil, "%scrc32c %08x\n", body, crc32.Checksum([]byte(body), castagnoli))
}

func decodeMeta(b []byte) (name string, err error) {
	if !bytes.HasPrefix(b, []byte(metaTitle)) {
		return "", fmt.Errorf("%w: not written by sbarbiter", ErrForeign)
	}
	title, rest, _ := strings.Cut(string(b), "\n")
	if format := strings.TrimPrefix(title, metaTitle); format != metaFormat {
		return "", fmt.Errorf("%w: it has format %q and this program knows %s; start the release that wrote it", ErrForeign, format, metaFormat)
	}
	name, _, _ = strings.Cut(strings.TrimPrefix(rest, "name "), "\n")
	if !bytes.Equal(b, encodeMeta(name)) {
		return "", fmt.Errorf("%w: its checksum does not match", ErrDamaged)
	}
	return name, nil
}

func writeSynced(path string, b []byte) (err error) {
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	if _, err := f.Write(b); err != nil {
		return err
	}
	return f.Sync()
}

func syncDir(dir string) error {
	f, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(f.Sync(), f.Close())
}
