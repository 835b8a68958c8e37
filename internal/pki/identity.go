// Package pki answers "who is this": it makes the certificates by which nodes,
// witnesses and operators know each other, reads them from disk and tells whose a
// certificate is. Carrying connections is left to rpc; what an identity may do is
// left to those who are asked.
//
// A certificate's name is a URI, and only that counts:
//
//	sbarbiter://CLUSTER/node/NAME
//	sbarbiter:///witness/NAME
//	sbarbiter:///operator/NAME
package pki

import (
	"crypto/x509"
	"fmt"
	"net/url"
	"regexp"
	"strings"
)

// Role is what an identity is.
type Role string

// The roles. A node acts for itself in its own cluster only.
const (
	RoleNode     Role = "node"
	RoleWitness  Role = "witness"
	RoleOperator Role = "operator"
)

// Identity is who a certificate speaks for.
type Identity struct {
	Role    Role
	Cluster string // of a node; empty for the others
	Name    string
}

const scheme = "sbarbiter"

var (
	clusterRule = regexp.MustCompile(`^[A-Za-z0-9]([A-Za-z0-9_-]{0,61}[A-Za-z0-9])?$`)
	nameRule    = regexp.MustCompile(`^[A-Za-z0-9]([A-Za-z0-9._-]{0,61}[A-Za-z0-9])?$`)
)

// String reads like "node nfs1/node-a" or "witness w1".
func (id Identity) String() string {
	if id.Cluster != "" {
		return fmt.Sprintf("%s %s/%s", id.Role, id.Cluster, id.Name)
	}
	return fmt.Sprintf("%s %s", id.Role, id.Name)
}

// Check reports what makes id unfit for a certificate.
func (id Identity) Check() error {
	switch id.Role {
	case RoleNode:
		if !clusterRule.MatchString(id.Cluster) {
			return fmt.Errorf("cluster %q is not a name: use letters, digits, - and _, at most 63", id.Cluster)
		}
	case RoleWitness, RoleOperator:
		if id.Cluster != "" {
			return fmt.Errorf("a %s belongs to no cluster, but %q was given", id.Role, id.Cluster)
		}
	default:
		return fmt.Errorf("role %q is not known: node, witness or operator", id.Role)
	}
	if !nameRule.MatchString(id.Name) {
		return fmt.Errorf("%s %q is not a name: use letters, digits, -, . and _, at most 63", id.Role, id.Name)
	}
	return nil
}

func (id Identity) uri() *url.URL {
	return &url.URL{Scheme: scheme, Host: id.Cluster, Path: "/" + string(id.Role) + "/" + id.Name}
}

// IdentityOf reads the identity out of a certificate. It does not ask who signed
// it: verify the chain first. A certificate with two of our names has none.
func IdentityOf(cert *x509.Certificate) (Identity, error) {
	var found []*url.URL
	for _, u := range cert.URIs {
		if u.Scheme == scheme {
			found = append(found, u)
		}
	}
	if len(found) != 1 {
		return Identity{}, fmt.Errorf("certificate %q has %d sbarbiter names, not one: issue it with sbctl pki issue", cert.Subject.CommonName, len(found))
	}
	id, err := parseIdentity(found[0])
	if err != nil {
		return Identity{}, fmt.Errorf("certificate %q: name %s: %w", cert.Subject.CommonName, found[0], err)
	}
	return id, nil
}

func parseIdentity(u *url.URL) (Identity, error) {
	role, name, _ := strings.Cut(strings.TrimPrefix(u.Path, "/"), "/")
	id := Identity{Role: Role(role), Cluster: u.Host, Name: name}
	if err := id.Check(); err != nil {
		return Identity{}, err
	}
	// Queries, fragments, ports, odd escapes: what would not be written the same
	// way again was not written by us.
	if u.String() != id.uri().String() {
		return Identity{}, fmt.Errorf("is not in the form that we issue (%s)", id.uri())
	}
	return id, nil
}
