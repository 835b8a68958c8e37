package ctl

import (
	"slices"
	"time"

	"sbarbiter/arbiter"
	sbv1 "sbarbiter/proto/sb/v1"
)

// What status prints as JSON. Names stay; new ones may come. Durations are in
// milliseconds, moments in Unix seconds, lists are never null.
type (
	statusJSON struct {
		Level    level         `json:"level"` // ok, attention, down, unknown: the worst of the clusters
		Error    string        `json:"error"` // why nothing is known
		Witness  *witnessJSON  `json:"witness"`
		Clusters []clusterJSON `json:"clusters"`
	}
	witnessJSON struct {
		Name        string `json:"name"`
		Address     string `json:"address"`
		LeadingMS   int64  `json:"leading_ms"`
		Incarnation uint32 `json:"incarnation"`
		Starts      uint64 `json:"starts"`
		Index       uint64 `json:"index"`
	}
	clusterJSON struct {
		Name             string       `json:"name"`
		Level            level        `json:"level"`
		Verdict          string       `json:"verdict"`
		Findings         []finding    `json:"findings"`
		Alarms           []string     `json:"alarms"`
		Epoch            uint64       `json:"epoch"`
		Learning         bool         `json:"learning"`
		Maintenance      bool         `json:"maintenance"`
		MaintenanceUntil int64        `json:"maintenance_until"` // 0: open end, or none
		Groups           []groupJSON  `json:"groups"`
		Nodes            []nodeJSON   `json:"nodes"`
		Mandate          *mandateJSON `json:"mandate"`
	}
	groupJSON struct {
		Name        string            `json:"name"`
		Runs        bool              `json:"runs"`   // is known to
		Holder      string            `json:"holder"` // "": nobody
		Epoch       uint64            `json:"epoch"`
		Started     bool              `json:"started"`
		RemainingMS int64             `json:"remaining_ms"`
		Basis       basisJSON         `json:"basis"`
		Last        basisJSON         `json:"last"`
		OrderTo     string            `json:"order_to"`
		Unshot      string            `json:"unshot"`
		Exclusions  []exclusionJSON   `json:"exclusions"`
		StandIn     *standInJSON      `json:"stand_in"` // null: no copy is to stand in for a lost one
		Split       *splitJSON        `json:"split"`    // null: nothing is known of a split brain
		Nodes       []groupOnNodeJSON `json:"nodes"`
	}
	basisJSON struct {
		Cause      string `json:"cause"`
		Holder     string `json:"holder"`
		Epoch      uint64 `json:"epoch"`
		Grade      string `json:"grade"` // E0 to E5
		Switchover bool   `json:"switchover"`
		Words      string `json:"words"`
	}
	exclusionJSON struct {
		Node    string `json:"node"`
		Number  string `json:"number"`
		OwnWord uint64 `json:"own_word"`
		By      string `json:"by"`
		Epoch   uint64 `json:"epoch"`
		Lost    bool   `json:"lost"`  // an operator has declared its machine lost
		Since   int64  `json:"since"` // 0: not known
	}
	standInJSON struct {
		Node string `json:"node"` // whose stale copy
		Lost string `json:"lost"`
		By   string `json:"by"`   // who says that it is lost for good
		Word uint64 `json:"word"` // the number of that word
	}
	splitJSON struct {
		What string `json:"what"`
		Do   string `json:"do"` // the line to type
	}
	groupOnNodeJSON struct {
		Node     string        `json:"node"`
		Phase    string        `json:"phase"`
		Failed   string        `json:"failed"`
		Disks    []diskJSON    `json:"disks"`
		Services []serviceJSON `json:"services"`
	}
	diskJSON struct {
		Volume    string `json:"volume"`
		Own       string `json:"own"`
		Peer      string `json:"peer"`
		Connected bool   `json:"connected"`
	}
	serviceJSON struct {
		Name  string `json:"name"`
		State string `json:"state"`
	}
	nodeJSON struct {
		Name       string       `json:"name"`
		Heard      bool         `json:"heard"`
		SilentMS   int64        `json:"silent_ms"` // -1: not heard by this witness
		Introduced bool         `json:"introduced"`
		Boot       string       `json:"boot"`
		Agent      uint64       `json:"agent"` // starts of sbagent there
		Standby    bool         `json:"standby"`
		Twins      bool         `json:"twins"`
		References uint32       `json:"references"`
		Needed     uint32       `json:"needed"`
		Links      []linkJSON   `json:"links"`
		Watchdog   watchdogJSON `json:"watchdog"`
	}
	linkJSON struct {
		Name      string `json:"name"`
		HearsPeer bool   `json:"hears_peer"`
		LostIn    uint32 `json:"lost_in_percent"`
		LostOut   uint32 `json:"lost_out_percent"`
	}
	watchdogJSON struct {
		Armed     bool  `json:"armed"`
		Hardware  bool  `json:"hardware"`
		TimeoutMS int64 `json:"timeout_ms"`
	}
	mandateJSON struct {
		ID       uint64 `json:"id"`
		Target   string `json:"target"`
		Executor string `json:"executor"`
		Group    string `json:"group"`
		Phase    string `json:"phase"`
	}
)

func statusView(w *witness, pairs []*pair) statusJSON {
	s := w.status.GetWitness()
	out := statusJSON{
		Level: worst(pairs),
		Witness: &witnessJSON{
			Name: s.GetName(), Address: w.addr, LeadingMS: ms(s.GetLeadingNs()),
			Incarnation: s.GetVersion().GetIncarnation(), Starts: s.GetVersion().GetStarts(), Index: s.GetVersion().GetIndex(),
		},
		Clusters: each(pairs, (*pair).view),
	}
	return out
}

// worst is the level of everything together; a witness without a cluster wants
// one.
func worst(pairs []*pair) level {
	if len(pairs) == 0 {
		return levelAttention
	}
	out := levelOK
	for _, p := range pairs {
		if l := p.level(); l.rank() > out.rank() {
			out = l
		}
	}
	return out
}

func (p *pair) view() clusterJSON {
	out := clusterJSON{
		Name: p.def.GetCluster(), Level: p.level(), Verdict: p.headline(),
		Findings: slices.Concat([]finding{}, p.found), Alarms: slices.Concat([]string{}, p.alarms),
		Epoch: p.GetEpoch(), Learning: p.GetLearning(), Maintenance: p.GetMaintenance(), MaintenanceUntil: p.GetMaintenanceUntil(),
		Groups: each(p.GetGroups(), p.groupView), Nodes: each(p.GetNodes(), p.nodeView),
	}
	if m := p.GetMandate(); m != nil {
		out.Mandate = &mandateJSON{m.GetId(), m.GetTarget(), m.GetExecutor(), m.GetGroup(), m.GetPhase()}
	}
	return out
}

func (p *pair) groupView(g *sbv1.GroupStatus) groupJSON {
	out := groupJSON{
		Name: g.GetName(), Runs: p.runs(g), Holder: g.GetHolder(), Epoch: g.GetEpoch(), Started: g.GetStarted(),
		RemainingMS: ms(g.GetRemainingNs()), Basis: basisView(g.GetBasis()), Last: basisView(g.GetLast()),
		OrderTo: g.GetOrderTo(), Unshot: g.GetUnshot(),
		Exclusions: each(g.GetExclusions(), func(e *sbv1.ExclusionStatus) exclusionJSON {
			return exclusionJSON{e.GetNode(), arbiter.ExclusionNumber(e.GetNumber()).String(), e.GetOwnWord(), e.GetBy(), e.GetEpoch(), e.GetLost(), e.GetSinceMs() / 1000}
		}),
		Nodes: each(g.GetNodes(), groupOnNodeView),
	}
	if s := g.GetStandIn(); s != nil {
		out.StandIn = &standInJSON{s.GetNode(), s.GetLost(), s.GetBy(), s.GetWord()}
	}
	if s := g.GetSplit(); s != nil {
		out.Split = &splitJSON{s.GetWhat(), s.GetDo()}
	}
	return out
}

func basisView(b *sbv1.Basis) basisJSON {
	return basisJSON{b.GetCause(), b.GetHolder(), b.GetEpoch(), arbiter.Grade(b.GetGrade()).String(), b.GetSwitchover(), basisWords(b)}
}

func groupOnNodeView(on *sbv1.GroupOnNode) groupOnNodeJSON {
	return groupOnNodeJSON{
		Node: on.GetNode(), Phase: on.GetPhase(), Failed: on.GetFailed(),
		Disks: each(on.GetDisks(), func(d *sbv1.Disk) diskJSON {
			return diskJSON{d.GetVolume(), d.GetOwn(), d.GetPeer(), d.GetConnected()}
		}),
		Services: each(on.GetServices(), func(s *sbv1.ServiceStatus) serviceJSON { return serviceJSON{s.GetName(), s.GetState()} }),
	}
}

func (p *pair) nodeView(n *sbv1.NodeStatus) nodeJSON {
	w := n.GetWatchdog()
	return nodeJSON{
		Name: n.GetName(), Heard: p.heard(n.GetName()), SilentMS: max(ms(n.GetSilentNs()), -1), Introduced: n.GetIntroduced(),
		Boot: n.GetBoot(), Agent: n.GetIncarnation(), Standby: n.GetStandby(), Twins: n.GetTwins(),
		References: n.GetReferences(), Needed: n.GetNeeded(),
		Links: each(n.GetLinks(), func(l *sbv1.LinkStatus) linkJSON {
			return linkJSON{l.GetName(), l.GetHearsPeer(), l.GetLostInPercent(), l.GetLostOutPercent()}
		}),
		Watchdog: watchdogJSON{w.GetArmed(), w.GetHardware(), ms(w.GetTimeoutNs())},
	}
}

// ms is nanoseconds as milliseconds; -1 stays what it means.
func ms(ns int64) int64 {
	if ns == -1 {
		return -1
	}
	return time.Duration(ns).Milliseconds()
}

func each[T, U any](in []T, f func(T) U) []U {
	out := make([]U, 0, len(in))
	for _, v := range in {
		out = append(out, f(v))
	}
	return out
}
