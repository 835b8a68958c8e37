package runner

import (
	"fmt"
	"testing"
	"time"

	"sbarbiter/arbiter"
	"sbarbiter/drbd/kernel"
)

// On a machine under load the handler comes to nothing, or the peer is just being
// lost: the group is not given back for that.
func TestPromotionThatDRBDRefusesForAMomentIsGivenAgain(t *testing.T) {
	for _, no := range []error{kernel.ErrPeerNotOutdated, kernel.ErrPeerPrimary, kernel.ErrTransient} {
		tell(t, []string{"r0"}, func(s *story) {
			s.pass(5 * time.Second)
			if n := s.count("promotion refused"); n < 3 {
				t.Errorf("%v: tried %d times", no, n)
			}
			s.mustNot("stop services")
			s.storage.refuses(nil)
			s.pass(5 * time.Second)
			s.must("start services")
			s.mustNot("release")
		}, func(s *story) { s.storage.refuses(no) })
	}
}

func TestPromotionThatIsRefusedForGoodFailsTheStart(t *testing.T) {
	for _, no := range []error{kernel.ErrNeedUpToDate, fmt.Errorf("%w after %w", kernel.ErrPartlyPromoted, kernel.ErrPeerPrimary)} {
		tell(t, []string{"r0"}, func(s *story) {
			s.pass(500 * time.Millisecond)
			s.must("release")
			s.storage.refuses(nil)
			s.pass(5 * time.Second)
			s.must("start services") // nobody else runs it
		}, func(s *story) { s.storage.refuses(no) })
	}
}

// A copy that stands in for one that is lost is promoted once that one is excluded, parted
// from it in case it comes back meanwhile, and looks for it again afterwards.
func TestCopyThatStandsInIsPartedWhileItIsPromoted(t *testing.T) {
	tell(t, []string{"r0"}, func(s *story) {
		s.pass(5 * time.Second)
		order := []string{"exclude", "disconnect", "promote whatever its disk says", "start services", "connect"}
		for i, what := range order {
			s.must(what)
			if i > 0 && s.happened(what) < s.happened(order[i-1]) {
				t.Errorf("%q comes before %q: %q", what, order[i-1], s.did)
			}
		}
	}, func(s *story) {
		s.witness.basis = arbiter.Basis{Cause: arbiter.ByReceipt, Holder: "node-b", Grade: arbiter.E5, StandIn: true}
	})
}
