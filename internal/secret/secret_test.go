package secret

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func file(t *testing.T, dir, name, text string, mode os.FileMode) string {
	t.Helper()
	path := filepath.Join(dir, name)
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(path, mode); err != nil {
		t.Fatal(err)
	}
	return path
}

func TestASecretIsTheFirstLineOfAPrivateFile(t *testing.T) {
	dir := t.TempDir()
	for text, want := range map[string]string{"hush": "hush", "hush\n": "hush", "hush\r\nmore\n": "hush"} {
		if got, err := (Source{File: file(t, dir, "p", text, 0o600)}).Line(); err != nil || got != want {
			t.Errorf("%q: %q, %v", text, got, err)
		}
	}
	for _, c := range []struct {
		name, text string
		mode       os.FileMode
		want       string
	}{
		{"group", "hush", 0o640, "chmod 600"},
		{"world", "hush", 0o604, "chmod 600"},
		{"empty", "\n", 0o600, "first line is empty"},
		{"huge", strings.Repeat("hush", mostRead), 0o600, "larger than"},
	} {
		_, err := Source{File: file(t, dir, c.name, c.text, c.mode)}.Line()
		if err == nil || !strings.Contains(err.Error(), c.want) || strings.Contains(err.Error(), "hush") {
			t.Errorf("%s: %v, want %q", c.name, err, c.want)
		}
	}
	for _, path := range []string{filepath.Join(dir, "none"), dir} {
		if _, err := (Source{File: path}).Line(); err == nil || strings.Count(err.Error(), path) != 1 {
			t.Errorf("%s: %v, want an error that names it once", path, err)
		}
	}
}

func TestACredentialIsFoundByItsName(t *testing.T) {
	s := Source{Credential: "bmc"}
	t.Setenv(CredentialsVariable, "")
	if _, err := s.Line(); err == nil || !strings.Contains(err.Error(), "LoadCredential=bmc:") {
		t.Errorf("without credentials: %v", err)
	}
	dir := t.TempDir()
	file(t, dir, "bmc", "hush\n", 0o440) // as systemd shows one that an access list opens to the service
	t.Setenv(CredentialsVariable, dir)
	if got, err := s.Line(); err != nil || got != "hush" {
		t.Errorf("%q, %v", got, err)
	}
	if err := s.Check(); err != nil {
		t.Error(err)
	}
}

func TestOneSourceIsOnePlace(t *testing.T) {
	for _, bad := range []Source{{}, {File: "relative"}, {File: "/a", Credential: "b"}, {Credential: "../shadow"}} {
		if bad.Validate() == nil {
			t.Errorf("%+v was accepted", bad)
		}
	}
	for _, good := range []Source{{File: "/a"}, {Credential: "b"}} {
		if err := good.Validate(); err != nil {
			t.Errorf("%+v: %v", good, err)
		}
	}
}
