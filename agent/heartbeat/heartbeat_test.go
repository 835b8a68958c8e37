package heartbeat

import (
	"bytes"
	"log/slog"
	"net/netip"
	"strings"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"sbarbiter/internal/faketime"
)

func TestPayloadArrivesOnceWithBothLinksCounting(t *testing.T) {
	faketime.Test(t, func(t *testing.T) {
		w := newWire()
		ca, cb := configs()
		a, b := start(t, w, ca, quiet()), start(t, w, cb, quiet())
		for range 150 {
			a.beat(t, 1)
			b.beat(t, 1)
		}
		got, _ := b.heard()
		if len(got) != 150 {
			t.Fatalf("heard %d of 150", len(got))
		}
		for i, r := range got {
			if r.Seq != uint64(i+1) || string(r.Payload) != "boot-a" || r.Boot != "boot-a" || r.Incarnation != 1 {
				t.Fatalf("payload %d: %+v", i, r)
			}
			if r.Fresh != (i > 0) { // b's first beat came between
				t.Fatalf("payload %d: fresh is %v", i, r.Fresh)
			}
		}
		for _, s := range b.Stats() {
			if s.Received != 150 || s.Sent != 150 || s.ReceivedLossPercent != 0 || s.SentLossPercent != 0 || s.Confirmed == 0 {
				t.Fatalf("%+v", s)
			}
		}
	})
}

func TestDroppedDoubledReorderedAndTamperedDatagrams(t *testing.T) {
	faketime.Test(t, func(t *testing.T) {
		w := newWire()
		ca, cb := configs()
		a, b := start(t, w, ca, quiet()), start(t, w, cb, quiet())
		v4, n := ca.Links[0].Local, 0
		var kept []packet
		w.mangle = func(p packet) []packet {
			if p.from != v4 {
				return []packet{p}
			}
			n++
			switch n % 10 {
			case 1: // lost
				return nil
			case 2: // doubled
				return []packet{p, p}
			case 3: // overtaken
				kept = append(kept, p)
				return nil
			case 4:
				defer func() { kept = nil }()
				return append([]packet{p}, kept...)
			case 5: // tampered with
				p.b[len(p.b)/2] ^= 1
			}
			return []packet{p}
		}
		for range 100 {
			a.beat(t, 1)
			b.beat(t, 1)
		}
		got, _ := b.heard()
		if len(got) != 100 {
			t.Fatalf("the other link is whole, heard %d of 100", len(got))
		}
		s := b.Stats()[0]
		if s.Replays != 10 || s.BadAuth != 10 || s.Received != 80 || s.ReceivedLossPercent != 20 {
			t.Fatalf("%+v", s)
		}
		if s := a.Stats(); s[0].SentLossPercent < 18 || s[0].SentLossPercent > 22 || s[1].SentLossPercent != 0 {
			t.Fatalf("a learns from b's echo: %v %%, %v %%", s[0].SentLossPercent, s[1].SentLossPercent)
		}
	})
}

func TestPeerRestartsAndItsRecordedPastIsDropped(t *testing.T) {
	faketime.Test(t, func(t *testing.T) {
		w := newWire()
		ca, cb := configs()
		var recorded []packet
		w.mangle = func(p packet) []packet {
			recorded = append(recorded, p)
			return []packet{p}
		}
		a, b := start(t, w, ca, quiet()), start(t, w, cb, quiet())
		a.beat(t, 40)
		w.set(func() { w.mangle = nil })
		a.stop()
		ca.Boot, ca.Incarnation = "boot-a2", 2
		a = start(t, w, ca, quiet())
		a.beat(t, 5)
		before := b.Stats()[0].LastReceived
		time.Sleep(time.Second)
		w.set(func() {
			for i := range recorded { // what an eavesdropper kept
				w.deliver(recorded[i])
			}
		})
		synctest.Wait()
		got, conflicts := b.heard()
		if len(got) != 45 || got[44].Boot != "boot-a2" || got[44].Seq != 5 {
			t.Fatalf("heard %d, last %+v", len(got), got[len(got)-1])
		}
		if s := b.Stats()[0]; s.Outdated != 40 || s.LastReceived != before || len(conflicts) != 0 {
			t.Fatalf("%+v, conflicts %v", s, conflicts)
		}
		a.beat(t, 1)
		if got, _ := b.heard(); len(got) != 46 {
			t.Fatalf("after the attack heard %d", len(got))
		}
	})
}

func TestTwoMachinesWithOneIdentityRaiseOneAlarm(t *testing.T) {
	faketime.Test(t, func(t *testing.T) {
		w := newWire()
		ca, cb := configs()
		b := start(t, w, cb, quiet())
		a1 := start(t, w, ca, quiet())
		a1.beat(t, 3)
		ca.Boot, ca.Incarnation = "boot-a2", 2
		a2 := start(t, w, ca, quiet()) // takes the wire's address over; a1 can still send
		for range 20 {
			a2.beat(t, 1)
			a1.beat(t, 1)
		}
		got, conflicts := b.heard()
		if len(got) != 23 || len(conflicts) != 1 || conflicts[0].Other.Boot != "boot-a" || conflicts[0].Peer.Boot != "boot-a2" {
			t.Fatalf("heard %d, conflicts %+v", len(got), conflicts)
		}
	})
}

func TestForgedDatagramsAreCountedAndToldRarely(t *testing.T) {
	faketime.Test(t, func(t *testing.T) {
		w := newWire()
		_, cb := configs()
		var log bytes.Buffer
		b := start(t, w, cb, slog.New(slog.NewTextHandler(&log, nil)))
		l := cb.Links[0]
		forged := aToB().encode(nil, sample())
		forged[40] ^= 1
		for range 30 {
			w.set(func() { w.deliver(packet{l.Peer, l.Local, forged}) })
			synctest.Wait()
		}
		w.set(func() { w.deliver(packet{cb.Links[1].Peer, l.Local, forged}) })
		w.set(func() { w.deliver(packet{l.Peer, l.Local, []byte("hello")}) })
		wrongLink := sample()
		wrongLink.link = linkTag("v6")
		w.set(func() { w.deliver(packet{l.Peer, l.Local, aToB().encode(nil, wrongLink)}) })
		synctest.Wait()
		s := b.Stats()[0]
		if s.BadAuth != 30 || s.Foreign != 1 || s.Malformed != 1 || s.Misdirected != 1 || s.Received != 0 {
			t.Fatalf("%+v", s)
		}
		if n := strings.Count(log.String(), "authentication is wrong"); n != 1 {
			t.Fatalf("told %d times:\n%s", n, log.String())
		}
	})
}

func TestLinkWithoutItsAddressIsWaitedFor(t *testing.T) {
	faketime.Test(t, func(t *testing.T) {
		w := newWire()
		ca, cb := configs()
		w.refuse = func(l Link) error {
			if l.Local == cb.Links[0].Local {
				return syscall.EADDRNOTAVAIL
			}
			return nil
		}
		a, b := start(t, w, ca, quiet()), start(t, w, cb, quiet())
		for range 300 {
			a.beat(t, 1)
			b.beat(t, 1)
		}
		if s := b.Stats(); s[0].Err == "" || s[0].SendErrors == 0 || s[0].Sent != 0 || s[1].Received != 300 {
			t.Fatalf("%+v", s)
		}
		if w.opened > 10 {
			t.Fatalf("%d sockets tried in 6 s", w.opened)
		}
		w.set(func() { w.refuse = nil })
		time.Sleep(retryLast)
		b.beat(t, 2)
		a.beat(t, 2)
		if s := b.Stats()[0]; s.Err != "" || s.Received == 0 || s.Sent == 0 {
			t.Fatalf("the address is back: %+v", s)
		}
	})
}

func TestRefusedSendsAreSeenAndTheLinkGoesOnListening(t *testing.T) {
	faketime.Test(t, func(t *testing.T) {
		w := newWire()
		ca, cb := configs()
		w.unsent = func(from netip.AddrPort) error {
			if from == cb.Links[0].Local {
				return syscall.ENETUNREACH
			}
			return nil
		}
		a, b := start(t, w, ca, quiet()), start(t, w, cb, quiet())
		for range 500 {
			b.beat(t, 1)
			a.beat(t, 1)
		}
		s := b.Stats()[0]
		if s.SendErrors != 500 || s.Received != 500 || !strings.Contains(s.Err, "unreachable") {
			t.Fatalf("%+v", s)
		}
		if w.opened != 4 {
			t.Fatalf("a socket that receives was opened anew: %d sockets", w.opened)
		}
		a.stop()
		b.beat(t, 500) // 5 s of nothing: perhaps the socket is the reason
		if w.opened < 5 || w.opened > 8 {
			t.Fatalf("%d sockets", w.opened)
		}
		w.set(func() { w.unsent = nil })
		b.beat(t, 1)
		if s := b.Stats()[0]; s.Err != "" {
			t.Fatalf("sends again: %+v", s)
		}
	})
}

func TestSendNeverWaitsAndKeepsTheNewest(t *testing.T) {
	a, _ := configs()
	h, err := New(a, quiet())
	if err != nil {
		t.Fatal(err)
	}
	for range 100 { // nobody runs it
		if _, err := h.Send(nil); err != nil {
			t.Fatal(err)
		}
	}
	if o := <-h.links[0].outbox; o.seq != 100-outboxSize+1 {
		t.Fatalf("the oldest kept is %d", o.seq)
	}
	if _, err := h.Send(make([]byte, MaxPayload+1)); err == nil {
		t.Fatal("a payload that does not fit was taken")
	}
}
