package lab

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
)

// Witness is the third host. Its methods belong to one goroutine.
type Witness struct {
	lab  *Lab
	proc *group
}

// Dir is the witness's directory: its files, and the working directory of
// what runs there.
func (w *Witness) Dir() string { return filepath.Join(w.lab.dir, "witness") }

func (w *Witness) prepare() error {
	if err := os.MkdirAll(w.Dir(), 0o755); err != nil {
		return fmt.Errorf("make witness directory: %w", err)
	}
	for _, f := range w.lab.cfg.Witness.Files {
		if err := f.put(w.Dir()); err != nil {
			return err
		}
	}
	return nil
}

// Command prepares a program to run on the witness's host, in Dir. A name
// without a slash is looked for in Config.Binaries first.
func (w *Witness) Command(ctx context.Context, name string, args ...string) *exec.Cmd {
	if built := filepath.Join(w.lab.dir, "bin", name); filepath.Base(name) == name {
		if _, err := os.Stat(built); err == nil {
			name = built
		}
	}
	cmd := w.lab.net.wit.command(ctx, name, args...)
	cmd.Dir = w.Dir()
	return cmd
}

// Start starts Config.Witness.Command; what it prints is added to witness.log.
func (w *Witness) Start() error {
	argv := w.lab.cfg.Witness.Command
	if len(argv) == 0 {
		return fmt.Errorf("start witness: Config.Witness.Command is empty")
	}
	if w.Running() {
		return nil
	}
	out, err := os.OpenFile(w.LogPath(), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o644)
	if err != nil {
		return fmt.Errorf("start witness: %w", err)
	}
	defer out.Close()
	cmd := w.Command(context.Background(), argv[0], argv[1:]...)
	cmd.Stdout, cmd.Stderr = out, out
	if w.proc, err = startGroup(cmd); err != nil {
		return err
	}
	w.lab.log.note("witness", "started")
	return nil
}

// Running says whether the witness process is alive.
func (w *Witness) Running() bool {
	if w.proc == nil {
		return false
	}
	select {
	case <-w.proc.gone:
		return false
	default:
		return true
	}
}

// Kill ends the witness by SIGKILL and waits until it is gone.
func (w *Witness) Kill() {
	if w.proc == nil {
		return
	}
	w.proc.kill()
	<-w.proc.gone
	w.proc = nil
	w.lab.log.note("witness", "killed")
}

// LogPath is the file that takes what the witness prints.
func (w *Witness) LogPath() string { return filepath.Join(w.lab.dir, "witness.log") }
