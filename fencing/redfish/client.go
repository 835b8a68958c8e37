package redfish

import (
	"bytes"
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"time"

	"sbarbiter/fencing"
)

const (
	sessionsPath = "/redfish/v1/SessionService/Sessions"
	mostRead     = 1 << 20 // bytes of one answer
	// farewell bounds the wait for the end of a session. A service has room for
	// a few only, so each is given back.
	farewell = 500 * time.Millisecond
)

// client talks to the service for one command.
type client struct {
	cfg      Config
	password string
	http     *http.Client
	token    string // of the session
	session  string // its path
	path     string // of the system, once it is known
}

// within runs one command with a client of its own.
func (d *Driver) within(ctx context.Context, do func(*client) error) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	c, err := d.open(ctx)
	if err != nil {
		return err
	}
	defer c.close(ctx)
	return do(c)
}

func (d *Driver) open(ctx context.Context) (*client, error) {
	password, err := d.cfg.Password.Line()
	if err != nil {
		return nil, fmt.Errorf("%w: password: %w", fencing.ErrConfig, err)
	}
	trust, err := d.cfg.trust()
	if err != nil {
		return nil, err
	}
	c := &client{cfg: d.cfg, password: password, http: &http.Client{
		Transport: &http.Transport{TLSClientConfig: trust, MaxResponseHeaderBytes: 64 << 10}, // and no proxy
		// Whoever redirects would be shown the password or the session.
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}}
	if d.cfg.Auth != Session {
		return c, nil
	}
	if err := c.login(ctx); err != nil {
		c.http.CloseIdleConnections()
		return nil, err
	}
	return c, nil
}

// login opens a session (DSP0266, section 13.3.4).
func (c *client) login(ctx context.Context) error {
	resp, err := c.send(ctx, http.MethodPost, sessionsPath, map[string]string{"UserName": c.cfg.User, "Password": c.password})
	if err != nil {
		return fmt.Errorf("open session: %w", err)
	}
	defer drain(resp)
	c.token = resp.Header.Get("X-Auth-Token")
	if c.token == "" {
		return errors.New("open session: the service gave no token; try auth: basic")
	}
	if at, err := url.Parse(resp.Header.Get("Location")); err == nil {
		c.session = at.Path
	}
	return nil
}

// close gives the session back, if the service said where it is.
func (c *client) close(ctx context.Context) {
	if c.session != "" && ctx.Err() == nil {
		ctx, cancel := context.WithTimeout(ctx, farewell)
		defer cancel()
		// What the service answers changes nothing: it drops an idle session by itself.
		if resp, err := c.send(ctx, http.MethodDelete, c.session, nil); err == nil {
			drain(resp)
		}
	}
	c.http.CloseIdleConnections()
}

func (c *client) get(ctx context.Context, path string, into any) error {
	resp, err := c.send(ctx, http.MethodGet, path, nil)
	if err != nil {
		return err
	}
	defer drain(resp)
	return decode(resp, into)
}

func (c *client) post(ctx context.Context, path string, body, into any) error {
	resp, err := c.send(ctx, http.MethodPost, path, body)
	if err != nil {
		return err
	}
	defer drain(resp)
	if into == nil {
		return nil
	}
	return decode(resp, into)
}

func decode(resp *http.Response, into any) error {
	if err := json.NewDecoder(io.LimitReader(resp.Body, mostRead)).Decode(into); err != nil {
		return fmt.Errorf("%s: the answer is not understood: %w", resp.Request.URL.Path, err)
	}
	return nil
}

// drain reads an answer to its end, so that the connection serves again.
func drain(resp *http.Response) {
	_, _ = io.Copy(io.Discard, io.LimitReader(resp.Body, mostRead)) // an answer that is cut short costs a connection
	_ = resp.Body.Close()
}

// send makes one request. A nil error means that the service did not refuse; the
// caller closes the body.
func (c *client) send(ctx context.Context, method, path string, body any) (*http.Response, error) {
	// A path comes from the service: it must not lead anywhere else.
	if !strings.HasPrefix(path, "/") || strings.HasPrefix(path, "//") {
		return nil, fmt.Errorf("the service points at %.80q, which is not a path of its own", path)
	}
	var text []byte
	if body != nil {
		var err error
		if text, err = json.Marshal(body); err != nil {
			return nil, err
		}
	}
	req, err := http.NewRequestWithContext(ctx, method, "https://"+c.cfg.Address.String()+path, bytes.NewReader(text))
	if err != nil {
		return nil, err
	}
	req.GetBody = nil // a command is not sent a second time behind our back
	req.Header.Set("Accept", "application/json")
	req.Header.Set("OData-Version", "4.0")
	if body != nil {
		req.Header.Set("Content-Type", "application/json")
	}
	switch {
	case c.token != "":
		req.Header.Set("X-Auth-Token", c.token)
	case c.cfg.Auth == Basic:
		req.SetBasicAuth(c.cfg.User, c.password)
	}
	resp, err := c.http.Do(req)
	if err != nil {
		return nil, classify(err)
	}
	if resp.StatusCode < 200 || resp.StatusCode > 299 {
		defer drain(resp)
		return nil, c.refusal(method, path, resp)
	}
	return resp, nil
}

// classify adds the sentinel that the caller can act on.
func classify(err error) error {
	var verify *tls.CertificateVerificationError
	switch {
	case errors.As(err, &verify):
		return fmt.Errorf("%w: the service has not shown that it is the right one: %w; set ca_file, name or fingerprint right", fencing.ErrConfig, verify.Err)
	case errors.Is(err, errForeign):
		return fmt.Errorf("%w: %w; if the controller was given a new one, set fingerprint right", fencing.ErrConfig, err)
	}
	return fmt.Errorf("%w: %w", fencing.ErrUnreachable, err)
}

// refusedError is an answer of HTTP that is no success.
type refusedError struct {
	request string
	status  int
	said    string
}

// Error returns "POST /redfish/v1/... : 409 Conflict: what the service said".
func (e *refusedError) Error() string {
	text := fmt.Sprintf("%s: %d %s", e.request, e.status, http.StatusText(e.status))
	if e.said != "" {
		text += ": " + e.said
	}
	return text
}

// conflict reports whether the refusal may mean that nothing is to be done.
func (e *refusedError) conflict() bool {
	return e.status == http.StatusConflict || e.status == http.StatusBadRequest
}

func (c *client) refusal(method, path string, resp *http.Response) error {
	// Who is told a password may repeat it.
	said := strings.ReplaceAll(extended(resp), c.password, "***")
	e := &refusedError{request: method + " " + path, status: resp.StatusCode, said: said}
	switch e.status {
	case http.StatusUnauthorized:
		return fmt.Errorf("%w: user or password is wrong; correct them in the password file or at the controller: %w", fencing.ErrAuth, e)
	case http.StatusForbidden:
		return fmt.Errorf("%w: the user may not switch the power; give it the privilege ConfigureComponents: %w", fencing.ErrAuth, e)
	}
	return e
}

// extended returns the message of an error answer (DSP0266, section 8.6).
func extended(resp *http.Response) string {
	var body struct {
		Error struct {
			Message string                     `json:"message"`
			Info    []struct{ Message string } `json:"@Message.ExtendedInfo"`
		} `json:"error"`
	}
	if json.NewDecoder(io.LimitReader(resp.Body, mostRead)).Decode(&body) != nil {
		return ""
	}
	said := body.Error.Message
	if len(body.Error.Info) > 0 && body.Error.Info[0].Message != "" {
		said = body.Error.Info[0].Message
	}
	return strings.ToValidUTF8(fmt.Sprintf("%.200s", said), "?")
}
