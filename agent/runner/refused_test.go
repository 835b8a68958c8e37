package runner

import (
	"fmt"
	"testing"
	"time"

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
