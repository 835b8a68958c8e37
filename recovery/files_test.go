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

// An agent sees a promotion after it has happened, by a clock that may be set meanwhile.
func TestFileThatWasWrittenRightBeforeThePromotionWasSeenIsShownAsLost(t *testing.T) {
	from := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	forks := split().with(func(e *Evidence) { e.Sides[1].Tenures[1].From = from }).Forks("node-b")
	for before, want := range map[time.Duration]Fate{time.Millisecond: LostFile, 4 * time.Second: LostFile, time.Minute: SurvivorOnly} {
		v := []Entry{{Path: "only-victim", Kind: FileRegular, Size: 9, Changed: from.Add(-before)}}
		if l := CompareFiles(v, nil, forks); l[0].Fate != want {
			t.Errorf("%v before: %s, loss %+v", before, l[0].Fate, CountLoss(l))
		}
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

func TestForkIsBeforeAllThatTheYoungerSideWroteAlone(t *testing.T) {
	first, again := time.Unix(100, 0), time.Unix(300, 0)
	e := split().with(func(e *Evidence) {
		e.Sides[1].Tenures = []Tenure{{Epoch: 4, Leased: true, From: time.Unix(50, 0)}, {Epoch: 8, From: first}, {Epoch: 8, From: again}}
	})
	if got := e.Forks("node-b"); !got.Victim.Equal(first.Add(-forkMargin)) {
		t.Errorf("%v: what was written from %v on would count as no loss", got, first)
	}
}

func TestLossThatIsTooLargeToCountIsNotSmall(t *testing.T) {
	e := split().with(second(10*mib, 8))
	e.Sides[0].Volumes[0].Size, e.Sides[1].Volumes[0].Size = 1<<64-1, 1<<64-1
	e.Sides[1].Volumes[0].OutOfSync = counted(1<<64 - 4)
	d := Decide(e, []Policy{{Name: DiscardNode, Node: "node-b", Guards: Guards{MaxDiscard: counted(4096)}}})
	if d.Victim != "" {
		t.Errorf("%d bytes are discarded within a limit of 4096", d.Discard)
	}
	if f := d.Diagnosis.Volumes[0]; f.AtMost != e.Sides[1].Volumes[0].Size {
		t.Errorf("up to %d bytes are said to be overwritten", f.AtMost)
	}
}

// A copy with nothing in it is not one of which there is no list.
func TestListOfNothingArrivesAsAList(t *testing.T) {
	for want, entries := range map[bool][]Entry{true: {}, false: nil} {
		text, err := json.Marshal(Listing{Node: "node-a", Volumes: []VolumeFiles{{Volume: "r0/0", Entries: entries}}})
		if err != nil {
			t.Fatal(err)
		}
		var got Listing
		if err := json.Unmarshal(text, &got); err != nil || (got.Volumes[0].Entries != nil) != want {
			t.Errorf("%s: %+v, %v", text, got, err)
		}
	}
}
