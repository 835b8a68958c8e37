// Package telemetry answers "how does a daemon speak to those who read its log":
// one JSON object a line, with the same keys in every daemon. What is worth a
// line is left to those who log.
package telemetry

import (
	"io"
	"log/slog"
)

// The keys that daemons share, so that the logs of three hosts can be merged.
const (
	Cluster = "cluster"
	Node    = "node"
	Group   = "group"
	Epoch   = "epoch"
	Why     = "why"
	Alarm   = "alarm" // true: a person should look
)

// New returns a log of JSON lines on w from level up. The attributes are in
// every line.
func New(w io.Writer, level slog.Level, attrs ...slog.Attr) *slog.Logger {
	return slog.New(slog.NewJSONHandler(w, &slog.HandlerOptions{Level: level}).WithAttrs(attrs))
}

// Level reads debug, info, warn or error, as an environment variable has it;
// anything else is info.
func Level(word string) slog.Level {
	var l slog.Level
	if err := l.UnmarshalText([]byte(word)); err != nil {
		return slog.LevelInfo
	}
	return l
}
