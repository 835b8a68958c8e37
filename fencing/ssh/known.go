package ssh

import (
	"crypto/ed25519"
	"errors"
	"fmt"
	"net"
	"slices"

	"golang.org/x/crypto/ssh"
	"golang.org/x/crypto/ssh/knownhosts"
)

// known is a known_hosts file.
type known struct {
	path  string
	check ssh.HostKeyCallback
}

// hostKeyError: the key that the target shows is not a known one.
type hostKeyError struct {
	address, path string
	err           error
}

// Error names the target, the file and what is wrong.
func (e *hostKeyError) Error() string {
	return fmt.Sprintf("%s has not shown that it is the right one: %v (%s); compare its key and correct the file", e.address, e.err, e.path)
}

// Unwrap returns the library's reason.
func (e *hostKeyError) Unwrap() error { return e.err }

func readKnown(path string) (*known, error) {
	if err := unwritable(path); err != nil {
		return nil, err
	}
	check, err := knownhosts.New(path)
	if err != nil {
		return nil, fmt.Errorf("known hosts: %w", err)
	}
	k := &known{path: path}
	k.check = func(address string, remote net.Addr, key ssh.PublicKey) error {
		if err := check(address, remote, key); err != nil {
			return &hostKeyError{address, path, err}
		}
		return nil
	}
	return k, nil
}

// algorithms returns those under which the target can show a key that is known.
// Left to itself it might show another one of its keys, which would look like
// somebody else's.
func (k *known) algorithms(address string, remote net.Addr) []string {
	var nobody ssh.PublicKey
	if pub, err := ssh.NewPublicKey(ed25519.PublicKey(make([]byte, ed25519.PublicKeySize))); err == nil {
		nobody = pub
	}
	var wanted *knownhosts.KeyError
	if !errors.As(k.check(address, remote, nobody), &wanted) {
		return nil
	}
	var out []string
	for _, w := range wanted.Want {
		names := []string{w.Key.Type()}
		if w.Key.Type() == ssh.KeyAlgoRSA {
			names = []string{ssh.KeyAlgoRSASHA512, ssh.KeyAlgoRSASHA256}
		}
		for _, n := range names {
			if !slices.Contains(out, n) {
				out = append(out, n)
			}
		}
	}
	return out
}
