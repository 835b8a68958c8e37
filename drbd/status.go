package drbd

import (
	"fmt"
	"strings"
)

// ParseStatus reads the text of "drbdsetup status", best with --verbose, of
// either family. Objects are told apart by indentation (a resource at 0, its
// devices and connections at 2, peer devices at 4) and by their first word;
// everything deeper continues the line above, since the tools wrap at 80
// columns.
//
// Without --verbose DRBD leaves things out: the replication state then stays
// empty where it is not printed. 8.4 prints no connection at all for
// StandAlone. A resource with several peers is ErrManyPeers.
func ParseStatus(text string) ([]Resource, error) {
	var p statusParser
	for n, line := range strings.Split(text, "\n") {
		if err := p.line(line); err != nil {
			return nil, fmt.Errorf("read status line %d: %w", n+1, err)
		}
	}
	if err := p.closeResource(); err != nil {
		return nil, fmt.Errorf("read status: %w", err)
	}
	return p.done, nil
}

// statusParser holds the objects that the next line may belong to.
type statusParser struct {
	done     []Resource
	resource *Resource
	device   *Volume
	conn     *Connection
	peer     *PeerVolume
	set      func(field) error // of the object that a continued line continues
}

func (p *statusParser) line(line string) error {
	line = strings.TrimRight(line, " \t\r")
	body := strings.TrimLeft(line, " ")
	tokens := strings.Fields(body)
	if len(tokens) == 0 || strings.HasPrefix(body, "#") {
		return nil
	}
	first, keyed := splitField(tokens[0])
	switch indent := len(line) - len(body); {
	case indent == 0:
		return p.startResource(tokens)
	case p.resource == nil:
		return fmt.Errorf("%q belongs to no resource", body)
	case indent <= 2 && !keyed:
		return p.startConnection(tokens)
	case indent <= 2:
		return p.startDevice(tokens)
	case indent <= 4 && p.conn != nil && isPeerDevice(first.key):
		return p.startPeerDevice(tokens)
	}
	return p.take(tokens)
}

func isPeerDevice(key string) bool {
	return key == "volume" || key == "replication" || key == "peer-disk"
}

func (p *statusParser) startResource(tokens []string) error {
	if err := p.closeResource(); err != nil {
		return err
	}
	if _, keyed := splitField(tokens[0]); keyed {
		return fmt.Errorf("%q is not the name of a resource", tokens[0])
	}
	p.resource = &Resource{Name: tokens[0]}
	p.set = p.resource.set
	return p.take(tokens[1:])
}

func (p *statusParser) startDevice(tokens []string) error {
	if err := p.closeChild(); err != nil {
		return err
	}
	p.device = &Volume{Minor: NoMinor}
	dev := p.device
	p.set = func(f field) error { return setNumbered(f, &dev.Number, dev.set) }
	return p.take(tokens)
}

func (p *statusParser) startConnection(tokens []string) error {
	if err := p.closeChild(); err != nil {
		return err
	}
	if p.resource.Peer != nil {
		return fmt.Errorf("resource %s, peers %s and %s: %w", p.resource.Name, p.resource.Peer.Name, tokens[0], ErrManyPeers)
	}
	p.conn = &Connection{Name: tokens[0], NodeID: NoNodeID}
	p.resource.Peer = p.conn
	p.set = p.conn.set
	return p.take(tokens[1:])
}

func (p *statusParser) startPeerDevice(tokens []string) error {
	if err := p.closePeerDevice(); err != nil {
		return err
	}
	p.peer = &PeerVolume{}
	pv := p.peer
	p.set = func(f field) error { return setNumbered(f, &pv.Number, pv.set) }
	return p.take(tokens)
}

// setNumbered takes the volume's number itself and leaves other keys to set.
func setNumbered(f field, number *int, set func(field) error) (err error) {
	if f.key == "volume" {
		*number, err = parseNumber(f, maxVolume)
		return err
	}
	return set(f)
}

// take gives a line's tokens to the object that is open; bare words are not
// keys and are skipped.
func (p *statusParser) take(tokens []string) error {
	for _, token := range tokens {
		f, ok := splitField(token)
		if !ok {
			continue
		}
		if err := p.set(f); err != nil {
			return err
		}
	}
	return nil
}

func (p *statusParser) closePeerDevice() error {
	if p.peer == nil {
		return nil
	}
	pv := *p.peer
	p.peer = nil
	return p.conn.addVolume(pv)
}

func (p *statusParser) closeChild() error {
	if err := p.closePeerDevice(); err != nil {
		return err
	}
	if c := p.conn; c != nil && c.State == "" && c.PeerRole != "" {
		// The short form names the state only while the link is down.
		c.State = ConnConnected
	}
	p.conn = nil
	if p.device == nil {
		return nil
	}
	dev := *p.device
	p.device = nil
	return p.resource.addVolume(dev)
}

func (p *statusParser) closeResource() error {
	if p.resource == nil {
		return nil
	}
	if err := p.closeChild(); err != nil {
		return err
	}
	p.done = append(p.done, *p.resource)
	p.resource = nil
	return nil
}
