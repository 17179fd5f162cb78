package certs

import "time"

// SetLease shortens a storage's lease, for tests.
func (s *Storage) SetLease(d time.Duration) { s.lease = d }
