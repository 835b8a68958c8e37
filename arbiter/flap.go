package arbiter

// TakenOver reports whether the lease came of a takeover that no person and no
// word of the old holder stood behind.
func (l *Lease) TakenOver() bool { return l.Basis.Cause == ByFence || l.Basis.Cause == ByClock }

// HoldsBack reports whether the group has changed hands by a takeover so lately
// that it is not taken over again: whatever killed one holder may kill the next,
// and shooting in turn helps nobody.
func (c *Cluster) HoldsBack(l *Lease) bool {
	return l != nil && c.Definition.HoldTime > 0 && l.TakenOver() && !l.Calm
}

// shotOut reports whether as many shots have begun within the hour as the
// operator allows.
func (c *Cluster) shotOut() bool {
	return c.Definition.ShotsPerHour > 0 && c.Shots >= c.Definition.ShotsPerHour
}

// mostDated is how many shots are dated: as many as anybody may allow in an hour.
const mostDated = 1000

func (c *Cluster) countShot(at int64) {
	c.Shots++
	c.ShotsAt = lastOf(append(c.ShotsAt, at), mostDated)
}

// date writes down when a lease was granted.
func (g *Group) date(at int64) {
	if g.Lease != nil && g.Lease.Granted == 0 {
		g.Lease.Granted = at
	}
}

// calm takes the leader's word that enough time has passed.
func (c *Cluster) calm(cmd Calm) Verdict {
	if cmd.Shot {
		c.Shots -= min(c.Shots, 1)
		c.ShotsAt = lastOf(c.ShotsAt, int(c.Shots))
		return done("a shot is an hour old")
	}
	g := c.Groups[cmd.Group]
	if g == nil || g.Lease == nil || g.Lease.Epoch != cmd.Epoch {
		return refuse(NotHolder, "epoch %d of %s is no more", cmd.Epoch, cmd.Group)
	}
	g.Lease.Calm = true
	return done("%s was taken over long enough ago", cmd.Group)
}

// armed takes what a holder reports of its watchdog.
func (a *applying) armed(c *Cluster, cmd Armed) Verdict {
	g, ok := c.Groups[cmd.Group]
	if !ok {
		return unknownGroup(c, cmd.Group)
	}
	if !holds(g, cmd.Caller, cmd.Epoch) {
		return refuse(NotHolder, "%s does not hold %s under epoch %d", cmd.Caller.Node, cmd.Group, cmd.Epoch)
	}
	g.Lease.Watchdog = cmd.Watchdog
	v := done("%s reports %s", cmd.Caller.Node, cmd.Watchdog)
	v.Epoch = cmd.Epoch
	a.record(c, cmd.Group, cmd.Caller.Node, "watchdog", v)
	return v
}
