package config

import (
	"fmt"
	"maps"
	"os"
	"slices"
	"strings"

	"sbarbiter/internal/secret"
)

// fencing checks the devices at path: their files, their agents' options, and
// that none of them is this machine's own.
func (h *host) fencing(path string, levels Fencing) {
	for i, level := range levels {
		for j, device := range level {
			at := (value{src: h.src, path: path}).deviceAt(i, j)
			h.notOwn(at, device)
			switch d := device.Spec.(type) {
			case IPMI:
				h.secret(at+".password", d.Password)
			case IPMITool:
				h.secret(at+".password", d.Password)
			case Redfish:
				h.secret(at+".password", d.Password)
				h.readable(at+".ca_file", d.CAFile, "write the certificate of who signs the controller's into it")
			case SSH:
				h.secret(at+".key", d.Key)
				h.readable(at+".known_hosts", d.KnownHosts, "ssh-keyscan -H ADDRESS shows what to write into it, once you have compared it")
			case FenceAgent:
				h.agent(at, d)
			case FenceCommand:
				h.program(at+".program", d.Program)
			}
		}
	}
}

// notOwn refuses a device that would power off the machine that asks it.
func (h *host) notOwn(at string, d FenceDevice) {
	if d.Spec == nil {
		return
	}
	address, _ := d.Spec.unit()
	if address.IsValid() && slices.Contains(h.addrs, address.WithZone("")) {
		h.src.addAt(h.addressAt(at), fmt.Sprintf("%v is an address of this machine itself: it would shoot itself", address),
			"write the address of the device that powers the other machine off")
	}
}

// addressAt is where a device's address stands: an agent has it among its options.
func (h *host) addressAt(at string) string {
	for _, key := range []string{".address", ".options.ip", ".options.ipaddr"} {
		if h.src.has(at + key) {
			return at + key
		}
	}
	return at
}

// secret wants a file that only its owner can read, with something in it, or a
// credential of this service.
func (h *host) secret(at string, s secret.Source) {
	path, err := s.Path()
	if s.Credential != "" {
		if err == nil {
			err = s.Check()
		}
		if err != nil {
			h.src.addAt(at+"_credential", err.Error(), "")
		}
		return
	}
	at += "_file"
	info, err := os.Stat(path)
	switch {
	case err != nil:
		h.src.addAt(at, missing(path, err), "write the password into it and chmod 600 it")
	case !info.Mode().IsRegular():
		h.src.addAt(at, path+" is not a file", "")
	case info.Mode().Perm()&0o077 != 0:
		h.src.addAt(at, fmt.Sprintf("%s can be used by others than its owner (mode %04o)", path, info.Mode().Perm()), "chmod 600 "+path)
	case info.Size() == 0:
		h.src.addAt(at, path+" is empty", "write the password into it")
	}
}

// readable wants a file that nobody but its owner can change: who can, is
// trusted.
func (h *host) readable(at, path, hint string) {
	if path == "" {
		return
	}
	info, err := os.Stat(path)
	switch {
	case err != nil:
		h.src.addAt(at, missing(path, err), hint)
	case !info.Mode().IsRegular():
		h.src.addAt(at, path+" is not a file", "")
	case info.Mode().Perm()&0o022 != 0:
		h.src.addAt(at, fmt.Sprintf("%s can be written by others (mode %04o)", path, info.Mode().Perm()), "chmod go-w "+path)
	}
}

// agent asks a fence agent which options it knows, and compares.
func (h *host) agent(at string, d FenceAgent) {
	for _, name := range slices.Sorted(maps.Keys(d.Secrets)) {
		where := at + ".secret_files." + name
		if !h.src.has(where) {
			h.secret(at+".password", d.Secrets[name])
			continue
		}
		if err := d.Secrets[name].Check(); err != nil {
			h.src.addAt(where, err.Error(), "")
		}
	}
	if _, err := os.Stat(d.Agent); err != nil {
		h.src.addAt(at+".agent", missing(d.Agent, err), "apt-get install fence-agents, or write the agent's whole path")
		return
	}
	if h.describe == nil {
		return
	}
	known, err := h.describe(d.Agent)
	if err != nil {
		h.src.addAt(at+".agent", err.Error(), "")
		return
	}
	h.options(at, d, known)
}

func (h *host) options(at string, d FenceAgent, known []AgentOption) {
	var names []string
	for _, o := range known {
		names = append(names, o.Name)
	}
	given := slices.Sorted(maps.Keys(d.Options))
	meant := map[string]bool{}
	for _, name := range append(given, slices.Sorted(maps.Keys(d.Secrets))...) {
		if slices.Contains(names, name) {
			continue
		}
		hint := "it knows " + strings.Join(names, ", ")
		if near := Closest(name, names); near != "" {
			hint = "did you mean " + near + "?"
			meant[near] = true
		}
		where := at + ".options." + name
		if _, hidden := d.Secrets[name]; hidden {
			where = at + ".secret_files." + name
		}
		h.src.addAt(where, fmt.Sprintf("%s has no option %s", d.Agent, name), hint)
	}
	for _, o := range known {
		value, set := d.Options[o.Name]
		_, hidden := d.Secrets[o.Name]
		switch {
		case set && len(o.Choice) > 0 && !slices.Contains(o.Choice, value):
			hint := "one of " + strings.Join(o.Choice, ", ")
			if near := Closest(value, o.Choice); near != "" {
				hint = "did you mean " + near + "?"
			}
			h.src.addAt(at+".options."+o.Name, fmt.Sprintf("%q is not known to %s", value, d.Agent), hint)
		case o.Required && !set && !hidden && !meant[o.Name]:
			h.src.addAt(at+".options", fmt.Sprintf("%s needs the option %s", d.Agent, o.Name), "add "+o.Name+": to options")
		}
	}
}
