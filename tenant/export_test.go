package tenant

import "time"

// Seed fills the resolver's cache as if each host had been asked for.
func (r *Resolver) Seed(hosts []string) {
	for _, h := range hosts {
		b := &board{}
		b.tenant.Store(&Tenant{ID: NewID(), CanonicalHost: h, State: Active})
		b.asked.Store(r.now().UnixNano())
		r.known[h] = &entry{host: h, board: b}
	}
	r.linked.Store(true)
}

// SeedUnknown fills the negative entries.
func (r *Resolver) SeedUnknown(hosts []string, until time.Time) {
	for _, h := range hosts {
		r.unknown[h] = until
	}
}

// Link tells the resolver that the listener is up or lost.
func (r *Resolver) Link(up bool) { r.linked.Store(up) }
