package listings

import (
	"context"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/uuid"
	"github.com/uptrace/bun"

	"shingle/internal/fault"
	"shingle/tenant"
)

// What goes in a column at a time comes back as one row's insert would have
// written it, with every field set and with none.
func TestBulkKeepsEveryField(t *testing.T) {
	t.Parallel()
	w := newWorld(t, false)
	co := []Company{{Name: `O"Neill \ {Söhne}, 'Ltd'`, About: "<p>\U0001F528</p>"}}
	w.write(w.admin, func(ctx context.Context, tx bun.IDB) error { return w.s.BulkCompanies(ctx, tx, co) })
	day := func(n int) *time.Time { at := time.Date(2026, 3, n, 1, 2, 3, 456789000, time.UTC); return &at }
	n := func(v int64) *int64 { return &v }
	f := func(v float64) *float64 { return &v }
	product := uuid.New()
	full := Listing{CompanyID: co[0].ID, State: Paused, Title: `"Q" \ {x}, 'y' NULL`, EmploymentType: Contract, Workplace: Remote, Seniority: "lead",
		SalaryMin: n(1), SalaryMax: n(1 << 40), SalaryCurrency: "EUR", SalaryPeriod: "year", SalaryYearMin: n(1), SalaryYearMax: n(1 << 40),
		Description: "<p>line\nline\ttab ß \U0001F528 {,} \" \\</p>", Tags: []string{`a "b"`, `c\d`, "{e,f}", "NULL", "", "ü"}, ApplicantCountries: []string{"DE", "FR"},
		ApplyMethod: ApplyBoard, ApplyTarget: "x@y.example", Reference: "R,1", Source: FromImport, Featured: true, WantedProductID: &product,
		PublishAt: day(1), PublishedAt: day(2), EndsAt: day(20), ClosedAt: day(19), ReviewNote: "no", Version: 7, CreatedAt: *day(3), UpdatedAt: *day(4),
		Places: []Place{{Country: "DE", Region: "BE", City: "Berlin", PostalCode: "10115", Lat: f(52.5), Lon: f(13.4)}, {Country: "FR"}}}
	ls := []Listing{full, {CompanyID: co[0].ID, State: Draft, Title: "Bare"}}
	w.write(w.admin, func(ctx context.Context, tx bun.IDB) error { return w.s.BulkInsert(ctx, tx, ls, false) })
	for i := range ls {
		w.write(w.admin, func(ctx context.Context, tx bun.IDB) error {
			got, err := w.s.Full(ctx, tx, ls[i].ID)
			if err != nil {
				return err
			}
			got.Company, got.Category = nil, nil
			same := cmp.Comparer(func(a, b time.Time) bool { return a.Equal(b) || a.Sub(b).Abs() < time.Microsecond })
			if diff := cmp.Diff(ls[i], *got, same, cmp.Comparer(func(a, b []Place) bool { return len(a) == len(b) && (len(a) == 0 || cmp.Equal(a, b)) })); diff != "" {
				t.Errorf("%s, written against read:\n%s", ls[i].Title, diff)
			}
			c, err := w.s.CompanyByID(ctx, tx, co[0].ID)
			if err == nil && (c.Name != co[0].Name || c.About != co[0].About) {
				t.Errorf("company: %+v", c)
			}
			return err
		})
	}
}

// The board of bulk rows is the context's, whatever the rows say.
func TestBulkKeepsToItsBoard(t *testing.T) {
	t.Parallel()
	w := newWorld(t, false)
	co := []Company{{Name: "Acme"}}
	w.write(w.admin, func(ctx context.Context, tx bun.IDB) error { return w.s.BulkCompanies(ctx, tx, co) })
	w.fails(fault.Internal, w.rival, func(ctx context.Context, tx bun.IDB) error { return tenant.InsertAll(ctx, tx, co) })
	err := w.DB.Write(w.rival, func(ctx context.Context, tx bun.IDB) error {
		return w.s.BulkInsert(ctx, tx, []Listing{{CompanyID: co[0].ID, Title: "Planted"}}, false)
	})
	if err == nil {
		t.Error("a rival's listing stands under our company")
	}
	if n := w.count(`SELECT count(*) FROM listings WHERE title = 'Planted'`); n != 0 {
		t.Errorf("%d planted", n)
	}
	// Postgres' wall alone: columns that name another board.
	err = w.DB.Write(w.rival, func(ctx context.Context, tx bun.IDB) error {
		_, err := tenant.ExecColumns(ctx, tx, `INSERT INTO categories (tenant_id, id, slug, name) SELECT $1::uuid, x.* FROM unnest($2::uuid[], $3::text[], $4::text[]) AS x`,
			w.board.ID.String(), []string{uuid.NewString()}, []string{"y"}, []string{"Y"})
		return err
	})
	if err == nil {
		t.Error("a row for another board was taken")
	}
	// A field that columns cannot carry is an error, never left out.
	w.fails(fault.Internal, w.admin, func(ctx context.Context, tx bun.IDB) error { return tenant.InsertAll(ctx, tx, make([]Import, 1)) })
}
