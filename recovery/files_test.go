package recovery

import (
	"encoding/json"
	"testing"
	"time"
)

func TestFateOfAFileIsTheWorseOneWhereTheForkIsNotKnown(t *testing.T) {
	old, late := time.Unix(100, 0), time.Unix(300, 0)
	file := func(changed time.Time) []Entry {
		return []Entry{{Path: "f", Kind: FileRegular, Inode: 7, Size: 1, Changed: changed}}
	}
	known := Forks{Victim: time.Unix(200, 0), Survivor: time.Unix(200, 0)}
	for name, c := range map[string]struct {
		victim, survivor []Entry
		fork             Forks
		want             Fate
	}{
		"added on the victim":                    {file(late), nil, known, LostFile},
		"deleted on the survivor":                {file(old), nil, known, SurvivorOnly},
		"deleted on the survivor, no fork known": {file(old), nil, Forks{}, LostFile},
		"changed on the victim":                  {file(late), file(old), known, LostChange},
		"changed on both":                        {file(late), file(late.Add(1)), known, LostChange},
		"changed on the survivor":                {file(old), file(late), known, SurvivorOnly},
		"changed somewhere":                      {file(old), file(late), Forks{}, LostChange},
		"added on the survivor":                  {nil, file(late), known, SurvivorOnly},
		"deleted on the victim":                  {nil, file(old), known, Undeleted},
		"deleted or added, no fork known":        {nil, file(old), Forks{}, SurvivorOnly},
	} {
		got := CompareFiles(c.victim, c.survivor, c.fork)
		if len(got) != 1 || got[0].Fate != c.want {
			t.Errorf("%s: %+v, want %s", name, got, c.want)
		}
	}
	if got := CompareFiles(file(old), file(old), known); len(got) != 0 {
		t.Errorf("untouched: %+v", got)
	}
}

func TestNameOfAFileArrivesAsItIs(t *testing.T) {
	for _, name := range []string{"plain", "two\nlines", "br\xfccke"} {
		text, err := json.Marshal([]Entry{{Path: name, Kind: FileRegular, Size: 7}})
		if err != nil {
			t.Fatal(err)
		}
		var got []Entry
		if err := json.Unmarshal(text, &got); err != nil || got[0].Path != name || got[0].Size != 7 {
			t.Errorf("%q arrives as %+v, %v", name, got, err)
		}
	}
}
