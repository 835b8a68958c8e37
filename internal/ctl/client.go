package ctl

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/connectivity"
	"google.golang.org/grpc/status"

	"sbarbiter/internal/pki"
	"sbarbiter/internal/rpc"
	sbv1 "sbarbiter/proto/sb/v1"
)

// patience is how long one answer is waited for.
const patience = 4 * time.Second

// witness is the one that leads, with its answer about everybody.
type witness struct {
	sbv1.OperatorClient
	addr    string
	conn    *grpc.ClientConn
	trouble *trouble // of the connection
	status  *sbv1.StatusAnswer
}

func (w *witness) close() { w.conn.Close() }

var errNoWitness = errors.New("no witness answers")

// witness finds the witness that leads. The caller closes it.
func (a *app) witness(ctx context.Context) (*witness, error) {
	s, err := a.settle()
	if err != nil {
		return nil, err
	}
	if len(s.Witness) == 0 {
		return nil, fmt.Errorf("find the witness: no address is known; name it with --witness, %s or witness: in %s", witnessEnv, s.file)
	}
	own, err := operator(s.PKI)
	if err != nil {
		return nil, err
	}
	var failures []error
	for _, addr := range s.Witness {
		w, err := a.meet(ctx, addr, own)
		if err == nil {
			return w, nil
		}
		failures = append(failures, err)
		if ctx.Err() != nil {
			break
		}
	}
	return nil, noWitness(failures)
}

// operator reads the credentials in dir, which must be an operator's: the
// witness would refuse others, with fewer words.
func operator(dir string) (*pki.Source, error) {
	own, err := pki.Open(dir)
	if err != nil {
		return nil, fmt.Errorf("show who you are: %w", err)
	}
	who, err := own.Current()
	if err != nil {
		return nil, fmt.Errorf("show who you are: %w", err)
	}
	if who.Identity.Role != pki.RoleOperator {
		return nil, fmt.Errorf("show who you are: the certificate in %s is that of %s; make your own where the CA is with "+
			"sbctl pki issue operator NAME, and name its directory with --pki", dir, who.Identity)
	}
	return own, nil
}

// meet asks the witness at addr for the status of everything.
func (a *app) meet(ctx context.Context, addr string, own *pki.Source) (*witness, error) {
	log := slog.New(slog.NewTextHandler(a.Err, &slog.HandlerOptions{Level: slog.LevelWarn}))
	trouble := &trouble{}
	conn, err := rpc.DialTold(addr, own, pki.RoleWitness, log, trouble.tell)
	if err != nil {
		return nil, err //nolint:wrapcheck // says what was dialled
	}
	w := &witness{OperatorClient: sbv1.NewOperatorClient(conn), addr: addr, conn: conn, trouble: trouble}
	if err := w.refresh(ctx); err != nil {
		conn.Close()
		return nil, err
	}
	if !w.status.GetWitness().GetLeader() {
		conn.Close()
		return nil, fmt.Errorf("witness %s does not lead; ask again in a second, or name the others as well", addr)
	}
	return w, nil
}

// refresh asks for the status again.
func (w *witness) refresh(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	answer, err := w.Status(ctx, &sbv1.StatusRequest{})
	if err != nil {
		return w.explain(err)
	}
	w.status = answer
	return nil
}

// ask puts one question of an operator's. An error means that it is not known
// whether what was asked has been done.
func ask[Q, A any](ctx context.Context, w *witness, question Q, call func(context.Context, Q, ...grpc.CallOption) (A, error)) (A, error) {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	answer, err := call(ctx, question)
	if err != nil {
		return answer, w.explain(err)
	}
	return answer, nil
}

// explain turns gRPC's words into ours.
func (w *witness) explain(err error) error {
	s := status.Convert(err)
	hint := ""
	switch s.Code() {
	case codes.Unavailable:
		if w.conn.GetState() != connectivity.Ready { // else the witness itself says it
			return w.trouble.unanswered(w.addr)
		}
	case codes.DeadlineExceeded:
		return &unanswered{w.addr, fmt.Sprintf("no answer within %v", patience), isItReached}
	case codes.PermissionDenied, codes.Unauthenticated:
		hint = "; an operator's certificate is made with sbctl pki issue operator NAME"
	case codes.Unimplemented:
		hint = "; use the sbctl of the witness's release"
	default:
	}
	return fmt.Errorf("witness %s: %s%s", w.addr, s.Message(), hint)
}

// cluster chooses the cluster that is meant.
func (a *app) cluster(cmd *cobra.Command, w *witness) (*sbv1.ClusterStatus, error) {
	s, err := a.settle()
	if err != nil {
		return nil, err
	}
	all := w.status.GetClusters()
	var names []string
	for _, c := range all {
		if c.GetDefinition().GetCluster() == s.Cluster {
			return a.meant(c, w), nil
		}
		names = append(names, c.GetDefinition().GetCluster())
	}
	switch {
	case len(all) == 0:
		return nil, fmt.Errorf("choose a cluster: witness %s knows none; declare one with sbctl cluster add -f cluster.yaml", w.addr)
	case s.Cluster != "":
		return nil, usage(cmd, "choose a cluster: witness %s knows no %s, only %s", w.addr, s.Cluster, strings.Join(names, ", "))
	case len(all) > 1:
		return nil, usage(cmd, "choose a cluster: name one of %s with --cluster", strings.Join(names, ", "))
	}
	return all[0], nil
}

// clusterWith chooses the cluster that is meant by a name in it: where none is
// named and exactly one has it, that one.
func (a *app) clusterWith(cmd *cobra.Command, w *witness, pick func(*sbv1.ClusterStatus) []string, name string) (*sbv1.ClusterStatus, error) {
	s, err := a.settle()
	if err != nil {
		return nil, err
	}
	var having []*sbv1.ClusterStatus
	for _, c := range w.status.GetClusters() {
		if slices.Contains(pick(c), name) {
			having = append(having, c)
		}
		if slices.Contains(groupNames(c), name) {
			a.group = name
		}
	}
	if s.Cluster == "" && len(having) == 1 {
		return a.meant(having[0], w), nil
	}
	return a.cluster(cmd, w)
}

// withGroup asks the witness for the cluster of a group, which has to be one of its.
func (a *app) withGroup(cmd *cobra.Command, group string, do func(*witness, *sbv1.ClusterStatus) error) error {
	w, err := a.witness(cmd.Context())
	if err != nil {
		return err
	}
	defer w.close()
	c, err := a.clusterWith(cmd, w, groupNames, group)
	if err != nil {
		return err
	}
	if err := knownGroup(cmd, c, group); err != nil {
		return err
	}
	return do(w, c)
}

func knownGroup(cmd *cobra.Command, c *sbv1.ClusterStatus, name string) error {
	if known := groupNames(c); !slices.Contains(known, name) {
		return usage(cmd, "cluster %s has no group %s, only %s", c.GetDefinition().GetCluster(), name, strings.Join(known, ", "))
	}
	return nil
}

// meant remembers which of several clusters was chosen.
func (a *app) meant(c *sbv1.ClusterStatus, w *witness) *sbv1.ClusterStatus {
	a.among = w.among(c.GetDefinition().GetCluster())
	return c
}

// among is a cluster's name where it has to be said, for the witness has others.
func (w *witness) among(cluster string) string {
	if len(w.status.GetClusters()) < 2 {
		return ""
	}
	return cluster
}
