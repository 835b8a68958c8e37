package main

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"sbarbiter/doctor"
)

// nodeFile is a node that lacks about everything: no CA, no password, no driver.
func nodeFile(t *testing.T) (path, password string) {
	t.Helper()
	dir := t.TempDir()
	path, password = filepath.Join(dir, "node.yaml"), filepath.Join(dir, "none.ipmi")
	text := fmt.Sprintf(`cluster: nfs1
node: node-a
peer: node-b
witnesses: [192.0.2.30:7443]
pki: %[1]s/pki
state_dir: %[1]s/state
runtime_dir: %[1]s/run
links:
  - {local: 127.0.0.1:7694, peer: 127.0.0.2:7694}
allow_single_link: true
references: [192.0.2.1]
watchdog: none
fencing: [{driver: ipmi, address: 192.0.2.22, user: stonith, password_file: %[2]s}]
groups:
  nfs: {drbd: [r0], services: [{systemd: nfs-server.service}]}
`, dir, password)
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path, password
}

// What check has to say stands in its report, each cause once, and nothing of a log
// comes between.
func TestCheckIsAReportAndNothingElse(t *testing.T) {
	path, password := nodeFile(t)
	old := os.Stderr
	log, err := os.Create(filepath.Join(t.TempDir(), "stderr"))
	if err != nil {
		t.Fatal(err)
	}
	os.Stderr = log
	table, failed := called(t, "", "check", "--config", path)
	os.Stderr = old
	if failed == nil {
		t.Error("all is said to be well")
	}
	if said, err := os.ReadFile(log.Name()); err != nil || len(said) > 0 {
		t.Errorf("a log between the lines: %s %v", said, err)
	}
	if n := strings.Count(table, "none.ipmi does not exist"); n != 1 || strings.Contains(table, "it does not tell the power") {
		t.Errorf("the password is said to be missing %d times:\n%s", n, table)
	}
	if !strings.Contains(table, "r0: its disks could not be attached: ") {
		t.Errorf("not said of r0:\n%s", table)
	}
	for _, flag := range []string{"--output=json", "-ojson", "--json"} {
		out, _ := called(t, "", "check", "--read-only", "--config", path, flag)
		var found []doctor.Finding
		if err := json.Unmarshal([]byte(out), &found); err != nil || len(found) == 0 {
			t.Errorf("%s: %v\n%s", flag, err, out)
		}
		if strings.Count(out, password+" does not exist") != 1 {
			t.Errorf("%s: %s", flag, out)
		}
	}
}
