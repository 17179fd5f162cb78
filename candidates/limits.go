package candidates

import (
	"context"
	"crypto/sha256"
	"encoding/base64"
	"time"

	"github.com/uptrace/bun"

	sendmail "shingle/mail"
	"shingle/tenant"
)

// What one address gets, whoever asks for it and from how many networks: rows
// are counted, so that the limits hold in every process.
const (
	// confirmsPerDay bounds the mails that ask an address about alerts.
	confirmsPerDay = 5
	// applicationsPerDay bounds the applications of one address on a board, and
	// so the mails that confirm them.
	applicationsPerDay = 20
	// noticesPerHour bounds what an employer's or a board's address is told one
	// by one; everything is in their console all the same.
	noticesPerHour = 40
	// repliesPerDay bounds what one applicant is sent about one application.
	repliesPerDay = 20
)

// mailed counts the mails of a kind to an address within a while.
func mailed(ctx context.Context, tx bun.IDB, kind, to string, within time.Duration) (n int, err error) {
	board, err := tenant.IDFrom(ctx)
	if err != nil {
		return 0, err
	}
	err = tx.NewRaw(`SELECT count(*) FROM mails WHERE tenant_id = ? AND recipient = ? AND kind = ? AND created_at > now() - make_interval(secs => ?)`,
		board, to, kind, within.Seconds()).Scan(ctx, &n)
	return n, err
}

// notify tells an address of something that also waits in its console. A flood
// ends in one mail an hour that says so; more is "" where there is none.
func (s *Service) notify(ctx context.Context, tx bun.IDB, m sendmail.Message, more string) error {
	n, err := mailed(ctx, tx, m.Kind, m.To, time.Hour)
	if err != nil {
		return err
	}
	if n < noticesPerHour {
		return sendmail.Queue(ctx, tx, m)
	}
	if more == "" {
		return nil
	}
	// Keys outlive addresses that are erased: they hold none.
	whose := sha256.Sum256([]byte(m.To))
	return sendmail.Queue(ctx, tx, sendmail.Message{Kind: more, Key: base64.RawURLEncoding.EncodeToString(whose[:12]) + " " + s.Now().UTC().Format("2006-01-02T15"), To: m.To,
		URL: s.Links.Board(tenant.From(ctx), "/employers/desk")})
}
