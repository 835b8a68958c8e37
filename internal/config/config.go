// Package config answers what an operator wrote: it reads the node, witness and
// cluster files and turns them into plain data. It is strict. An unknown key, a
// number without its unit or timing that cannot hold is refused, and every error
// points at its line and says what to write instead.
//
// Parsing asks nothing of the machine it runs on; what only the machine can tell
// (is this address ours, is this file private) is asked by [CheckHost]. What the
// data means for fencing, services and leases is left to the daemons.
package config

import (
	"errors"
	"fmt"
	"io"
	"os"
	"time"
)

// Where the daemons look when nobody says otherwise.
const (
	NodeFile    = "/etc/sbarbiter/node.yaml"
	WitnessFile = "/etc/sbarbiter/witness.yaml"

	defaultStateDir   = "/var/lib/sbarbiter"
	defaultRuntimeDir = "/run/sbarbiter"
	defaultPKIDir     = "/etc/sbarbiter/pki"
	defaultKnownHosts = "/etc/sbarbiter/known_hosts"
	defaultAgentDir   = "/usr/sbin/" // where Debian and Red Hat have the fence agents
)

const (
	maxFileSize = 64 << 10
	// maxDuration keeps sums of durations far from overflow; no setting of ours
	// makes sense beyond a day.
	maxDuration = 24 * time.Hour
)

// LoadNode reads the node file at path. Where the file does not name the node,
// it is this machine's uname -n, which DRBD's own configuration goes by too.
func LoadNode(path string) (Node, error) {
	return load(path, ParseNode)
}

// LoadWitness reads the witness file at path. An unnamed witness is called by
// this machine's uname -n.
func LoadWitness(path string) (Witness, error) {
	return load(path, ParseWitness)
}

// LoadCluster reads the cluster file at path.
func LoadCluster(path string) (Cluster, error) {
	data, err := readFile(path)
	if err != nil {
		return Cluster{}, err
	}
	return ParseCluster(path, data)
}

func load[T any](path string, parse func(path string, data []byte, hostname string) (T, error)) (T, error) {
	var none T
	data, err := readFile(path)
	if err != nil {
		return none, err
	}
	hostname, err := os.Hostname()
	if err != nil {
		return none, fmt.Errorf("read this machine's name: %w", err)
	}
	return parse(path, data, hostname)
}

func readFile(path string) ([]byte, error) {
	f, err := os.Open(path)
	if errors.Is(err, os.ErrNotExist) {
		return nil, fmt.Errorf("read configuration: %w; write it first, the examples in deploy/ are a start", err)
	}
	if err != nil {
		return nil, fmt.Errorf("read configuration: %w", err)
	}
	defer f.Close()
	// One byte more than allowed is enough to see that it is too much.
	data, err := io.ReadAll(io.LimitReader(f, maxFileSize+1))
	if err != nil {
		return nil, fmt.Errorf("read configuration %s: %w", path, err)
	}
	return data, nil
}
