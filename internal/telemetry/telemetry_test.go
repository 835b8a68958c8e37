package telemetry_test

import (
	"bytes"
	"encoding/json"
	"log/slog"
	"testing"

	"sbarbiter/internal/telemetry"
)

func TestEveryLineNamesItsNode(t *testing.T) {
	var out bytes.Buffer
	log := telemetry.New(&out, slog.LevelInfo, slog.String(telemetry.Cluster, "nfs1"), slog.String(telemetry.Node, "node-a"))
	log.Debug("not worth a line")
	log.Info("granted", telemetry.Group, "nfs", telemetry.Epoch, 4)

	var line map[string]any
	if err := json.Unmarshal(out.Bytes(), &line); err != nil {
		t.Fatalf("want one JSON object, got %q: %v", out.String(), err)
	}
	for key, want := range map[string]any{"msg": "granted", "cluster": "nfs1", "node": "node-a", "group": "nfs", "epoch": 4.0} {
		if line[key] != want {
			t.Errorf("%s is %v, want %v", key, line[key], want)
		}
	}
}

func TestUnknownLevelIsInfo(t *testing.T) {
	for word, want := range map[string]slog.Level{"debug": slog.LevelDebug, "WARN": slog.LevelWarn, "": slog.LevelInfo, "loud": slog.LevelInfo} {
		if got := telemetry.Level(word); got != want {
			t.Errorf("Level(%q) is %v, want %v", word, got, want)
		}
	}
}
