package drbd

// CacheProtected reports whether the configuration, parsed from "drbdadm dump",
// declares that what the resource's disks have said is written outlives a power cut:
// flushes of data and metadata are off on every volume, which is for disks without a
// volatile cache, or with one that has a battery (drbd.conf(5), disk-flushes).
func CacheProtected(dump Section, resource string) bool {
	res, ok := dump.resource(resource)
	if !ok {
		return false
	}
	base := append([]Section{res}, dump.all("common")...)
	hosts := append([]Section{res}, res.all("on")...)
	for _, host := range hosts {
		for _, vol := range host.all("volume") {
			if !unflushed(prepend(vol, prepend(host, base))) {
				return false
			}
		}
	}
	return hasVolumes(hosts) || unflushed(base)
}

func unflushed(scopes []Section) bool {
	for _, option := range []string{"disk-flushes", "md-flushes"} {
		older := effective(scopes, "disk", "no-"+option, "no") // as DRBD 8.3 spelt it
		if effective(scopes, "disk", option, "yes") != "no" && older == "no" {
			return false
		}
	}
	return true
}
