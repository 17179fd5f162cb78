package tenant_test

import (
	"context"
	"slices"
	"strconv"
	"testing"
	"time"

	"github.com/uptrace/bun"
	"github.com/uptrace/bun/dialect/pgdialect"

	"shingle/internal/links"
	"shingle/internal/pg"
	"shingle/internal/testkit"
	"shingle/listings"
	"shingle/tenant"
)

// BenchmarkWall is what the wall between boards costs: all reads of a board's
// home in one bound transaction, against the same statements as a superuser in
// a plain one. Both take turns, so that the machine's moods meet both; ratio
// is of the medians.
func BenchmarkWall(b *testing.B) {
	w := testkit.NewWorld(b)
	store := listings.NewStore(links.Links{Scheme: "http", PlatformHost: "platform.localhost", BoardDomain: "localhost"})
	var ctx context.Context
	for n := range 5 { // rows of other boards lie between
		ctx = w.Ctx(b, w.Board(b, "board"+strconv.Itoa(n)))
		if err := w.DB.Write(ctx, func(ctx context.Context, tx bun.IDB) error { return wallRows(ctx, tx, store) }); err != nil {
			b.Fatal(err)
		}
	}
	super, err := pg.Open(w.PG.Superuser, 4)
	if err != nil {
		b.Fatal(err)
	}
	defer func() { _ = super.Close() }()
	open := bun.NewDB(super, pgdialect.New(), bun.WithDiscardUnknownColumns())
	if _, err := open.ExecContext(ctx, "ANALYZE"); err != nil {
		b.Fatal(err)
	}
	fronts := [2]*listings.Front{}
	kinds := [2]func() error{
		func() error {
			return w.DB.Read(ctx, func(ctx context.Context, tx bun.IDB) (err error) {
				fronts[0], err = store.Front(ctx, tx, 20)
				return err
			})
		},
		func() error { // no row level security, nothing bound
			conn, err := open.Conn(ctx)
			if err != nil {
				return err
			}
			defer func() { _ = conn.Close() }()
			if _, err := conn.ExecContext(ctx, "BEGIN READ ONLY"); err != nil {
				return err
			}
			if fronts[1], err = store.Front(ctx, conn, 20); err != nil {
				return err
			}
			_, err = conn.ExecContext(ctx, "COMMIT")
			return err
		},
	}
	took := [2][]time.Duration{}
	run := func(keep bool) {
		for k, read := range kinds {
			begun := time.Now()
			if err := read(); err != nil {
				b.Fatal(err)
			}
			if keep {
				took[k] = append(took[k], time.Since(begun))
			}
		}
	}
	for range 20 {
		run(false)
	}
	if f := fronts[0]; f.Total != 1000 || len(f.Latest) != 20 || fronts[1].Total != f.Total || len(fronts[1].Companies) != len(f.Companies) {
		b.Fatalf("not the same home: %d and %d listings", f.Total, fronts[1].Total)
	}
	for b.Loop() {
		run(true)
	}
	for k := range took {
		slices.Sort(took[k])
	}
	walled, plain := took[0][len(took[0])/2], took[1][len(took[1])/2]
	b.ReportMetric(float64(walled.Microseconds()), "walled-p50-µs")
	b.ReportMetric(float64(plain.Microseconds()), "plain-p50-µs")
	b.ReportMetric(float64(walled)/float64(plain), "ratio")
}

// wallRows are 1,000 live listings of 100 companies in 8 categories.
func wallRows(ctx context.Context, tx bun.IDB, store *listings.Store) error {
	var categories []*listings.Category
	for n := range 8 {
		c, err := store.CreateCategory(ctx, tx, "Trade "+strconv.Itoa(n))
		if err != nil {
			return err
		}
		categories = append(categories, c)
	}
	companies := make([]listings.Company, 100)
	for n := range companies {
		companies[n] = listings.Company{ID: tenant.NewRowID(), Name: "Works " + strconv.Itoa(n), Slug: "works-" + strconv.Itoa(n)}
	}
	if err := store.BulkCompanies(ctx, tx, companies); err != nil {
		return err
	}
	rows := make([]listings.Listing, 1000)
	for n := range rows {
		from := time.Now().Add(-time.Duration(n) * 37 * time.Minute)
		until := from.AddDate(0, 0, 60)
		rows[n] = listings.Listing{CompanyID: companies[n*7%100].ID, CategoryID: &categories[n%8].ID, State: listings.Live, Title: "Keeper " + strconv.Itoa(n),
			Description: "<p>Keep the light, keep the log, keep the stairs clear of fish.</p>", EmploymentType: listings.FullTime, Workplace: listings.OnSite, Source: listings.FromSeed,
			Places: []listings.Place{{Country: "GB", City: "Whitby"}}, Tags: []string{"sea", "light"}, Featured: n%40 == 0, PublishedAt: &from, EndsAt: &until}
	}
	return store.BulkInsert(ctx, tx, rows, false)
}
