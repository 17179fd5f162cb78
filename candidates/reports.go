package candidates

import (
	"context"
	"strings"
	"time"

	"github.com/google/uuid"
	"github.com/uptrace/bun"

	"shingle/internal/fault"
	sendmail "shingle/mail"
	"shingle/tenant"
)

// Report is a complaint about a listing.
type Report struct {
	bun.BaseModel `bun:"table:reports,alias:rp"`
	tenant.Scoped

	ID        uuid.UUID  `bun:"id,pk,type:uuid"`
	ListingID uuid.UUID  `bun:"listing_id,type:uuid"`
	Reason    string     `bun:"reason"`
	Body      string     `bun:"body"`
	Email     string     `bun:"email"`
	State     string     `bun:"state"`
	CreatedAt time.Time  `bun:"created_at"`
	DecidedAt *time.Time `bun:"decided_at"`
	DecidedBy *uuid.UUID `bun:"decided_by,type:uuid"`

	Title    string `bun:"title,scanonly"`
	PublicID string `bun:"public_id,scanonly"`
	Slug     string `bun:"slug,scanonly"`
}

// Reasons for a report, in the order that the form shows them.
func Reasons() []string {
	return []string{"scam", "expired", "misleading", "discriminating", "offensive", "other"}
}

// CheckReport names what must change about a report. Kind: fault.Invalid by field.
func CheckReport(reason, text, email string) error {
	_, _, err := checkReport(reason, text, email)
	return err
}

func checkReport(reason, text, email string) (cleanText, folded string, err error) {
	bad := fault.Fields{}
	known := false
	for _, r := range Reasons() {
		known = known || r == reason
	}
	if !known {
		bad["reason"] = "report.reason.required"
	}
	text = strings.TrimSpace(text)
	if len([]rune(text)) > 3000 {
		bad["text"] = "report.text.long"
	} else if reason == "other" && text == "" {
		bad["text"] = "report.text.required"
	}
	if strings.TrimSpace(email) != "" {
		address, ok := foldAddress(email)
		if !ok {
			bad["email"] = "apply.email.invalid"
		}
		email = address
	}
	return text, strings.TrimSpace(email), fault.Invalids(bad)
}

// ReportListing keeps a complaint and tells the board. Kinds: fault.Invalid by
// field (reason, text, email), fault.NotFound.
func (s *Service) ReportListing(ctx context.Context, tx bun.IDB, listing uuid.UUID, reason, text, email string) error {
	text, email, err := checkReport(reason, text, email)
	if err != nil {
		return err
	}
	l, err := s.Listings.ByID(ctx, tx, listing)
	if err != nil {
		return err
	}
	r := &Report{ID: tenant.NewRowID(), ListingID: l.ID, Reason: reason, Body: text, Email: strings.ToLower(strings.TrimSpace(email)), State: "open", CreatedAt: s.Now()}
	if _, err := tx.NewInsert().Model(r).Exec(ctx); err != nil {
		return err
	}
	t := tenant.From(ctx)
	if t.ContactEmail == "" {
		return nil
	}
	return s.notify(ctx, tx, sendmail.Message{Kind: "report-received", Key: r.ID.String(), To: t.ContactEmail, Quote: text,
		Data: sendmail.Data{"Title": l.Title, "Reason": reason}, URL: s.Links.Console(t, "/admin/reports")}, "")
}

// Reports lists complaints, open ones first, newest first.
func (s *Service) Reports(ctx context.Context, tx bun.IDB, state string, page, size int) ([]Report, int, error) {
	var out []Report
	q := tx.NewSelect().Model(&out).ColumnExpr("rp.*").ColumnExpr("l.title, l.public_id, l.slug").
		Join("JOIN listings AS l ON l.tenant_id = rp.tenant_id AND l.id = rp.listing_id").
		OrderExpr("rp.state = 'open' DESC, rp.created_at DESC").Limit(int64(size)).Offset(int64((page - 1) * size))
	count := tx.NewSelect().Model((*Report)(nil))
	if state != "" {
		q.Where("rp.state = ?", state)
		count.Where("rp.state = ?", state)
	}
	if err := q.Scan(ctx); err != nil {
		return nil, 0, err
	}
	n, err := tenant.Count(ctx, count)
	return out, n, err
}

// DecideReport closes a complaint as upheld or dismissed. Kinds:
// fault.NotFound (also when it is closed), fault.Invalid.
func (s *Service) DecideReport(ctx context.Context, tx bun.IDB, id uuid.UUID, state string) (*Report, error) {
	if state != "upheld" && state != "dismissed" {
		return nil, fault.New(fault.Invalid, "a report is upheld or dismissed")
	}
	r := new(Report)
	if err := tenant.One(ctx, tx.NewSelect().Model(r).Where("rp.id = ?", id).Where("rp.state = 'open'"), "report"); err != nil {
		return nil, err
	}
	res, err := tx.NewUpdate().Model((*Report)(nil)).Where("rp.id = ?", id).Where("rp.state = 'open'").
		Set("state = ?", state).Set("decided_at = ?", s.Now()).Set("decided_by = ?", tenant.ActorFrom(ctx).NullID()).Exec(ctx)
	return r, tenant.Touched(res, err, "report")
}
