package arbiter_test

import (
	"fmt"
	"strconv"
	"strings"
	"time"

	"sbarbiter/arbiter"
	"sbarbiter/internal/boottime"
)

const pair arbiter.ClusterID = "pair"

// words is one line of a story: who, verb, then arguments, flags and key=value.
type words struct {
	node  arbiter.NodeID // who speaks; "" for leader and operators
	first string         // the verb
	args  []string
	used  map[string]bool
}

func parseWords(line string) *words {
	w := &words{args: strings.Fields(line), used: map[string]bool{}}
	if isNode(w.args[0]) {
		w.node, w.args = arbiter.NodeID(w.args[0]), w.args[1:]
	}
	w.first, w.args = w.args[0], w.args[1:]
	return w
}

// arg returns the i-th word after the verb.
func (w *words) arg(i int) string {
	if i >= len(w.args) {
		return ""
	}
	w.used[w.args[i]] = true
	return w.args[i]
}

// has reports whether a flag stands on the line.
func (w *words) has(flag string) bool {
	for _, a := range w.args {
		if a == flag {
			w.used[a] = true
			return true
		}
	}
	return false
}

// get returns the value of key=value, or otherwise.
func (w *words) get(key, otherwise string) string {
	for _, a := range w.args {
		if k, v, ok := strings.Cut(a, "="); ok && k == key {
			w.used[a] = true
			return v
		}
	}
	return otherwise
}

func (w *words) number(key string, otherwise uint64) uint64 {
	return atoi(w.get(key, strconv.FormatUint(otherwise, 10)))
}

// list returns the comma-separated values of a key.
func (w *words) list(key string) []string {
	v := w.get(key, "")
	if v == "" {
		return nil
	}
	return strings.Split(v, ",")
}

// unused catches a misspelt word, which would change a story silently.
func (w *words) unused() error {
	for _, a := range w.args {
		if !w.used[a] {
			return fmt.Errorf("nobody understands %q", a)
		}
	}
	return nil
}

func atoi(s string) uint64 {
	n, err := strconv.ParseUint(s, 10, 64)
	if err != nil {
		panic(err)
	}
	return n
}

// exclusionNumber reads "incarnation.count".
func exclusionNumber(s string) arbiter.ExclusionNumber {
	high, low, _ := strings.Cut(s, ".")
	if low == "" {
		return arbiter.ExclusionNumber(atoi(high))
	}
	return arbiter.ExclusionNumber(atoi(high)<<32 | atoi(low))
}

func grade(s string) arbiter.Grade {
	g, err := arbiter.ParseGrade(s)
	if err != nil {
		panic(err)
	}
	return g
}

func (s *stage) caller(w *words) arbiter.Caller {
	n := s.nodes[w.node]
	if n == nil {
		n = &life{}
	}
	n.request++
	c := arbiter.Caller{Cluster: arbiter.ClusterID(w.get("cluster", string(pair))), Node: w.node}
	c.Boot = arbiter.BootID(w.get("boot", string(n.boot)))
	c.Incarnation = arbiter.Incarnation(w.number("start", uint64(n.start)))
	c.Floor = arbiter.Epoch(w.number("floor", uint64(n.floor)))
	c.Request = arbiter.RequestID(w.number("req", uint64(n.request)))
	return c
}

func evidence(w *words) arbiter.Evidence {
	d := arbiter.Disk{Volume: "r0/0", Own: arbiter.DiskState(w.get("disks", "UpToDate")), Peer: "DUnknown"}
	if w.has("in-step") {
		d.Peer, d.Connected = arbiter.UpToDate, true
	}
	e := arbiter.Evidence{Disks: []arbiter.Disk{d}, OwnWord: w.number("own", 0)}
	have, need, _ := strings.Cut(w.get("refs", "1/1"), "/")
	e.References, e.Needed = int(atoi(have)), int(atoi(need))
	e.HearsPeer, e.Promising, e.Failed = w.has("hears"), w.has("promising"), w.has("start-failed")
	e.PeerReaches = int(w.number("peer-reaches", 0))
	if kind := w.get("watchdog", ""); kind != "" {
		e.Watchdog = arbiter.Watchdog{Armed: true, Hardware: kind == "hardware", Timeout: 5 * time.Second}
	}
	return e
}

func (s *stage) judgement(w *words, id arbiter.GroupID) arbiter.Judgement {
	j := arbiter.Judgement{
		Epoch:     arbiter.Epoch(w.number("judged", uint64(s.lease(id)))),
		Suspected: w.has("suspected"), Expired: w.has("expired"), InTime: !w.has("late"),
		Gate: w.has("gate"), Delay: w.has("delay"), Backoff: w.has("backoff"), PeerHeard: w.has("peer-heard"),
	}
	if disks := w.get("peer-wants", ""); disks != "" {
		j.Peer = &arbiter.Evidence{Disks: []arbiter.Disk{{Volume: "r0/0", Own: arbiter.DiskState(disks)}}, References: 1, Needed: 1}
	}
	return j
}

// readings reads "bmc:on,pdu:off".
func readings(list []string) []arbiter.Reading {
	var out []arbiter.Reading
	for i, r := range list {
		device, power, _ := strings.Cut(r, ":")
		out = append(out, arbiter.Reading{Device: device, Power: power, At: boottime.Instant(i + 1)})
	}
	return out
}

// report reads runs=nfs@4 knows=nfs@4:node-a excluded=nfs:1.1 own=nfs:1
// obtained=nfs:1.1 pending=nfs mandates=1 since=5.
func report(w *words) arbiter.Report {
	r := arbiter.Report{Fresh: w.has("fresh"), Groups: map[arbiter.GroupID]arbiter.GroupReport{}}
	each := func(key, sep string, set func(g *arbiter.GroupReport, v string)) {
		for _, item := range w.list(key) {
			id, v, _ := strings.Cut(item, sep)
			g := r.Groups[arbiter.GroupID(id)]
			set(&g, v)
			r.Groups[arbiter.GroupID(id)] = g
		}
	}
	each("runs", "@", func(g *arbiter.GroupReport, v string) {
		g.Holder, g.Epoch, g.Runs = w.node, arbiter.Epoch(atoi(v)), true
	})
	each("knows", "@", func(g *arbiter.GroupReport, v string) {
		e, holder, _ := strings.Cut(v, ":")
		g.Holder, g.Epoch = arbiter.NodeID(holder), arbiter.Epoch(atoi(e))
	})
	each("excluded", ":", func(g *arbiter.GroupReport, v string) { g.Excluded = exclusionNumber(v) })
	each("own", ":", func(g *arbiter.GroupReport, v string) { g.OwnWord = atoi(v) })
	each("obtained", ":", func(g *arbiter.GroupReport, v string) { g.Obtained = exclusionNumber(v) })
	each("pending", ":", func(g *arbiter.GroupReport, _ string) { g.Pending = true })
	for _, at := range w.list("since") {
		r.Since = boottime.Instant(atoi(at))
	}
	for _, m := range w.list("mandates") {
		r.Mandates = append(r.Mandates, arbiter.MandateID(atoi(m)))
	}
	return r
}
