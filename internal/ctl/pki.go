package ctl

import (
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"sbarbiter/internal/pki"
)

const day = 24 * time.Hour

func (a *app) pkiCommand() *cobra.Command {
	cmd := family(&cobra.Command{
		Use:   "pki",
		Short: "make the certificates by which nodes, witnesses and operators know each other",
		Long: `Every connection is mutual TLS. Pki init makes a CA, pki issue a certificate for
somebody. Keep the CA's directory on one machine that is neither node nor
witness, and back it up: whoever has ca.key can join every cluster.`,
		Example: "  sbctl pki init\n  sbctl pki issue node node-a --cluster nfs1\n  sbctl pki show",
	})
	dir := cmd.PersistentFlags().String("dir", defaultCA, "directory of the CA")
	cmd.AddCommand(a.initCommand(dir), a.issueCommand(dir), a.showPKICommand(dir))
	return cmd
}

func (a *app) initCommand(dir *string) *cobra.Command {
	return &cobra.Command{
		Use: "init", Short: "make a new CA", Example: "  sbctl pki init --dir /etc/sbarbiter/ca",
		Args: args(cobra.NoArgs, "no argument"),
		RunE: func(*cobra.Command, []string) error {
			if _, err := pki.Init(*dir); err != nil {
				return err //nolint:wrapcheck // says what was created where
			}
			if a.as == jsonLines {
				return a.json(map[string]string{"dir": *dir})
			}
			return a.print("a new CA is in %s; back it up, and keep it off nodes and witnesses\n", *dir)
		},
	}
}

type issueFlags struct {
	out       string
	days      int
	addresses []string
}

func (a *app) issueCommand(dir *string) *cobra.Command {
	cmd := family(&cobra.Command{
		Use: "issue", Short: "make a certificate for a node, a witness or an operator",
		Long: `Issue writes a key, its certificate, the CA's certificate and, for a node, the
cluster's heartbeat key into a new directory. Copy its files to where the one
named looks for them (` + defaultPKI + `). Each certificate speaks for that one alone.`,
		Example: "  sbctl pki issue node node-a --cluster nfs1\n  sbctl pki issue witness w1\n  sbctl pki issue operator alice",
	})
	var f issueFlags
	pf := cmd.PersistentFlags()
	pf.StringVar(&f.out, "out", "", "directory to write (default: ./NAME)")
	pf.IntVar(&f.days, "days", int(pki.DefaultValidity/day), "how long it holds")
	for _, role := range []pki.Role{pki.RoleNode, pki.RoleWitness, pki.RoleOperator} {
		sub := &cobra.Command{
			Use: string(role) + " NAME", Short: "make the certificate of one " + string(role),
			Example: "  sbctl pki issue " + issueExample[role],
			Args:    args(cobra.ExactArgs(1), "one name"),
			RunE: func(cmd *cobra.Command, given []string) error {
				return a.issue(cmd, *dir, pki.Identity{Role: role, Name: given[0]}, f)
			},
		}
		if role == pki.RoleWitness {
			sub.Flags().StringSliceVar(&f.addresses, "address", nil, "addresses to write into it, for other tools; ours go by the name")
		}
		cmd.AddCommand(sub)
	}
	return cmd
}

var issueExample = map[pki.Role]string{
	pki.RoleNode:     "node node-a --cluster nfs1",
	pki.RoleWitness:  "witness w1 --address 10.0.0.250",
	pki.RoleOperator: "operator alice --out ~/.sbarbiter",
}

func (a *app) issue(cmd *cobra.Command, dir string, id pki.Identity, f issueFlags) error {
	if id.Role == pki.RoleNode {
		if id.Cluster = a.flags.Cluster; id.Cluster == "" {
			return usage(cmd, "a node belongs to a cluster: --cluster NAME")
		}
	}
	if err := id.Check(); err != nil {
		return usage(cmd, "%w", err)
	}
	if f.days < 1 {
		return usage(cmd, "--days %d: a certificate holds for a day at least", f.days)
	}
	request := pki.Request{Identity: id, Validity: time.Duration(f.days) * day}
	for _, text := range f.addresses {
		addr, err := netip.ParseAddr(text)
		if err != nil {
			return usage(cmd, "--address %s: write an IPv4 or IPv6 address", text)
		}
		request.Addresses = append(request.Addresses, addr)
	}
	ca, err := pki.OpenCA(dir)
	if err != nil {
		return err //nolint:wrapcheck // says what was opened
	}
	out := first(f.out, id.Name)
	until, err := ca.Issue(out, request)
	if err != nil {
		return err //nolint:wrapcheck // says what was issued to whom
	}
	if a.as == jsonLines {
		return a.json(credentialsJSON{Dir: out, Identity: id.String(), NotAfter: until.Unix()})
	}
	if asked := time.Now().Add(request.Validity); until.Before(asked.Add(-time.Hour)) {
		a.say("--days %d is longer than the CA holds: the certificate ends with it", f.days)
	}
	return a.print("%s: certificate until %s, in %s; copy its files to %s\n", id, until.Format(time.DateOnly), out, destinationOf(id))
}

func destinationOf(id pki.Identity) string {
	switch id.Role {
	case pki.RoleNode:
		return id.Name + ":" + defaultPKI
	case pki.RoleWitness:
		return "the witness's " + defaultPKI
	case pki.RoleOperator:
	}
	return "where sbctl is used: " + defaultPKI + ", or name them with --pki"
}

// credentialsJSON is one certificate as JSON.
type credentialsJSON struct {
	Dir      string `json:"dir"`
	Identity string `json:"identity"`
	NotAfter int64  `json:"not_after"` // Unix seconds
	Error    string `json:"error"`     // why it cannot be used
}

func (a *app) showPKICommand(ca *string) *cobra.Command {
	return &cobra.Command{
		Use:   "show [DIR]...",
		Short: "whose certificates these are, and until when they hold",
		Long: `Show reads the certificates in the directories named, or else in the CA's
directory and the one of --pki. It fails if one of them cannot be used.`,
		Example: "  sbctl pki show\n  sbctl pki show node-a node-b w1",
		Args:    cobra.ArbitraryArgs,
		RunE: func(_ *cobra.Command, dirs []string) error {
			s, err := a.settle()
			if err != nil {
				return err
			}
			named := len(dirs) > 0
			if !named {
				dirs = []string{*ca, s.PKI}
			}
			var all []credentialsJSON
			for _, dir := range dirs {
				if found := inspect(dir); found.Identity != "" || named {
					all = append(all, found)
				}
			}
			if len(all) == 0 {
				return fmt.Errorf("show certificates: there are none in %s; make a CA with sbctl pki init", and(dirs))
			}
			return a.showCertificates(all)
		},
	}
}

func (a *app) showCertificates(all []credentialsJSON) error {
	bad := false
	g := heading("DIRECTORY", "WHOSE", "UNTIL", "LEFT")
	for _, x := range all {
		bad = bad || x.Error != ""
		left := tinted("-", red)
		until := time.Unix(x.NotAfter, 0)
		if d := time.Until(until); x.Error == "" {
			left = tinted(span(d), plain)
			if d < 30*day {
				left.colour = yellow
			}
		}
		g.add(c(x.Dir), c(first(x.Identity, "-")), c(dateOf(x.NotAfter)), left)
	}
	switch a.as {
	case jsonLines:
		if err := a.json(all); err != nil {
			return err
		}
	case table:
		var b strings.Builder
		g.draw(&b, a.paper())
		if err := a.print("%s", b.String()); err != nil {
			return err
		}
	}
	if !bad {
		return nil
	}
	for _, x := range all {
		if x.Error != "" {
			a.say("sbctl: %s: %s", x.Dir, x.Error)
		}
	}
	return errReported
}

func dateOf(unix int64) string {
	if unix == 0 {
		return "-"
	}
	return time.Unix(unix, 0).Format(time.DateOnly)
}

// inspect reads whose the certificate in dir is and whether it can be used.
func inspect(dir string) credentialsJSON {
	out := credentialsJSON{Dir: dir}
	cert, err := readCertificate(filepath.Join(dir, pki.CertFile))
	if errors.Is(err, os.ErrNotExist) {
		if cert, err = readCertificate(filepath.Join(dir, pki.CAFile)); err == nil {
			out.Identity, out.NotAfter = cert.Subject.CommonName, cert.NotAfter.Unix()
			if _, err = pki.OpenCA(dir); err == nil && time.Now().After(cert.NotAfter) {
				err = errors.New("expired; make a new CA with sbctl pki init, and issue every certificate anew")
			}
		}
	} else if err == nil {
		out.NotAfter = cert.NotAfter.Unix()
		out.Identity = cert.Subject.CommonName
		if id, err := pki.IdentityOf(cert); err == nil {
			out.Identity = id.String()
		}
		_, err = pki.Load(dir)
	}
	if err != nil {
		out.Error = err.Error()
	}
	return out
}

func readCertificate(path string) (*x509.Certificate, error) {
	data, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("read certificate: %w", err)
	}
	block, _ := pem.Decode(data)
	if block == nil {
		return nil, fmt.Errorf("read certificate: %s holds no PEM", path)
	}
	cert, err := x509.ParseCertificate(block.Bytes)
	if err != nil {
		return nil, fmt.Errorf("parse certificate %s: %w", path, err)
	}
	return cert, nil
}
