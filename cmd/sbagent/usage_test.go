package main

import (
	"strings"
	"testing"
)

func TestWhatIsTypedWronglyEndsWith2(t *testing.T) {
	empty := written(t, struct{}{})
	for typed, want := range map[string]struct {
		code int
		says string
	}{
		"chek":                    {exitUsage, "did you mean sbagent check?"},
		"check now":               {exitUsage, "want sbagent check"},
		"recovery":                {exitUsage, "say what to do"},
		"recovery mesure nfs":     {exitUsage, "did you mean sbagent recovery measure?"},
		"recovery measure":        {exitUsage, "want sbagent recovery measure GROUP"},
		"recovery kept nfs --yes": {exitUsage, "see: sbagent recovery kept --help"},
		"check -o yaml":           {exitUsage, "want table or json"},
		"check --config /nowhere": {exitFailed, "/nowhere"},
		"recovery plan " + empty + " " + empty + " --discard node-b": {exitFailed, "what sbagent recovery measure has printed"},
		"recovery --help": {exitDone, ""},
	} {
		t.Run(typed, func(t *testing.T) {
			_, err := called(t, "", strings.Fields(typed)...)
			var said strings.Builder
			if code := report(err, &said); code != want.code || !strings.Contains(said.String(), want.says) {
				t.Errorf("exit code %d, want %d with %q:\n%s", code, want.code, want.says, said.String())
			}
		})
	}
}
