package runner

import (
	"context"
	"math"
	"time"

	"sbarbiter/agent"
	"sbarbiter/agent/heartbeat"
	"sbarbiter/agent/probe"
	"sbarbiter/arbiter/leader"
)

const (
	linksEvery    = time.Second
	servicesEvery = 5 * time.Second
)

// tell sends a beat to the peer.
func (r *Runner) tell(b agent.PeerBeat) {
	r.showStatus(b)
	payload, err := encodeBeat(b)
	if err == nil {
		_, err = r.parts.Peer.Send(payload)
	}
	if err != nil && !r.mute {
		r.log.Error("beat not sent to the peer", "error", err, "alarm", true)
	}
	r.mute = err != nil
}

// hearPeer takes what the heartbeat links bring.
func (r *Runner) hearPeer() error {
	return r.parts.Peer.Run(r.ctx, func(ev heartbeat.Event) {
		switch ev := ev.(type) {
		case heartbeat.Received:
			beat, err := decodeBeat(ev.Payload)
			if err != nil {
				r.log.Warn("beat not understood", "link", ev.Link, "error", err)
				return
			}
			if ev.Fresh && r.parts.Power != nil {
				r.parts.Power.Heard(ev.At)
			}
			r.post(agent.PeerHeard{Link: ev.Link, Fresh: ev.Fresh, Beat: beat})
		case heartbeat.Conflict:
			r.log.Error("two machines under the peer's name", "link", ev.Link, "alarm", true,
				"counts", ev.Peer, "dropped", ev.Other, "why", "one of them was rolled back, or runs with the other's certificate and key: stop it")
		}
	})
}

// watchLinks tells every second what the links look like.
func (r *Runner) watchLinks() error {
	return every(r.ctx, linksEvery, func() {
		var links []leader.Link
		now := r.now()
		for _, s := range r.parts.Peer.Stats() {
			links = append(links, leader.Link{
				Name:      s.Name,
				HearsPeer: !s.LastReceived.IsZero() && now.Sub(s.LastReceived) < r.cfg.Agent.Timing.SuspectAfter,
				LostIn:    percent(s.ReceivedLossPercent), LostOut: percent(s.SentLossPercent),
			})
		}
		r.post(agent.Links{Links: links})
	})
}

func percent(p float64) int { return int(math.Round(min(max(p, 0), 100))) }

// probe asks the reference addresses.
func (r *Runner) probe() error {
	return r.parts.References.Run(r.ctx, func(o probe.Observation) {
		r.post(agent.Probed{Address: o.Target.String(), OK: o.OK})
	})
}

// watchServices tells how a group's services are.
func (r *Runner) watchServices(g Group) error {
	return every(r.ctx, servicesEvery, func() {
		ctx, cancel := context.WithTimeout(r.ctx, servicesEvery)
		defer cancel()
		var list []leader.Service
		for _, u := range g.Services.State(ctx) {
			list = append(list, leader.Service{Name: u.Unit, State: u.State.String()})
		}
		r.post(agent.Services{Group: g.ID, Services: list})
	})
}

// every does it again and again until ctx ends, the first time after d.
func every(ctx context.Context, d time.Duration, do func()) error {
	t := time.NewTicker(d)
	defer t.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-t.C:
			do()
		}
	}
}
