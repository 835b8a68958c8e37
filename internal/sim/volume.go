package sim

import (
	"sbarbiter/agent"
	"sbarbiter/arbiter"
	"sbarbiter/drbd"
	"sbarbiter/drbd/model"
)

// volumeBlocks is the size of a group's volume.
const volumeBlocks = 64

// volume is the one DRBD volume of a group: two nodes of package drbd/model and
// what is between them. Nothing polls: it moves when something happens to it.
type volume struct {
	w       *World
	group   arbiter.GroupID
	name    string // of the resource
	ends    [2]*replica
	session model.Session // the last one made
	linked  bool          // DRBD's connection can live
	changes int           // of linked: a timer of an earlier state does nothing
	dialing bool
	app     application
	family  drbd.Family
	forced  bool               // a person has written to the other copy
	spoilt  bool               // and has, in whichever copy it ends up in
	obeyed  arbiter.RecoveryID // the latest whose advice to connect the copies was followed
	said    arbiter.RecoveryID // the latest recovery whose decision the operator has been shown, and has agreed to
}

// replica is one node's end of a volume.
type replica struct {
	v        *volume
	n        *Node
	drbd     *model.Node
	wire     wire
	arrival  once      // of what is on the wire
	answers  []awaited // of commands
	commands model.CommandID
	happened int                // to it
	pushing  bool               // a resync's next step is on its way
	telling  bool               // the agent is about to be told
	byHand   bool               // a person promotes it
	stray    bool               // and has, and nobody has demoted it yet
	kept     string             // the latest try of a recovery that has kept what is here
	lone     bool               // it was declared lost, with what only it has
	agreed   arbiter.RecoveryID // to give up what is here; see agreements
	chosen   arbiter.RecoveryID // the latest under which the group was granted to its node, which keeps what is here
	byPerson bool               // somebody has written to it by hand, and it was not overwritten since
}

// awaited is somebody who waits for the answer to a command.
type awaited struct {
	id   model.CommandID
	done func(model.Answer)
}

var ourHandlers = []drbd.Handler{
	drbd.HandlerFencePeer, drbd.HandlerUnfencePeer, drbd.HandlerAfterResyncTgt,
	drbd.HandlerSplitBrain, drbd.HandlerLocalIOError,
}

func resource(g arbiter.GroupID) string { return "r-" + string(g) }

func newVolume(w *World, g arbiter.GroupID) *volume {
	v := &volume{w: w, group: g, name: resource(g), family: drbd.Family84}
	if w.Seed%2 == 1 {
		v.family = drbd.Family9
	}
	a, b := model.Pair(model.Settings{
		Config: model.Config{Family: v.family, Fencing: model.FencingAndStonith},
		Blocks: []int{volumeBlocks}, Handlers: ourHandlers, Seed: w.rng.Uint64(),
	})
	v.app.v = v
	for i, d := range []*model.Node{a, b} {
		c := &replica{v: v, n: w.nodes[i], drbd: d}
		c.arrival = c.arrives
		v.ends[i] = c
	}
	return v
}

func (c *replica) other() *replica { return c.v.ends[1-c.n.host] }

func (c *replica) state() model.State { return c.drbd.Volume(0) }

// attach brings the copies up after a boot.
func (n *Node) attach() {
	for _, id := range n.w.groups {
		if c := n.replica(id); c != nil {
			c.step(model.Boot{})
			c.command(model.Attach, nil)
		}
	}
	n.w.reach()
}

// detach ends DRBD with its machine. A power cut takes what was only in the
// disk's cache, or some of it.
func (n *Node) detach() {
	for _, id := range n.w.groups {
		c := n.replica(id)
		if c == nil || !c.drbd.On() {
			continue
		}
		var lost []model.Place
		if cached := c.drbd.Cached(); !n.power && len(cached) > 0 {
			lost = cached[n.w.rng.IntN(len(cached)+1):]
		}
		c.step(model.Crash{Lost: lost})
		c.answers, c.pushing = nil, false
		c.v.app.died(c)
	}
	n.w.reach()
}

func (n *Node) replica(g arbiter.GroupID) *replica {
	if v := n.w.disks[n.w.index(g)]; v != nil {
		return v.ends[n.host]
	}
	return nil
}

// step lets something happen to this end and carries out what it does about it.
func (c *replica) step(ev model.Event) {
	was := c.state()
	effects := c.drbd.Step(ev)
	c.happened++
	is := c.state()
	if was != is {
		c.changed(was, is)
	}
	for _, e := range effects {
		switch e := e.(type) {
		case model.Send:
			c.carry(e.Message)
		case model.HangUp:
			c.hangUp(e.Session)
		case model.Called:
			c.called(e)
		case model.Answered:
			c.answered(e)
		case model.IODone:
			c.v.app.done(c, e)
		}
	}
	c.drbd.Reuse(effects)
	c.goOn()
}

// changed is what others notice of a change.
func (c *replica) changed(was, is model.State) {
	if is.Role == drbd.RolePrimary && was.Role != drbd.RolePrimary && !c.byHand {
		c.v.w.checkPromotion(c)
	}
	if is.Repl == drbd.ReplSyncTarget && was.Repl != drbd.ReplSyncTarget {
		c.v.w.checkResync(c)
	}
	if is.Repl == drbd.ReplEstablished && is.Disk == drbd.DiskUpToDate && is.PeerDisk == drbd.DiskUpToDate {
		c.v.app.met()
		c.v.forced = false
		for _, end := range c.v.ends {
			end.lone, end.byPerson = false, false
		}
	}
	c.stray = c.stray && is.Role == drbd.RolePrimary
	c.n.tellStorage(c.v.group)
}

// goOn starts what goes on by itself: a resync, or looking for the peer.
func (c *replica) goOn() {
	if c.drbd.Unsynced(0) > 0 && !c.pushing {
		c.pushing = true
		c.n.local(c.v.w.between(pushMin, pushMax), c.push)
	}
	c.v.dial()
}

func (c *replica) push() {
	c.pushing = false
	if c.v.linked {
		c.step(model.Sync{Blocks: pushBlocks})
		return
	}
	c.goOn()
}

// command gives DRBD a command; done may be nil.
func (c *replica) command(v model.Verb, done func(model.Answer)) {
	c.commands++
	if done != nil {
		c.answers = append(c.answers, awaited{c.commands, done})
	}
	c.step(model.Command{ID: c.commands, Verb: v})
}

func (c *replica) answered(e model.Answered) {
	for i, a := range c.answers {
		if a.id == e.ID {
			c.answers = append(c.answers[:i:i], c.answers[i+1:]...)
			a.done(e.Answer)
			return
		}
	}
}

// FailDisk makes a node's disk of a group fail while DRBD runs on it.
func (n *Node) FailDisk(g arbiter.GroupID) {
	c := n.replica(g)
	if c == nil || !n.running || n.frozen || !c.state().Disk.AtLeast(drbd.DiskInconsistent) {
		return
	}
	c.v.app.blinded(c)
	c.step(model.DiskFail{})
}

// Primary reports whether DRBD is Primary for a group.
func (n *Node) Primary(g arbiter.GroupID) bool {
	c := n.replica(g)
	return c != nil && c.drbd.Role() == drbd.RolePrimary
}

// Copying reports whether a copy is the target of a resync, with copied blocks that
// are only in its disk's cache.
func (n *Node) Copying(g arbiter.GroupID) bool {
	c := n.replica(g)
	return c != nil && c.state().Repl == drbd.ReplSyncTarget && len(c.drbd.Cached()) > 0
}

// InStep reports whether both copies are connected and UpToDate.
func (w *World) InStep(g arbiter.GroupID) bool { return w.disks[w.index(g)].inStep() }

func (v *volume) inStep() bool {
	for _, c := range v.ends {
		s := c.state()
		if s.Repl != drbd.ReplEstablished || s.Disk != drbd.DiskUpToDate || s.PeerDisk != drbd.DiskUpToDate {
			return false
		}
	}
	return true
}

// tellStorage reports a copy's state to the agent, a little late.
func (n *Node) tellStorage(g arbiter.GroupID) {
	c := n.replica(g)
	if c == nil || c.telling || !n.running {
		return
	}
	c.telling = true
	boot := n.boots
	n.w.after(n.w.between(newsMin, newsMax)+n.newsLate, func() {
		c.telling = false
		n.whenAwake(boot, func() {
			if r := c.drbd.Observe(c.v.name); r != nil {
				n.give(agent.Seen(*r))
			}
		})
	})
}
