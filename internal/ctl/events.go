package ctl

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"strings"
	"time"

	"github.com/spf13/cobra"

	sbv1 "sbarbiter/proto/sb/v1"
)

// retryEvery is how often a lost witness is looked for while following.
const retryEvery = time.Second

// recordJSON is one line of the audit log as JSON. Names stay.
type recordJSON struct {
	Index    uint64          `json:"index"`
	At       string          `json:"at"` // RFC 3339 with milliseconds, UTC
	Cluster  string          `json:"cluster"`
	Group    string          `json:"group"`
	Node     string          `json:"node"`
	What     string          `json:"what"`
	Reason   string          `json:"reason"`
	Sentence string          `json:"sentence"`
	Epoch    uint64          `json:"epoch"`
	Inputs   json.RawMessage `json:"inputs"` // the command that was decided, or null
}

// moment is a time for programs.
func moment(ms int64) string { return time.UnixMilli(ms).UTC().Format("2006-01-02T15:04:05.000Z07:00") }

func recordView(r *sbv1.Record) recordJSON {
	inputs := json.RawMessage(r.GetInputs())
	if !json.Valid(inputs) {
		inputs = nil
	}
	return recordJSON{
		r.GetIndex(), moment(r.GetAtMs()), r.GetCluster(), r.GetGroup(), r.GetNode(),
		r.GetWhat(), r.GetReason(), r.GetSentence(), r.GetEpoch(), inputs,
	}
}

func (a *app) eventsCommand() *cobra.Command {
	var follow bool
	var after uint64
	cmd := &cobra.Command{
		Use:     "events",
		Short:   "the audit log: every decision and why, oldest first",
		Example: "  sbctl events -f\n  sbctl events --after 1200 -o json",
		Args:    args(cobra.NoArgs, "no argument"),
		RunE: func(cmd *cobra.Command, _ []string) error {
			for {
				err := a.tail(cmd, &after, follow)
				if !follow || cmd.Context().Err() != nil {
					return ignoreInterrupt(cmd.Context(), err)
				}
				var wrong *usageError
				if errors.As(err, &wrong) {
					return err
				}
				a.say("%v; trying again", err)
				if !pause(cmd.Context(), retryEvery) {
					return nil
				}
			}
		},
	}
	cmd.Flags().BoolVarP(&follow, "follow", "f", false, "go on with what happens, until interrupted")
	cmd.Flags().Uint64Var(&after, "after", 0, "leave out everything up to this index")
	return cmd
}

// ignoreInterrupt forgives an error that the operator's Ctrl-C has caused.
func ignoreInterrupt(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		return nil
	}
	return err
}

// tail prints records and remembers how far it has come.
func (a *app) tail(cmd *cobra.Command, after *uint64, follow bool) error {
	w, err := a.witness(cmd.Context())
	if err != nil {
		return err
	}
	defer w.close()
	c, err := a.cluster(cmd, w)
	if err != nil {
		return err
	}
	request := &sbv1.EventsRequest{Cluster: c.GetDefinition().GetCluster(), After: *after, Follow: follow}
	return w.records(cmd.Context(), request, func(r *sbv1.Record) (bool, error) {
		*after = r.GetIndex()
		return true, a.record(r)
	})
}

// records hands each record on until there are no more or the receiver has had
// enough.
func (w *witness) records(ctx context.Context, request *sbv1.EventsRequest, take func(*sbv1.Record) (more bool, err error)) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	stream, err := w.Events(ctx, request)
	if err != nil {
		return w.explain(err)
	}
	for {
		r, err := stream.Recv()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return w.explain(err)
		}
		if more, err := take(r); err != nil || !more {
			return err
		}
	}
}

func (a *app) record(r *sbv1.Record) error {
	if a.as == jsonLines {
		return a.json(recordView(r))
	}
	return a.print("%s\n", recordLine(r))
}

// recordLine is a record on one line: when, which, about what, what.
func recordLine(r *sbv1.Record) string {
	about := strings.Trim(r.GetGroup()+"/"+r.GetNode(), "/")
	line := []string{clock(r.GetAtMs()), pad("#"+decimal(r.GetIndex()), 5), pad(first(about, r.GetCluster()), 14), pad(whatWords(r), 13), r.GetSentence()}
	if r.GetReason() != "" {
		line = append(line, "("+r.GetReason()+")")
	}
	return strings.Join(line, "  ")
}

// whatWords tells an order from its withdrawal, which the log keeps under one
// name.
func whatWords(r *sbv1.Record) string {
	var order struct {
		On *bool `json:"on"`
	}
	if err := json.Unmarshal([]byte(r.GetInputs()), &order); err != nil || order.On == nil {
		return r.GetWhat()
	}
	switch what := r.GetWhat(); {
	case what == "standby" && !*order.On:
		return "unstandby"
	case what == "maintenance" && !*order.On:
		return "maintenance off"
	default:
		return what
	}
}
