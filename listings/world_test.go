package listings

import (
	"context"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/uptrace/bun"

	"shingle/internal/fault"
	"shingle/internal/links"
	"shingle/internal/testkit"
	"shingle/tenant"
)

func TestMain(m *testing.M) { testkit.Main(m) }

// world is a board with a clock that tests move by hand.
type world struct {
	*testkit.World
	t     *testing.T
	s     *Store
	board *tenant.Tenant
	ctx   context.Context
	clock atomic.Int64
	// admin acts as the board's team, rival as another board.
	admin, rival context.Context
	person       uuid.UUID
	desk         context.Context // the person, signed in
}

func newWorld(t *testing.T, moderated bool) *world {
	t.Helper()
	w := &world{World: testkit.NewWorld(t), t: t}
	w.clock.Store(time.Date(2026, 11, 1, 12, 0, 0, 0, time.UTC).UnixNano())
	w.s = NewStore(links.Links{Scheme: "http", PlatformHost: "platform.localhost", BoardDomain: "localhost"})
	w.s.Now = func() time.Time { return time.Unix(0, w.clock.Load()) }
	b := *w.Board(t, "acme")
	b.Moderated = moderated
	w.board = &b
	w.ctx = w.Ctx(t, w.board)
	w.admin = tenant.WithActor(w.ctx, tenant.Actor{Kind: tenant.Operator, ID: uuid.New()})
	w.rival = w.Ctx(t, w.Board(t, "rival"))
	w.person = w.addPerson("anna@employer.example")
	w.desk = tenant.WithActor(w.ctx, tenant.Actor{Kind: tenant.Person, ID: w.person})
	return w
}

func (w *world) pass(d time.Duration) { w.clock.Add(int64(d)) }

func (w *world) write(ctx context.Context, fn tenant.Fn) {
	w.t.Helper()
	if err := w.DB.Write(ctx, fn); err != nil {
		w.t.Fatal(err)
	}
}

func (w *world) addPerson(email string) uuid.UUID {
	id := tenant.NewRowID()
	w.write(w.ctx, func(ctx context.Context, tx bun.IDB) error {
		_, err := tx.NewRaw(`INSERT INTO people (tenant_id, id, email) VALUES (?, ?, ?)`, w.board.ID, id, email).Exec(ctx)
		return err
	})
	return id
}

func content(title string) Content {
	low, high := int64(8500000), int64(9500000)
	return Content{Title: title, Company: "Harbour Works", EmploymentType: FullTime, Workplace: OnSite, Places: []Place{{Country: "DE", City: "Berlin"}, {Country: "US", Region: "TX", City: "Austin"}},
		SalaryMin: &low, SalaryMax: &high, SalaryCurrency: "EUR", SalaryPeriod: "year", Description: "<p>Build cranes with us, day after day, at the harbour.</p>",
		Tags: []string{"go", "cranes"}, ApplyMethod: ApplyBoard}
}

// draft is a checked draft on the person's desk.
func (w *world) draft(title string) *Listing {
	w.t.Helper()
	var l *Listing
	w.write(w.desk, func(ctx context.Context, tx bun.IDB) (err error) {
		l, err = w.s.Create(ctx, tx, content(title), Owner{PersonID: &w.person})
		return err
	})
	return l
}

func (w *world) grant(ctx context.Context, l *Listing, kind string, days int) {
	w.t.Helper()
	w.write(ctx, func(ctx context.Context, tx bun.IDB) error {
		return w.s.Grant(ctx, tx, Entitlement{ListingID: l.ID, Kind: kind, Days: days})
	})
}

// live is a paid listing that has been published.
func (w *world) live(title string) *Listing {
	w.t.Helper()
	l := w.draft(title)
	w.grant(w.ctx, l, Posting, 30)
	w.write(w.admin, func(ctx context.Context, tx bun.IDB) error { _, err := w.s.Publish(ctx, tx, l.ID); return err })
	return w.get(l)
}

func (w *world) get(l *Listing) *Listing {
	w.t.Helper()
	var out *Listing
	w.write(w.ctx, func(ctx context.Context, tx bun.IDB) (err error) {
		out, err = w.s.Full(ctx, tx, l.ID)
		return err
	})
	return out
}

func (w *world) do(ctx context.Context, fn func(context.Context, bun.IDB, uuid.UUID) (*Listing, error), l *Listing) *Listing {
	w.t.Helper()
	w.write(ctx, func(ctx context.Context, tx bun.IDB) error { _, err := fn(ctx, tx, l.ID); return err })
	return w.get(l)
}

func (w *world) fails(kind fault.Kind, ctx context.Context, fn tenant.Fn) {
	w.t.Helper()
	if err := w.DB.Write(ctx, fn); !fault.Is(err, kind) {
		w.t.Fatalf("%v, want kind %s", err, kind)
	}
}

// count asks as the platform, which sees every board.
func (w *world) count(query string, args ...any) int {
	w.t.Helper()
	var n int
	if err := w.Platform.Read(w.t.Context(), func(ctx context.Context, tx bun.IDB) error { return tx.NewRaw(query, args...).Scan(ctx, &n) }); err != nil {
		w.t.Fatal(err)
	}
	return n
}
