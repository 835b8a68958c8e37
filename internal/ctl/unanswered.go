package ctl

import (
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"slices"
	"strings"
	"sync"
	"syscall"
)

// unanswered is a witness that gave no answer, and what a person does about it.
type unanswered struct{ addr, why, do string }

func (u *unanswered) Error() string {
	return fmt.Sprintf("%v at %s: %s; %s", errNoWitness, u.addr, u.why, u.do)
}

func (u *unanswered) Unwrap() error { return errNoWitness }

const (
	isItThere    = "does sbwitness run there (systemctl status sbwitness), and is that its address (--witness)?"
	isItReached  = "is that host up, its network too, and the port open?"
	itsLogSays   = "its log says why: journalctl -u sbwitness there"
	isItTheSame  = "is it the right host? Each side's certificate must be of the same CA: sbctl pki show"
	isItResolved = "correct the address, or name an IP address: --witness"
)

// noWitness is what is said where none of the witnesses has answered, nor led.
func noWitness(failures []error) error {
	if len(failures) == 1 {
		if u := (*unanswered)(nil); errors.As(failures[0], &u) {
			return u
		}
	}
	var whys, dos []string
	for _, err := range failures {
		u := (*unanswered)(nil)
		if !errors.As(err, &u) {
			whys = append(whys, err.Error())
			continue
		}
		whys = append(whys, u.addr+": "+u.why)
		if !slices.Contains(dos, u.do) {
			dos = append(dos, u.do)
		}
	}
	return fmt.Errorf("%w: %s", errNoWitness, strings.Join(slices.Concat(whys, dos), "; "))
}

// trouble remembers why the connection to a witness is none. It is told by gRPC's own
// goroutines.
type trouble struct {
	mu   sync.Mutex
	last error
}

func (t *trouble) tell(err error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.last = err
}

// unanswered says why the witness at addr is not reached, in a person's words.
func (t *trouble) unanswered(addr string) *unanswered {
	t.mu.Lock()
	defer t.mu.Unlock()
	var errno syscall.Errno
	var name *net.DNSError
	var timeout net.Error
	var ca x509.UnknownAuthorityError
	var alert *net.OpError // crypto/tls shows an alert of the other side so
	switch err := t.last; {
	case err == nil:
		return &unanswered{addr, "the connection is not made yet", isItReached}
	case errors.As(err, &name):
		return &unanswered{addr, "its name is not known (" + name.Err + ")", isItResolved}
	case errors.Is(err, syscall.ECONNREFUSED):
		return &unanswered{addr, "connection refused", isItThere}
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF), errors.Is(err, syscall.EPIPE), errors.Is(err, syscall.ECONNRESET):
		return &unanswered{addr, "it has closed the connection", itsLogSays}
	case errors.As(err, &errno):
		return &unanswered{addr, errno.Error(), isItReached}
	case errors.Is(err, context.DeadlineExceeded) || errors.As(err, &timeout) && timeout.Timeout():
		return &unanswered{addr, "nothing comes back", isItReached}
	case errors.As(err, &ca):
		return &unanswered{addr, "its certificate is of another CA than yours", isItTheSame}
	case errors.As(err, &alert):
		return &unanswered{addr, "it refuses your certificate (" + alert.Err.Error() + ")", isItTheSame}
	default:
		return &unanswered{addr, err.Error(), isItTheSame}
	}
}
