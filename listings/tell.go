package listings

import (
	"context"
	"time"

	"github.com/uptrace/bun"

	"shingle/mail"
	"shingle/tenant"
)

// tellOwner mails the person whose desk the listing is on, if any. The mail is
// single per listing and occasion.
func (s *Store) tellOwner(ctx context.Context, tx bun.IDB, l *Listing, kind, note, occasion string) error {
	email, locale, err := s.Contact(ctx, tx, l)
	t := tenant.From(ctx)
	if err != nil || email == "" || t == nil {
		return err
	}
	if occasion == "" {
		occasion = l.UpdatedAt.Format(time.RFC3339Nano)
	}
	m := mail.Message{Kind: kind, Key: l.ID.String() + " " + occasion, To: email, Locale: locale, Quote: note,
		Data: mail.Data{"Title": l.Title, "Ends": day(l.EndsAt, t)}, URL: s.Links.Board(t, "/employers/listings/"+l.ID.String())}
	if kind == "listing-live" {
		m.URL = s.Links.Board(t, l.Path())
	}
	return mail.Queue(ctx, tx, m)
}

// tellReviewers mails the board's contact address that something waits: once
// per listing and day, however often it is edited.
func (s *Store) tellReviewers(ctx context.Context, tx bun.IDB, l *Listing) error {
	t := tenant.From(ctx)
	if t == nil || t.ContactEmail == "" {
		return nil
	}
	return mail.Queue(ctx, tx, mail.Message{Kind: "review-waiting", Key: l.ID.String() + " " + s.now().Format(time.DateOnly), To: t.ContactEmail,
		Data: mail.Data{"Title": l.Title}, URL: s.Links.Console(t, "/admin/review")})
}

// day is a date on the board, in the ISO form that every language reads.
func day(at *time.Time, t *tenant.Tenant) string {
	if at == nil {
		return ""
	}
	return at.In(t.Location()).Format(time.DateOnly)
}
