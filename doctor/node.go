package doctor

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"time"
	"unicode"
)

const (
	certificateSoon = 30 * 24 * time.Hour
	certificateNow  = 7 * 24 * time.Hour
	// oldSecret is when a password has been in use for long.
	oldSecret = 365 * 24 * time.Hour
)

// Examine returns what is wrong with a node, the worst first.
func (n Node) Examine() []Finding {
	var out findings
	for _, r := range n.Refused {
		out.add(Critical, n.Name, r, "sbagent does not start", "as the line says; then: sbagent check")
	}
	n.drbd(&out)
	n.watchdog(&out)
	n.devices(&out)
	for _, f := range n.Files {
		if !f.unusable() || !n.refuses(f.Path) {
			f.examine(&out)
		}
	}
	n.managers(&out)
	n.certificate(&out)
	n.Kept.examine(&out)
	if n.Clock.Known && !n.Clock.Synchronised {
		out.add(Note, n.Name, "the time of day is not synchronised", "certificates and log lines go by it; leases do not", "install chrony or systemd-timesyncd")
	}
	return out.sorted()
}

type findings struct{ list []Finding }

func (f *findings) add(s Severity, subject, what, why, fix string) {
	f.list = append(f.list, Finding{Severity: s, Subject: subject, What: what, Why: why, Fix: fix})
}

func (f *findings) sorted() []Finding { return Sorted(f.list) }

// Sorted returns the findings, the worst first, else in the order in which they
// were made.
func Sorted(found []Finding) []Finding {
	var out []Finding
	for _, s := range Severities {
		for _, one := range found {
			if one.Severity == s {
				out = append(out, one)
			}
		}
	}
	return out
}

func (n Node) drbd(out *findings) {
	if !n.DRBD.Used {
		return
	}
	if n.DRBD.Err != "" {
		out.add(Critical, "DRBD", "its configuration cannot be checked: "+n.DRBD.Err, "sbagent does not start", "drbdadm dump; lsmod | grep drbd")
	}
	for _, v := range n.DRBD.Violations {
		why, fix := "acknowledged writes could be lost, or both nodes write", v.Fix
		if v.Danger == ResolvesSplits {
			why = "after a split brain DRBD gives one copy up by itself, unkept, before a policy or an operator is asked"
			fix += "; a policy that is wanted goes into recovery: in cluster.yaml (sbctl drbd-config --help)"
		}
		out.add(Critical, v.Where, v.What, why, fix)
	}
	for _, u := range n.DRBD.Unattached {
		out.add(Warning, u.Resource, "its disks could not be attached: "+u.Err, "no group can run on it, and what the kernel would go by was not looked at",
			"drbdadm attach "+u.Resource+"; the kernel's log says more")
	}
	n.DRBD.Helper.examine(out)
	if units := strings.Join(n.DRBD.StartedBy, " "); units != "" {
		out.add(Critical, units, "it connects DRBD when the machine starts, before sbagent has asked whether that is safe",
			"a peer whose writes are frozen goes on as soon as this machine connects, and they are lost if it dies then", "systemctl disable "+units)
	}
}

func (n Node) watchdog(out *findings) {
	w := n.Watchdog
	if !w.Wanted {
		out.add(Warning, n.Name, "there is no watchdog", "nothing resets this machine when its software stands still: only power proves it gone",
			"watchdog: {device: /dev/watchdog} in node.yaml, with the driver of this machine loaded")
		return
	}
	switch {
	case w.Missing != "":
		out.add(Critical, w.Device, w.Missing, "sbagent does not start", "modprobe the driver of this machine's watchdog, and list it in /etc/modules-load.d")
	case w.Owner != "" && !bool(w.Ours):
		out.add(Critical, w.Device, w.Owner+" has it open", "whoever feeds it keeps a machine alive that should be reset", "stop "+w.Owner+", and RuntimeWatchdogSec=0 in /etc/systemd/system.conf")
	}
	if w.Software {
		out.add(Warning, w.Device, "it is "+w.Driver+", which stands still with its machine", "a paused or frozen machine is not reset, so nothing is taken over from it by the clock (E2)",
			"use the machine's hardware watchdog, or power fencing; accept_pause_risk: true in cluster.yaml if you accept that")
	}
}

// devices looks at the way to each fence device: one that goes the way of the
// heartbeat is cut by the failure that makes it necessary.
func (n Node) devices(out *findings) {
	if len(n.Devices) == 0 {
		out.add(Warning, n.Name, "no fence device for "+n.Peer+" is configured", "this node cannot prove that its peer is off",
			"fencing: in node.yaml; without one: fencing: watchdog in cluster.yaml")
	}
	for _, d := range n.Devices {
		if bool(n.Power) && d.Err != "" && !n.locked(d) {
			out.add(Critical, d.Name, "it does not tell the power of "+n.Peer+": "+d.Err, "a shot would prove nothing, and "+n.Peer+"'s groups would wait", "mend address, password or network, as the line says; then: sbagent check")
		}
		if d.HostName != "" {
			out.add(Warning, d.Name, "it is reached by the name "+d.HostName, "name resolution may be gone when it is needed", "write its address instead")
		}
		if SameMachine(d.Machine, n.Machine) {
			out.add(Critical, d.Name, "it switches "+n.Name+" itself: it has the UUID of this machine", "a shot at "+n.Peer+" would hit the node that takes over, and "+n.Peer+" would run on",
				"write the address of "+n.Peer+"'s device")
		}
		if !d.Address.IsValid() {
			continue
		}
		switch {
		case d.Path.Interface == "":
			out.add(Critical, d.Name, fmt.Sprintf("there is no route to %v", d.Address), "it cannot be reached when it is needed", "ip route get "+d.Address.String())
		case n.onlyLink(d.Path.Interface):
			out.add(Warning, d.Name, fmt.Sprintf("it is reached through %s, as the only heartbeat links are", d.Path.Interface),
				"the cable that silences the peer cuts off its fence device as well", "connect it through another interface, or add a heartbeat link that does not use "+d.Path.Interface)
		}
	}
}

// refuses reports whether a refusal to start names that file: it has said what is
// wrong with it.
func (n Node) refuses(path string) bool {
	return slices.ContainsFunc(n.Refused, func(why string) bool {
		for _, word := range strings.FieldsFunc(why, func(r rune) bool { return unicode.IsSpace(r) || strings.ContainsRune(":;,()[]{}\"'", r) }) {
			if word == path {
				return true
			}
		}
		return false
	})
}

// locked reports whether a secret of the device cannot be used. Then that is said, and
// that the device does not answer merely follows.
func (n Node) locked(d Device) bool {
	return slices.ContainsFunc(n.Files, func(f File) bool {
		return slices.Contains(d.Secrets, f.Path) && f.unusable()
	})
}

// Switches are the machines that the fence devices say they switch.
func (n Node) Switches() map[string]string {
	out := map[string]string{}
	for _, d := range n.Devices {
		if d.Machine != "" {
			out[d.Name] = d.Machine
		}
	}
	return out
}

// onlyLink reports whether every heartbeat link goes through that interface.
func (n Node) onlyLink(name string) bool {
	for _, l := range n.Links {
		if l.Interface != name {
			return false
		}
	}
	return len(n.Links) > 0
}

// unusable reports whether the file cannot be used as what it is for.
func (f File) unusable() bool { return f.Err != "" || f.Kind == Secret && f.Mode&0o077 != 0 }

func (f File) examine(out *findings) {
	switch {
	case f.Path == "":
	case f.Err != "":
		out.add(Critical, f.Path, f.Err, "it is "+f.What, cmp.Or(f.Mend, "put it there"))
	case f.Kind == Program && f.Mode&0o111 == 0:
		out.add(Critical, f.Path, fmt.Sprintf("it is not executable (mode %04o)", f.Mode), "it is "+f.What, "chmod 755 "+f.Path)
	case f.Kind == Program && f.Mode&0o022 != 0:
		out.add(Critical, f.Path, fmt.Sprintf("others than its owner may write to it (mode %04o)", f.Mode), "root runs it: it is "+f.What, "chmod go-w "+f.Path)
	case f.Kind == Secret && f.Mode&0o077 != 0:
		out.add(Critical, f.Path, fmt.Sprintf("others than its owner may use it (mode %04o)", f.Mode), "it is "+f.What, "chmod 600 "+f.Path)
	case f.Kind == Secret && f.Changed > oldSecret:
		out.add(Note, f.Path, fmt.Sprintf("it is %d days old", int(f.Changed.Hours()/24)), "it is "+f.What+", and may be known to people who have left", "change it, and write the new one into the file")
	}
}

func (n Node) managers(out *findings) {
	if len(n.Managers) == 0 {
		return
	}
	out.add(Critical, strings.Join(n.Managers, ", "), "another cluster manager runs on this node", "two that start and stop the same services, or move addresses, undo each other",
		"systemctl disable --now "+strings.Join(n.Managers, " "))
}

// issue is the command that makes this node's certificate.
func (n Node) issue() string { return "sbctl pki issue node " + n.Name + " --cluster " + n.Cluster }

func (n Node) certificate(out *findings) {
	c := n.Cert
	fix := "where the CA is: " + n.issue() + ", and copy the files here; no restart is needed"
	switch {
	case c.Err != "":
		out.add(Critical, c.Path, c.Err, "the witness does not know this node", fix)
	case c.Path == "":
	case c.Left <= 0:
		out.add(Critical, c.Path, "the certificate has expired", "the witness does not talk to this node", fix)
	case c.Left < certificateNow:
		out.add(Warning, c.Path, "the certificate expires in "+days(c.Left), "then the witness does not talk to this node any more", fix)
	case c.Left < certificateSoon:
		out.add(Note, c.Path, "the certificate expires in "+days(c.Left), "then the witness does not talk to this node any more", fix)
	}
}

func days(d time.Duration) string {
	switch n := int(d.Hours() / 24); n {
	case 0:
		return "less than a day"
	case 1:
		return "one day"
	default:
		return fmt.Sprintf("%d days", n)
	}
}
