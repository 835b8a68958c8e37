package drbd

import (
	"errors"
	"fmt"
	"net/netip"
	"strconv"
	"strings"
)

// Handler is the name of a program that DRBD's kernel part asks or tells
// something through drbdadm. The kernel waits for it without limit, so that a
// slow handler stalls the resource; drbdadm gives up after 600 s and leaves
// the handler running.
type Handler string

// Handlers of both families. QuorumLost and Disconnected are DRBD 9's.
const (
	HandlerFencePeer         Handler = "fence-peer"
	HandlerUnfencePeer       Handler = "unfence-peer"
	HandlerBeforeResyncTgt   Handler = "before-resync-target"
	HandlerAfterResyncTgt    Handler = "after-resync-target"
	HandlerBeforeResyncSrc   Handler = "before-resync-source"
	HandlerInitialSplitBrain Handler = "initial-split-brain"
	HandlerSplitBrain        Handler = "split-brain"
	HandlerPriLostAfterSB    Handler = "pri-lost-after-sb"
	HandlerPriLost           Handler = "pri-lost"
	HandlerPriOnInconDegr    Handler = "pri-on-incon-degr"
	HandlerLocalIOError      Handler = "local-io-error"
	HandlerOutOfSync         Handler = "out-of-sync"
	HandlerQuorumLost        Handler = "quorum-lost"
	HandlerDisconnected      Handler = "disconnected"
)

// Known reports whether h is a handler of DRBD.
func (h Handler) Known() bool {
	switch h {
	case HandlerFencePeer, HandlerUnfencePeer, HandlerBeforeResyncTgt, HandlerAfterResyncTgt,
		HandlerBeforeResyncSrc, HandlerInitialSplitBrain, HandlerSplitBrain, HandlerPriLostAfterSB,
		HandlerPriLost, HandlerPriOnInconDegr, HandlerLocalIOError, HandlerOutOfSync,
		HandlerQuorumLost, HandlerDisconnected:
		return true
	}
	return false
}

// FencePeerExit is the exit code of a fence-peer handler: its answer to the
// question whether the peer's copy can still be used.
type FencePeerExit int

// What the kernel makes of fence-peer's exit code. It believes 3, 4 and 7
// without asking back. Every code not listed here, a signal and a handler that
// could not be run all count as a broken handler, as does FenceBroken.
const (
	// FenceBroken: 0 is no success here but "broken handler". Frozen I/O stays
	// frozen and a promotion is refused.
	FenceBroken FencePeerExit = 0
	// FenceNoAnswer: nobody could say. The kernel treats it as FenceBroken.
	FenceNoAnswer FencePeerExit = 1
	// FencePeerInconsistent: the peer's disk is Inconsistent or worse, and is
	// recorded so.
	FencePeerInconsistent FencePeerExit = 3
	// FencePeerOutdated: the peer is excluded. Its disk is recorded Outdated,
	// frozen I/O goes on, a promotion succeeds.
	FencePeerOutdated FencePeerExit = 4
	// FencePeerUnreachable: the peer is assumed dead, a guess. It is here to
	// read other handlers' answers by; ours never returns it.
	FencePeerUnreachable FencePeerExit = 5
	// FencePeerActive: the peer is the one that may write. A Secondary records
	// its own disk as Outdated and is not promoted; a disconnected Primary
	// cannot be outdated, stays frozen and has to be reset.
	FencePeerActive FencePeerExit = 6
	// FencePeerStonithed: the peer was powered off. The kernel does as for
	// FencePeerOutdated.
	FencePeerStonithed FencePeerExit = 7
)

// Excludes reports whether the kernel takes the code as proof that the peer's
// copy is out of use, so that frozen I/O goes on.
func (c FencePeerExit) Excludes() bool {
	switch c {
	case FencePeerInconsistent, FencePeerOutdated, FencePeerUnreachable, FencePeerStonithed:
		return true
	}
	return false
}

// HandlerCall is what a handler program was told when DRBD called it.
type HandlerCall struct {
	Handler  Handler
	Resource string
	// Minors and Volumes are those named in the environment. DRBD 9 names all
	// volumes even for a handler about one of them; BackingDevice tells which.
	// 8.4 names no volume for fence-peer and unfence-peer.
	Minors        []Minor
	Volumes       []int
	LowerDisks    []string
	BackingDevice string
	// Peer is the peer's host name, or empty if DRBD did not say.
	Peer        string
	PeerNodeID  NodeID // NoNodeID on 8.4
	PeerAddress netip.Addr
}

// ErrNotCalledByDRBD is returned for a call that lacks what drbdadm always
// passes on.
var ErrNotCalledByDRBD = errors.New("not called by DRBD")

// ParseHandlerCall reads a handler program's arguments (without the program's
// own name, the handler's name first) and environment, of either family.
func ParseHandlerCall(args []string, env map[string]string) (HandlerCall, error) {
	if len(args) == 0 || !Handler(args[0]).Known() {
		return HandlerCall{}, fmt.Errorf("read handler call: arguments %q start with no handler of DRBD", args)
	}
	c := HandlerCall{Handler: Handler(args[0]), Resource: env["DRBD_RESOURCE"], PeerNodeID: NoNodeID}
	if c.Resource == "" {
		return HandlerCall{}, fmt.Errorf("read call of %s: DRBD_RESOURCE is not set: %w", c.Handler, ErrNotCalledByDRBD)
	}
	if err := c.readDevices(env); err != nil {
		return HandlerCall{}, fmt.Errorf("read call of %s for %s: %w", c.Handler, c.Resource, err)
	}
	if err := c.readPeer(env); err != nil {
		return HandlerCall{}, fmt.Errorf("read call of %s for %s: %w", c.Handler, c.Resource, err)
	}
	return c, nil
}

func (c *HandlerCall) readDevices(env map[string]string) error {
	for _, word := range strings.Fields(env["DRBD_MINOR"]) {
		n, err := parseNumber(field{"DRBD_MINOR", word}, maxMinor)
		if err != nil {
			return err
		}
		c.Minors = append(c.Minors, Minor(n))
	}
	for _, word := range strings.Fields(env["DRBD_VOLUME"]) {
		n, err := parseNumber(field{"DRBD_VOLUME", word}, maxVolume)
		if err != nil {
			return err
		}
		c.Volumes = append(c.Volumes, n)
	}
	c.LowerDisks = strings.Fields(env["DRBD_LL_DISK"])
	c.BackingDevice = env["DRBD_BACKING_DEV"]
	return nil
}

func (c *HandlerCall) readPeer(env map[string]string) error {
	if text := env["DRBD_PEER_NODE_ID"]; text != "" {
		n, err := parseNumber(field{"DRBD_PEER_NODE_ID", text}, maxNodeID)
		if err != nil {
			return err
		}
		c.PeerNodeID = NodeID(n)
	}
	if text := env["DRBD_PEER_ADDRESS"]; text != "" {
		addr, err := netip.ParseAddr(text)
		if err != nil {
			return fmt.Errorf("DRBD_PEER_ADDRESS %q is no address", text)
		}
		c.PeerAddress = addr
	}
	peers := peerNames(env, c.PeerNodeID)
	if len(peers) > 1 {
		return fmt.Errorf("peers %s: %w", strings.Join(peers, " "), ErrManyPeers)
	}
	if len(peers) == 1 {
		c.Peer = peers[0]
	}
	return nil
}

// peerNames finds the peer's host name where the families put it: 8.4 says it
// outright; 9 names every node by its id, this one's among them.
func peerNames(env map[string]string, peer NodeID) []string {
	if names := strings.Fields(env["DRBD_PEERS"]); len(names) > 0 {
		return names
	}
	if name := env["DRBD_PEER"]; name != "" {
		return []string{name}
	}
	if peer != NoNodeID {
		return strings.Fields(env["DRBD_NODE_ID_"+strconv.Itoa(int(peer))])
	}
	var names []string
	for id := 0; id <= maxNodeID; id++ {
		n := strconv.Itoa(id)
		if name := env["DRBD_NODE_ID_"+n]; name != "" && n != env["DRBD_MY_NODE_ID"] {
			names = append(names, name)
		}
	}
	return names
}
