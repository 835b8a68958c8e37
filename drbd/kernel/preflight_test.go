package kernel

import (
	"os"
	"strings"
	"testing"

	"sbarbiter/drbd"
)

const goodDump = `cat <<'END'
common { disk { fencing resource-and-stonith; } }
resource r0 {
    net { protocol C; }
    handlers { fence-peer "/sbin/h fence-peer"; local-io-error "/sbin/h local-io-error"; split-brain "/sbin/h split-brain"; }
}
END`

const goodShow = `cat <<'END'
resource r0 { net { protocol C; } _this_host { volume 0 { disk { fencing resource-and-stonith; } } } }
END`

func violations(t *testing.T, f *fakeTools) string {
	t.Helper()
	list, err := f.driver.Preflight(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	var out []string
	for _, v := range list {
		out = append(out, v.String())
	}
	return strings.Join(out, "\n")
}

func TestPreflightOfAGoodNode(t *testing.T) {
	f := newFakeTools(t)
	f.on("dump", goodDump)
	f.on("show", goodShow)
	if got := violations(t, f); got != "" {
		t.Errorf("got\n%s", got)
	}
}

func TestPreflightNamesEveryHole(t *testing.T) {
	for name, tc := range map[string]struct {
		spoil func(*fakeTools)
		want  string
	}{
		"another helper": {func(f *fakeTools) { f.write("usermode_helper", "/bin/true\n") }, `handlers through "/bin/true"`},
		"helpers off":    {func(f *fakeTools) { f.write("usermode_helper", "disabled\n") }, `handlers through "disabled"`},
		"no parameter":   {func(f *fakeTools) { f.remove("usermode_helper") }, "parameter cannot be read"},
		"no fencing in the files": {func(f *fakeTools) {
			f.on("dump", strings.Replace(goodDump, "resource-and-stonith", "dont-care", 1))
		}, "fencing is dont-care"},
		"other settings in force": {func(f *fakeTools) {
			f.on("show", strings.Replace(goodShow, "protocol C", "protocol A", 1))
		}, "now in force: protocol is A"},
	} {
		t.Run(name, func(t *testing.T) {
			f := newFakeTools(t)
			f.on("dump", goodDump)
			f.on("show", goodShow)
			tc.spoil(f)
			if got := violations(t, f); !strings.Contains(got, tc.want) {
				t.Errorf("got\n%s", got)
			}
		})
	}
}

func TestPreflightFindsThatTheKernelCannotCallDrbdadm(t *testing.T) {
	f := newFakeTools(t)
	f.on("dump", goodDump)
	f.on("show", goodShow)
	f.driver.cfg.KernelDrbdadm = f.path("elsewhere")
	if got := violations(t, f); !strings.Contains(got, "drbdadm is not there") || !strings.Contains(got, "ln -s") {
		t.Errorf("missing: got\n%s", got)
	}
	f.write("elsewhere", "")
	if got := violations(t, f); !strings.Contains(got, "not executable") {
		t.Errorf("not executable: got\n%s", got)
	}
}

func TestPreflightBeforeTheResourceIsUp(t *testing.T) {
	f := newFakeTools(t)
	f.on("dump", goodDump)
	f.on("show", `echo "No such device" >&2; exit 20`)
	f.write("unconfigured", "")
	if got := violations(t, f); got != "" {
		t.Errorf("got\n%s", got)
	}
	f.remove("unconfigured")
	if got, err := f.driver.Preflight(t.Context()); err == nil {
		t.Errorf("what could not be checked passed: %v", got)
	}
}

func (f *fakeTools) remove(name string) {
	f.t.Helper()
	if err := os.Remove(f.path(name)); err != nil {
		f.t.Fatal(err)
	}
}

func TestNewNeedsResources(t *testing.T) {
	if _, err := New(Config{}); err == nil {
		t.Error("a driver for nothing was made")
	}
	d, err := New(Config{Resources: []string{"r0"}})
	if err != nil || d.cfg.Drbdsetup == "" || len(d.cfg.Handlers) != len(drbd.RequiredHandlers()) {
		t.Errorf("defaults: %+v, %v", d, err)
	}
}
