package drbd

import (
	"errors"
	"fmt"
	"slices"
)

// ErrReread says that a stream of events no longer adds up to the present
// state: read everything anew and start a new Tracker.
var ErrReread = errors.New("events are missing, read the state anew")

// Tracker folds the lines of "drbdsetup events2" into the present state of
// each resource. It is valid from the end of the first dump until Apply
// returns an error. The zero Tracker is ready to use. It is not safe for
// concurrent use.
type Tracker struct {
	resources map[string]*tracked
	complete  bool
}

// tracked is one resource with all its connections, of which two-node
// arbitration allows one at most.
type tracked struct {
	resource    Resource
	connections []Connection
}

// Complete reports whether the dump of the present state has been read to its
// end. Before that, what is missing may simply not have come yet.
func (t *Tracker) Complete() bool { return t.complete }

// Resource returns the present state of a resource; ok is false if DRBD has
// none of that name. A resource of more than two nodes is ErrManyPeers.
func (t *Tracker) Resource(name string) (r Resource, ok bool, err error) {
	tr := t.resources[name]
	if tr == nil {
		return Resource{}, false, nil
	}
	if len(tr.connections) > 1 {
		return Resource{}, true, fmt.Errorf("resource %s: %w", name, ErrManyPeers)
	}
	r = tr.resource
	if len(tr.connections) == 1 {
		r.Peer = &tr.connections[0]
	}
	return r.Clone(), true, nil
}

// Apply takes in one event and reports whether it changed the state of its
// resource. After an error the Tracker is of no use: ErrReread if events were
// lost, else the stream itself is damaged.
func (t *Tracker) Apply(e Event) (changed bool, err error) {
	switch e.Action {
	case ActionDumpEnd:
		t.complete = true
		return false, nil
	case ActionSkipped:
		return false, fmt.Errorf("kernel skipped events: %w", ErrReread)
	case ActionRename:
		return false, fmt.Errorf("resource %s was renamed: %w", e.Resource, ErrReread)
	case ActionExists, ActionCreate, ActionChange, ActionDestroy:
	default:
		return false, nil // helpers are not state, and new actions not ours
	}
	if e.Object == ObjectResource {
		return t.applyResource(e)
	}
	tr := t.resources[e.Resource]
	if tr == nil {
		return false, lost(e)
	}
	switch e.Object {
	case ObjectDevice:
		return tr.applyDevice(e)
	case ObjectConnection:
		return tr.applyConnection(e)
	case ObjectPeerDevice:
		return tr.applyPeerDevice(e)
	}
	return false, nil
}

// lost is the error for an event about something that should be known.
func lost(e Event) error {
	return fmt.Errorf("%s of an unknown %s of resource %s: %w", e.Action, e.Object, e.Resource, ErrReread)
}

// makes reports whether the event describes its object in full.
func (e Event) makes() bool { return e.Action == ActionExists || e.Action == ActionCreate }

// fill gives every field of the event to set, until one is malformed.
func (e Event) fill(set func(field) error) error {
	for _, f := range e.fields {
		if err := set(f); err != nil {
			return fmt.Errorf("%s %s of resource %s: %w", e.Action, e.Object, e.Resource, err)
		}
	}
	return nil
}

func (t *Tracker) applyResource(e Event) (bool, error) {
	old := t.resources[e.Resource]
	switch {
	case e.makes():
		if t.resources == nil {
			t.resources = map[string]*tracked{}
		}
		tr := &tracked{resource: Resource{Name: e.Resource}}
		t.resources[e.Resource] = tr
		return true, e.fill(tr.resource.set)
	case old == nil:
		return false, lost(e)
	case e.Action == ActionDestroy:
		delete(t.resources, e.Resource)
		return true, nil
	}
	role, susp := old.resource.Role, old.resource.Suspended
	err := e.fill(old.resource.set)
	return old.resource.Role != role || old.resource.Suspended != susp, err
}

func (tr *tracked) applyDevice(e Event) (bool, error) {
	n, err := e.number("volume", maxVolume, 0)
	if err != nil {
		return false, err
	}
	vols := &tr.resource.Volumes
	i := slices.IndexFunc(*vols, func(v Volume) bool { return v.Number == n })
	switch {
	case e.makes():
		*vols = removeAt(*vols, i)
		v := Volume{Number: n, Minor: NoMinor}
		if err := e.fill(v.set); err != nil {
			return false, err
		}
		return true, tr.resource.addVolume(v)
	case i < 0:
		return false, lost(e)
	case e.Action == ActionDestroy:
		*vols = removeAt(*vols, i)
		return true, nil
	}
	before := (*vols)[i]
	err = e.fill((*vols)[i].set)
	return (*vols)[i] != before, err
}

// find returns the index of the connection that the event is about, or -1.
// Without a node id, as 8.4 prints some lines, there can be but one.
func (tr *tracked) find(e Event) (int, error) {
	id, err := e.number("peer-node-id", maxNodeID, int(NoNodeID))
	if err != nil {
		return -1, err
	}
	return slices.IndexFunc(tr.connections, func(c Connection) bool { return c.NodeID == NodeID(id) }), nil
}

func (tr *tracked) applyConnection(e Event) (bool, error) {
	i, err := tr.find(e)
	switch {
	case err != nil:
		return false, err
	case e.makes():
		tr.connections = removeAt(tr.connections, i)
		c := Connection{NodeID: NoNodeID}
		err := e.fill(c.set)
		tr.connections = append(tr.connections, c)
		return true, err
	case i < 0:
		return false, lost(e)
	case e.Action == ActionDestroy:
		tr.connections = removeAt(tr.connections, i)
		return true, nil
	}
	c := &tr.connections[i]
	state, role, name := c.State, c.PeerRole, c.Name
	err = e.fill(c.set)
	return c.State != state || c.PeerRole != role || c.Name != name, err
}

func (tr *tracked) applyPeerDevice(e Event) (bool, error) {
	i, err := tr.find(e)
	if err != nil {
		return false, err
	}
	n, err := e.number("volume", maxVolume, 0)
	if err != nil {
		return false, err
	}
	if i < 0 {
		return false, lost(e)
	}
	c := &tr.connections[i]
	k := slices.IndexFunc(c.Volumes, func(v PeerVolume) bool { return v.Number == n })
	switch {
	case e.makes():
		c.Volumes = removeAt(c.Volumes, k)
		v := PeerVolume{Number: n}
		if err := e.fill(v.set); err != nil {
			return false, err
		}
		return true, c.addVolume(v)
	case k < 0:
		return false, lost(e)
	case e.Action == ActionDestroy:
		c.Volumes = removeAt(c.Volumes, k)
		return true, nil
	}
	before := c.Volumes[k]
	err = e.fill(c.Volumes[k].set)
	return c.Volumes[k] != before, err
}

// removeAt returns list without its element i; -1 removes nothing.
func removeAt[T any](list []T, i int) []T {
	if i < 0 {
		return list
	}
	return append(list[:i:i], list[i+1:]...)
}
