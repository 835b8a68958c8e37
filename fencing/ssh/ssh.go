// Package ssh stops a machine by logging into it and running a command there.
// It answers "has the target taken the command", and nothing else: a machine that
// does not answer any more may run on, so this driver never says "off", and its
// word proves nothing by itself (fencing.Topology.Weak). What it is good for is
// the target's own stop receipt: a target that shuts down in order gives its
// groups back, and that is the best proof there is.
//
// The target must show a key that stands in known_hosts; there is no way to trust
// an unknown one.
package ssh

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"time"

	"golang.org/x/crypto/ssh"

	"sbarbiter/fencing"
	"sbarbiter/internal/secret"
)

// DefaultTimeout stands for a Config.Timeout of 0.
const DefaultTimeout = 5 * time.Second

// DefaultCommand shuts the target down in order: its agent stops its groups and
// gives them back.
func DefaultCommand() []string { return []string{"systemctl", "poweroff"} }

// Config describes one target.
type Config struct {
	Address netip.AddrPort
	User    string
	// Key is a private key without a passphrase, read at each use.
	Key        secret.Source
	KnownHosts string // absolute path
	// Command stops the target. DefaultCommand if empty.
	Command []string
	// Timeout bounds one command, together with the caller's context.
	// DefaultTimeout if 0.
	Timeout time.Duration
}

// Validate returns an error that names every field that cannot be used, or nil.
func (c Config) Validate() error {
	var errs []error
	if !c.Address.IsValid() || c.Address.Port() == 0 {
		errs = append(errs, fmt.Errorf("address: %v is no address with a port", c.Address))
	}
	if c.User == "" {
		errs = append(errs, errors.New("user: empty; name the user on the target"))
	}
	if err := c.Key.Validate(); err != nil {
		errs = append(errs, fmt.Errorf("key: %w", err))
	}
	if !filepath.IsAbs(c.KnownHosts) {
		errs = append(errs, fmt.Errorf("known hosts: %q must be an absolute path", c.KnownHosts))
	}
	if c.Timeout < 0 {
		errs = append(errs, fmt.Errorf("timeout: %v must not be negative", c.Timeout))
	}
	return errors.Join(errs...)
}

// Driver is the fencing.Fencer of one target.
type Driver struct{ cfg Config }

var _ fencing.Fencer = (*Driver)(nil)

// New returns the driver for c. It sends nothing yet.
func New(c Config) (*Driver, error) {
	if err := c.Validate(); err != nil {
		return nil, fmt.Errorf("ssh %v: %w", c.Address, err)
	}
	if c.Timeout == 0 {
		c.Timeout = DefaultTimeout
	}
	if len(c.Command) == 0 {
		c.Command = DefaultCommand()
	}
	return &Driver{cfg: c}, nil
}

// String returns "ssh 10.0.0.1:22".
func (d *Driver) String() string { return "ssh " + d.cfg.Address.String() }

// On cannot be done: nobody is there to log into.
func (d *Driver) On(context.Context) error {
	return fmt.Errorf("%s: power on: %w: a machine that is off takes no command", d, errors.ErrUnsupported)
}

// Status returns PowerOn when the target lets this host in. It never returns
// PowerOff.
func (d *Driver) Status(ctx context.Context) (fencing.Power, error) {
	ctx, cancel := context.WithTimeout(ctx, d.cfg.Timeout)
	defer cancel()
	client, err := d.login(ctx)
	if err != nil {
		return fencing.PowerUnknown, fmt.Errorf("%s: look whether it is up: %w", d, err)
	}
	client.close()
	return fencing.PowerOn, nil
}

// Off runs the command on the target. It has taken it when the command ended
// well, or when the line went down after the target had begun to run it.
func (d *Driver) Off(ctx context.Context) error {
	if err := fencing.CheckNotAfter(ctx); err != nil {
		return fmt.Errorf("%s: power off: %w", d, err)
	}
	ctx, cancel := context.WithTimeout(ctx, d.cfg.Timeout)
	defer cancel()
	client, err := d.login(ctx)
	if err != nil {
		return fmt.Errorf("%s: power off: %w: %w", d, fencing.ErrNotSent, err)
	}
	defer client.close()
	if err := client.run(ctx, quoted(d.cfg.Command)); err != nil {
		return fmt.Errorf("%s: power off: %w", d, err)
	}
	return nil
}

// connection is one login.
type connection struct {
	*ssh.Client
	stop func() bool
}

func (c *connection) close() {
	c.stop()
	_ = c.Close() // whatever the target says about it
}

// run returns nil when the target has taken the command.
func (c *connection) run(ctx context.Context, command string) error {
	session, err := c.NewSession()
	if err != nil {
		return fmt.Errorf("%w: open session: %w", fencing.ErrNotSent, unreachable(ctx, err))
	}
	defer session.Close()
	said := &tail{}
	session.Stderr = said
	// The login may have taken a while, or this process a pause.
	if err := fencing.CheckNotAfter(ctx); err != nil {
		return err
	}
	if err := session.Start(command); err != nil {
		return fmt.Errorf("start the command: %w", unreachable(ctx, err))
	}
	err = session.Wait()
	var exit *ssh.ExitError
	var gone *ssh.ExitMissingError
	switch {
	case err == nil:
		return nil
	case errors.As(err, &exit):
		return fmt.Errorf("the command ended with exit code %d: %s", exit.ExitStatus(), said.lastLine())
	case ctx.Err() != nil:
		return unreachable(ctx, err)
	case errors.As(err, &gone):
		return nil // it runs the command, and is gone
	}
	return unreachable(ctx, err)
}

// login connects, demands a known key of the target and shows ours.
func (d *Driver) login(ctx context.Context) (*connection, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	signer, err := d.key()
	if err != nil {
		return nil, fmt.Errorf("%w: %w", fencing.ErrConfig, err)
	}
	hosts, err := readKnown(d.cfg.KnownHosts)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", fencing.ErrConfig, err)
	}
	address := d.cfg.Address.String()
	conn, err := (&net.Dialer{}).DialContext(ctx, "tcp", address)
	if err != nil {
		return nil, unreachable(ctx, err)
	}
	// The library looks at no context.
	stop := context.AfterFunc(ctx, func() { _ = conn.Close() })
	shown := false
	c, channels, requests, err := ssh.NewClientConn(conn, address, &ssh.ClientConfig{
		User: d.cfg.User,
		Auth: []ssh.AuthMethod{ssh.PublicKeysCallback(func() ([]ssh.Signer, error) {
			shown = true
			return []ssh.Signer{signer}, nil
		})},
		HostKeyCallback: hosts.check, HostKeyAlgorithms: hosts.algorithms(address, conn.RemoteAddr()),
	})
	if err != nil {
		stop()
		conn.Close()
		return nil, classify(ctx, err, shown)
	}
	return &connection{ssh.NewClient(c, channels, requests), stop}, nil
}

// key reads the private key.
func (d *Driver) key() (ssh.Signer, error) {
	text, err := d.cfg.Key.Bytes()
	if err != nil {
		return nil, fmt.Errorf("key: %w", err)
	}
	signer, err := ssh.ParsePrivateKey(text)
	var locked *ssh.PassphraseMissingError
	switch {
	case errors.As(err, &locked):
		return nil, fmt.Errorf("key: %s has a passphrase, and nobody is there to type it; ssh-keygen -p takes it off", d.cfg.Key)
	case err != nil:
		return nil, fmt.Errorf("key: %s is no private key: %w", d.cfg.Key, err)
	}
	return signer, nil
}

// classify adds the sentinel that the caller can act on. shown says that the
// target had shown a known key, so that it is the target's own refusal.
func classify(ctx context.Context, err error, shown bool) error {
	var lost net.Error
	var unknown *hostKeyError
	switch {
	case ctx.Err() != nil:
	case errors.As(err, &unknown):
		return fmt.Errorf("%w: %w", fencing.ErrConfig, unknown)
	case shown && !errors.As(err, &lost) && !errors.Is(err, io.EOF):
		return fmt.Errorf("%w: the target does not take the key; add it to the user's authorized_keys there: %w", fencing.ErrAuth, err)
	}
	return unreachable(ctx, err)
}

func unreachable(ctx context.Context, err error) error {
	if cerr := ctx.Err(); cerr != nil {
		return fmt.Errorf("%w: %w", fencing.ErrUnreachable, cerr)
	}
	return fmt.Errorf("%w: %w", fencing.ErrUnreachable, err)
}

// quoted makes one line for the target's shell of which each word stays one.
func quoted(command []string) string {
	words := make([]string, len(command))
	for i, w := range command {
		words[i] = "'" + strings.ReplaceAll(w, "'", `'\''`) + "'"
	}
	return strings.Join(words, " ")
}

// tail keeps the end of what the command writes to standard error.
type tail struct{ buf []byte }

// Write never fails.
func (t *tail) Write(p []byte) (int, error) {
	t.buf = append(t.buf, p...)
	t.buf = t.buf[max(len(t.buf)-512, 0):]
	return len(p), nil
}

func (t *tail) lastLine() string {
	text := strings.TrimSpace(strings.ToValidUTF8(string(t.buf), "?"))
	return text[strings.LastIndexByte(text, '\n')+1:]
}

// CheckKnownHosts reports what would keep the file from being used.
func CheckKnownHosts(path string) error {
	_, err := readKnown(path)
	return err
}

// unwritable refuses a file that somebody else could change: whoever does is
// trusted.
func unwritable(path string) error {
	info, err := os.Stat(path)
	switch {
	case err != nil:
		return fmt.Errorf("known hosts: %w; ssh-keyscan -H ADDRESS shows what to write into it, once you have compared it", err)
	case info.Mode().Perm()&0o022 != 0:
		return fmt.Errorf("known hosts: %s can be written by others (mode %04o); run: chmod go-w %s", path, info.Mode().Perm(), path)
	}
	return nil
}
