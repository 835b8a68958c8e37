package ipmi

import (
	"context"
	"errors"
	"fmt"
	"net"
	"slices"
	"time"

	"github.com/bougou/go-ipmi/pkg/client"
	"github.com/bougou/go-ipmi/pkg/types"

	"sbarbiter/fencing"
)

const (
	// resendAfter and resends say how a lost datagram is made good within one
	// session; after that a new one is tried.
	resendAfter = time.Second
	resends     = 1
	// farewell bounds the wait for the answer to "close session". A BMC has room
	// for a few sessions only, so each is given back.
	farewell = 300 * time.Millisecond
)

// session is one authenticated session with the BMC.
type session struct {
	client *client.Client
	line   *line
	opened bool
	stop   func() bool
}

// open dials and authenticates. Both ends of a failure are clean: nothing is
// left open.
func (d *Driver) open(ctx context.Context) (*session, error) {
	password, err := d.cfg.password()
	if err != nil {
		return nil, err
	}
	conn, err := (&net.Dialer{}).DialContext(ctx, "udp", d.address)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", fencing.ErrUnreachable, err)
	}
	c, err := client.NewClient(d.address, DefaultPort, d.cfg.User, password)
	if err != nil {
		return nil, errors.Join(fmt.Errorf("%w: %w", fencing.ErrConfig, err), conn.Close())
	}
	s := &session{client: c, line: &line{Conn: conn}}
	// The library looks at ctx between two datagrams only.
	s.stop = context.AfterFunc(ctx, func() { _ = conn.Close() })
	c.WithInterface(client.InterfaceLanplus).WithUDPProxy(dialer{s.line}).WithTimeout(resendAfter).WithRetry(resends).
		WithMaxPrivilegeLevel(types.PrivilegeLevelOperator)
	if err := d.authenticate(ctx, s, password); err != nil {
		s.close()
		return nil, err
	}
	return s, nil
}

// authenticate tries the cipher suites, the one that worked last first. Asking
// the BMC for its list instead costs seconds with some that do not answer that.
func (d *Driver) authenticate(ctx context.Context, s *session, password string) error {
	suites := d.suites()
	for _, suite := range suites {
		err := s.handshake(ctx, d.cfg.User, password, suite)
		switch {
		case err == nil:
			d.remember(suite)
			return nil
		case refusesSuite(err):
			continue
		}
		return classify(err)
	}
	return fmt.Errorf("%w: the BMC accepts none of the cipher suites %v; allow 17 or 3 there", fencing.ErrConfig, suites)
}

// handshake opens the session with one cipher suite (IPMI 2.0, section 13.15).
// A session begins with the rights of a user; switching needs an operator's.
func (s *session) handshake(ctx context.Context, user, password string, suite types.CipherSuiteID) error {
	s.client.WithCipherSuiteID(suite)
	opened, err := s.client.OpenSession(ctx)
	if err != nil {
		return fmt.Errorf("open session: %w", err)
	}
	auth, integrity, crypt, _ := types.GetCipherSuiteAlgorithms(suite)
	if opened.AuthAlg != uint8(auth) || opened.IntegrityAlg != uint8(integrity) || opened.CryptAlg != uint8(crypt) {
		return fmt.Errorf("open session: the BMC answers with other algorithms than those of cipher suite %d", suite)
	}
	rakp2, err := s.client.RAKPMessage1(ctx)
	if err != nil {
		return fmt.Errorf("exchange keys: %w", err)
	}
	if err := s.line.arm(user, password, suite, opened.RemoteConsoleSessionID, rakp2.ManagedSystemRandomNumber); err != nil {
		return fmt.Errorf("derive keys: %w", err)
	}
	if _, err := s.client.RAKPMessage3(ctx); err != nil {
		return fmt.Errorf("exchange keys: %w", err)
	}
	s.opened = true
	if _, err := s.client.SetSessionPrivilegeLevel(ctx, types.PrivilegeLevelOperator); err != nil {
		return fmt.Errorf("become operator: %w", err)
	}
	return nil
}

// close gives the session back and closes the connection, in at most farewell.
func (s *session) close() {
	ctx, cancel := context.WithTimeout(context.Background(), farewell)
	defer cancel()
	alive := s.stop() // false: ctx has ended, and the connection is closed
	if !s.opened || !alive {
		cancel()
	}
	// What the BMC answers changes nothing: it drops an idle session by itself.
	_ = s.client.Close(ctx)
	_ = s.line.Close()
}

// refusesSuite reports whether another cipher suite may help.
func refusesSuite(err error) bool {
	var status *types.RmcpStatusError
	return errors.As(err, &status) && slices.Contains([]types.RmcpStatusCode{
		types.RmcpStatusCodeInvalidAuthAlg, types.RmcpStatusCodeInvalidIntegrityAlg, types.RmcpStatusCodeInvalidConfidentAlg,
		types.RmcpStatusCodeNoMatchingAuthPayload, types.RmcpStatusCodeNoMatchingIntegrityPayload, types.RmcpStatusCodeNoCipherSuiteMatch,
	}, status.StatusCode())
}

// classify adds the sentinel that the caller can act on.
func classify(err error) error {
	var status *types.RmcpStatusError
	var refusal *types.ResponseError
	switch {
	case errors.Is(err, client.ErrRAKPAuthentication):
		return fmt.Errorf("%w: user or password is wrong; correct them in the password file or at the BMC: %w", fencing.ErrAuth, err)
	case errors.As(err, &status):
		return classifyStatus(status, err)
	case errors.As(err, &refusal):
		switch refusal.CompletionCode() {
		// "Insufficient privilege", "requested level exceeds the user's limit".
		case types.CompletionCode(0xd4), types.CompletionCode(0x81):
			return fmt.Errorf("%w: the user may not switch the power; give it the operator privilege on the LAN channel: %w", fencing.ErrAuth, err)
		}
		return fmt.Errorf("the BMC refused: %w", err)
	}
	return fmt.Errorf("%w: %w", fencing.ErrUnreachable, err)
}

func classifyStatus(status *types.RmcpStatusError, err error) error {
	switch status.StatusCode() {
	case types.RmcpStatusCodeUnauthorizedName, types.RmcpStatusCodeInvalidNameLength, types.RmcpStatusCodeInvalidIntegrityCheckValue:
		return fmt.Errorf("%w: user or password is wrong; correct them in the password file or at the BMC: %w", fencing.ErrAuth, err)
	case types.RmcpStatusCodeUnauthorizedRoleOfPriLevel, types.RmcpStatusCodeInvalidRole:
		return fmt.Errorf("%w: the user may not be an operator; give it that privilege on the LAN channel: %w", fencing.ErrAuth, err)
	}
	return fmt.Errorf("the BMC refused: %w", err)
}
