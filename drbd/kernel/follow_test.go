package kernel

import (
	"errors"
	"os"
	"strconv"
	"strings"
	"testing"

	"sbarbiter/drbd"
)

func dump(role, disk, conn string) []string {
	lines := []string{
		"exists resource name:r0 role:" + role + " suspended:no",
		"exists connection name:r0 peer-node-id:0 conn-name:peer connection:" + conn + " role:Secondary",
	}
	for _, v := range []string{"0", "1"} {
		lines = append(lines, "exists device name:r0 volume:"+v+" minor:"+v+" disk:"+disk)
	}
	for _, v := range []string{"0", "1"} {
		lines = append(lines, "exists peer-device name:r0 peer-node-id:0 conn-name:peer volume:"+v+" replication:Established peer-disk:UpToDate")
	}
	return append(lines, "exists -")
}

func TestStreamShowsAFreezeAndItsHandler(t *testing.T) {
	f := newFakeTools(t)
	f.state("Primary", "Primary", "UpToDate", "Connected")
	w := f.follow()
	p := f.open()
	f.send(p, dump("Primary", "UpToDate", "Connected")...)
	if r := w.nextSeen(t); !r.PeerConnectedUpToDate() || !r.AllVolumes(drbd.RolePrimary) {
		t.Fatalf("got %+v", r)
	}
	f.state("Primary", "Primary", "UpToDate", "Connecting")
	f.send(p, "change resource name:r0 suspended:fencing",
		"change connection name:r0 peer-node-id:0 conn-name:peer connection:Connecting role:Unknown",
		"call helper name:r0 peer-node-id:0 conn-name:peer helper:fence-peer")
	for {
		r, ok := w.next(t).(Seen)
		if !ok {
			t.Fatal("the freeze must be shown before its handler")
		}
		if r.Resource.Frozen() && !r.Resource.Connected() {
			break
		}
	}
	if h, ok := w.next(t).(HandlerSeen); !ok || h.Event.Handler != drbd.HandlerFencePeer || h.Event.Returned {
		t.Fatalf("got %+v", h)
	}
	f.send(p, "response helper name:r0 peer-node-id:0 conn-name:peer helper:fence-peer status:1024")
	h, ok := w.next(t).(HandlerSeen)
	if code, exited := h.Event.Status.Exited(); !ok || !exited || drbd.FencePeerExit(code) != drbd.FencePeerOutdated {
		t.Fatalf("got %+v", h)
	}
}

func TestBrokenStreamIsUnknownAndReadAnew(t *testing.T) {
	for name, breakIt := range map[string]func(*fakeTools, *os.File){
		"the tool ends":     func(_ *fakeTools, p *os.File) { p.Close() },
		"events are lost":   func(f *fakeTools, p *os.File) { f.send(p, "- skipped 3"); p.Close() },
		"a line is garbage": func(f *fakeTools, p *os.File) { f.send(p, "what is this"); p.Close() },
	} {
		t.Run(name, func(t *testing.T) {
			f := newFakeTools(t)
			w := f.follow()
			p := f.open()
			f.send(p, dump("Secondary", "UpToDate", "Connected")...)
			w.nextSeen(t)
			breakIt(f, p)
			u, ok := w.next(t).(Unknown)
			if !ok || u.Resource != "r0" || u.Since.IsZero() || u.Cause == nil {
				t.Fatalf("got %+v", u)
			}
			if _, ok := f.driver.liveResource("r0"); ok {
				t.Error("actions would still go by the old state")
			}
			f.send(f.open(), dump("Secondary", "UpToDate", "Connected")...)
			if r := w.nextSeen(t); r.Role != drbd.RoleSecondary {
				t.Errorf("got %+v", r)
			}
		})
	}
}

func TestNothingIsShownBeforeTheDumpIsWhole(t *testing.T) {
	f := newFakeTools(t)
	w := f.follow()
	p := f.open()
	lines := dump("Secondary", "UpToDate", "Connected")
	f.send(p, lines[:3]...)
	p.Close()
	if u, ok := w.next(t).(Unknown); !ok {
		t.Fatalf("half a dump was shown: %+v", u)
	}
}

func TestResourceThatIsNotThereIsAbsent(t *testing.T) {
	f := newFakeTools(t)
	w := f.follow()
	p := f.open()
	f.send(p, "exists resource name:other role:Primary suspended:no", "exists -")
	if a, ok := w.next(t).(Absent); !ok || a.Resource != "r0" {
		t.Fatalf("got %+v", a)
	}
	f.send(p, "create resource name:r0 role:Secondary suspended:no")
	if r := w.nextSeen(t); r.AllUpToDate() {
		t.Errorf("no volumes are no good volumes: %+v", r)
	}
	f.send(p, "destroy resource name:r0")
	if a, ok := w.next(t).(Absent); !ok {
		t.Fatalf("got %+v", a)
	}
}

func TestThirdNodeMakesTheResourceUnknown(t *testing.T) {
	f := newFakeTools(t)
	w := f.follow()
	p := f.open()
	f.send(p, append([]string{
		"exists resource name:r0 role:Primary suspended:no",
		"exists connection name:r0 peer-node-id:2 conn-name:c connection:Connected role:Secondary",
	}, dump("Primary", "UpToDate", "Connected")[1:]...)...)
	if u, ok := w.next(t).(Unknown); !ok || !errors.Is(u.Cause, drbd.ErrManyPeers) {
		t.Fatalf("got %+v", u)
	}
}

func TestStuckStreamIsNotTakenForTheTruth(t *testing.T) {
	f := newFakeTools(t)
	w := f.follow()
	p := f.open()
	f.send(p, dump("Secondary", "UpToDate", "Connected")...)
	w.nextSeen(t)
	f.write("proc", procText("Secondary", "Secondary", "Outdated", "StandAlone"))
	u, ok := w.next(t).(Unknown)
	if !ok || !strings.Contains(u.Cause.Error(), "stuck") {
		t.Fatalf("got %+v", u)
	}
}

func TestRoleOfASingleVolumeIsShownWithoutAnEvent(t *testing.T) {
	f := newFakeTools(t)
	f.state("Primary", "Secondary", "UpToDate", "Connected")
	w := f.follow()
	f.send(f.open(), dump("Primary", "UpToDate", "Connected")...)
	if r := w.nextSeen(t); r.AllVolumes(drbd.RolePrimary) {
		t.Fatalf("half a promotion passed for a whole one: %+v", r)
	}
	f.on("primary", f.to("Primary", "Primary", "UpToDate", "Connected"))
	if err := f.driver.Promote(t.Context(), "r0"); err != nil {
		t.Fatal(err)
	}
	if r := w.nextSeen(t); !r.AllVolumes(drbd.RolePrimary) {
		t.Fatalf("got %+v", r)
	}
}

func TestRunEndsWithItsTool(t *testing.T) {
	f := newFakeTools(t)
	w := f.follow()
	f.send(f.open(), dump("Secondary", "UpToDate", "Connected")...)
	w.nextSeen(t)
	text, err := os.ReadFile(f.path("events.pid"))
	if err != nil {
		t.Fatal(err)
	}
	pid, _ := strconv.Atoi(strings.TrimSpace(string(text)))
	w.stop()
	if err := <-w.done; err != nil {
		t.Errorf("got %v", err)
	}
	w.done <- nil // for the clean-up
	if !gone(pid) {
		t.Error("the tool is still running")
	}
}
