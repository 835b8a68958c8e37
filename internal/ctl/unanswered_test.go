package ctl

import (
	"crypto/tls"
	"net"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"sbarbiter/internal/pki"
)

// credentialsOf makes a CA of its own, alice's credentials and a witness's.
func credentialsOf(t *testing.T) (alice, witness string) {
	t.Helper()
	home := t.TempDir()
	ca, err := pki.Init(filepath.Join(home, "ca"))
	if err != nil {
		t.Fatal(err)
	}
	for _, id := range []pki.Identity{{Role: pki.RoleOperator, Name: "alice"}, {Role: pki.RoleWitness, Name: "w1"}} {
		if _, err := ca.Issue(filepath.Join(home, id.Name), pki.Request{Identity: id}); err != nil {
			t.Fatal(err)
		}
	}
	return filepath.Join(home, "alice"), filepath.Join(home, "w1")
}

// Why no witness answers is said in words that lead somewhere, and not in gRPC's.
func TestWhyNoWitnessAnswersIsSaidInPlainWords(t *testing.T) {
	alice, _ := credentialsOf(t)
	_, elsewhere := credentialsOf(t)
	serve := func(credentials string) string {
		f := newFake(t, credentials)
		t.Cleanup(f.stop)
		return f.addr
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	go func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			conn.Close()
		}
	}()
	for name, c := range map[string]struct{ addr, pki, want string }{
		"nobody listens": {"127.0.0.1:1", alice, "connection refused; " + isItThere},
		"something else": {l.Addr().String(), alice, "it has closed the connection; " + itsLogSays},
		"another CA's":   {serve(elsewhere), alice, "its certificate is of another CA than yours; " + isItTheSame},
	} {
		t.Run(name, func(t *testing.T) {
			o := operatorAt{t, []string{"--witness", c.addr, "--pki", c.pki, "--config", filepath.Join(t.TempDir(), "none.yaml")}}
			_, talk := o.run(ExitFailed, "cluster", "show")
			said, _ := strings.CutPrefix(talk, "sbctl: no witness answers at "+c.addr+": ")
			if said == talk || !strings.HasSuffix(said, c.want+"\n") || strings.Contains(said, "desc =") || strings.Contains(said, "transport") {
				t.Errorf("%s", talk)
			}
		})
	}
	for want, err := range map[string]error{
		"its name is not known (no such host); " + isItResolved:                  &net.OpError{Op: "dial", Err: &net.DNSError{Err: "no such host", Name: "w1"}},
		"it refuses your certificate (tls: expired certificate); " + isItTheSame: &net.OpError{Op: "remote error", Err: tls.AlertError(45)},
		"no route to host; " + isItReached:                                       &net.OpError{Op: "dial", Err: os.NewSyscallError("connect", syscall.EHOSTUNREACH)},
		"nothing comes back; " + isItReached:                                     &net.OpError{Op: "dial", Err: os.ErrDeadlineExceeded},
		"the connection is not made yet; " + isItReached:                         nil,
	} {
		if said := (&trouble{last: err}).unanswered("w1:7443").Error(); said != "no witness answers at w1:7443: "+want {
			t.Error(said)
		}
	}
}
