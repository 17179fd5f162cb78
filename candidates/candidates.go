// Package candidates is what seekers leave on a board: applications with their
// CVs, alerts, reports. The employer is the controller of an application, so
// nothing here shows one to a board's team. Start at Service and Apply.
package candidates

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"time"

	"github.com/google/uuid"
	"github.com/uptrace/bun"
	"gocloud.dev/blob"

	"shingle/internal/links"
	"shingle/listings"
	"shingle/tenant"
)

// Service is the rules over applications, alerts and reports.
type Service struct {
	DB       *tenant.DB
	Platform *tenant.Platform
	Listings *listings.Store
	Files    *blob.Bucket
	Links    links.Links
	// Find answers an alert's query; given by the program, since search is not
	// known here.
	Find Finder
	// BulkMails is how many more digests the context's board may write now; at
	// none they are held. Nil sets no limit.
	BulkMails func(ctx context.Context) (int64, error)
	// Key signs CV links.
	Key []byte
	Now func() time.Time
}

// Statuses of an application, in the order of a hiring.
const (
	New       = "new"
	Reviewing = "reviewing"
	Interview = "interview"
	Offer     = "offer"
	Hired     = "hired"
	Rejected  = "rejected"
	Withdrawn = "withdrawn"
)

// Statuses that an employer may set.
func Statuses() []string { return []string{New, Reviewing, Interview, Offer, Hired, Rejected} }

// Application is somebody's wish to get a job.
type Application struct {
	bun.BaseModel `bun:"table:applications,alias:a"`
	tenant.Scoped

	ID        uuid.UUID `bun:"id,pk,type:uuid"`
	ListingID uuid.UUID `bun:"listing_id,type:uuid"`
	Name      string    `bun:"name"`
	Email     string    `bun:"email"`
	Note      string    `bun:"note"`
	CVKey     string    `bun:"cv_key"`
	CVName    string    `bun:"cv_name"`
	CVType    string    `bun:"cv_type"`
	CVSize    int64     `bun:"cv_size"`
	Status    string    `bun:"status"`
	// ConsentText is the privacy line that was agreed to, word for word.
	ConsentText  string     `bun:"consent_text"`
	ConsentedAt  time.Time  `bun:"consented_at"`
	WithdrawHash []byte     `bun:"withdraw_hash"`
	CreatedAt    time.Time  `bun:"created_at"`
	UpdatedAt    time.Time  `bun:"updated_at"`
	WithdrawnAt  *time.Time `bun:"withdrawn_at"`
}

// Reply is what an employer wrote to an applicant.
type Reply struct {
	bun.BaseModel `bun:"table:application_replies,alias:r"`
	tenant.Scoped

	ID            uuid.UUID  `bun:"id,pk,type:uuid"`
	ApplicationID uuid.UUID  `bun:"application_id,type:uuid"`
	PersonID      *uuid.UUID `bun:"person_id,type:uuid"`
	Body          string     `bun:"body"`
	At            time.Time  `bun:"at"`
}

// newToken makes a secret for a link and what is stored of it.
func newToken() (token string, hash []byte) {
	raw := make([]byte, 24)
	_, _ = rand.Read(raw) // never fails since Go 1.24
	token = base64.RawURLEncoding.EncodeToString(raw)
	return token, hashOf(token)
}

func hashOf(token string) []byte {
	sum := sha256.Sum256([]byte(token))
	return sum[:]
}
