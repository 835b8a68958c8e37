package ctl

import (
	"errors"
	"fmt"
	"net"
	"os"
	"strings"

	"github.com/goccy/go-yaml"
)

const (
	settingsFile = "/etc/sbarbiter/sbctl.yaml"
	defaultPKI   = "/etc/sbarbiter/pki"
	defaultCA    = "/etc/sbarbiter/ca"
	defaultPort  = "7443"
	witnessEnv   = "SBCTL_WITNESS"
)

// settings says whom to ask, and as whom.
type settings struct {
	Witness []string `yaml:"witness"`
	PKI     string   `yaml:"pki"`
	Cluster string   `yaml:"cluster"`
	// Shell runs a command on a node, whose name stands for {node}.
	Shell []string `yaml:"shell"`

	file     string
	watching bool
}

// settle fills what no flag has said from the environment, the file and the
// defaults, in this order.
func (a *app) settle() (settings, error) {
	s := a.flags
	file, err := readSettings(s.file)
	if err != nil {
		return settings{}, err
	}
	if len(s.Witness) == 0 {
		s.Witness = strings.FieldsFunc(a.Getenv(witnessEnv), func(r rune) bool { return r == ',' || r == ' ' })
	}
	if len(s.Witness) == 0 {
		s.Witness = file.Witness
	}
	for i, addr := range s.Witness {
		s.Witness[i] = withPort(addr)
	}
	s.Shell = file.Shell
	s.Cluster = first(s.Cluster, file.Cluster)
	s.PKI = first(s.PKI, file.PKI, defaultPKI)
	return s, nil
}

// readSettings reads the file of defaults, which need not be there.
func readSettings(path string) (settings, error) {
	var s settings
	data, err := os.ReadFile(path)
	if errors.Is(err, os.ErrNotExist) {
		return s, nil
	}
	if err != nil {
		return s, fmt.Errorf("read defaults: %w", err)
	}
	if err := yaml.UnmarshalWithOptions(data, &s, yaml.Strict()); err != nil {
		return s, fmt.Errorf("read defaults from %s (known there: witness: [ADDR], pki: DIR, cluster: NAME, shell: [COMMAND]): %w", path, err)
	}
	return s, nil
}

func withPort(addr string) string {
	if _, _, err := net.SplitHostPort(addr); err == nil {
		return addr
	}
	return net.JoinHostPort(strings.Trim(addr, "[]"), defaultPort)
}

// first returns the first that is not empty.
func first(words ...string) string {
	for _, w := range words {
		if w != "" {
			return w
		}
	}
	return ""
}
