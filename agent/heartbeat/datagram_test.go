package heartbeat

import (
	"bytes"
	"errors"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func sample() *datagram {
	return &datagram{
		link: linkTag("v4"), boot: "8c4bd9a0-7f3e-4a51-9d0c-3f0e5a1b2c3d", incarnation: 3, seq: 99, clock: 123456789,
		echo:    echo{incarnation: 5, newest: 98, received: 97, span: 100, clock: 1234567, hold: 250},
		payload: []byte("epoch 41, beat 7"),
	}
}

var compareDatagrams = cmp.AllowUnexported(datagram{}, echo{})

func aToB() *seal { return newSeal(testKey, "shop", "node-a", "node-b") }

func TestDatagramComesOutAsItWentIn(t *testing.T) {
	for _, payload := range [][]byte{{}, []byte("x"), bytes.Repeat([]byte{0xff}, MaxPayload)} {
		want := sample()
		want.payload = payload
		var got datagram
		if err := aToB().decode(aToB().encode(nil, want), &got); err != nil {
			t.Fatal(err)
		}
		if d := cmp.Diff(want, &got, compareDatagrams); d != "" {
			t.Fatal(d)
		}
	}
}

func TestEveryFlippedBitIsNoticed(t *testing.T) {
	b := aToB().encode(nil, sample())
	s := aToB()
	for i := range b {
		for bit := range 8 {
			b[i] ^= 1 << bit
			if err := s.decode(b, &datagram{}); err == nil {
				t.Fatalf("byte %d bit %d can be changed unnoticed", i, bit)
			}
			b[i] ^= 1 << bit
		}
	}
	for n := range b {
		if err := s.decode(b[:n], &datagram{}); err == nil {
			t.Fatalf("%d of %d bytes are accepted", n, len(b))
		}
	}
}

func TestDatagramIsWorthNothingElsewhere(t *testing.T) {
	b := aToB().encode(nil, sample())
	other := bytes.Clone(testKey)
	other[0]++
	cases := map[string]*seal{
		"back at its author": newSeal(testKey, "shop", "node-b", "node-a"),
		"another cluster":    newSeal(testKey, "shop2", "node-a", "node-b"),
		"shifted names":      newSeal(testKey, "shopn", "ode-a", "node-b"),
		"another key":        newSeal(other, "shop", "node-a", "node-b"),
	}
	for name, s := range cases {
		if err := s.decode(b, &datagram{}); !errors.Is(err, errAuth) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestAnotherVersionIsNamed(t *testing.T) {
	b := aToB().encode(nil, sample())
	b[3] = 9
	if err := aToB().decode(b, &datagram{}); !errors.Is(err, errVersion) {
		t.Fatal(err)
	}
}

// FuzzDecode feeds the decoder raw bytes and bytes with a right authentication:
// the second reach the parser.
func FuzzDecode(f *testing.F) {
	whole := aToB().encode(nil, sample())
	f.Add(whole)
	f.Add(whole[:len(whole)-32])
	f.Add([]byte("SBH\x01"))
	s := aToB()
	f.Fuzz(func(t *testing.T, b []byte) {
		var d datagram
		_ = s.decode(b, &d)
		if len(b) < 4 {
			return
		}
		signed := append([]byte{'S', 'B', 'H', version}, b[4:]...)
		signed = append(signed, s.of(signed)...)
		if s.decode(signed, &d) != nil {
			return
		}
		if again := s.encode(nil, &d); !bytes.Equal(again, signed) {
			t.Fatalf("two encodings of one datagram:\n%x\n%x", signed, again)
		}
	})
}

func BenchmarkEncode(b *testing.B) {
	s, d, buf := aToB(), sample(), make([]byte, 0, maxDatagram)
	d.payload = make([]byte, 200)
	b.ReportAllocs()
	for b.Loop() {
		buf = s.encode(buf[:0], d)
	}
	b.ReportMetric(float64(len(buf)), "bytes")
}

func BenchmarkDecode(b *testing.B) {
	s, d := aToB(), sample()
	d.payload = make([]byte, 200)
	buf := s.encode(nil, d)
	var got datagram
	b.ReportAllocs()
	for b.Loop() {
		if err := s.decode(buf, &got); err != nil {
			b.Fatal(err)
		}
	}
}
