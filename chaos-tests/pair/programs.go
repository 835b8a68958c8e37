package pair

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
)

// programs are what a pair consists of; make build makes them.
var programs = []string{"sbagent", "sbwitness", "sbctl", "lab-writer"}

// Programs returns a directory with the built programs: dir itself, or for ""
// the repository's bin, brought up to date first.
func Programs(ctx context.Context, dir string) (string, error) {
	if dir == "" {
		root, err := Root()
		if err != nil {
			return "", err
		}
		out, err := exec.CommandContext(ctx, "make", "--no-print-directory", "-C", root, "build").CombinedOutput()
		if err != nil {
			return "", fmt.Errorf("build programs: %w: %s", err, out)
		}
		dir = filepath.Join(root, "bin")
	}
	for _, name := range programs {
		if _, err := os.Stat(filepath.Join(dir, name)); err != nil {
			return "", fmt.Errorf("find program: %w; make build makes it", err)
		}
	}
	return dir, nil
}

// Root is the repository: the nearest directory upwards that holds go.mod.
func Root() (string, error) {
	dir, err := os.Getwd()
	if err != nil {
		return "", fmt.Errorf("find repository: %w", err)
	}
	for ; ; dir = filepath.Dir(dir) {
		if _, err := os.Stat(filepath.Join(dir, "go.mod")); err == nil {
			return dir, nil
		}
		if dir == filepath.Dir(dir) {
			return "", fmt.Errorf("find repository: no go.mod here or above; run it in the repository")
		}
	}
}
