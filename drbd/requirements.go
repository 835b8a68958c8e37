package drbd

import (
	"fmt"
	"slices"
	"strings"
)

// Violation is a setting under which arbitration could not keep its word.
type Violation struct {
	What  string // what is wrong, with the value found
	Where string // the resource and, where it matters, volume or connection
	Fix   string // the line to write, or the command to run
}

// String formats the violation as one line.
func (v Violation) String() string { return v.Where + ": " + v.What + "; write: " + v.Fix }

// ResolvesSplits reports whether the setting could let DRBD end a split brain by itself.
func (v Violation) ResolvesSplits() bool {
	return strings.HasPrefix(v.What, templated) || strings.HasPrefix(v.What, "after-sb-") || strings.HasPrefix(v.What, "rr-conflict")
}

// Requirements are what a managed resource's configuration must say: a primary
// that loses its peer freezes until the fence-peer handler has answered
// (protocol C and resource-and-stonith), only arbitration resolves a split
// brain (after-sb-*, rr-conflict), and nobody else promotes (DRBD 9's
// auto-promote and quorum).
type Requirements struct {
	Family   Family
	Resource string
	// HandlerCommand is what each of Handlers must be set to, with the
	// handler's name as its last argument.
	HandlerCommand string
	Handlers       []Handler
}

// RequiredHandlers are those that arbitration cannot do without: fence-peer
// freezes and releases, local-io-error makes a lost disk durable knowledge,
// split-brain opens a recovery.
func RequiredHandlers() []Handler {
	return []Handler{HandlerFencePeer, HandlerLocalIOError, HandlerSplitBrain}
}

// rule is one option with the only value that is allowed.
type rule struct {
	section, option, want, fallback string
}

// connectionRules hold for the net options of a connection.
func (q Requirements) connectionRules() []rule {
	rules := []rule{
		{"net", "protocol", "C", "C"},
		{"net", "allow-two-primaries", "no", "no"},
		{"net", "after-sb-0pri", "disconnect", "disconnect"},
		{"net", "after-sb-1pri", "disconnect", "disconnect"},
		{"net", "after-sb-2pri", "disconnect", "disconnect"},
		{"net", "rr-conflict", "disconnect", "disconnect"},
	}
	if q.Family == Family9 {
		rules = append(rules, rule{"net", "fencing", "resource-and-stonith", "dont-care"})
	}
	return rules
}

// volumeRules hold for the disk options of a volume.
func (q Requirements) volumeRules() []rule {
	if q.Family == Family9 {
		return nil
	}
	return []rule{{"disk", "fencing", "resource-and-stonith", "dont-care"}}
}

// resourceRules hold for the resource as a whole.
func (q Requirements) resourceRules() []rule {
	if q.Family != Family9 {
		return nil
	}
	return []rule{
		{"options", "auto-promote", "no", "yes"},
		{"options", "quorum", "off", "off"},
	}
}

// CheckFiles checks the configuration files, parsed from "drbdadm dump": what
// the next "up" puts in force, and the handlers, which only the files have.
func (q Requirements) CheckFiles(dump Section) []Violation {
	res, ok := dump.resource(q.Resource)
	if !ok {
		return []Violation{q.missing("the configuration files", "define the resource under /etc/drbd.d")}
	}
	base := append([]Section{res}, dump.all("common")...)
	out := q.check(base, q.resourceRules(), "")
	conns := res.all("connection")
	if len(conns) == 0 {
		conns = []Section{{}}
	}
	for i, conn := range conns {
		out = append(out, q.check(prepend(conn, base), q.connectionRules(), label("connection", i, len(conns)))...)
	}
	out = append(out, q.checkVolumes(res, base)...)
	out = append(out, q.checkHandlers(base)...)
	return append(out, q.checkTemplate(res)...)
}

const templated = "its settings are in a template"

// checkTemplate refuses what DRBD 9 takes settings from, and drbdadm does not print: not
// even its policies after a split brain would be seen.
func (q Requirements) checkTemplate(res Section) []Violation {
	var out []Violation
	for _, o := range res.Options {
		if o.Keyword == "template-file" {
			out = append(out, Violation{
				What:  fmt.Sprintf("%s (template-file %s), which cannot be checked", templated, clip(strings.Join(o.Values, " "))),
				Where: q.where(""), Fix: fmt.Sprintf("resource %s { net { ... } }, without template-file", q.Resource),
			})
		}
	}
	return out
}

// CheckSplit checks only what would let DRBD resolve a split brain on its own,
// parsed from "drbdadm dump".
func (q Requirements) CheckSplit(dump Section) []Violation {
	var out []Violation
	for _, v := range q.CheckFiles(dump) {
		if v.ResolvesSplits() {
			out = append(out, v)
		}
	}
	return out
}

// CheckSplitNow adds to what CheckSplit has found in the files what is in force, parsed
// from "drbdsetup show". DRBD 9 connects by that alone: what was mended in the files counts
// only once the kernel has been told of it.
func (q Requirements) CheckSplitNow(inFiles []Violation, show Section) []Violation {
	out := slices.Clone(inFiles)
	for _, v := range q.CheckKernel(show) {
		if !v.ResolvesSplits() {
			continue
		}
		// It sets the option alone, also where the files do not name it, and connects nothing.
		option, _, _ := strings.Cut(v.What, " ")
		v.Fix = fmt.Sprintf("drbdadm net-options --%s=disconnect %s", option, q.Resource)
		if i := slices.IndexFunc(out, func(o Violation) bool { return o.What == v.What }); i >= 0 {
			out[i].Fix += ", and then type: " + v.Fix
			continue
		}
		out = append(out, v)
	}
	return out
}

// CheckKernel checks what is in force now, parsed from "drbdsetup show". While
// StandAlone 8.4 has no connection to show; what is not there is not judged.
func (q Requirements) CheckKernel(show Section) []Violation {
	res, ok := show.resource(q.Resource)
	if !ok {
		return []Violation{q.missing("the kernel", "drbdadm up "+q.Resource)}
	}
	base := []Section{res}
	out := q.check(base, q.resourceRules(), "now in force")
	for _, conn := range res.all("connection") {
		out = append(out, q.check(prepend(conn, base), q.connectionRules(), "now in force")...)
	}
	if len(res.all("net")) > 0 { // 8.4 has the net section in the resource
		out = append(out, q.check(base, q.connectionRules(), "now in force")...)
	}
	for _, v := range q.checkVolumes(res, base) {
		v.Where += ", now in force"
		out = append(out, v)
	}
	return out
}

// checkVolumes finds every volume, whether in the resource or in an "on HOST"
// section, and checks its disk options. Without a named volume, the section
// that says "disk PATH" is the one.
func (q Requirements) checkVolumes(res Section, base []Section) []Violation {
	var out []Violation
	seen := map[string]bool{}
	hosts := append([]Section{res}, res.all("on")...)
	hosts = append(hosts, res.all("_this_host")...)
	for _, host := range hosts {
		for _, vol := range host.all("volume") {
			where := "volume " + strings.Join(vol.Args, " ")
			for _, v := range q.check(prepend(vol, prepend(host, base)), q.volumeRules(), where) {
				if !seen[v.Where+v.What] {
					seen[v.Where+v.What] = true
					out = append(out, v)
				}
			}
		}
	}
	if !hasVolumes(hosts) {
		return q.check(base, q.volumeRules(), "")
	}
	return out
}

func hasVolumes(hosts []Section) bool {
	for _, h := range hosts {
		if len(h.all("volume")) > 0 {
			return true
		}
	}
	return false
}

func (q Requirements) check(scopes []Section, rules []rule, where string) []Violation {
	var out []Violation
	for _, r := range rules {
		got := effective(scopes, r.section, r.option, r.fallback)
		if strings.EqualFold(got, r.want) {
			continue
		}
		out = append(out, Violation{
			What:  fmt.Sprintf("%s is %s, must be %s", r.option, got, r.want),
			Where: q.where(where),
			Fix:   fmt.Sprintf("resource %s { %s { %s %s; } }", q.Resource, r.section, r.option, r.want),
		})
	}
	return out
}

func (q Requirements) checkHandlers(base []Section) []Violation {
	var out []Violation
	for _, h := range q.Handlers {
		want := q.HandlerCommand + " " + string(h)
		got := effective(base, "handlers", string(h), "")
		if strings.Join(strings.Fields(got), " ") == want {
			continue
		}
		what := fmt.Sprintf("handler %s is not set", h)
		if got != "" {
			what = fmt.Sprintf("handler %s runs %q, must run %q", h, clip(got), want)
		}
		out = append(out, Violation{
			What: what, Where: q.where(""),
			Fix: fmt.Sprintf("resource %s { handlers { %s \"%s\"; } }", q.Resource, h, want),
		})
	}
	return out
}

func (q Requirements) missing(where, fix string) Violation {
	return Violation{What: "the resource is not in " + where, Where: q.where(""), Fix: fix}
}

func (q Requirements) where(detail string) string {
	if detail == "" {
		return "resource " + q.Resource
	}
	return "resource " + q.Resource + ", " + detail
}

func label(word string, i, n int) string {
	if n == 1 {
		return ""
	}
	return fmt.Sprintf("%s %d", word, i+1)
}

// prepend returns the scopes with inner as the first to ask.
func prepend(inner Section, scopes []Section) []Section {
	return append([]Section{inner}, scopes...)
}
