package process_test

import (
	"context"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"sbarbiter/agent/guard"
	"sbarbiter/agent/guard/line"
	"sbarbiter/agent/guard/process"
	"sbarbiter/agent/watchdog"
	"sbarbiter/internal/boottime"
)

const boot = "this-boot"

var terms = guard.Terms{
	Renew: 100 * time.Millisecond, Silence: 500 * time.Millisecond, Gap: 30 * time.Second, CutOff: true,
}

// TestMain is also the agent that the tests stop and kill.
func TestMain(m *testing.M) {
	if dir := os.Getenv("AGENT_STAND_IN"); dir != "" {
		standIn(dir)
	}
	os.Exit(m.Run())
}

// standIn holds a group by a right that it never renews but its first request,
// and speaks until it is told to end.
func standIn(dir string) {
	incarnation, _ := strconv.ParseUint(os.Getenv("AGENT_INCARNATION"), 10, 64)
	lasts, _ := time.ParseDuration(os.Getenv("AGENT_LASTS"))
	soft, _ := time.ParseDuration(os.Getenv("AGENT_SOFT"))
	hello := line.Hello{Boot: boot, Incarnation: incarnation, Terms: terms, Device: "/dev/watchdog", Timeout: time.Second, Plans: []line.Plan{plan(dir)}}
	a, _, err := line.Dial(context.Background(), filepath.Join(dir, line.SocketName), hello, slog.New(slog.DiscardHandler))
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	if err := a.Hand([]guard.Right{right(soft, lasts)}); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	go func() {
		_ = a.Run(context.Background(), func(id guard.GroupID) { note(dir, "took "+string(id)) })
	}()
	note(dir, "agent speaks")
	for {
		a.Speak()
		time.Sleep(10 * time.Millisecond)
	}
}

// right is one whose soft stop and whose end are so long from now; a second of it
// is the watchdog's.
func right(soft, lasts time.Duration) guard.Right {
	now := boottime.Now()
	dead := now.Add(lasts)
	hard := dead.Add(-1100 * time.Millisecond)
	return guard.Right{Group: "nfs", Epoch: 4, Sent: now, Soft: now.Add(soft), Hard: hard, Dead: dead}
}

func plan(dir string) line.Plan {
	p := line.Plan{Group: "nfs", Addresses: []netip.Addr{netip.MustParseAddr("192.0.2.100")}, Steps: map[guard.Step][]string{}}
	for _, s := range []guard.Step{guard.Cut, guard.Services, guard.Unmount, guard.Demote, guard.Join} {
		p.Steps[s] = []string{filepath.Join(dir, string(s)), dir}
	}
	return p
}

// note writes a line of the diary, which several processes do.
func note(dir, what string) {
	f, err := os.OpenFile(filepath.Join(dir, "diary"), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return // the story is over
	}
	defer f.Close()
	fmt.Fprintln(f, what)
}

// world is a guard on a machine that is made up, but for its processes.
type world struct {
	t   *testing.T
	dir string

	buried atomic.Bool // nobody starts the agent again

	mu      sync.Mutex
	fed     int
	lastFed boottime.Instant
	resetAt boottime.Instant
}

func newWorld(t *testing.T) *world {
	w := &world{t: t, dir: t.TempDir()}
	for _, s := range []guard.Step{guard.Cut, guard.Services, guard.Unmount, guard.Demote, guard.Join} {
		w.script(s, "exit 0")
	}
	return w
}

// script says what a step's program does, after it has written the diary.
func (w *world) script(s guard.Step, does string) {
	text := "#!/bin/sh\necho " + string(s) + " >>\"$1/diary\"\n" + does + "\n"
	if err := os.WriteFile(filepath.Join(w.dir, string(s)), []byte(text), 0o755); err != nil {
		w.t.Fatal(err)
	}
}

// guard runs one until the test ends or what it returns is called.
func (w *world) guard() (end func()) {
	w.t.Helper()
	log := slog.New(slog.DiscardHandler)
	if testing.Verbose() {
		log = slog.New(slog.NewTextHandler(w.t.Output(), nil))
	}
	p, err := process.New(process.Config{
		RuntimeDir: w.dir, Boot: boot, Log: log, Resetter: w, Filter: w,
		Open:   func(watchdog.Config) (watchdog.Watchdog, error) { return dog{World: w}, nil },
		Notify: func(...string) error { return nil },
		Dead:   func(context.Context) bool { return w.buried.Load() },
	})
	if err != nil {
		w.t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- p.Run(ctx) }()
	var once sync.Once
	end = func() {
		once.Do(func() {
			cancel()
			if err := <-ended; err != nil {
				w.t.Error(err)
			}
		})
	}
	w.t.Cleanup(end)
	return end
}

// agent starts a stand-in with such a right.
func (w *world) agent(incarnation int, soft, lasts time.Duration) *os.Process {
	w.t.Helper()
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), "AGENT_STAND_IN="+w.dir, fmt.Sprintf("AGENT_INCARNATION=%d", incarnation), "AGENT_LASTS="+lasts.String(), "AGENT_SOFT="+soft.String())
	cmd.Stderr = os.Stderr
	spoke := w.count("agent speaks")
	if err := cmd.Start(); err != nil {
		w.t.Fatal(err)
	}
	w.t.Cleanup(func() { _ = cmd.Process.Kill(); _ = cmd.Wait() })
	w.eventually("the agent speaks", func() bool { return w.count("agent speaks") > spoke })
	return cmd.Process
}

func (w *world) diary() []string {
	text, _ := os.ReadFile(filepath.Join(w.dir, "diary"))
	return strings.Split(strings.TrimSpace(string(text)), "\n")
}

func (w *world) count(what string) (n int) {
	for _, l := range w.diary() {
		if l == what {
			n++
		}
	}
	return n
}

func (w *world) eventually(what string, ok func() bool) {
	w.t.Helper()
	for end := time.Now().Add(30 * time.Second); !ok(); time.Sleep(10 * time.Millisecond) {
		if time.Now().After(end) {
			w.t.Fatalf("not seen: %s; the diary says %q", what, w.diary())
		}
	}
}

func (w *world) happens(what string) {
	w.t.Helper()
	w.eventually(what, func() bool { return w.count(what) > 0 })
}

// order wants lines in this order, among others.
func (w *world) order(lines ...string) {
	w.t.Helper()
	rest := w.diary()
	for _, l := range lines {
		i := slices.Index(rest, l)
		if i < 0 {
			w.t.Fatalf("want %q in this order, got %q", lines, w.diary())
		}
		rest = rest[i+1:]
	}
}

// Reset is the machine's end.
func (w *world) Reset() error {
	w.mu.Lock()
	w.resetAt = boottime.Now()
	w.mu.Unlock()
	note(w.dir, "reset")
	return fmt.Errorf("made up")
}

func (w *world) Bar(string, []netip.Addr) error   { note(w.dir, "bar"); return nil }
func (w *world) Lift(string, []netip.Addr) error  { note(w.dir, "lift"); return nil }
func (w *world) Clear(string, []netip.Addr) error { note(w.dir, "clear"); return nil }

// dog counts how often it is fed.
type dog struct {
	watchdog.None
	World *world
}

func (d dog) Timeout() time.Duration { return time.Second }

func (d dog) Feed(before boottime.Instant) error {
	w := d.World
	w.mu.Lock()
	defer w.mu.Unlock()
	w.fed, w.lastFed = w.fed+1, boottime.Now()
	if now := boottime.Now(); now >= before {
		return &watchdog.LateError{Deadline: before, Before: now}
	}
	return nil
}

func (d dog) Disarm(context.Context) error { note(d.World.dir, "disarmed"); return nil }

func (w *world) feeds() int {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.fed
}

func TestStoppedAgentIsSecludedAndItsGroupIsStoppedInOrder(t *testing.T) {
	w := newWorld(t)
	w.guard()
	agent := w.agent(1, time.Second, 40*time.Second)
	w.eventually("the watchdog is fed", func() bool { return w.feeds() > 0 })
	if err := agent.Signal(unix.SIGSTOP); err != nil {
		t.Fatal(err)
	}
	w.happens("bar")
	w.happens("cut")
	w.happens("demote")
	w.order("bar", "services", "unmount", "demote")
	fed := w.feeds()
	w.eventually("what is confirmed down is fed for", func() bool { return w.feeds() > fed+2 })
	if w.count("reset") != 0 {
		t.Error("the machine was reset, and everything was seen stopped")
	}
}

func TestKilledAgentThatStaysDeadIsSecludedAndItsGroupIsStopped(t *testing.T) {
	w := newWorld(t)
	w.guard()
	agent := w.agent(1, 3*time.Second, 40*time.Second)
	_ = agent.Kill()
	w.buried.Store(true)
	w.happens("cut")
	w.happens("demote")
	w.order("bar", "services", "unmount", "demote")
}

// None of the steps ends, nor can the first one be ended but by SIGKILL.
func TestStepsThatHangEndInAResetAtTheHardStop(t *testing.T) {
	w := newWorld(t)
	for _, s := range []guard.Step{guard.Cut, guard.Services, guard.Unmount, guard.Demote} {
		w.script(s, "trap '' TERM; while :; do sleep 1; done")
	}
	w.guard()
	began := boottime.Now()
	agent := w.agent(1, time.Second, 5*time.Second)
	_ = agent.Signal(unix.SIGSTOP)
	w.happens("reset")
	w.order("bar", "services", "unmount", "demote", "reset")
	w.mu.Lock()
	defer w.mu.Unlock()
	if at := w.resetAt.Sub(began); at < 3900*time.Millisecond {
		t.Errorf("reset after %v, before the hard stop", at)
	}
	if w.lastFed > w.resetAt {
		t.Error("the watchdog was fed after a reset was ordered")
	}
}

func TestAgentThatIsStartedAgainTouchesNothing(t *testing.T) {
	w := newWorld(t)
	w.guard()
	_ = w.agent(1, 40*time.Second, 60*time.Second).Kill()
	w.agent(2, 40*time.Second, 60*time.Second)
	fed := w.feeds()
	w.eventually("the watchdog is fed on", func() bool { return w.feeds() > fed+3 })
	for _, l := range w.diary() {
		if l == "services" || l == "bar" || l == "reset" {
			t.Errorf("it has come to %q", l)
		}
	}
}

func TestGuardThatIsStartedAgainHearsOfEverythingFirst(t *testing.T) {
	w := newWorld(t)
	end := w.guard()
	w.agent(1, 40*time.Second, 60*time.Second)
	w.eventually("the watchdog is fed", func() bool { return w.feeds() > 0 })
	end()
	fed := w.feeds()
	w.guard()
	w.eventually("the agent has found it and it feeds again", func() bool { return w.feeds() > fed })
	if w.count("bar") != 0 || w.count("reset") != 0 {
		t.Errorf("it has come to %q", w.diary())
	}
}

func TestConnectionThatWasCutIsLookedForByTheNextGuard(t *testing.T) {
	w := newWorld(t)
	end := w.guard()
	agent := w.agent(1, 40*time.Second, 60*time.Second)
	_ = agent.Signal(unix.SIGSTOP)
	w.happens("cut")
	end()
	_ = agent.Kill()
	w.guard()
	a, _, err := dialled(t, w, func(h *line.Hello) { h.Incarnation = 2 })
	if err != nil {
		t.Fatal(err)
	}
	if err := a.Hand(nil); err != nil {
		t.Fatal(err)
	}
	w.happens("join")
}

func TestAgentThatWakesUpHearsThatItsGroupIsBeingStopped(t *testing.T) {
	w := newWorld(t)
	w.script(guard.Services, "exec sleep 3")
	w.guard()
	agent := w.agent(1, time.Second, 40*time.Second)
	_ = agent.Signal(unix.SIGSTOP)
	w.happens("services")
	_ = agent.Signal(unix.SIGCONT)
	w.happens("took nfs")
}

// dialled is an agent of this process.
func dialled(t *testing.T, w *world, change func(*line.Hello)) (*line.Agent, line.Welcome, error) {
	t.Helper()
	h := line.Hello{Boot: boot, Incarnation: 1, Terms: terms, Device: "/dev/watchdog", Timeout: time.Second, Plans: []line.Plan{plan(w.dir)}}
	if change != nil {
		change(&h)
	}
	var a *line.Agent
	var welcome line.Welcome
	var err error
	w.eventually("the guard listens", func() bool {
		a, welcome, err = line.Dial(t.Context(), filepath.Join(w.dir, line.SocketName), h, slog.New(slog.DiscardHandler))
		return err == nil || !strings.Contains(err.Error(), line.ErrNoGuard.Error())
	})
	return a, welcome, err
}

func TestAgentThatLeavesNothingHasTheWatchdogStopped(t *testing.T) {
	w := newWorld(t)
	w.guard()
	a, welcome, err := dialled(t, w, nil)
	if err != nil || welcome.Dog.Timeout != time.Second {
		t.Fatal(welcome, err)
	}
	if err := a.Hand([]guard.Right{right(10*time.Second, 20*time.Second)}); err != nil {
		t.Fatal(err)
	}
	if err := a.Leave(line.Disarm); err == nil {
		t.Error("the watchdog was stopped under a group")
	}
	again, _, err := dialled(t, w, func(h *line.Hello) { h.Incarnation = 2 })
	if err != nil {
		t.Fatal(err)
	}
	if err := again.Hand(nil); err != nil {
		t.Fatal(err)
	}
	if err := again.Leave(line.Disarm); err != nil {
		t.Fatal(err)
	}
	w.happens("disarmed")
}

func TestGuardServesNobodyElse(t *testing.T) {
	w := newWorld(t)
	w.guard()
	for name, c := range map[string]struct {
		change func(*line.Hello)
		say    string
	}{
		"another boot":      {func(h *line.Hello) { h.Boot = "another" }, "another"},
		"no pace":           {func(h *line.Hello) { h.Terms.Renew = 0 }, "terms do not hold"},
		"another watchdog":  {func(h *line.Hello) { h.Device = "/dev/watchdog7" }, "/dev/watchdog7"},
		"another countdown": {func(h *line.Hello) { h.Timeout = 9 * time.Second }, "9s"},
	} {
		t.Run(name, func(t *testing.T) {
			if _, _, err := dialled(t, w, nil); err != nil { // the first one decides
				t.Fatal(err)
			}
			if _, _, err := dialled(t, w, c.change); err == nil || !strings.Contains(err.Error(), c.say) {
				t.Errorf("want %q in: %v", c.say, err)
			}
		})
	}
}

// Whatever is not understood ends the connection, and nothing of it counts.
func TestGuardHangsUpOnNonsense(t *testing.T) {
	w := newWorld(t)
	w.guard()
	if _, _, err := dialled(t, w, nil); err != nil {
		t.Fatal(err)
	}
	for _, packet := range []string{"", "{}", `{"word":{"n":1}}`, `{"farewell":"disarm all"}`, `{"hello":{},"word":{}}`, "\x00\xff", `{"word":{"n":1}} {}`} {
		conn, err := net.Dial("unixpacket", filepath.Join(w.dir, line.SocketName))
		if err != nil {
			t.Fatal(err)
		}
		if packet != "" {
			if _, err := conn.Write([]byte(packet)); err != nil {
				t.Fatal(err)
			}
			_ = conn.SetReadDeadline(time.Now().Add(20 * time.Second))
			if n, err := conn.Read(make([]byte, 4096)); err == nil && n == 0 {
				t.Errorf("%q: no answer", packet)
			}
			if _, err := conn.Read(make([]byte, 4096)); err == nil || os.IsTimeout(err) {
				t.Errorf("%q: it was not hung up on: %v", packet, err)
			}
		}
		conn.Close()
	}
}

// One that somebody runs by hand would take the socket away, and with its end the way to
// the first one: the next agent found nobody.
func TestSecondGuardLeavesTheFirstOneItsAgents(t *testing.T) {
	w := newWorld(t)
	w.guard()
	w.eventually("the first guard listens", func() bool {
		_, err := os.Stat(filepath.Join(w.dir, line.SocketName))
		return err == nil
	})
	second, err := process.New(process.Config{
		RuntimeDir: w.dir, Boot: boot, Log: slog.New(slog.DiscardHandler), Resetter: w, Filter: w,
		Notify: func(...string) error { return nil },
	})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Second)
	defer cancel()
	if err := second.Run(ctx); err == nil || !strings.Contains(err.Error(), "another guard") {
		t.Errorf("a second guard runs: %v", err)
	}
	if _, _, err := dialled(t, w, nil); err != nil {
		t.Errorf("the first one is not found any more: %v", err)
	}
}
