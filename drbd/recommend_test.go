package drbd

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// What is recommended must pass the check that an agent makes.
func TestWhatIsRecommendedIsWhatIsRequired(t *testing.T) {
	for _, family := range []Family{Family84, Family9} {
		q := Requirements{Family: family, Resource: "r0", HandlerCommand: "/usr/sbin/sbagent handler", Handlers: RequiredHandlers()}
		dump, err := ParseConfig(q.Recommended())
		if err != nil {
			t.Fatalf("%s: %v\n%s", family, err, q.Recommended())
		}
		for _, v := range q.CheckFiles(dump) {
			t.Errorf("%s: %s", family, v)
		}
	}
}

// What is advised must not be refused by the tools of the version it is advised for.
func TestWhatIsRecommendedIsTakenByDrbdadm(t *testing.T) {
	for family, drbdadm := range map[Family]string{Family84: "/lib/drbd/drbdadm-84", Family9: "/usr/sbin/drbdadm"} {
		if _, err := os.Stat(drbdadm); err != nil {
			t.Skipf("needs drbd-utils: %v", err)
		}
		q := Requirements{Family: family, Resource: "r0", HandlerCommand: "/usr/sbin/sbagent handler", Handlers: RequiredHandlers()}
		text := q.Recommended()
		if !strings.Contains(text, "socket-check-timeout 1;") {
			t.Errorf("%s: a new connection is watched for as long as a ping may take:\n%s", family, text)
		}
		hosts := ""
		for _, h := range []string{"a", "b"} {
			hosts += "on node-" + h + " { device /dev/drbd0; disk /dev/vg/r0; meta-disk internal; address 10.0.0." + map[string]string{"a": "1", "b": "2"}[h] + ":7789; }\n"
		}
		file := filepath.Join(t.TempDir(), "drbd.conf")
		if err := os.WriteFile(file, []byte(strings.TrimSuffix(text, "}\n")+hosts+"}\n"), 0o600); err != nil {
			t.Fatal(err)
		}
		out, err := exec.CommandContext(t.Context(), drbdadm, "-c", file, "dump").CombinedOutput()
		if err != nil || !strings.Contains(string(out), "ping-int") {
			t.Errorf("%s refuses it: %v\n%s\n%s", drbdadm, err, out, text)
		}
	}
}
