package config

import (
	"net/netip"
	"slices"
)

// Address is where the device is reached; invalid where the file does not tell.
func (d FenceDevice) Address() netip.Addr {
	if d.Spec == nil {
		return netip.Addr{}
	}
	a, _ := d.Spec.unit()
	return a
}

// HostName is the name that has to be looked up to reach the device, "" where
// there is none.
func (d FenceDevice) HostName() string {
	a, ok := d.Spec.(FenceAgent)
	if !ok || d.Address().IsValid() {
		return ""
	}
	for _, k := range []string{"ip", "ipaddr"} {
		if a.Options[k] != "" {
			return a.Options[k]
		}
	}
	return ""
}

// SecretFiles are the files with the device's secrets.
func (d FenceDevice) SecretFiles() []string {
	var out []string
	add := func(file string) {
		if file != "" && !slices.Contains(out, file) {
			out = append(out, file)
		}
	}
	switch s := d.Spec.(type) {
	case IPMI:
		add(s.Password.File)
	case IPMITool:
		add(s.Password.File)
	case Redfish:
		add(s.Password.File)
	case SSH:
		add(s.Key.File)
	case FenceAgent:
		for _, secret := range s.Secrets {
			add(secret.File)
		}
	}
	slices.Sort(out)
	return out
}
