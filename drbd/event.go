package drbd

import (
	"fmt"
	"strconv"
	"strings"
)

// Action is what an event says about its object.
type Action string

// Actions of events2. Rename exists on DRBD 9 only.
const (
	ActionExists   Action = "exists"
	ActionCreate   Action = "create"
	ActionChange   Action = "change"
	ActionDestroy  Action = "destroy"
	ActionRename   Action = "rename"
	ActionCall     Action = "call"
	ActionResponse Action = "response"
	// ActionDumpEnd closes the dump of the present state ("exists -").
	ActionDumpEnd Action = "exists -"
	// ActionSkipped says that the kernel dropped events ("- skipped 3"):
	// everything has to be read anew.
	ActionSkipped Action = "skipped"
)

// Object is the kind of thing that an event is about.
type Object string

// Objects of events2. Paths exist on DRBD 9 only.
const (
	ObjectResource   Object = "resource"
	ObjectDevice     Object = "device"
	ObjectConnection Object = "connection"
	ObjectPeerDevice Object = "peer-device"
	ObjectPath       Object = "path"
	ObjectHelper     Object = "helper"
)

// Event is one line of "drbdsetup events2".
type Event struct {
	// Timestamp is the wall-clock time that --timestamps prints, for people to
	// read; empty without it.
	Timestamp string
	Action    Action
	// Object and what follows is empty for ActionDumpEnd and ActionSkipped.
	Object   Object
	Resource string
	fields   []field
}

// ParseEvent reads one line of "drbdsetup events2", with or without
// --timestamps. Actions and objects that it does not know are returned as they
// are; a line that is no event is an error.
func ParseEvent(line string) (Event, error) {
	words := strings.Fields(line)
	var e Event
	if len(words) > 0 && isTimestamp(words[0]) {
		e.Timestamp, words = words[0], words[1:]
	}
	if len(words) < 2 {
		return Event{}, fmt.Errorf("read event %q: not an action and an object", line)
	}
	switch {
	case words[0] == "exists" && words[1] == "-":
		e.Action = ActionDumpEnd
		return e, nil
	case words[0] == "-" && words[1] == "skipped":
		e.Action = ActionSkipped
		return e, nil
	}
	e.Action, e.Object = Action(words[0]), Object(words[1])
	for _, word := range words[2:] {
		if f, ok := splitField(word); ok {
			e.fields = append(e.fields, f)
		}
	}
	if e.Resource = e.value("name"); e.Resource == "" {
		return Event{}, fmt.Errorf("read event %q: no name of a resource", line)
	}
	return e, nil
}

// isTimestamp reports whether word can be ISO 8601 with a T in the middle; no
// action starts with a digit.
func isTimestamp(word string) bool {
	return word[0] >= '0' && word[0] <= '9' && strings.Contains(word, "T")
}

// value returns the value of the first field called key, or "".
func (e Event) value(key string) string {
	for _, f := range e.fields {
		if f.key == key {
			return f.value
		}
	}
	return ""
}

// number returns the value of the field called key as a number up to highest,
// or missing if there is no such field.
func (e Event) number(key string, highest, missing int) (int, error) {
	for _, f := range e.fields {
		if f.key == key {
			return parseNumber(f, highest)
		}
	}
	return missing, nil
}

// HelperEvent says that the kernel called a handler, or that it came back.
type HelperEvent struct {
	Resource string
	Handler  Handler
	// Returned is false when the handler was called, true when it ended.
	Returned bool
	// Volume is the volume that a device handler is about, or NoVolume.
	Volume int
	Status WaitStatus // of a handler that returned
}

// NoVolume marks a handler that is about a whole connection.
const NoVolume = -1

// Helper returns what a call or response event says about a handler; ok is
// false for every other event.
func (e Event) Helper() (h HelperEvent, ok bool, err error) {
	if e.Object != ObjectHelper || (e.Action != ActionCall && e.Action != ActionResponse) {
		return HelperEvent{}, false, nil
	}
	h = HelperEvent{Resource: e.Resource, Handler: Handler(e.value("helper")), Returned: e.Action == ActionResponse}
	if h.Volume, err = e.number("volume", maxVolume, NoVolume); err != nil {
		return HelperEvent{}, false, fmt.Errorf("read helper event: %w", err)
	}
	if !h.Returned {
		return h, true, nil
	}
	if h.Status, err = parseWaitStatus(e.value("status")); err != nil {
		return HelperEvent{}, false, fmt.Errorf("read helper event: %w", err)
	}
	return h, true, nil
}

// WaitStatus is how a handler ended: the raw status of wait(2), or a negative
// errno if the kernel could not run it at all.
type WaitStatus int32

// parseWaitStatus reads the unsigned number that events2 prints; an errno
// comes out near 2^32, which the conversion undoes.
func parseWaitStatus(text string) (WaitStatus, error) {
	n, err := strconv.ParseUint(text, 10, 32)
	if err != nil {
		return 0, fmt.Errorf("status:%q is not a wait status", text)
	}
	return WaitStatus(int32(uint32(n))), nil
}

// Exited returns the exit code of a handler that ran to its end. Ok is false
// if a signal killed it or it never ran: the kernel takes that as a broken
// handler.
func (s WaitStatus) Exited() (code int, ok bool) {
	if s < 0 || s&0x7f != 0 {
		return 0, false
	}
	return int(s>>8) & 0xff, true
}

// String says in words how the handler ended.
func (s WaitStatus) String() string {
	if s < 0 {
		return fmt.Sprintf("could not be run (errno %d)", -int(s))
	}
	if code, ok := s.Exited(); ok {
		return fmt.Sprintf("exit %d", code)
	}
	return fmt.Sprintf("killed by signal %d", int(s)&0x7f)
}
