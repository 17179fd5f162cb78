package mail

import "github.com/google/uuid"

// ReadReturn is what a report says, for tests.
func ReadReturn(r Refs, recipient, kind string, raw []byte) (mail uuid.UUID, what string) {
	got := r.read(recipient, kind, raw)
	return got.mail, got.kind
}
