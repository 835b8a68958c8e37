package agent

import (
	"testing"

	"sbarbiter/drbd"
)

// resource is one volume of both nodes.
func resource(conn drbd.ConnState, role drbd.Role, own drbd.DiskState, repl drbd.ReplState, peer drbd.DiskState) drbd.Resource {
	return drbd.Resource{
		Name: "r0", Role: role, Volumes: []drbd.Volume{{Number: 0, Minor: 0, Disk: own, Role: role}},
		Peer: &drbd.Connection{State: conn, Volumes: []drbd.PeerVolume{{Number: 0, Replication: repl, PeerDisk: peer}}},
	}
}

func TestWhatDRBDRecordsOfThePeer(t *testing.T) {
	for name, c := range map[string]struct {
		of                           drbd.Resource
		connected, recorded, primary bool
	}{
		"in step":                           {resource(drbd.ConnConnected, drbd.RoleSecondary, drbd.DiskUpToDate, drbd.ReplEstablished, drbd.DiskUpToDate), true, false, false},
		"primary in step":                   {resource(drbd.ConnConnected, drbd.RolePrimary, drbd.DiskUpToDate, drbd.ReplEstablished, drbd.DiskUpToDate), true, false, true},
		"peer lost, nothing known":          {resource(drbd.ConnConnecting, drbd.RolePrimary, drbd.DiskUpToDate, drbd.ReplOff, drbd.DiskUnknown), false, false, true},
		"peer lost, recorded outdated":      {resource(drbd.ConnConnecting, drbd.RoleSecondary, drbd.DiskUpToDate, drbd.ReplOff, drbd.DiskOutdated), false, true, false},
		"peer lost while inconsistent":      {resource(drbd.ConnConnecting, drbd.RoleSecondary, drbd.DiskUpToDate, drbd.ReplOff, drbd.DiskInconsistent), false, true, false},
		"peer's disk gone while connected":  {resource(drbd.ConnConnected, drbd.RolePrimary, drbd.DiskUpToDate, drbd.ReplEstablished, drbd.DiskDiskless), true, true, true},
		"peer being resynchronised":         {resource(drbd.ConnConnected, drbd.RolePrimary, drbd.DiskUpToDate, drbd.ReplSyncSource, drbd.DiskInconsistent), true, true, true},
		"link is up, handshake is not over": {resource(drbd.ConnConnected, drbd.RolePrimary, drbd.DiskUpToDate, drbd.ReplOff, drbd.DiskUnknown), false, false, true},
		"standalone":                        {drbd.Resource{Name: "r0", Role: drbd.RoleSecondary, Volumes: []drbd.Volume{{Disk: drbd.DiskUpToDate}}}, false, true, false},
		"role that nobody knows":            {resource(drbd.ConnConnected, drbd.RoleUnrecognised, drbd.DiskUpToDate, drbd.ReplEstablished, drbd.DiskUpToDate), true, false, true},
	} {
		t.Run(name, func(t *testing.T) {
			s := Seen(c.of)
			if !s.Known || len(s.Disks) != 1 || s.Disks[0].Volume != "r0/0" {
				t.Fatalf("want one known disk r0/0, got %+v", s)
			}
			if s.Disks[0].Connected != c.connected || s.Recorded != c.recorded || s.Primary != c.primary {
				t.Errorf("connected %t, recorded %t, primary %t; want %t, %t, %t",
					s.Disks[0].Connected, s.Recorded, s.Primary, c.connected, c.recorded, c.primary)
			}
		})
	}
}

func TestOneStaleVolumeOfSeveralIsEnough(t *testing.T) {
	r := resource(drbd.ConnConnecting, drbd.RolePrimary, drbd.DiskUpToDate, drbd.ReplOff, drbd.DiskUnknown)
	r.Volumes = append(r.Volumes, drbd.Volume{Number: 1, Minor: 1, Disk: drbd.DiskUpToDate, Role: drbd.RolePrimary})
	r.Peer.Volumes = append(r.Peer.Volumes, drbd.PeerVolume{Number: 1, Replication: drbd.ReplOff, PeerDisk: drbd.DiskOutdated})
	if s := Seen(r); !s.Recorded {
		t.Errorf("DRBD goes on alone with volume 1 without asking, and nobody is told: %+v", s)
	}
}
