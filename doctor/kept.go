package doctor

import (
	"fmt"
	"time"
)

// KeptCopies is the subject of findings about what recoveries have kept: they are
// alarms as well, for what is lost there is lost for good.
const KeptCopies = "kept copies"

const (
	// storeNearlyFull is from which part of the quota, in percent, it is said; fillsUp is
	// the same of one snapshot.
	storeNearlyFull, fillsUp = 80, 70
)

// Kept is what a node keeps of copies that recoveries have given up.
type Kept struct {
	Directory string
	Quota     uint64
	Free      uint64 // of the quota
	// Remind is the age from which somebody is reminded of a copy; 0: nobody is.
	Remind time.Duration
	Copies []Copy
	Err    string // why the store cannot be looked into
}

// Copy is what is kept of one volume.
type Copy struct {
	Group, Volume, Recovery string
	Age                     time.Duration
	Lost                    string  // why it is not what it was any more
	Filled                  float64 // percent of a snapshot that is lost once it is full
}

func (k Kept) examine(out *findings) {
	if k.Err != "" {
		out.add(Warning, KeptCopies, k.Err, "the next recovery stops before it gives anything up", "look into "+k.Directory)
	}
	for _, c := range k.Copies {
		c.examine(k.Remind, out)
	}
	if used := k.Quota - min(k.Free, k.Quota); k.Quota > 0 && len(k.Copies) > 0 && used >= k.Quota/100*storeNearlyFull {
		oldest := k.Copies[0]
		out.add(Warning, KeptCopies, fmt.Sprintf("they take %d of the %d MiB of their quota", used>>20, k.Quota>>20),
			"a recovery for which there is no room stops and waits for you", fmt.Sprintf("look at what is not needed any more (the oldest: sbctl salvage %s --recovery %s), then: %s; or raise snapshots.quota in node.yaml", oldest.Group, oldest.Recovery, oldest.release()))
	}
}

func (c Copy) examine(remind time.Duration, out *findings) {
	name := fmt.Sprintf("%s of %s, kept by recovery %s", c.Volume, c.Group, c.Recovery)
	switch {
	case c.Lost != "":
		out.add(Warning, KeptCopies, fmt.Sprintf("%s is lost: %s", name, c.Lost), "what only the discarded copy had cannot be brought back from it", "when nobody looks for it any more: "+c.release())
	case c.Filled >= fillsUp:
		out.add(Warning, KeptCopies, fmt.Sprintf("%s: its snapshot is %.0f%% full", name, c.Filled), "what the service writes uses it up, and once it is full what it holds is lost",
			fmt.Sprintf("lvextend it, or bring what is needed to safety now: sbctl salvage %s --recovery %s --everything --to all.tar", c.Group, c.Recovery))
	case remind > 0 && c.Age >= remind:
		out.add(Note, KeptCopies, fmt.Sprintf("%s is %s old", name, days(c.Age)), "it takes room, and nothing is ever removed by itself",
			fmt.Sprintf("sbctl salvage %s --recovery %s, and when nobody needs it any more: %s", c.Group, c.Recovery, c.release()))
	}
}

func (c Copy) release() string {
	return fmt.Sprintf("sbagent recovery release %s --recovery %s --yes", c.Group, c.Recovery)
}
