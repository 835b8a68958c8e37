package fencing

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"strings"
	"syscall"
	"testing"
)

// However many layers an error has passed, a person is told one sentence.
func TestAnErrorOfADeviceIsOneSentence(t *testing.T) {
	missing := errors.New("/etc/sbarbiter/b.ipmi does not exist; write the secret into it and run chmod 600")
	refused := fmt.Errorf("UDP exchange error after 2 attempt(s): %w", &net.OpError{Op: "read", Net: "udp", Err: os.NewSyscallError("read", syscall.ECONNREFUSED)})
	at := func(err error) error { return fmt.Errorf("ipmi 10.0.0.242:623: read power: %w", err) }
	unsent := func(err error) error { return fmt.Errorf("%w: %w", ErrNotSent, err) }
	const look = "; look at its address, the network between, and whether it has power itself"
	for name, c := range map[string]struct {
		err  error
		want string
	}{
		"no password": {at(unsent(fmt.Errorf("%w: password: %w", ErrConfig, missing))), "password: " + missing.Error()},
		"wrong password": {
			at(unsent(fmt.Errorf("%w: user or password is wrong; correct them in the password file or at the BMC: %w", ErrAuth, errors.New("RAKP 2: bad code")))),
			"user or password is wrong; correct them in the password file or at the BMC",
		},
		"both at once": {
			at(fmt.Errorf("%w: %w: the BMC accepts none of the cipher suites [17 3]; allow 17 or 3 there", ErrConfig, ErrNotSent)),
			"the BMC accepts none of the cipher suites [17 3]; allow 17 or 3 there",
		},
		"refused":  {at(unsent(fmt.Errorf("%w: open session: %w", ErrUnreachable, refused))), "it does not answer (connection refused)" + look},
		"silent":   {fmt.Errorf("ipmi: read power: %w: %w", unsent(ErrUnreachable), context.DeadlineExceeded), "it does not answer (nothing came back in time)" + look},
		"hangs":    {fmt.Errorf("%w: an earlier call still hangs in the driver", ErrUnreachable), "it does not answer (an earlier call still hangs in the driver)" + look},
		"refusal":  {at(unsent(errors.New("the BMC refused: node busy"))), "the BMC refused: node busy"},
		"no layer": {errors.New("it says nothing that is understood"), "it says nothing that is understood"},
	} {
		if got := Explain(c.err); got != c.want {
			t.Errorf("%s: %s\n\twant %s", name, got, c.want)
		} else if strings.Count(got, ": ") > 1 {
			t.Errorf("%s has layers: %s", name, got)
		}
	}
}
