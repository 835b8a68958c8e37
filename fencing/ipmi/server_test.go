package ipmi

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/bougou/go-ipmi/pkg/bmc"
	"github.com/bougou/go-ipmi/pkg/hal/mock"
	"github.com/bougou/go-ipmi/pkg/server"
	"github.com/bougou/go-ipmi/pkg/transport/udp"
	"github.com/bougou/go-ipmi/pkg/types"

	"sbarbiter/fencing"
	"sbarbiter/fencing/fencetest"
	"sbarbiter/internal/secret"
)

// startServer runs the library's own BMC: unlike ipmi_sim it knows cipher suite
// 17 and enforces privileges.
func startServer(t *testing.T, privilege bmc.PrivilegeLevel, suites ...types.CipherSuiteID) (string, *mock.HAL) {
	t.Helper()
	hal := mock.New()
	if err := hal.Chassis().SetPower(t.Context(), true); err != nil {
		t.Fatal(err)
	}
	b := bmc.New(bmc.DeviceInfo{DeviceID: 32, IPMIVersion: 0x20}, [16]byte{1}, hal, bmc.WithCipherSuites(suites))
	user, err := b.Users.Add(2, fencetest.BMCUser)
	if err != nil {
		t.Fatal(err)
	}
	user.SetPassword([]byte(fencetest.BMCPassword))
	user.Enabled = true
	user.ChannelAccess[1] = bmc.UserChannelAccess{MaxPrivilege: privilege, Enabled: true}
	conn, err := udp.Listen("127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	srv := server.NewServer(b, conn, server.WithCipherSuites(suites))
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() {
		defer close(done)
		_ = srv.Serve(ctx)
	}()
	t.Cleanup(func() {
		cancel()
		_ = srv.Close()
		<-done
		_ = conn.Close()
	})
	return conn.LocalAddr().String(), hal
}

func serverDriver(t *testing.T, address string, suite uint8) *Driver {
	t.Helper()
	path := filepath.Join(t.TempDir(), "password")
	if err := os.WriteFile(path, []byte(fencetest.BMCPassword), 0o600); err != nil {
		t.Fatal(err)
	}
	d, err := New(Config{Address: address, User: fencetest.BMCUser, Password: secret.Source{File: path}, CipherSuite: suite})
	if err != nil {
		t.Fatal(err)
	}
	return d
}

func TestBothCipherSuitesSwitch(t *testing.T) {
	for _, suite := range []types.CipherSuiteID{types.CipherSuiteID3, types.CipherSuiteID17} {
		for _, configured := range []uint8{0, uint8(suite)} {
			address, hal := startServer(t, bmc.PrivilegeLevelOperator, suite)
			d := serverDriver(t, address, configured)
			if p, err := d.Status(t.Context()); err != nil || p != fencing.PowerOn {
				t.Errorf("suite %d, configured %d: %s, %v", suite, configured, p, err)
			}
			if err := d.Off(t.Context()); err != nil {
				t.Errorf("suite %d, configured %d: %v", suite, configured, err)
			}
			if on, _ := hal.Chassis().PowerState(t.Context()); on {
				t.Errorf("suite %d, configured %d: still on", suite, configured)
			}
		}
	}
}

func TestAForeignCipherSuiteIsNamed(t *testing.T) {
	address, _ := startServer(t, bmc.PrivilegeLevelOperator, types.CipherSuiteID3)
	_, err := serverDriver(t, address, 17).Status(t.Context())
	if !errors.Is(err, fencing.ErrConfig) || !strings.Contains(err.Error(), "cipher suites [17]") {
		t.Errorf("got %v", err)
	}
}

func TestAUserWithoutTheRightMayNotSwitch(t *testing.T) {
	address, hal := startServer(t, bmc.PrivilegeLevelUser, types.CipherSuiteID17)
	err := serverDriver(t, address, 0).Off(t.Context())
	if !errors.Is(err, fencing.ErrAuth) || !strings.Contains(err.Error(), "operator") {
		t.Errorf("got %v", err)
	}
	if on, _ := hal.Chassis().PowerState(t.Context()); !on {
		t.Error("a user without the privilege switched the power off")
	}
}
