package listings

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/uptrace/bun"

	"shingle/internal/fault"
	"shingle/internal/testkit"
	"shingle/tasks"
)

func TestAnEditNeverTakesAListingDown(t *testing.T) {
	t.Parallel()
	w := newWorld(t, true)
	l := w.live("Crane driver")
	edit := func(ctx context.Context, title string) (e *Edited) {
		w.write(ctx, func(ctx context.Context, tx bun.IDB) (err error) {
			e, err = w.s.Edit(ctx, tx, l.ID, content(title))
			return err
		})
		return e
	}
	if e := edit(w.desk, "Crane operator"); !e.Pending {
		t.Fatal("an employer's edit on a moderated board was applied at once")
	}
	edit(w.desk, "Senior crane operator") // supersedes
	w.pass(time.Hour)
	if got := w.get(l); got.State != Live || got.Title != "Crane driver" {
		t.Fatalf("while the edit waits: %s %q", got.State, got.Title)
	}
	var queue []ReviewItem
	w.write(w.admin, func(ctx context.Context, tx bun.IDB) (err error) { queue, err = w.s.ReviewQueue(ctx, tx); return err })
	if len(queue) != 1 || queue[0].Revision == nil || len(queue[0].Changes) != 1 || queue[0].Changes[0] != (Change{FieldTitle, "Crane driver", "Senior crane operator", false}) {
		t.Fatalf("queue: %+v", queue)
	}
	r := queue[0].Revision.ID
	w.fails(fault.NotFound, w.rival, func(ctx context.Context, tx bun.IDB) error { _, err := w.s.ApproveRevision(ctx, tx, r); return err })
	w.write(w.admin, func(ctx context.Context, tx bun.IDB) error { _, err := w.s.ApproveRevision(ctx, tx, r); return err })
	got := w.get(l)
	if got.State != Live || got.Title != "Senior crane operator" || got.Slug != "senior-crane-operator" || !got.PublishedAt.Equal(*l.PublishedAt) || len(got.Places) != 2 {
		t.Fatalf("approved: %+v", got)
	}
	w.fails(fault.Conflict, w.admin, func(ctx context.Context, tx bun.IDB) error {
		_, err := w.s.RejectRevision(ctx, tx, r, "too late")
		return err
	})
	if e := edit(w.admin, "Crane chief"); e.Pending || w.get(l).Title != "Crane chief" {
		t.Error("an operator's edit waits")
	}
	edit(w.desk, "Crane CHEAP")
	var rev *Revision
	w.write(w.admin, func(ctx context.Context, tx bun.IDB) (err error) {
		if rev, err = w.s.PendingRevision(ctx, tx, l.ID); err != nil {
			return err
		}
		_, err = w.s.RejectRevision(ctx, tx, rev.ID, "No.")
		return err
	})
	if got := w.get(l); got.Title != "Crane chief" || got.State != Live {
		t.Errorf("refused: %s %q", got.State, got.Title)
	}
}

func TestAGuestNeverGetsIntoAnotherCompany(t *testing.T) {
	t.Parallel()
	w := newWorld(t, false)
	mine := w.draft("Crane driver")
	if again := w.draft("Second driver"); again.CompanyID != mine.CompanyID {
		t.Error("the signed-in member got a second company")
	}
	thief := w.addPerson("thief@elsewhere.example")
	var l *Listing
	w.write(w.ctx, func(ctx context.Context, tx bun.IDB) (err error) {
		l, err = w.s.Create(ctx, tx, content("Crane thief"), Owner{PersonID: &thief})
		return err
	})
	if l.CompanyID == mine.CompanyID || l.Company.Slug != "harbour-works-2" {
		t.Errorf("a guest got company %s", l.Company.Slug)
	}
}

func TestPagesReadWhatTheyShow(t *testing.T) {
	t.Parallel()
	w := newWorld(t, false)
	var cat *Category
	w.write(w.admin, func(ctx context.Context, tx bun.IDB) (err error) {
		cat, err = w.s.CreateCategory(ctx, tx, "Cranes & Docks")
		return err
	})
	w.fails(fault.Conflict, w.admin, func(ctx context.Context, tx bun.IDB) error {
		_, err := w.s.CreateCategory(ctx, tx, "Cranes and docks")
		return err
	})
	var ls []*Listing
	for _, title := range []string{"Crane driver", "Dock worker", "Harbour pilot", "Night guard"} {
		w.pass(time.Minute)
		ls = append(ls, w.live(title))
	}
	c := content("Dock worker")
	c.Category = cat.Slug
	w.write(w.admin, func(ctx context.Context, tx bun.IDB) error { _, err := w.s.Edit(ctx, tx, ls[1].ID, c); return err })
	w.grant(w.ctx, ls[0], Feature, 7)
	w.draft("Hidden")
	w.write(w.desk, func(ctx context.Context, tx bun.IDB) error {
		f, err := w.s.Front(ctx, tx, 2)
		if err != nil {
			return err
		}
		if f.Total != 4 || len(f.Featured) != 1 || f.Featured[0].ID != ls[0].ID || len(f.Latest) != 2 || f.Latest[0].ID != ls[3].ID {
			t.Errorf("front: %+v", f)
		}
		if len(f.Categories) != 1 || f.Categories[0].Live != 1 || len(f.Companies) != 1 || f.Companies[0].Live != 4 {
			t.Errorf("counts: %+v %+v", f.Categories, f.Companies)
		}
		if got := f.Featured[0]; len(got.Places) != 2 || got.Places[1].Region != "TX" || got.CompanyName != "Harbour Works" || len(got.Tags) != 2 || *got.SalaryMin != 8500000 {
			t.Errorf("card: %+v", got)
		}
		l, err := w.s.ByPublicID(ctx, tx, ls[1].PublicID)
		if err != nil {
			return err
		}
		if l.Company.Name != "Harbour Works" || l.Category == nil || l.Category.ID != cat.ID || len(l.Places) != 2 || l.Company.CreatedAt.IsZero() {
			t.Errorf("by public id: %+v", l)
		}
		cards, err := w.s.ByIDs(ctx, tx, []uuid.UUID{ls[2].ID, uuid.New(), ls[0].ID, ls[2].ID})
		if err != nil || len(cards) != 2 || cards[0].ID != ls[2].ID || cards[1].ID != ls[0].ID {
			t.Errorf("by ids: %v %v", cards, err)
		}
		if similar, err := w.s.Similar(ctx, tx, l, 2); err != nil || len(similar) != 2 || similar[0].ID == l.ID || similar[1].ID == l.ID {
			t.Errorf("similar: %v %v", similar, err)
		}
		co, cards, err := w.s.CompanyPage(ctx, tx, "harbour-works")
		if err != nil || len(cards) != 4 || co.Live != 4 {
			t.Errorf("company page: %v %v", len(cards), err)
		}
		cos, total, err := w.s.Companies(ctx, tx, 1, 10)
		if err != nil || total != 1 || len(cos) != 1 || cos[0].Name != "Harbour Works" || cos[0].Live != 4 {
			t.Errorf("companies: %+v %d %v", cos, total, err)
		}
		es, err := w.s.Sitemap(ctx, tx, 1, 2)
		if err != nil || len(es) != 2 || es[0].PublicID != ls[1].PublicID || es[0].UpdatedAt.IsZero() {
			t.Errorf("sitemap: %+v %v", es, err)
		}
		feed, err := w.s.Feed(ctx, tx, 3, nil)
		if err != nil || len(feed) != 3 || feed[0].Company == nil || len(feed[0].Places) != 2 {
			t.Errorf("feed: %+v %v", feed, err)
		}
		found, n, err := w.s.AdminList(ctx, tx, Filter{Query: "dock 100%"})
		if err != nil || n != 0 || len(found) != 0 {
			t.Errorf("admin list: %v %d %v", found, n, err)
		}
		if found, n, err = w.s.AdminList(ctx, tx, Filter{Query: "DOCK", Category: cat.Slug, State: Live}); err != nil || n != 1 || found[0].CategoryName != "Cranes & Docks" {
			t.Errorf("admin list: %v %d %v", found, n, err)
		}
		desk, err := w.s.DeskList(ctx, tx, w.person)
		if err != nil || len(desk) != 5 {
			t.Errorf("desk: %d %v", len(desk), err)
		}
		counts, err := w.s.Counts(ctx, tx)
		if err != nil || counts[Live] != 4 || counts[Draft] != 1 {
			t.Errorf("counts: %v %v", counts, err)
		}
		return nil
	})
}

func TestSweepEndsAndBegins(t *testing.T) {
	t.Parallel()
	w := newWorld(t, false)
	worker := &Worker{Store: w.s, DB: w.DB, Platform: w.Platform}
	l := w.live("Crane driver")
	w.grant(w.ctx, l, Feature, 7)
	later := w.draft("Dock worker")
	at := w.s.now().Add(10 * 24 * time.Hour)
	w.grant(w.ctx, later, Posting, 30)
	w.write(w.desk, func(ctx context.Context, tx bun.IDB) error {
		if err := w.s.SetWanted(ctx, tx, later.ID, nil, &at); err != nil {
			return err
		}
		_, err := w.s.Submit(ctx, tx, later.ID)
		return err
	})
	if got := w.get(later); got.State != Scheduled {
		t.Fatalf("with a date ahead: %s", got.State)
	}
	run := func(kind string, h tasks.Handler, platform bool) {
		t.Helper()
		for _, task := range w.tasks(kind) {
			ctx := w.ctx
			if platform {
				ctx = t.Context()
			}
			if err := h(ctx, &task); err != nil {
				t.Fatalf("%s: %v", kind, err)
			}
		}
	}
	sweep := func() {
		t.Helper()
		if err := worker.Schedule(t.Context()); err != nil {
			t.Fatal(err)
		}
		run(taskSweep, worker.sweep, true)
		run(taskSoon, worker.sweepSoon, true)
		run(taskExpire, worker.each(w.s.expire), false)
		run(taskPublish, worker.each(w.s.publishDue), false)
		run(taskFeature, worker.each(w.s.endFeature), false)
		run(taskEndSoon, worker.endsSoon, false)
	}
	sweep()
	if got := w.get(l); got.State != Live || !got.Featured {
		t.Fatalf("too early: %s, featured %v", got.State, got.Featured)
	}
	w.pass(8 * 24 * time.Hour)
	sweep()
	if got := w.get(l); got.Featured || got.State != Live {
		t.Fatalf("after the feature: %s, featured %v", got.State, got.Featured)
	}
	w.pass(3 * 24 * time.Hour)
	sweep()
	if got := w.get(later); got.State != Live || !got.PublishedAt.Equal(w.s.now()) {
		t.Fatalf("its date has come: %s", got.State)
	}
	w.pass(17 * 24 * time.Hour)
	// The month's mails are used up: the reminder waits, and comes afterwards.
	room := int64(0)
	worker.BulkMails = func(context.Context) (int64, error) { return room, nil }
	sweep()
	if n := w.count(`SELECT count(*) FROM mails WHERE kind = 'listing-ends-soon'`); n != 0 {
		t.Errorf("%d held reminders were written", n)
	}
	room = 1
	sweep()
	sweep()
	if n := w.count(`SELECT count(*) FROM mails WHERE kind = 'listing-ends-soon'`); n != 1 {
		t.Errorf("%d mails that it ends soon, want 1", n)
	}
	w.pass(3 * 24 * time.Hour)
	sweep()
	sweep()
	if got := w.get(l); got.State != Expired || got.ClosedAt == nil {
		t.Errorf("after its end: %s", got.State)
	}
	if n := w.count(`SELECT count(*) FROM mails WHERE kind = 'listing-expired'`); n != 1 {
		t.Errorf("%d mails that it has ended, want 1", n)
	}
}

// tasks takes the waiting tasks of a kind, as a worker would.
func (w *world) tasks(kind string) []tasks.Task {
	w.t.Helper()
	var ts []tasks.Task
	err := w.Platform.Write(w.t.Context(), func(ctx context.Context, tx bun.IDB) error {
		return tx.NewRaw(`UPDATE tasks SET handover = handover + 1, lease_until = now() + interval '1 minute' WHERE kind = ?
			RETURNING *, extract(epoch FROM every)::float8 AS every_seconds`, kind).Scan(ctx, &ts)
	})
	if err != nil {
		w.t.Fatal(err)
	}
	return ts
}

func TestImportReportsLineByLineAndApplies(t *testing.T) {
	t.Parallel()
	w := newWorld(t, false)
	worker := &Worker{Store: w.s, DB: w.DB, Platform: w.Platform}
	file := "\uFEFFTitle;Company;Workplace;Places;Salary min;Salary period;Description;Reference;Colour\n" +
		"Crane driver;Harbour Works;on-site;Berlin, DE;45.000;year;\"Build cranes with us,\nday after day, at the harbour.\";A1;red\n" +
		"CRANE DRIVER WANTED;Harbour Works;on site;Nowhere;abc;year;short;A2;\n" +
		"=cmd();Harbour Works;hybrid;Hamburg, Germany;;;Build cranes with us, day after day, at the harbour.;A1;\n"
	r := Rules{Locale: "en", Currency: "EUR"}
	var im *Import
	w.write(w.admin, func(ctx context.Context, tx bun.IDB) (err error) {
		im, err = w.s.StartImport(ctx, tx, "jobs.csv", file, r)
		return err
	})
	rep := im.Report
	if rep.Good != 1 || rep.Bad != 2 || len(rep.Unknown) != 1 || rep.Lines[0].N != 2 || rep.Lines[1].N != 4 {
		t.Fatalf("report: %+v", rep)
	}
	for _, f := range []string{FieldTitle, FieldPlaces, FieldSalaryMin, FieldDescription} {
		if rep.Lines[1].Problems[f] == "" {
			t.Errorf("nothing said of %s: %v", f, rep.Lines[1].Problems)
		}
	}
	if m := rep.Lines[2].Problems[FieldReference]; m != "field.csv.duplicate|2" {
		t.Errorf("duplicate: %q", m)
	}
	w.fails(fault.NotFound, w.rival, func(ctx context.Context, tx bun.IDB) error { return w.s.RunImport(ctx, tx, im.ID, 30) })
	w.write(w.admin, func(ctx context.Context, tx bun.IDB) error { return w.s.RunImport(ctx, tx, im.ID, 30) })
	for _, task := range w.tasks(TaskImport) {
		if err := worker.runImport(w.ctx, &task); err != nil {
			t.Fatal(err)
		}
	}
	var out strings.Builder
	w.write(w.admin, func(ctx context.Context, tx bun.IDB) (err error) {
		if im, err = w.s.ImportByID(ctx, tx, im.ID); err != nil {
			return err
		}
		if im.State != "done" || im.Report.Done != 1 {
			t.Errorf("import: %s %+v", im.State, im.Report)
		}
		again, err := w.s.CheckCSV(ctx, tx, file, r)
		if err != nil || again.Good != 0 || again.Known != 1 {
			t.Errorf("again: %+v %v", again, err)
		}
		return w.s.ExportCSV(ctx, tx, &out, Filter{State: Live})
	})
	if !strings.Contains(out.String(), "Crane driver,Harbour Works,,,full_time,on_site,,\"Berlin, DE\",,45000,,EUR,year,") {
		t.Errorf("export:\n%s", out.String())
	}
	if n := w.count(`SELECT count(*) FROM entitlements WHERE kind = 'posting' AND ends_at IS NOT NULL`); n != 1 {
		t.Errorf("%d entitlements", n)
	}
}

func TestHotQueriesUseTheirIndexes(t *testing.T) {
	t.Parallel()
	w := newWorld(t, false)
	const n = 3000
	w.write(w.admin, func(ctx context.Context, tx bun.IDB) error {
		cs := make([]Company, 300)
		for i := range cs {
			cs[i].Name = "Company " + NewPublicID()
		}
		if err := w.s.BulkCompanies(ctx, tx, cs); err != nil {
			return err
		}
		ls := make([]Listing, n)
		for i := range ls {
			at := w.s.now().Add(-time.Duration(i) * time.Minute)
			ls[i] = Listing{Title: "Crane driver", CompanyID: cs[i%300].ID, Description: "<p>x</p>", PublishedAt: &at, Places: []Place{{Country: "DE", City: "Berlin"}}}
		}
		begun := time.Now()
		if err := w.s.BulkInsert(ctx, tx, ls, false); err != nil {
			return err
		}
		t.Logf("%d listings in %v", n, time.Since(begun))
		return nil
	})
	owner := w.PG.Open(t, w.PG.Owner, 1)
	if _, err := owner.ExecContext(t.Context(), "ANALYZE"); err != nil {
		t.Fatal(err)
	}
	now := w.s.now()
	for name, q := range map[string]struct {
		where string
		args  []any
		index string
	}{
		"latest":          {isOpen + `ORDER BY l.published_at DESC, l.id LIMIT 20`, []any{now}, "listings_recent"},
		"company":         {isOpen + `AND l.company_id = ? ORDER BY l.published_at DESC, l.id LIMIT 200`, []any{now, w.anyCompany()}, "listings_company"},
		"front, featured": {onFront, []any{w.board.ID, now, 6, w.board.ID, now, 26}, "listings_front"},
		"front, latest":   {onFront, []any{w.board.ID, now, 6, w.board.ID, now, 26}, "listings_recent"},
		"front, cards":    {onFront, []any{w.board.ID, now, 6, w.board.ID, now, 26}, "listings_pkey"},
		"by ids":          {`AND l.id IN (?) AND l.state = 'live'`, []any{bun.In([]uuid.UUID{uuid.New(), uuid.New()})}, "listings_pkey"},
	} {
		w.write(w.ctx, func(ctx context.Context, tx bun.IDB) error {
			var lines []string
			args := append([]any{w.board.ID}, q.args...)
			if err := tx.NewRaw("EXPLAIN "+cardSelect+cardFrom+q.where, args...).Scan(ctx, &lines); err != nil {
				return err
			}
			if plan := strings.Join(lines, "\n"); !strings.Contains(plan, q.index) || strings.Contains(plan, "Seq Scan on listings ") {
				t.Errorf("%s does not use %s:\n%s", name, q.index, plan)
			}
			return nil
		})
	}
	w.write(w.ctx, func(ctx context.Context, tx bun.IDB) error {
		for q, index := range map[string]string{
			`SELECT * FROM listings AS l WHERE l.tenant_id = ? AND l.public_id = 'abc'`:                               "listings_tenant_id_public_id_key",
			`SELECT l.reference FROM listings AS l WHERE l.tenant_id = ? AND l.reference <> '' AND l.reference = 'x'`: "listings_reference",
		} {
			var lines []string
			if err := tx.NewRaw("EXPLAIN "+q, w.board.ID).Scan(ctx, &lines); err != nil {
				return err
			}
			if plan := strings.Join(lines, "\n"); !strings.Contains(plan, index) {
				t.Errorf("%s does not use %s:\n%s", q, index, plan)
			}
		}
		return nil
	})
}

// The sweeps over all boards read what is due, not everything.
func TestSweepsReadWhatIsDue(t *testing.T) {
	t.Parallel()
	w := newWorld(t, false)
	super := w.PG.Open(t, w.PG.Superuser, 1)
	l := w.live("Crane driver")
	for _, q := range []string{
		`INSERT INTO listings SELECT r.* FROM listings l, generate_series(1, 4000) n, jsonb_populate_record(l, jsonb_build_object('id', md5('l' || n)::uuid,
			'public_id', 'x' || translate(n::text, '0', 'a'), 'ends_at', l.ends_at + n * interval '1 hour')) r WHERE l.id = $1`,
		`INSERT INTO entitlements SELECT r.* FROM entitlements e, generate_series(1, 4000) n, jsonb_populate_record(e, jsonb_build_object('id', gen_random_uuid(),
			'listing_id', md5('l' || n)::uuid, 'kind', 'feature', 'ends_at', e.ends_at + n * interval '1 hour')) r WHERE e.listing_id = $1`,
	} {
		if _, err := super.ExecContext(t.Context(), q, l.ID); err != nil {
			t.Fatal(err)
		}
	}
	w.Analyze(t)
	if err := (&Worker{Store: w.s, DB: w.DB, Platform: w.Platform}).Schedule(t.Context()); err != nil {
		t.Fatal(err)
	}
	sweep, soon := w.tasks(taskSweep), w.tasks(taskSoon)
	var plans strings.Builder
	for _, p := range w.Plans(t, func(o *testkit.World) {
		worker := &Worker{Store: w.s, DB: o.DB, Platform: o.Platform}
		if err := errors.Join(worker.sweep(t.Context(), &sweep[0]), worker.sweepSoon(t.Context(), &soon[0])); err != nil {
			t.Fatal(err)
		}
	}) {
		plans.WriteString(p.Plan)
		if strings.Contains(p.Plan, "Seq Scan on listings") || strings.Contains(p.Plan, "Seq Scan on entitlements") {
			t.Errorf("a sweep reads a whole table:\n%s\n%s", p.Query, p.Plan)
		}
	}
	for _, index := range []string{"listings_ends", "listings_publish", "entitlements_ends"} {
		if !strings.Contains(plans.String(), " "+index+" ") {
			t.Errorf("no sweep uses %s:\n%s", index, plans.String())
		}
	}
}

func (w *world) anyCompany() uuid.UUID {
	var id uuid.UUID
	w.write(w.ctx, func(ctx context.Context, tx bun.IDB) error {
		return tx.NewRaw(`SELECT id FROM companies WHERE tenant_id = ? LIMIT 1`, w.board.ID).Scan(ctx, &id)
	})
	return id
}
