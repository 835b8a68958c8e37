package sim

// How a leading voter's log gets to the others: its beats carry what they lack,
// and what a majority has is committed.

// spread sends each follower what it lacks.
func (v *voter) spread() {
	for i, o := range v.x.voters {
		if o == v {
			continue
		}
		prev := v.next[i] - 1
		v.x.w.send(Path{v.host, o.host, 0}, &appending{
			v, o, v.life, v.term, v.round, prev, v.termAt(prev), v.log[prev:len(v.log):len(v.log)], v.commit,
		})
	}
}

// appending is a leader's beat, with what its receiver lacks.
type appending struct {
	by, to   *voter
	life     int // of the sender's process: its connections end with it
	term     uint64
	round    uint64
	prev     int
	prevTerm uint64
	records  []record
	commit   int
}

func (m *appending) happen() {
	if m.by.reaches(m.to) {
		m.read()
	}
}

func (m *appending) read() {
	switch v := m.to; {
	case v.paused:
		v.deferred = append(v.deferred, m.read)
	case v.up:
		v.appends(m)
	}
}

func (v *voter) appends(m *appending) {
	if m.term < v.term {
		v.answer(m, -1)
		return
	}
	if m.term > v.term || v.leads {
		v.follow(m.term)
	}
	v.await()
	switch {
	case v.full && len(m.records) > 0:
		return
	case m.prev > len(v.log) || v.termAt(m.prev) != m.prevTerm:
		v.answer(m, -1)
		return
	}
	for i, r := range m.records {
		if at := m.prev + i; at < len(v.log) && v.log[at].term != r.term {
			v.log = v.log[:at:at]
		}
		if m.prev+i == len(v.log) {
			v.log = append(v.log, r)
		}
	}
	have := m.prev + len(m.records)
	v.commit = max(v.commit, min(m.commit, have))
	v.blank = v.blank && have < m.commit
	if len(m.records) == 0 {
		v.answer(m, have)
		return
	}
	v.later(v.x.w.vary(syncMin, syncMax), func() { v.answer(m, have) })
}

// answer tells a leader how far this voter's log is its own; -1: not at all.
func (v *voter) answer(m *appending, have int) {
	v.x.w.send(Path{v.host, m.by.host, 0}, &receipt{m, v.term, have, len(v.log)})
}

// receipt answers an appending.
type receipt struct {
	of     *appending
	term   uint64
	have   int
	length int
}

func (r *receipt) happen() {
	if r.of.to.reaches(r.of.by) {
		r.read()
	}
}

func (r *receipt) read() {
	switch v := r.of.by; {
	case v.paused:
		v.deferred = append(v.deferred, r.read)
	case v.up:
		v.answered(r)
	}
}

func (v *voter) answered(r *receipt) {
	m, from, have := r.of, r.of.to.index(), r.have
	if r.term > v.term {
		v.follow(r.term)
	}
	if !v.leads || m.term != v.term || m.life != v.life {
		return
	}
	v.heardAt[from] = v.x.w.now
	v.acked[from] = max(v.acked[from], m.round)
	if have < 0 {
		v.next[from] = max(1, min(v.next[from]-1, r.length+1))
	} else {
		v.match[from] = max(v.match[from], have)
		v.next[from] = v.match[from] + 1
		v.advance()
	}
	v.verified()
}

// advance commits what a majority has stored, from this term's first on.
func (v *voter) advance() {
	for n := len(v.log); n > v.commit && v.log[n-1].term == v.term; n-- {
		count := 0
		for _, m := range v.match {
			if m >= n {
				count++
			}
		}
		if v.majority(count) {
			v.commitTo(n)
			return
		}
	}
}

func (v *voter) commitTo(n int) {
	term := v.term
	for v.commit < n && v.leads && v.term == term {
		v.commit++
		c := v.log[v.commit-1].command
		out := v.x.carryOut(v.commit, c)
		v.x.w.applied(c, out.Verdict, v.log[v.commit-1].at)
		if v.commit == v.opening {
			v.opened()
		} else if t, ok := v.waiting[v.commit]; ok && v.lead != nil {
			delete(v.waiting, v.commit)
			v.concluded(t, c, out)
		}
	}
}

// verified answers the questions that a majority has answered since.
func (v *voter) verified() {
	for len(v.verifying) > 0 && v.lead != nil {
		q := v.verifying[0]
		count := 1
		for i, r := range v.acked {
			if i != v.index() && r >= q.round {
				count++
			}
		}
		if !v.majority(count) {
			return
		}
		v.verifying = v.verifying[1:]
		v.x.w.toldLeader(v, verifiedTold)
		v.perform(v.lead.Verified(v.clock.now(), q.token, true))
	}
}
