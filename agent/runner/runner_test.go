package runner

import (
	"errors"
	"testing"
	"time"

	"sbarbiter/agent/runner/handler"
)

func TestGrantedGroupIsStartedAndKept(t *testing.T) {
	tell(t, []string{"r0"}, func(s *story) {
		s.pass(3 * time.Second)
		s.must("READY=1")
		s.must("STATUS=nfs running under epoch 4")
		if s.happened("attach") > s.happened("hello") {
			t.Errorf("a witness was spoken to before this node looked at what runs here: %q", s.did)
		}
		if s.happened("promote") > s.happened("start services") {
			t.Errorf("services were started on a Secondary: %q", s.did)
		}
		fed := s.count("feed")
		s.pass(time.Minute)
		if s.count("acquire") != 1 || s.count("feed")-fed < 200 {
			t.Errorf("the group was not kept for a minute: asked %d times, fed %d times", s.count("acquire"), s.count("feed")-fed)
		}
		s.mustNot("stop services")
	})
}

func TestLostWitnessStopsServicesBeforeTheDemotion(t *testing.T) {
	tell(t, []string{"r0"}, func(s *story) {
		s.pass(3 * time.Second)
		s.witness.answers(false)
		s.pass(4 * time.Second) // an agent that finds a stray Primary takes longer to demote it
		s.must("demote")
		if s.happened("stop services") > s.happened("demote") {
			t.Errorf("demoted under running services: %q", s.did)
		}
		s.pass(20 * time.Second)
		s.mustNot("reset")
		s.witness.answers(true)
		s.pass(5 * time.Second)
		s.must("release")
	})
}

func TestStopThatHangsEndsInAResetAndNoFeedFollows(t *testing.T) {
	tell(t, nil, func(s *story) {
		s.pass(3 * time.Second)
		s.stack.mu.Lock()
		s.stack.hangStop = true
		s.stack.mu.Unlock()
		s.witness.answers(false)
		s.pass(20 * time.Second)
		s.must("reset")
		s.mu.Lock()
		defer s.mu.Unlock()
		if last := s.did[len(s.did)-1]; last == "feed" {
			t.Errorf("the watchdog was fed after a reset was ordered: %q", s.did)
		}
	})
}

func TestStopCutsAStartShort(t *testing.T) {
	tell(t, nil, func(s *story) {
		s.pass(2 * time.Second)
		s.must("start services")
		s.witness.answers(false)
		s.pass(10 * time.Second)
		if cut, stop := s.happened("start cut short"), s.happened("stop services"); cut < 0 || stop < cut {
			t.Errorf("want the start cut short and then the stop, got %q", s.did)
		}
	}, func(s *story) { s.stack.hangStart = true })
}

func TestNothingLeavesBeforeItIsStored(t *testing.T) {
	tell(t, nil, func(s *story) {
		s.pass(10 * time.Second)
		s.mustNot("acquire")
		s.must("feed")
		s.file.fail(nil)
		s.pass(3 * time.Second)
		s.must("acquire")
		s.must("start services")
	}, func(s *story) { s.file.fail(errors.New("disk full")) })
}

func TestDiskThatFillsUpStopsNothingThatRuns(t *testing.T) {
	tell(t, nil, func(s *story) {
		s.pass(3 * time.Second)
		s.file.fail(errors.New("disk full"))
		s.pass(time.Minute)
		s.mustNot("stop services")
		s.mustNot("reset")
	})
}

func TestLateFeedResets(t *testing.T) {
	tell(t, nil, func(s *story) {
		s.pass(2 * time.Second)
		s.dog.mu.Lock()
		s.dog.late = true
		s.dog.mu.Unlock()
		s.pass(time.Second)
		s.must("reset")
	})
}

func TestEndedAgentLeavesServicesRunning(t *testing.T) {
	tell(t, nil, func(s *story) {
		s.pass(3 * time.Second)
		s.cancel()
		s.pass(time.Second)
		s.mustNot("stop services")
		if !s.runner.Holds() {
			t.Error("the runner says that nothing runs here")
		}
	})
}

// fencePeer calls the handler as DRBD would.
func (s *story) fencePeer(resource string) <-chan handler.Answer {
	answer := make(chan handler.Answer, 1)
	go func() {
		answer <- s.runner.answerHandler(s.t.Context(), handler.Request{
			Args: []string{"fence-peer"}, Env: map[string]string{"DRBD_RESOURCE": resource},
		})
	}()
	return answer
}

// answered fails the story if a handler still waits.
func (s *story) answered(answer <-chan handler.Answer) handler.Answer {
	s.t.Helper()
	select {
	case a := <-answer:
		return a
	default:
		s.t.Fatal("the handler still waits")
		return handler.Answer{}
	}
}

func TestHandlerWaitsForTheWitness(t *testing.T) {
	tell(t, []string{"r0"}, func(s *story) {
		s.pass(3 * time.Second)
		s.witness.answers(false)
		answer := s.fencePeer("r0")
		s.pass(time.Second)
		select {
		case a := <-answer:
			t.Fatalf("nobody has excluded the peer, and the handler ends with %+v", a)
		default:
		}
		s.witness.answers(true)
		s.pass(2 * time.Second)
		if a := s.answered(answer); a.Exit != 4 {
			t.Errorf("the peer is excluded, and the handler ends with %+v", a)
		}
		s.must("exclude")
	})
}

func TestHandlerIsAnsweredOnlyOnceTheExclusionIsStored(t *testing.T) {
	tell(t, []string{"r0"}, func(s *story) {
		s.pass(3 * time.Second)
		answer := s.fencePeer("r0")
		// The witness's answer arrives at a store that has just filled up.
		s.file.fail(errors.New("disk full"))
		s.pass(2 * time.Second)
		s.must("exclude")
		select {
		case a := <-answer:
			t.Fatalf("frozen writes go on with %+v, and nothing is stored", a)
		default:
		}
		s.file.fail(nil)
		s.pass(time.Second)
		if a := s.answered(answer); a.Exit != 4 {
			t.Errorf("want exit 4, got %+v", a)
		}
	})
}

func TestHandlerOfAResourceThatIsNotOurs(t *testing.T) {
	tell(t, []string{"r0"}, func(s *story) {
		s.pass(time.Second)
		answer := s.fencePeer("backup")
		s.pass(time.Second)
		if a := s.answered(answer); a.Exit != handler.NoAnswer || a.Why == "" {
			t.Errorf("want exit 1 and a reason, got %+v", a)
		}
	})
}

func TestLostDiskIsStoredBeforeTheHandlerReturns(t *testing.T) {
	tell(t, []string{"r0"}, func(s *story) {
		s.pass(time.Second)
		s.file.fail(errors.New("disk full"))
		req := handler.Request{Args: []string{"local-io-error"}, Env: map[string]string{"DRBD_RESOURCE": "r0"}}
		if a := s.runner.answerHandler(t.Context(), req); a.Exit == 0 {
			t.Error("the loss of the disk is not stored, and the handler says that it is")
		}
		s.file.fail(nil)
		s.pass(time.Second)
		if a := s.runner.answerHandler(t.Context(), req); a.Exit != 0 {
			t.Errorf("want exit 0, got %+v", a)
		}
	})
}
