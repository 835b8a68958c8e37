package config

import (
	"fmt"
	"net/netip"
	"slices"
	"time"
)

// Fencing is how to power off one machine: levels, tried in order until one
// succeeds. All devices of a level must succeed.
type Fencing [][]FenceDevice

// FenceDevice is one device and how it is used.
type FenceDevice struct {
	Spec FenceSpec
	// Timeout is for power off and the proof that it is off, CallTimeout for one
	// command or one reading of those.
	Timeout     time.Duration
	CallTimeout time.Duration
	Attempts    int // how often off is sent
	Cuts        Cuts
}

// FenceSpec is one driver with its settings: [IPMI], [IPMITool], [Redfish],
// [SSH], [FenceAgent] or [FenceCommand].
type FenceSpec interface {
	// Driver is the name that the file has for it.
	Driver() string
	// Device names the device: two with one name are one.
	Device() string
	// unit is the address of what is switched, with the part of it where there are
	// several; an invalid address where it cannot be told.
	unit() (address netip.Addr, part string)
}

// FenceAction says what becomes of a peer that was shot.
type FenceAction string

// It stays off until somebody has looked, or is switched on again: all devices
// off, then all on.
const (
	FenceOff    FenceAction = "off"
	FenceReboot FenceAction = "reboot"
)

// Cuts says what of a machine's power a device cuts.
type Cuts string

// All of it, or one of several supplies.
const (
	CutsMachine Cuts = "machine"
	CutsSupply  Cuts = "supply"
)

const (
	defaultFenceTimeout  = 10 * time.Second
	defaultCallTimeout   = 3 * time.Second
	defaultToolTimeout   = 4 * time.Second // a program is started, and asks for more than is needed
	defaultAgentTimeout  = 8 * time.Second // an agent waits for the effect by itself
	defaultFenceAttempts = 3
	mostFenceAttempts    = 20
)

// Name is how readings, records and alarms call the device.
func (d FenceDevice) Name() string {
	if d.Spec == nil {
		return ""
	}
	return d.Spec.Device()
}

// Weak reports whether the device asks the target itself to stop.
func (d FenceDevice) Weak() bool {
	_, ssh := d.Spec.(SSH)
	return ssh
}

// fencing reads the levels. A flat list of several devices is refused: taken the
// wrong way, one of two power supplies off would count as the machine being off.
func (v value) fencing() Fencing {
	if v.absent() || !v.isList() {
		if !v.absent() && v.isScalar() {
			if w := v.text(); w != "none" && w != "" {
				v.fail("write the other node's devices, as [{driver: ipmi, address: 10.0.0.242, ...}], or none; stonith and watchdog are words of cluster.yaml",
					"%q is no list of fence devices", w)
			}
			return nil
		}
		list(v, value.fenceDevice) // says that a list is wanted
		return nil
	}
	var out Fencing
	flat := 0
	for _, level := range list(v, func(v value) []FenceDevice {
		if !v.isList() {
			flat++
			return []FenceDevice{v.fenceDevice()}
		}
		devices := list(v, value.fenceDevice)
		if len(devices) == 0 {
			v.fail("", "is empty")
		}
		return devices
	}) {
		out = append(out, level)
	}
	if len(out) == 0 {
		v.fail("write fencing: none if there is no fence device", "is empty")
	}
	if flat > 0 && len(out) > 1 {
		v.fail("write [[a], [b]] for \"b where a fails\", [[a, b]] for \"both must succeed\"", "several devices, but not in which way")
		return out
	}
	out.settle()
	v.checkTopology(out)
	return out
}

// settle says what each device cuts where the file does not: of several devices
// in a level each may be one of the machine's supplies, and one that is taken
// for the whole machine would prove too much.
func (f Fencing) settle() {
	for _, level := range f {
		for i := range level {
			switch {
			case level[i].Cuts != "" || level[i].Weak():
			case len(level) > 1:
				level[i].Cuts = CutsSupply
			default:
				level[i].Cuts = CutsMachine
			}
		}
	}
}

// place is where the file has a device: a level of one may be written without
// its own list.
func (v value) deviceAt(i, j int) string {
	if nested := fmt.Sprintf("%s[%d][%d]", v.path, i, j); v.src.has(nested) {
		return nested
	}
	return fmt.Sprintf("%s[%d]", v.path, i)
}

// checkTopology refuses levels that could never prove anything, and devices that
// are one.
func (v value) checkTopology(f Fencing) {
	type seen struct{ name, at string }
	var all []seen
	units := map[string]seen{}
	for i, level := range f {
		strong, weak, supplies := 0, "", 0
		for j, d := range level {
			if d.Spec == nil {
				return // said already
			}
			at := v.deviceAt(i, j)
			if d.Weak() {
				weak = at
			} else {
				strong++
			}
			if d.Cuts == CutsSupply {
				supplies++
			}
			for _, s := range all {
				if s.name == d.Name() {
					v.src.addAt(at, fmt.Sprintf("%q is %s already; trying it twice proves no more", d.Name(), s.at), "remove one")
				}
			}
			if address, part := d.Spec.unit(); address.IsValid() {
				key := address.String() + " " + part
				if s, twice := units[key]; twice && s.name != d.Name() {
					v.src.addAt(at+".address", fmt.Sprintf("%v is the address of %s already: one device cannot bear itself out", address, s.at), "remove one, or write the other device's address")
				}
				units[key] = seen{d.Name(), at}
			}
			all = append(all, seen{d.Name(), at})
		}
		if weak != "" && strong > 0 {
			v.src.addAt(weak, "all devices of a level must succeed, and a machine that is dead takes no command", "give it a level of its own: [[ssh], [power]]")
		}
		if strong == 1 && supplies == 1 {
			v.src.addAt(fmt.Sprintf("%s[%d]", v.path, i), "the only device of this level cuts one supply, so the level can never prove the machine off",
				"add the device of the other supply: [[a, b]]")
		}
	}
}

// notOwn refuses devices that would power off this node itself, as far as its
// file tells: a line copied from the other node's file.
func (v value) notOwn(n Node) {
	for i, level := range n.Fencing {
		for j, d := range level {
			if d.Spec == nil {
				continue
			}
			address, _ := d.Spec.unit()
			at := v.deviceAt(i, j) + ".address"
			switch {
			case !address.IsValid():
			case address == n.OwnBMC:
				v.src.addAt(at, fmt.Sprintf("%v is this node's own_bmc: it would shoot itself", address), "write the address of "+n.Peer+"'s device")
			case slices.ContainsFunc(n.Links, func(l Link) bool { return l.Local.Addr() == address }):
				v.src.addAt(at, fmt.Sprintf("%v is this node's own address: it would shoot itself", address), "write the address of "+n.Peer+"'s device")
			}
		}
	}
}

func (v value) fenceDevice() FenceDevice {
	common := []string{"driver", "timeout", "call_timeout", "attempts", "cuts"}
	m := v.mappingShowing(append(common, fenceKeys()...), append(common, driverKeys[v.word("driver")]...))
	d := FenceDevice{Timeout: or(m.get("timeout"), defaultFenceTimeout, value.duration)}
	driver := m.need("driver", "ipmi").oneOf(fenceDrivers...)
	call := defaultCallTimeout
	switch driver {
	case "ipmi":
		d.Spec = m.ipmi("ipmi")
	case "ipmitool":
		d.Spec, call = IPMITool{m.ipmi("ipmitool")}, defaultToolTimeout
	case "redfish":
		d.Spec = m.redfish()
	case "ssh":
		d.Spec = m.ssh()
	case "fenceagent":
		d.Spec, call = m.fenceAgent(), defaultAgentTimeout
	case "command":
		d.Spec = m.fenceCommand()
	}
	d.CallTimeout = min(or(m.get("call_timeout"), call, value.duration), d.Timeout)
	if c := m.get("call_timeout"); !c.absent() && c.isScalar() && d.Timeout > 0 && c.delay() > d.Timeout {
		c.fail("at most timeout, or make that longer", "one call may take %v, all of them together %v", c.delay(), d.Timeout)
	}
	d.Attempts = or(m.get("attempts"), defaultFenceAttempts, func(v value) int { return v.count(1, mostFenceAttempts) })
	d.Cuts = Cuts(m.get("cuts").oneOf(string(CutsMachine), string(CutsSupply)))
	if c := m.get("cuts"); !c.absent() && driver == "ssh" {
		c.fail("remove it", "the ssh driver cuts no power")
	}
	return d
}
