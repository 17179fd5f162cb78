package listings

import (
	"context"
	"strings"

	"github.com/google/uuid"
	"github.com/uptrace/bun"

	"shingle/tenant"
)

// Leaver is an employer who asked for erasure.
type Leaver struct {
	// Person is the nil ID when the board has no account of the address.
	Person uuid.UUID
	// Email is folded.
	Email string
	// Invoiced are companies whose name an invoice needs.
	Invoiced map[uuid.UUID]bool
	// Orphaned is called for each listing that nobody is left to answer for.
	Orphaned func(ctx context.Context, tx bun.IDB, listing uuid.UUID) error
}

// Left counts what became of a leaver's listings.
type Left struct {
	// Handed went to a colleague of the company; Removed were taken off the board;
	// Companies lost their profile with their only member.
	Handed, Removed, Companies int
}

// Forget takes an employer out of the board's listings. What a colleague can
// answer for goes to the colleague; what nobody can is taken off the board and
// emptied, with the profile of a company that has no other member. The caller
// erases the person.
func (s *Store) Forget(ctx context.Context, tx bun.IDB, who Leaver) (out Left, err error) {
	board, err := tenant.IDFrom(ctx)
	if err != nil {
		return out, err
	}
	var ids []uuid.UUID
	err = tx.NewRaw(`SELECT id FROM listings WHERE tenant_id = ? AND (person_id = ? OR lower(apply_target) = ?
			OR id IN (SELECT listing_id FROM listing_revisions WHERE tenant_id = ? AND lower(content->>'apply_target') = ?)) ORDER BY id`, board, who.Person, who.Email, board, who.Email).Scan(ctx, &ids)
	if err != nil {
		return out, err
	}
	for _, id := range ids {
		l, err := s.Lock(ctx, tx, id)
		if err != nil {
			return out, err
		}
		// An edit of it that waits must not bring the address back.
		if _, err := tx.NewRaw(`UPDATE listing_revisions SET content = content || jsonb_build_object('apply_method', ?, 'apply_target', '')
			WHERE tenant_id = ? AND listing_id = ? AND lower(content->>'apply_target') = ?`, ApplyBoard, board, id, who.Email).Exec(ctx); err != nil {
			return out, err
		}
		if strings.EqualFold(l.ApplyTarget, who.Email) {
			// Applications then come to the desk that the listing is on.
			l.ApplyMethod, l.ApplyTarget = ApplyBoard, ""
		}
		if l.PersonID == nil || *l.PersonID != who.Person {
			if err := s.save(ctx, tx, l); err != nil {
				return out, err
			}
			continue
		}
		colleague, err := s.colleague(ctx, tx, l.CompanyID, who.Person)
		if err != nil {
			return out, err
		}
		if colleague != uuid.Nil {
			out.Handed++
			if err := s.save(ctx, tx, l); err != nil {
				return out, err
			}
			if _, err := tx.NewUpdate().Model((*Listing)(nil)).Set("person_id = ?", colleague).Where("l.id = ?", id).Exec(ctx); err != nil {
				return out, err
			}
			continue
		}
		out.Removed++
		if err := s.orphan(ctx, tx, l); err != nil {
			return out, err
		}
		if err := who.Orphaned(ctx, tx, id); err != nil {
			return out, err
		}
	}
	out.Companies, err = s.forgetCompanies(ctx, tx, board, who)
	return out, err
}

// colleague is who else may act for the company, the longest-standing first;
// the nil ID for nobody.
func (s *Store) colleague(ctx context.Context, tx bun.IDB, company, but uuid.UUID) (uuid.UUID, error) {
	board, err := tenant.IDFrom(ctx)
	if err != nil {
		return uuid.Nil, err
	}
	var ids []uuid.UUID
	err = tx.NewRaw(`SELECT person_id FROM company_members WHERE tenant_id = ? AND company_id = ? AND person_id <> ? ORDER BY created_at, person_id LIMIT 1`, board, company, but).Scan(ctx, &ids)
	if err != nil || len(ids) == 0 {
		return uuid.Nil, err
	}
	return ids[0], nil
}

// orphan takes a listing off the board and empties what its employer wrote. Its
// title stays: orders and the board's figures name it.
func (s *Store) orphan(ctx context.Context, tx bun.IDB, l *Listing) error {
	var edits []Revision
	if err := tx.NewSelect().Model(&edits).Where("r.listing_id = ?", l.ID).Scan(ctx); err != nil {
		return err
	}
	blobs := []string{l.NextLogo}
	for i := range edits {
		blobs = append(blobs, edits[i].Content.Logo)
	}
	l.Description, l.Reference, l.ReviewNote, l.ApplyMethod, l.ApplyTarget, l.NextLogo, l.NextWebsite = "", "", "", ApplyBoard, "", "", ""
	if l.State == Removed {
		if err := s.save(ctx, tx, l); err != nil {
			return err
		}
	} else if err := s.move(ctx, tx, l, Removed, "erasure"); err != nil {
		return err
	}
	if _, err := tx.NewDelete().Model((*Revision)(nil)).Where("r.listing_id = ?", l.ID).Exec(ctx); err != nil {
		return err
	}
	for _, key := range blobs {
		if err := dropBlob(ctx, tx, key); err != nil {
			return err
		}
	}
	return nil
}

// forgetCompanies empties the profiles of companies that nobody else acts for.
func (s *Store) forgetCompanies(ctx context.Context, tx bun.IDB, board tenant.ID, who Leaver) (int, error) {
	var alone []Company
	err := tx.NewSelect().Model(&alone).
		Where("EXISTS (SELECT FROM company_members AS m WHERE m.tenant_id = ? AND m.company_id = c.id AND m.person_id = ?)", board, who.Person).
		Where("NOT EXISTS (SELECT FROM company_members AS m WHERE m.tenant_id = ? AND m.company_id = c.id AND m.person_id <> ?)", board, who.Person).
		// The board itself, or somebody of before, posted for it too.
		Where("NOT EXISTS (SELECT FROM listings AS l WHERE l.tenant_id = ? AND l.company_id = c.id AND l.person_id IS DISTINCT FROM ?)", board, who.Person).
		Order("c.id").For("UPDATE").Scan(ctx)
	if err != nil {
		return 0, err
	}
	for i := range alone {
		c := &alone[i]
		q := tx.NewUpdate().Model((*Company)(nil)).Where("c.id = ?", c.ID).
			Set("website = '', tagline = '', about = '', industry = '', size = '', location = '', logo_key = '', updated_at = ?", s.now())
		if !who.Invoiced[c.ID] {
			q.Set("name = '—', slug = ?", "x-"+c.ID.String())
		}
		res, err := q.Exec(ctx)
		if err := tenant.Touched(res, err, "company"); err != nil {
			return 0, err
		}
		if err := dropBlob(ctx, tx, c.LogoKey); err != nil {
			return 0, err
		}
		tenant.Changed(ctx)
	}
	return len(alone), nil
}
