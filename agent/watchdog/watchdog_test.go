package watchdog

import (
	"context"
	"errors"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"sbarbiter/internal/boottime"
)

const fitFlags = flags(unix.WDIOF_MAGICCLOSE | unix.WDIOF_SETTIMEOUT | unix.WDIOF_KEEPALIVEPING)

// driver is a fake kernel driver; it counts what a real one would obey.
type driver struct {
	can      flags
	name     string
	seconds  int
	round    func(int) int
	opened   int
	fed      int
	disarmed bool
	closed   bool
	number   int
	onFeed   func()
	refuses  error // the answer to being disabled
}

func (d *driver) support() (flags, string, error) { return d.can, d.name, nil }

func (d *driver) setTimeout(s int) error {
	d.fed++ // as the kernel's watchdog core does
	d.seconds = s
	if d.round != nil {
		d.seconds = d.round(s)
	}
	return nil
}

func (d *driver) timeout() (int, error) { return d.seconds, nil }

func (d *driver) keepalive() error {
	d.fed++
	if d.onFeed != nil {
		d.onFeed()
	}
	return nil
}

func (d *driver) disable() error    { return d.refuses }
func (d *driver) magicClose() error { d.disarmed, d.closed = true, true; return nil }
func (d *driver) close() error      { d.closed = true; return nil }
func (d *driver) fd() int           { return d.number }

// bench is a machine with one fake driver.
type bench struct {
	parts
	*driver
	clock boottime.Instant
	cfg   Config
}

func newBench(t *testing.T) *bench {
	b := &bench{
		driver: &driver{can: fitFlags, name: "i6300ESB timer", seconds: 30},
		clock:  boottime.Instant(time.Hour),
		cfg:    Config{Path: "/dev/watchdog0", Timeout: 5 * time.Second, RuntimeDir: filepath.Join(t.TempDir(), "run")},
	}
	b.parts = parts{
		open:  func(string) (device, error) { b.opened++; return b.driver, nil },
		sysfs: t.TempDir(),
		now:   func() boottime.Instant { return b.clock },
	}
	t.Setenv("NOTIFY_SOCKET", "")
	return b
}

func (b *bench) sysfsFile(t *testing.T, name, content string) {
	t.Helper()
	dir := filepath.Join(b.sysfs, "watchdog0")
	if err := os.MkdirAll(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, name), []byte(content+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
}

func (b *bench) mustOpen(t *testing.T) *Kernel {
	t.Helper()
	k, err := b.openOnce(b.cfg)
	if err != nil {
		t.Fatal(err)
	}
	return k
}

func TestTimeoutIsWhatTheDriverReadsBack(t *testing.T) {
	b := newBench(t)
	b.round = func(s int) int { return (s + 7) / 8 * 8 }
	k := b.mustOpen(t)
	if k.Timeout() != 8*time.Second {
		t.Errorf("the driver rounded 5s to 8s, we believe %v", k.Timeout())
	}
	if id := k.Identity(); id.Driver != "i6300ESB timer" || id.Software {
		t.Errorf("identity %+v", id)
	}
}

func TestSoftdogIsKnownAsSoftware(t *testing.T) {
	b := newBench(t)
	b.name = "Software Watchdog"
	if k := b.mustOpen(t); !k.Identity().Software {
		t.Error("softdog counts on the CPU that it watches and was not marked so")
	}
}

func TestDriverThatStopsAtCloseIsRefusedBeforeItIsOpened(t *testing.T) {
	b := newBench(t)
	b.sysfsFile(t, "options", "0x8080")
	_, err := b.openOnce(b.cfg)
	if !errors.Is(err, ErrUnfit) {
		t.Fatalf("got %v, want ErrUnfit", err)
	}
	if b.opened != 0 {
		t.Error("the device was opened, which starts its countdown")
	}
}

func TestRefusedDriverIsLeftStopped(t *testing.T) {
	b := newBench(t)
	b.can = unix.WDIOF_SETTIMEOUT
	if _, err := b.openOnce(b.cfg); !errors.Is(err, ErrUnfit) {
		t.Fatalf("got %v, want ErrUnfit", err)
	}
	if !b.closed {
		t.Error("the refused device was left counting")
	}
	b.can = fitFlags
	b.mustOpen(t) // the mended machine is not told that its watchdog is lost
}

func TestFixedTimeoutMustMatchTheConfiguration(t *testing.T) {
	b := newBench(t)
	b.can = unix.WDIOF_MAGICCLOSE
	if _, err := b.openOnce(b.cfg); !errors.Is(err, ErrUnfit) || !strings.Contains(err.Error(), "timeout: 30s") {
		t.Fatalf("got %v, want ErrUnfit naming 30s", err)
	}
	b.cfg.Timeout = 30 * time.Second
	if k := b.mustOpen(t); k.Timeout() != 30*time.Second {
		t.Errorf("timeout %v", k.Timeout())
	}
}

func TestFixedTimeoutIsReadWithoutOpening(t *testing.T) {
	b := newBench(t)
	b.sysfsFile(t, "options", "0x8100")
	b.sysfsFile(t, "timeout", "60")
	if _, err := b.openOnce(b.cfg); !errors.Is(err, ErrUnfit) || b.opened != 0 {
		t.Fatalf("got %v after %d openings, want ErrUnfit and none", err, b.opened)
	}
}

func TestSecondOpenInOneBootIsRefused(t *testing.T) {
	b := newBench(t)
	b.mustOpen(t)
	if _, err := b.openOnce(b.cfg); !errors.Is(err, ErrLost) {
		t.Fatalf("got %v, want ErrLost", err)
	}
	if b.opened != 1 {
		t.Errorf("the device was opened %d times", b.opened)
	}
}

func TestFailedOpenDoesNotCountAsOpened(t *testing.T) {
	b := newBench(t)
	works := b.open
	b.open = func(string) (device, error) { return nil, unix.EBUSY }
	if _, err := b.openOnce(b.cfg); !errors.Is(err, unix.EBUSY) {
		t.Fatalf("got %v, want EBUSY", err)
	}
	b.open = works
	b.mustOpen(t)
}

func TestAdoptedWatchdogIsNotFed(t *testing.T) {
	b := newBench(t)
	b.mustOpen(t)
	fed := b.fed
	b.cfg.Timeout = 9 * time.Second // the configuration changed meanwhile
	k, err := b.adopt(b.driver, b.cfg)
	if err != nil {
		t.Fatal(err)
	}
	if b.fed != fed {
		t.Error("adopting fed the watchdog in nobody's name")
	}
	if k.Timeout() != 5*time.Second {
		t.Errorf("timeout %v, the device still counts 5s", k.Timeout())
	}
}

func TestAdoptedWatchdogCountsAsOpened(t *testing.T) {
	b := newBench(t)
	if _, err := b.adopt(b.driver, b.cfg); err != nil {
		t.Fatal(err)
	}
	if _, err := b.openOnce(b.cfg); !errors.Is(err, ErrLost) {
		t.Fatalf("got %v, want ErrLost", err)
	}
}

func TestFeedBeforeTheDeadline(t *testing.T) {
	b := newBench(t)
	k := b.mustOpen(t)
	fed := b.fed
	if err := k.Feed(b.clock.Add(time.Nanosecond)); err != nil {
		t.Fatal(err)
	}
	if b.fed != fed+1 {
		t.Error("the watchdog was not fed")
	}
}

func TestNothingIsFedAtOrAfterTheDeadline(t *testing.T) {
	b := newBench(t)
	k := b.mustOpen(t)
	fed := b.fed
	for _, deadline := range []boottime.Instant{b.clock, b.clock - 1, 0} {
		if err := k.Feed(deadline); !errors.Is(err, ErrLate) {
			t.Errorf("deadline %v at %v: got %v, want ErrLate", deadline, b.clock, err)
		}
	}
	if b.fed != fed {
		t.Error("the watchdog was fed after the deadline")
	}
}

func TestFeederHeldUpBetweenItsTwoLooksSaysLate(t *testing.T) {
	b := newBench(t)
	k := b.mustOpen(t)
	deadline := b.clock.Add(time.Second)
	b.onFeed = func() { b.clock = deadline }
	err := k.Feed(deadline)
	var late *LateError
	if !errors.Is(err, ErrLate) || !errors.As(err, &late) || late.After != deadline {
		t.Fatalf("got %v, want ErrLate with the time after the feed", err)
	}
}

// listenAsManager makes this test the service manager.
func listenAsManager(t *testing.T) *net.UnixConn {
	t.Helper()
	path := filepath.Join(t.TempDir(), "notify")
	conn, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: path, Net: "unixgram"})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	if err := conn.SetReadDeadline(time.Now().Add(10 * time.Second)); err != nil {
		t.Fatal(err)
	}
	t.Setenv("NOTIFY_SOCKET", path)
	return conn
}

func TestStoreHandsTheDescriptorToTheServiceManager(t *testing.T) {
	b := newBench(t)
	k := b.mustOpen(t)
	if err := k.Store(t.Context()); err == nil {
		t.Error("stored without a service manager")
	}
	conn := listenAsManager(t)
	f, err := os.Open(os.DevNull)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	b.number = int(f.Fd())
	got := make(chan []string, 1)
	go func() { got <- readStates(conn, 2) }()
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	if err := k.Store(ctx); err != nil {
		t.Fatal(err)
	}
	if said := <-got; !strings.HasPrefix(said[0], "FDSTORE=1\nFDNAME=watchdog") {
		t.Errorf("the manager read %q", said)
	}
}

// readStates plays the manager: it takes some messages and closes what comes
// with them, which answers a barrier.
func readStates(conn *net.UnixConn, count int) []string {
	var said []string
	for range count {
		buf, oob := make([]byte, 512), make([]byte, 128)
		n, on, _, _, err := conn.ReadMsgUnix(buf, oob)
		if err != nil {
			return append(said, err.Error())
		}
		said = append(said, string(buf[:n]))
		msgs, err := unix.ParseSocketControlMessage(oob[:on])
		if err != nil {
			return append(said, err.Error())
		}
		for _, m := range msgs {
			fds, err := unix.ParseUnixRights(&m)
			if err != nil {
				return append(said, err.Error())
			}
			for _, fd := range fds {
				unix.Close(fd)
			}
		}
	}
	return said
}

func TestConfigErrorsNameFieldAndRemedy(t *testing.T) {
	good := Config{Path: "/dev/watchdog", Timeout: 5 * time.Second, RuntimeDir: "/run/sbarbiter"}
	if err := good.Validate(); err != nil {
		t.Fatal(err)
	}
	for want, change := range map[string]func(*Config){
		"path: ":             func(c *Config) { c.Path = "watchdog0" },
		"timeout: 500ms":     func(c *Config) { c.Timeout = 500 * time.Millisecond },
		"write 2s instead":   func(c *Config) { c.Timeout = 2500 * time.Millisecond },
		"runtime directory:": func(c *Config) { c.RuntimeDir = "" },
	} {
		c := good
		change(&c)
		if err := c.Validate(); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("got %v, want it to say %q", err, want)
		}
	}
}

func TestNoneHasNoTimeoutAndStillKeepsDeadlines(t *testing.T) {
	var w Watchdog = None{}
	if w.Timeout() != 0 {
		t.Error("a machine without a watchdog claims a countdown")
	}
	if err := w.Feed(boottime.Now().Add(time.Hour)); err != nil {
		t.Error(err)
	}
	if err := w.Feed(boottime.Now()); !errors.Is(err, ErrLate) {
		t.Errorf("got %v, want ErrLate", err)
	}
}

func TestStoredIsEmptyWithoutAServiceManager(t *testing.T) {
	t.Setenv("LISTEN_PID", strconv.Itoa(os.Getpid()+1))
	if _, ok, err := Stored(); ok || err != nil {
		t.Fatalf("got %v, %v; want nothing", ok, err)
	}
}
