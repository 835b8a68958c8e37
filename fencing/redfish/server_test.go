package redfish

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"sbarbiter/fencing"
	"sbarbiter/fencing/fencetest"
	"sbarbiter/internal/boottime"
	"sbarbiter/internal/secret"
)

const (
	user     = "stonith"
	password = "s3cret-of-redfish"
	token    = "t0ken-of-session"
	machine  = "4c4c4544-0031-4210-8052-b4c04f4e3632"
)

// service is a Redfish service over TLS with one system, as far as a fence
// driver needs it.
type service struct {
	*httptest.Server
	mu       sync.Mutex
	device   fencetest.Device
	hang     chan struct{}
	systems  []string
	allow    []string // in the resource; nil: in the action's description
	sessions int
	resets   []string
	shown    strings.Builder // every request's line and headers, without those of authentication
	refuse   int             // status with which a reset is refused; 0: it is not
	target   string
}

func newService(t *testing.T, s fencetest.Setup) *service {
	t.Helper()
	r := &service{
		device: fencetest.Device{Outlet: fencetest.NewOutlet(s.Power), Fault: s.Fault, Delay: s.Delay},
		hang:   make(chan struct{}), systems: []string{"System"}, allow: []string{"On", "ForceOff", "GracefulShutdown"},
		target: "/redfish/v1/Systems/System/Actions/ComputerSystem.Reset",
	}
	mux := http.NewServeMux()
	mux.HandleFunc("POST "+sessionsPath, r.login)
	mux.HandleFunc("DELETE "+sessionsPath+"/1", r.known(r.logout))
	mux.HandleFunc("GET /redfish/v1/Systems", r.known(r.collection))
	mux.HandleFunc("GET /redfish/v1/Systems/{id}", r.known(r.system))
	mux.HandleFunc("GET /redfish/v1/Systems/System/ResetActionInfo", r.known(r.info))
	mux.HandleFunc("POST /redfish/v1/Systems/System/Actions/ComputerSystem.Reset", r.known(r.reset))
	r.Server = httptest.NewTLSServer(r.faulty(mux))
	t.Cleanup(func() {
		close(r.hang)
		r.Server.Close()
	})
	return r
}

// faulty is the way to the service.
func (r *service) faulty(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		switch r.device.Fault {
		case fencetest.Hanging:
			select {
			case <-r.hang:
			case <-req.Context().Done():
			}
			return
		case fencetest.Slow:
			time.Sleep(r.device.Delay)
		}
		next.ServeHTTP(w, req)
	})
}

func (r *service) power() fencing.Power {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.device.Outlet.Power(boottime.Now())
}

func say(w http.ResponseWriter, status int, body any) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(body)
}

func fault(w http.ResponseWriter, status int, message string) {
	say(w, status, map[string]any{"error": map[string]any{
		"code": "Base.1.8.GeneralError", "message": "see ExtendedInfo", "@Message.ExtendedInfo": []any{map[string]string{"Message": message}},
	}})
}

func (r *service) login(w http.ResponseWriter, req *http.Request) {
	var body struct{ UserName, Password string }
	if json.NewDecoder(req.Body).Decode(&body) != nil || body.UserName != user || body.Password != password {
		fault(w, http.StatusUnauthorized, "no session for "+body.UserName+" with "+body.Password)
		return
	}
	r.mu.Lock()
	r.sessions++
	r.mu.Unlock()
	w.Header().Set("X-Auth-Token", token)
	w.Header().Set("Location", sessionsPath+"/1")
	say(w, http.StatusCreated, map[string]string{"Id": "1"})
}

func (r *service) logout(w http.ResponseWriter, _ *http.Request) {
	r.mu.Lock()
	r.sessions--
	r.mu.Unlock()
	w.WriteHeader(http.StatusNoContent)
}

func (r *service) known(next http.HandlerFunc) http.HandlerFunc {
	return func(w http.ResponseWriter, req *http.Request) {
		u, p, basic := req.BasicAuth()
		if req.Header.Get("X-Auth-Token") != token && (!basic || u != user || p != password) {
			fault(w, http.StatusUnauthorized, "who are you")
			return
		}
		r.mu.Lock()
		fmt.Fprintln(&r.shown, req.Method, req.URL)
		r.mu.Unlock()
		next(w, req)
	}
}

func (r *service) collection(w http.ResponseWriter, _ *http.Request) {
	var members []map[string]string
	for _, s := range r.systems {
		members = append(members, map[string]string{"@odata.id": "/redfish/v1/Systems/" + s})
	}
	say(w, http.StatusOK, map[string]any{"Members": members})
}

func (r *service) system(w http.ResponseWriter, _ *http.Request) {
	state := map[fencing.Power]string{fencing.PowerOn: "On", fencing.PowerOff: "Off"}[r.power()]
	action := map[string]any{"target": r.target}
	if r.allow != nil {
		action["ResetType@Redfish.AllowableValues"] = r.allow
	} else {
		action["@Redfish.ActionInfo"] = "/redfish/v1/Systems/System/ResetActionInfo"
	}
	say(w, http.StatusOK, map[string]any{"PowerState": state, "UUID": machine, "Actions": map[string]any{"#ComputerSystem.Reset": action}})
}

func (r *service) info(w http.ResponseWriter, _ *http.Request) {
	say(w, http.StatusOK, map[string]any{"Parameters": []any{
		map[string]any{"Name": "ResetType", "AllowableValues": []string{"On", "ForceOff"}},
	}})
}

func (r *service) reset(w http.ResponseWriter, req *http.Request) {
	var body struct{ ResetType string }
	if json.NewDecoder(req.Body).Decode(&body) != nil {
		fault(w, http.StatusBadRequest, "no ResetType")
		return
	}
	want := map[string]fencing.Power{"ForceOff": fencing.PowerOff, "On": fencing.PowerOn}[body.ResetType]
	r.mu.Lock()
	r.resets = append(r.resets, body.ResetType)
	refuse := r.refuse
	var delay time.Duration
	if refuse == 0 {
		delay, _ = r.device.Command(boottime.Now(), want)
	}
	r.mu.Unlock()
	switch {
	case refuse != 0:
		fault(w, refuse, "the operation is not possible in this state")
	case delay == fencetest.Never:
		panic(http.ErrAbortHandler) // the line is gone
	default:
		w.WriteHeader(http.StatusNoContent)
	}
}

func (r *service) address() netip.AddrPort {
	return netip.MustParseAddrPort(strings.TrimPrefix(r.URL, "https://"))
}

func (r *service) fingerprint() string {
	sum := sha256.Sum256(r.Certificate().Raw)
	return hex.EncodeToString(sum[:])
}

// config returns how to reach the service, with its certificate pinned.
func (r *service) config(t *testing.T) Config {
	t.Helper()
	return Config{
		Address: r.address(), User: user, Password: secret.Source{File: keep(t, "password", password+"\n")},
		Fingerprint: r.fingerprint(),
	}
}

func (r *service) caFile(t *testing.T) string {
	t.Helper()
	return keep(t, "ca.pem", string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: r.Certificate().Raw})))
}

func keep(t *testing.T, name, text string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), name)
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func driver(t *testing.T, c Config) *Driver {
	t.Helper()
	d, err := New(c)
	if err != nil {
		t.Fatal(err)
	}
	return d
}
