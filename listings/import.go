package listings

import (
	"context"
	"time"

	"github.com/google/uuid"
	"github.com/uptrace/bun"

	"shingle/internal/fault"
	"shingle/tasks"
	"shingle/tenant"
)

// Import is a file of listings: checked first, then run.
type Import struct {
	bun.BaseModel `bun:"table:imports,alias:i"`
	tenant.Scoped

	ID        uuid.UUID  `bun:"id,pk,type:uuid"`
	Kind      string     `bun:"kind"`
	Name      string     `bun:"name"`
	Content   string     `bun:"content"`
	Report    Report     `bun:"report,type:jsonb"`
	State     string     `bun:"state"` // checked, running, done
	CreatedBy *uuid.UUID `bun:"created_by,type:uuid"`
	CreatedAt time.Time  `bun:"created_at"`
	DoneAt    *time.Time `bun:"done_at"`
}

// TaskImport runs an import. Frozen name.
const TaskImport = "listing.import"

type importPayload struct {
	ImportID uuid.UUID `json:"import_id"`
	Days     int       `json:"days"`
}

// MaxImportBytes is the largest file.
const MaxImportBytes = 10 << 20

// StartImport checks a file line by line and keeps it, so that the run reads
// what was checked. Kind: fault.Invalid with field "file".
func (s *Store) StartImport(ctx context.Context, tx bun.IDB, name, content string, r Rules) (*Import, error) {
	if len(content) > MaxImportBytes {
		return nil, fault.Invalids(fault.Fields{"file": say("field.csv.many", "5000")})
	}
	rep, err := s.CheckCSV(ctx, tx, content, r)
	if err != nil {
		return nil, err
	}
	rep.Rules = r
	im := &Import{ID: tenant.NewRowID(), Kind: "listings", Name: tidy(name), Content: content, Report: *rep, State: "checked",
		CreatedBy: tenant.ActorFrom(ctx).NullID(), CreatedAt: s.now()}
	_, err = tx.NewInsert().Model(im).Exec(ctx)
	return im, err
}

// ImportByID loads an import with its report. Kind: fault.NotFound.
func (s *Store) ImportByID(ctx context.Context, tx bun.IDB, id uuid.UUID) (*Import, error) {
	im := new(Import)
	return im, tenant.One(ctx, tx.NewSelect().Model(im).Where("i.id = ?", id), "import")
}

// RunImport queues the lines that are good: live for so many days. Running it
// twice is a no-op. Kinds: fault.NotFound, fault.Conflict when it has no good line.
func (s *Store) RunImport(ctx context.Context, tx bun.IDB, id uuid.UUID, days int) error {
	im := new(Import)
	if err := tenant.One(ctx, tx.NewSelect().Model(im).Where("i.id = ?", id).For("UPDATE"), "import"); err != nil {
		return err
	}
	if im.State != "checked" {
		return nil
	}
	if im.Report.Good == 0 {
		return fault.New(fault.Conflict, "no line of the file can be imported")
	}
	if days < 1 || days > 366 {
		return fault.Invalids(fault.Fields{"days": say("field.choice")})
	}
	res, err := tx.NewUpdate().Model((*Import)(nil)).Set("state = 'running'").Where("i.id = ?", id).Exec(ctx)
	if err := tenant.Touched(res, err, "import"); err != nil {
		return err
	}
	return tasks.Add(ctx, tx, tasks.New{Kind: TaskImport, Queue: tasks.Bulk, Key: id.String(), Payload: importPayload{ImportID: id, Days: days}})
}

// applyImport makes the listings, all or none, and ends the import. It checks
// again: another import may have brought the same references meanwhile.
func (s *Store) applyImport(ctx context.Context, tx bun.IDB, p importPayload) error {
	im := new(Import)
	if err := tenant.One(ctx, tx.NewSelect().Model(im).Where("i.id = ?", p.ImportID).For("UPDATE"), "import"); err != nil {
		return err
	}
	if im.State == "done" {
		return nil
	}
	rep, err := s.CheckCSV(ctx, tx, im.Content, im.Report.Rules)
	if err != nil {
		return err
	}
	rep.Rules = im.Report.Rules
	now := s.now()
	ends := now.Add(time.Duration(p.Days) * 24 * time.Hour)
	companies := map[string]uuid.UUID{}
	var ls []Listing
	for i := range rep.Lines {
		line := &rep.Lines[i]
		if line.Known || len(line.Problems) > 0 {
			continue
		}
		c := line.content
		id, ok := companies[c.Company]
		if !ok {
			company, err := s.FindOrCreateCompany(ctx, tx, c.Company, c.Website, nil)
			if err != nil {
				return err
			}
			id = company.ID
			companies[c.Company] = id
		}
		l := Listing{ID: tenant.NewRowID(), CompanyID: id, State: Live, Source: FromImport, PublishedAt: &now, EndsAt: &ends, CreatedAt: now, UpdatedAt: now}
		if err := s.fill(ctx, tx, &l, c); err != nil {
			return err
		}
		l.Places = c.Places
		ls = append(ls, l)
	}
	if err := s.BulkInsert(ctx, tx, ls, true); err != nil {
		return err
	}
	rep.Done = len(ls)
	im.Report = *rep
	res, err := tx.NewUpdate().Model(im).Column("report").Set("state = 'done', done_at = ?", now).Where("i.id = ?", im.ID).Exec(ctx)
	return tenant.Touched(res, err, "import")
}
