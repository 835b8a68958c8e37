package model

import (
	"reflect"
	"testing"

	"pgregory.net/rapid"

	"sbarbiter/drbd"
)

// drawEvent draws an event that no message goes with.
func drawEvent(t *rapid.T, n *Node) Event {
	verbs := []Verb{Up, Down, Promote, PromoteForced, Demote, Outdate, Connect, ConnectDiscard, Disconnect, Invalidate, SuspendIO, ResumeIO}
	at := Place{0, Block(rapid.IntRange(0, 63).Draw(t, "block"))}
	return rapid.SampledFrom([]Event{
		Boot{},
		Crash{},
		Open{},
		Flush{ID: 1},
		Read{ID: 2, At: at},
		Write{ID: 3, At: at, Stamp: 7},
		Destage{At: at},
		DiskFail{},
		LinkUp{Session: Session(n.connects + 1)},
		LinkDown{Session: n.link.session},
		HandlerDone{Token: n.tokens, Exit: rapid.IntRange(0, 8).Draw(t, "exit")},
		Command{ID: 4, Verb: rapid.SampledFrom(verbs).Draw(t, "verb")},
		Command{ID: 4, Verb: rapid.SampledFrom(verbs).Draw(t, "verb")},
		Command{ID: 4, Verb: rapid.SampledFrom(verbs).Draw(t, "verb")},
	}).Draw(t, "event")
}

func TestACloneGoesItsOwnWayAndTheSameWay(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		s := fenced(rapid.SampledFrom([]drbd.Family{drbd.Family84, drbd.Family9}).Draw(t, "family"))
		s.Blocks = []int{64}
		n, _ := Pair(s)
		for range rapid.IntRange(0, 40).Draw(t, "length") {
			ev := drawEvent(t, n)
			clone, spare := n.Clone(), n.Clone()
			want := clone.Step(ev)
			if !reflect.DeepEqual(n, spare) {
				t.Fatalf("%T on a clone changed the original", ev)
			}
			if got := n.Step(ev); !reflect.DeepEqual(got, want) || !reflect.DeepEqual(n, clone) {
				t.Fatalf("%T: the clone did %v, the original %v", ev, want, got)
			}
		}
	})
}

func TestAMachineThatIsOffHearsNothing(t *testing.T) {
	s := plain84
	s.Blocks = []int{8}
	n, _ := Pair(s)
	if got := n.Step(Command{ID: 1, Verb: Up}); got != nil {
		t.Fatalf("it did %v", got)
	}
	n.Step(Boot{})
	if got := n.Step(Command{ID: 1, Verb: Promote}); !reflect.DeepEqual(got, []Effect{Answered{1, ErrUnknown}}) {
		t.Fatalf("it did %v", got)
	}
	if n.Observe("r0") != nil {
		t.Fatal("a resource that is not up is shown")
	}
}

func TestItShowsItselfAsTheToolsWould(t *testing.T) {
	r := startedRig(t, fenced(drbd.Family84))
	r.must(a, Promote)
	if o := r.nodes[b].Observe("r0"); !o.PeerConnectedUpToDate() || o.PeerRole() != drbd.RolePrimary || o.Role != drbd.RoleSecondary {
		t.Fatalf("b shows %+v", o)
	}
	r.cut()
	if o := r.nodes[a].Observe("r0"); !o.Frozen() || o.ConnState() != drbd.ConnConnecting || o.PeerRecordedOutdated() {
		t.Fatalf("a shows %+v", o)
	}
	r.exit(a, int(drbd.FencePeerOutdated))
	if o := r.nodes[a].Observe("r0"); o.Frozen() || !o.PeerRecordedOutdated() {
		t.Fatalf("a shows %+v", o)
	}
	// What "get-gi" would say is enough to foretell the next connection.
	ga, gb := r.nodes[a].Metadata(0), r.nodes[b].Metadata(0)
	self := Side{Generation: FromGenerations(gb), Role: drbd.RoleSecondary, Disk: drbd.DiskUpToDate}
	peer := Side{Generation: FromGenerations(ga), Role: drbd.RolePrimary, Disk: drbd.DiskUpToDate}
	if o := Judge(r.nodes[b].config(), self, peer, Attempt{}); o.Ending != EndTarget || o.Compared.Rule != "50" {
		t.Fatalf("foretold %s by rule %s", o.Ending, o.Compared.Rule)
	}
}

// A replicated write is four steps: the request, the data, the
// acknowledgement, and every so often a barrier.
func BenchmarkReplicatedWrite(b *testing.B) {
	r := startedRig(b, plain84)
	r.must(a, Promote)
	for i := 0; b.Loop(); i++ {
		r.write(a, Block(i%64))
		for r.deliver(0) || r.deliver(1) {
		}
		clear(r.results)
	}
}
