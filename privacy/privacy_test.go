package privacy_test

import (
	"archive/zip"
	"bytes"
	"context"
	"encoding/json"
	"io"
	"log/slog"
	"net/url"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/uptrace/bun"
	"gocloud.dev/blob"
	"gocloud.dev/blob/memblob"

	"shingle/accounts"
	"shingle/archive"
	"shingle/authz"
	"shingle/authz/chain"
	"shingle/candidates"
	"shingle/internal/fault"
	"shingle/internal/links"
	"shingle/internal/testkit"
	"shingle/listings"
	"shingle/privacy"
	"shingle/tasks"
	"shingle/tenant"
	"shingle/themes"
)

func TestMain(m *testing.M) { testkit.Main(m) }

const (
	ada  = "ada@seeker.example" // applied, has an alert, reported, wrote in capitals once
	max  = "max@hirer.example"  // alone at Hirer, with a paid order
	kim  = "kim@pair.example"   // with a colleague at Pair
	lea  = "lea@pair.example"
	solo = "solo@solo.example" // alone at Solo, never paid
)

type bench struct {
	*testkit.World
	*privacy.Service
	files *blob.Bucket
	board *tenant.Tenant
	clock *testkit.Clock
	mux   *tasks.Mux
	id    map[string]string
}

func newBench(t *testing.T) *bench {
	t.Helper()
	w := testkit.NewWorld(t)
	b := &bench{World: w, board: w.Board(t, "acme"), clock: testkit.NewClock(time.Now()), files: memblob.OpenBucket(nil), mux: tasks.NewMux(), id: map[string]string{}}
	t.Cleanup(func() { _ = b.files.Close() })
	ln, err := links.New("http://platform.localhost:8080", "platform.localhost", "localhost")
	if err != nil {
		t.Fatal(err)
	}
	packs, err := themes.Load()
	if err != nil {
		t.Fatal(err)
	}
	store := listings.NewStore(ln)
	people := accounts.NewPeople(w.DB, accounts.NewLimiter(nil, b.clock.Now), ln, b.clock.Now)
	applied := &candidates.Service{DB: w.DB, Platform: w.Platform, Listings: store, Files: b.files, Links: ln, Key: []byte("k"), Now: b.clock.Now}
	b.Service = &privacy.Service{DB: w.DB, Platform: w.Platform, People: people, Candidates: applied, Listings: store, Links: ln, Key: []byte("key"), Now: b.clock.Now,
		Archive: &archive.Service{DB: w.DB, Platform: w.Platform, Files: b.files, Links: ln, Packs: packs, Now: b.clock.Now}}
	b.Service.Register(b.mux)
	applied.Register(b.mux)
	b.fill(t)
	return b
}

func (b *bench) ctx(t *testing.T) context.Context { return b.World.Ctx(t, b.board) }

const rows = `
INSERT INTO people (tenant_id, id, email, name, confirmed_at) VALUES ('{board}', '{ada}', 'ada@seeker.example', 'Ada', now()), ('{board}', '{max}', 'max@hirer.example', 'Max', now()),
	('{board}', '{kim}', 'kim@pair.example', 'Kim', now()), ('{board}', '{lea}', 'lea@pair.example', 'Lea', now()), ('{board}', '{solo}', 'solo@solo.example', 'Solo', now());
INSERT INTO person_sessions (tenant_id, token_hash, person_id, expires_at) VALUES ('{board}', '\xdead01', '{ada}', now() + interval '1 day'), ('{board}', '\xdead02', '{max}', now() + interval '1 day');
INSERT INTO access_passes (tenant_id, hash, kind, email, expires_at) VALUES ('{board}', '\xdead03', 'link', 'ada@seeker.example', now() + interval '1 day');
INSERT INTO held_forms (tenant_id, hash, form, email, sealed, created_at, expires_at) VALUES ('{board}', '\xdead04', 'apply', 'ada@seeker.example', '\x00', now(), now() + interval '1 day');
INSERT INTO companies (tenant_id, id, slug, name, website, about, logo_key) VALUES ('{board}', '{hirer}', 'hirer', 'Hirer', 'https://hirer.example', '<p>We hire.</p>', '{board}/logos/{logo}.png'),
	('{board}', '{pair}', 'pair', 'Pair', 'https://pair.example', '<p>Two.</p>', ''), ('{board}', '{soloco}', 'solo-max-muster', 'Max Muster', 'https://solo.example', '<p>Me.</p>', '');
INSERT INTO company_members (tenant_id, company_id, person_id, created_at) VALUES ('{board}', '{hirer}', '{max}', now()), ('{board}', '{pair}', '{kim}', now()), ('{board}', '{pair}', '{lea}', now()), ('{board}', '{soloco}', '{solo}', now());
INSERT INTO listings (tenant_id, id, public_id, slug, company_id, person_id, state, title, description, apply_method, apply_target, published_at, ends_at)
	VALUES ('{board}', '{ljob}', 'Abc123xyz9', 'lock-keeper', '{hirer}', '{max}', 'live', 'Lock keeper', '<p>Call Max.</p>', 'board', '', now(), now() + interval '30 days'),
	('{board}', '{pjob}', 'Abc123xyz8', 'pair-job', '{pair}', '{kim}', 'live', 'Pair job', '<p>Both.</p>', 'email', 'Kim@pair.example', now(), now() + interval '30 days'),
	('{board}', '{sjob}', 'Abc123xyz7', 'solo-job', '{soloco}', '{solo}', 'live', 'Solo job', '<p>Me.</p>', 'board', '', now(), now() + interval '30 days');
INSERT INTO listing_revisions (tenant_id, id, listing_id, content, author_kind, author_id) VALUES ('{board}', '{rev}', '{ljob}', '{"title": "Lock keeper", "description": "<p>New.</p>", "apply_method": "board"}', 'person', '{max}');
INSERT INTO products (tenant_id, id, name, price, currency, duration_days) VALUES ('{board}', '{product}', 'Post', 9900, 'EUR', 30);
INSERT INTO orders (tenant_id, id, number, listing_id, person_id, product_id, product, email, state, amount, currency, fee, fee_rule, charge_mode, billing) VALUES
	('{board}', '{paid}', 1007, '{ljob}', '{max}', '{product}', '{"name": "Post"}', 'max@hirer.example', 'paid', 9900, 'EUR', 990, '{}', 'direct', '{"name": "Max"}'),
	('{board}', '{gone}', 1008, '{ljob}', '{max}', '{product}', '{"name": "Post"}', 'max@hirer.example', 'cancelled', 9900, 'EUR', 990, '{}', 'direct', '{"name": "Max"}'),
	('{board}', '{sgone}', 1009, '{sjob}', '{solo}', '{product}', '{"name": "Post"}', 'solo@solo.example', 'cancelled', 9900, 'EUR', 990, '{}', 'direct', '{}');
INSERT INTO applications (tenant_id, id, listing_id, name, email, note, cv_key, cv_name, cv_type, cv_size, consent_text, consented_at, withdraw_hash) VALUES
	('{board}', '{app}', '{ljob}', 'Ada', 'ada@seeker.example', 'Hello', '{board}/cv/{cv}.pdf', 'ada.pdf', 'application/pdf', 3, 'Agreed.', now(), '\xcafe'),
	('{board}', '{other}', '{ljob}', 'Bea', 'bea@seeker.example', 'Hi', '', '', '', 0, 'Agreed.', now(), '\xcaff');
INSERT INTO application_replies (tenant_id, id, application_id, person_id, body) VALUES ('{board}', '{reply}', '{app}', '{max}', 'Come in.'), ('{board}', '{reply2}', '{other}', '{max}', 'No.');
INSERT INTO reports (tenant_id, id, listing_id, reason, body, email) VALUES ('{board}', '{report}', '{pjob}', 'scam', 'Looks odd', 'Ada@Seeker.example');
INSERT INTO alerts (tenant_id, id, email, query, confirm_hash, stop_hash) VALUES ('{board}', '{alert}', 'ada@seeker.example', 'q=lock', '\x01', '\x02');
INSERT INTO mails (tenant_id, id, kind, key, recipient, state, message_id, sent_at) VALUES ('{board}', '{mail}', 'application-sent', '{app}', 'ada@seeker.example', 'sent', '{mail}', now());
INSERT INTO mails (tenant_id, id, kind, key, recipient, payload, message_id) VALUES ('{board}', '{queued}', 'person-sign-in', 'k', 'ada@seeker.example', '{"url": "http://x/?token=1"}', '{queued}');
INSERT INTO mail_suppressions (tenant_id, address, reason) VALUES ('{board}', 'ada@seeker.example', 'bounce')`

func (b *bench) fill(t *testing.T) {
	t.Helper()
	b.id["board"] = b.board.ID.String()
	for _, n := range []string{"ada", "max", "kim", "lea", "solo", "hirer", "pair", "soloco", "logo", "ljob", "pjob", "sjob", "rev", "product", "paid", "gone", "sgone", "app", "other", "cv", "reply", "reply2", "report", "alert", "mail", "queued"} {
		b.id[n] = tenant.NewRowID().String()
	}
	if err := b.files.WriteAll(t.Context(), b.id["board"]+"/cv/"+b.id["cv"]+".pdf", []byte("%PDF"), nil); err != nil {
		t.Fatal(err)
	}
	err := b.World.DB.Write(b.ctx(t), func(ctx context.Context, tx bun.IDB) error {
		for q := range strings.SplitSeq(rows, ";\n") {
			for n, v := range b.id {
				q = strings.ReplaceAll(q, "{"+n+"}", v)
			}
			if _, err := tx.ExecContext(ctx, q); err != nil {
				return fault.Wrap(err, fault.Internal, "%s", q)
			}
		}
		// Acts by Ada, on Ada, about her address alone, and about an address that hers is the end of.
		for _, a := range []struct {
			by tenant.Actor
			authz.Act
		}{
			{tenant.Actor{Kind: tenant.Person, ID: uuid.MustParse(b.id["ada"]), Label: "Ada"}, authz.Act{Act: "listing.approved"}},
			{tenant.Actor{Kind: tenant.System}, authz.Act{Act: "listing.rejected", ObjectKind: "person", ObjectID: b.id["ada"], Personal: map[string]any{"name": "Ada"}}},
			{tenant.Actor{Kind: tenant.System}, authz.Act{Act: "access.invited", Personal: map[string]any{"email": ada}}},
			{tenant.Actor{Kind: tenant.System}, authz.Act{Act: "access.invited", Personal: map[string]any{"email": "bada@seeker.example"}}},
		} {
			if err := authz.Record(tenant.WithActor(ctx, a.by), tx, a.Act); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	b.seal(t)
}

func (b *bench) seal(t *testing.T) {
	t.Helper()
	if _, err := (&chain.Sealer{Platform: b.World.Platform, Log: slog.New(slog.DiscardHandler)}).SealAll(t.Context()); err != nil {
		t.Fatal(err)
	}
}

// token is the one in the newest mail of a kind.
func (b *bench) token(t *testing.T, kind string) string {
	t.Helper()
	var raw string
	err := b.World.Platform.Read(t.Context(), func(ctx context.Context, tx bun.IDB) error {
		return tx.NewRaw(`SELECT payload->>'url' FROM mails WHERE kind = ? ORDER BY created_at DESC, id DESC LIMIT 1`, kind).Scan(ctx, &raw)
	})
	if err != nil {
		t.Fatal(err)
	}
	u, err := url.Parse(raw)
	if err != nil {
		t.Fatal(err)
	}
	return u.Query().Get("token")
}

// ticket proves an address.
func (b *bench) ticket(t *testing.T, email string) *privacy.Opened {
	t.Helper()
	if err := b.AskLink(b.ctx(t), email, accounts.Client{Address: "192.0.2.1"}); err != nil {
		t.Fatal(err)
	}
	o, err := b.Open(b.ctx(t), b.token(t, "data-link"))
	if err != nil {
		t.Fatal(err)
	}
	return o
}

// run runs the board's due tasks of a kind.
func (b *bench) run(t *testing.T, kind string) int {
	t.Helper()
	var due []tasks.Task
	err := b.World.Platform.Write(t.Context(), func(ctx context.Context, tx bun.IDB) error {
		return tx.NewRaw(`UPDATE tasks SET handover = handover + 1, lease_until = now() + interval '1 minute' WHERE kind = ? AND run_at <= ? RETURNING tenant_id, id, kind, payload, version, handover, max_attempts`, kind, b.clock.Now()).Scan(ctx, &due)
	})
	if err != nil {
		t.Fatal(err)
	}
	for i := range due {
		if err := b.mux.Run(b.ctx(t), &due[i]); err != nil {
			t.Fatal(err)
		}
	}
	return len(due)
}

// erase asks and lets the grace pass.
func (b *bench) erase(t *testing.T, email string) {
	t.Helper()
	if _, err := b.AskErasure(b.ctx(t), b.ticket(t, email).Ticket); err != nil {
		t.Fatal(err)
	}
	b.clock.Advance(privacy.Grace + time.Minute)
	if n := b.run(t, "privacy.erase"); n != 1 {
		t.Fatalf("%d erasures ran", n)
	}
}

func (b *bench) one(t *testing.T, q string, args ...any) (out string) {
	t.Helper()
	err := b.World.Platform.Read(t.Context(), func(ctx context.Context, tx bun.IDB) error { return tx.NewRaw(q, args...).Scan(ctx, &out) })
	if err != nil {
		t.Fatalf("%s: %v", q, err)
	}
	return out
}

func (b *bench) sql(t *testing.T, q string, args ...any) {
	t.Helper()
	err := b.World.Platform.Write(t.Context(), func(ctx context.Context, tx bun.IDB) error { _, err := tx.NewRaw(q, args...).Exec(ctx); return err })
	if err != nil {
		t.Fatalf("%s: %v", q, err)
	}
}

// held is what is left of somebody, by table, as their own file has it.
func (b *bench) held(t *testing.T, email string) map[string]int {
	t.Helper()
	var raw bytes.Buffer
	if _, err := b.Archive.Person(b.ctx(t), &raw, email); fault.Is(err, fault.NotFound) {
		return nil
	} else if err != nil {
		t.Fatal(err)
	}
	return tables(t, raw.Bytes())
}

func tables(t *testing.T, raw []byte) map[string]int {
	t.Helper()
	z, err := zip.NewReader(bytes.NewReader(raw), int64(len(raw)))
	if err != nil {
		t.Fatal(err)
	}
	f, err := z.Open("data.json")
	if err != nil {
		t.Fatal(err)
	}
	data, err := io.ReadAll(f)
	if err != nil {
		t.Fatal(err)
	}
	var d struct {
		Data []struct {
			Table string
			Rows  []map[string]any
		}
	}
	if err := json.Unmarshal(data, &d); err != nil {
		t.Fatal(err)
	}
	out := map[string]int{}
	for _, s := range d.Data {
		out[s.Table] = len(s.Rows)
	}
	return out
}

func TestAMailedLinkProvesTheAddressOnce(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	if err := b.AskLink(b.ctx(t), "no address", accounts.Client{}); !fault.Is(err, fault.Invalid) {
		t.Errorf("no address: %v", err)
	}
	// A stranger gets the same mail as somebody who is known.
	for _, email := range []string{ada, "nobody@x.example"} {
		if err := b.AskLink(b.ctx(t), email, accounts.Client{Address: "192.0.2.1"}); err != nil {
			t.Fatal(err)
		}
	}
	if n := b.one(t, `SELECT count(DISTINCT payload::text) FROM (SELECT payload - 'url' AS payload FROM mails WHERE kind = 'data-link') AS x`); n != "1" {
		t.Errorf("known and unknown addresses get %s different mails", n)
	}
	token := b.token(t, "data-link")
	peek := func() (email string, err error) {
		err = b.World.DB.Read(b.ctx(t), func(ctx context.Context, tx bun.IDB) (err error) { email, err = b.PeekLink(ctx, tx, token); return err })
		return email, err
	}
	if email, err := peek(); err != nil || email != "nobody@x.example" {
		t.Fatalf("the link is %q's: %v", email, err)
	}
	var wg sync.WaitGroup
	var mu sync.Mutex
	opened := 0
	for range 4 {
		wg.Go(func() {
			_, err := b.Open(b.ctx(t), token)
			mu.Lock()
			defer mu.Unlock()
			if err == nil {
				opened++
			} else if !fault.Is(err, fault.Gone) {
				t.Error(err)
			}
		})
	}
	if wg.Wait(); opened != 1 {
		t.Errorf("a link opened %d times", opened)
	}
	if _, err := peek(); !fault.Is(err, fault.Gone) {
		t.Errorf("a spent link: %v", err)
	}
	// A ticket is no link, a link is no ticket, and both end.
	o := b.ticket(t, ada)
	if _, err := b.Open(b.ctx(t), o.Ticket); !fault.Is(err, fault.Gone) {
		t.Errorf("a ticket in the link's place: %v", err)
	}
	if err := b.Download(b.ctx(t), io.Discard, token); !fault.Is(err, fault.Gone) {
		t.Errorf("a link in the ticket's place: %v", err)
	}
	b.clock.Advance(31 * time.Minute)
	if err := b.Download(b.ctx(t), io.Discard, o.Ticket); !fault.Is(err, fault.Gone) {
		t.Errorf("a ticket after half an hour: %v", err)
	}
	if _, err := b.AskErasure(b.ctx(t), o.Ticket); !fault.Is(err, fault.Gone) {
		t.Errorf("an erasure after half an hour: %v", err)
	}
}

func TestDownloadIsTheirOwnAndIsKept(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	o := b.ticket(t, ada)
	titles := map[string]int{}
	for _, h := range o.Held {
		titles[h.Title] = h.Rows
	}
	if titles["Applications"] != 1 || titles["Job alerts"] != 1 || titles["Reports you sent"] != 1 {
		t.Errorf("the page shows %v", titles)
	}
	for range 2 { // a fetch that broke off presses again
		var raw bytes.Buffer
		if err := b.Download(b.ctx(t), &raw, o.Ticket); err != nil {
			t.Fatal(err)
		}
		if have := tables(t, raw.Bytes()); have["applications"] != 1 || have["alerts"] != 1 || have["reports"] != 1 || have["listings"] != 0 {
			t.Errorf("the file holds %v", have)
		}
	}
	list := b.requests(t)
	if len(list) != 2 || list[0].Kind != privacy.Export || list[0].State != privacy.Done || list[0].Email != "" || list[0].OverAt == nil || list[0].Counts["rows"] < 5 {
		t.Errorf("the request is kept as %+v", list)
	}
	if n := b.one(t, `SELECT count(*) FROM audit_log WHERE act = 'person.exported' AND personal = '{}' AND actor_kind = 'person'`); n != "2" {
		t.Errorf("%s lines in the log", n)
	}
}

func (b *bench) requests(t *testing.T) (list []privacy.Request) {
	t.Helper()
	err := b.World.DB.Read(b.ctx(t), func(ctx context.Context, tx bun.IDB) (err error) {
		list, _, err = b.Requests(ctx, tx, 1, 50)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return list
}

func TestErasureCanBeTakenBackForThreeDays(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	o := b.ticket(t, ada)
	r, err := b.AskErasure(b.ctx(t), o.Ticket)
	if err != nil || r.State != privacy.Asked || !r.DueAt.Equal(r.AskedAt.AddDate(0, 1, 0)) || !r.RunsAt.Equal(r.AskedAt.Add(privacy.Grace)) {
		t.Fatalf("%+v, %v", r, err)
	}
	again, err := b.AskErasure(b.ctx(t), o.Ticket)
	if err != nil || again.ID != r.ID {
		t.Errorf("asking twice makes %v: %v", again, err)
	}
	if list := b.requests(t); len(list) != 1 || list[0].Email != ada || list[0].Late(b.clock.Now()) || !list[0].Late(r.DueAt.Add(time.Second)) {
		t.Errorf("the team sees %+v", list)
	}
	before := b.held(t, ada)
	b.clock.Advance(privacy.Grace - time.Hour)
	if n := b.run(t, "privacy.erase"); n != 0 {
		t.Fatal("it ran before its time")
	}
	keep := b.token(t, "data-erasure-asked")
	if err := b.Keep(b.ctx(t), keep); err != nil {
		t.Fatal(err)
	}
	if err := b.Keep(b.ctx(t), keep); !fault.Is(err, fault.Gone) {
		t.Errorf("taken back twice: %v", err)
	}
	b.clock.Advance(2 * time.Hour)
	if n := b.run(t, "privacy.erase"); n != 1 {
		t.Fatal("no task")
	}
	after := b.held(t, ada)
	delete(before, "person_requests") // its address is emptied
	if after["applications"] != 1 || after["people"] != 1 || len(after) != len(before) {
		t.Errorf("taken back, and %v became %v", before, after)
	}
	if list := b.requests(t); list[0].State != privacy.Cancelled || list[0].Email != "" {
		t.Errorf("%+v", list[0])
	}
	if _, err := b.AskErasure(b.ctx(t), b.ticket(t, ada).Ticket); err != nil { // it can be asked again
		t.Error(err)
	}
}

func TestASeekerIsErasedAndTheChainHolds(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	b.erase(t, ada)
	// What their own file would still hold is the last mail, which is on its way.
	if have := b.held(t, ada); len(have) != 1 || have["mails"] != 1 {
		t.Errorf("left: %v", have)
	}
	if s := b.one(t, `SELECT name || email || note || cv_name || status FROM applications WHERE id = ?`, b.id["app"]); s != "withdrawn" {
		t.Errorf("the employer's copy still says %q", s)
	}
	if to := b.one(t, `SELECT recipient FROM mails WHERE kind = 'application-withdrawn'`); to != max {
		t.Errorf("%q was told", to)
	}
	if s := b.one(t, `SELECT body || email FROM reports`); s != "Looks odd" {
		t.Errorf("the report says %q", s)
	}
	if n := b.run(t, "candidates.erase_cv"); n != 1 {
		t.Error("the CV stays")
	}
	if there, err := b.files.Exists(t.Context(), b.id["board"]+"/cv/"+b.id["cv"]+".pdf"); err != nil || there {
		t.Errorf("the CV is there: %v", err)
	}
	// Others keep theirs.
	if n := b.one(t, `SELECT count(*) FROM applications WHERE email <> ''`); n != "1" {
		t.Errorf("%s applications are left", n)
	}
	b.seal(t)
	rep, err := chain.Verify(t.Context(), b.World.Platform, b.board.ID)
	if err != nil || rep.Wrong != 0 || rep.Erased != 3 {
		t.Errorf("the chain: %+v, %v", rep, err)
	}
	if s := b.one(t, `SELECT string_agg(personal::text, '' ORDER BY id) FROM audit_log WHERE personal <> '{}'`); strings.Contains(s, `"ada@`) || strings.Contains(s, "Ada") || !strings.Contains(s, "bada@seeker.example") {
		t.Errorf("the log names %s", s)
	}
	if d := b.one(t, `SELECT detail->>'applications' FROM audit_log WHERE act = 'person.erased'`); d != "1" {
		t.Errorf("the line says %q applications", d)
	}
	// The proof, without the address.
	var at *time.Time
	look := func(email string) *time.Time {
		err := b.World.DB.Read(b.ctx(t), func(ctx context.Context, tx bun.IDB) (err error) { at, err = b.Erased(ctx, tx, email); return err })
		if err != nil {
			t.Fatal(err)
		}
		return at
	}
	if look("ADA@seeker.example") == nil || look(max) != nil {
		t.Error("the proof does not tell who was erased")
	}
	if n := b.one(t, `SELECT count(*) FROM person_requests WHERE email <> ''`); n != "0" {
		t.Error("the request keeps the address")
	}
	// The last mail's address is forgotten, and the proof in three years.
	sweep := func() {
		if err := b.World.Platform.Write(t.Context(), b.Sweep); err != nil {
			t.Fatal(err)
		}
	}
	err = b.World.Platform.Write(t.Context(), func(ctx context.Context, tx bun.IDB) error {
		_, err := tx.NewRaw(`UPDATE mails SET state = 'sent' WHERE kind = 'data-erased'`).Exec(ctx)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	sweep() // the mail is dated by the database, three days behind the test's clock
	if have := b.held(t, ada); have != nil {
		t.Errorf("a day later: %v", have)
	}
	b.clock.Advance(4 * 365 * 24 * time.Hour)
	sweep()
	if list := b.requests(t); len(list) != 0 {
		t.Errorf("after four years: %v", list)
	}
}

func TestAnEmployerAloneLeavesInvoicesOnly(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	b.erase(t, max)
	have := b.held(t, max)
	delete(have, "mails")
	if len(have) != 1 || have["orders"] != 1 {
		t.Errorf("left: %v, want the paid order", have)
	}
	if s := b.one(t, `SELECT state || description || apply_target || (person_id IS NULL) FROM listings WHERE id = ?`, b.id["ljob"]); s != "removedtrue" {
		t.Errorf("the listing is %q", s)
	}
	if s := b.one(t, `SELECT name || website || about || logo_key FROM companies WHERE id = ?`, b.id["hirer"]); s != "Hirer" {
		t.Errorf("the company of the invoice is %q", s)
	}
	if n := b.one(t, `SELECT count(*) FROM applications WHERE email <> '' OR name <> ''`); n != "0" {
		t.Errorf("%s applications have no reader and are kept", n)
	}
	if s := b.one(t, `SELECT billing::text || email FROM orders WHERE id = ?`, b.id["gone"]); s != "{}" {
		t.Errorf("an order that nobody paid keeps %q", s)
	}
	if n := b.one(t, `SELECT count(*) FROM listing_revisions`); n != "0" {
		t.Error("an edit is kept")
	}
	if list := b.requests(t); list[0].Counts["orders_kept"] != 1 || list[0].Counts["listings"] != 1 || list[0].Counts["received"] != 2 {
		t.Errorf("counted: %v", list[0].Counts)
	}
	// Without an invoice a sole trader's name goes too.
	b.erase(t, solo)
	if s := b.one(t, `SELECT name || (slug = 'x-' || id) FROM companies WHERE id = ?`, b.id["soloco"]); s != "—true" {
		t.Errorf("the company is %q", s)
	}
	if have := b.held(t, solo); len(have) != 1 || have["mails"] != 1 {
		t.Errorf("left: %v", have)
	}
}

// A payment under way is waited for: without it nothing keeps the order.
func TestAnErasureWaitsForAPayment(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	b.sql(t, `UPDATE orders SET state = 'processing' WHERE id = ?`, b.id["gone"])
	b.erase(t, max)
	if list := b.requests(t); list[0].State != privacy.Asked || b.held(t, max)["orders"] != 2 {
		t.Fatalf("the erasure did not wait: %v", list[0].State)
	}
	b.sql(t, `UPDATE orders SET state = 'open' WHERE id = ?`, b.id["gone"]) // it failed
	b.clock.Advance(24 * time.Hour)
	if n := b.run(t, "privacy.erase"); n != 1 || b.requests(t)[0].State != privacy.Done {
		t.Fatalf("%d erasures ran the day after", n)
	}
	if s := b.one(t, `SELECT billing::text || email FROM orders WHERE id = ?`, b.id["gone"]); s != "{}" {
		t.Errorf("the order keeps %q", s)
	}
	// Not for longer than the law leaves.
	b = newBench(t)
	b.sql(t, `UPDATE orders SET state = 'processing' WHERE id = ?`, b.id["gone"])
	b.erase(t, max)
	for range 30 {
		b.clock.Advance(24 * time.Hour)
		b.run(t, "privacy.erase")
	}
	if r := b.requests(t)[0]; r.State != privacy.Done || r.Late(*r.OverAt) {
		t.Errorf("a month later it is %s", r.State)
	}
}

func TestAColleagueTakesOver(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	// An edit that waits, and would bring the address back.
	b.sql(t, `INSERT INTO listing_revisions (tenant_id, id, listing_id, content, author_kind, author_id)
		SELECT tenant_id, gen_random_uuid(), id, jsonb_build_object('title', 'Pair', 'description', '<p>New.</p>', 'apply_method', 'email', 'apply_target', ?), 'person', person_id FROM listings WHERE id = ?`, kim, b.id["pjob"])
	b.erase(t, kim)
	if s := b.one(t, `SELECT content->>'apply_method' || coalesce(content->>'apply_target', '') FROM listing_revisions WHERE listing_id = ?`, b.id["pjob"]); s != "board" {
		t.Errorf("the edit leads to %q", s)
	}
	if s := b.one(t, `SELECT state || ' ' || person_id || ' ' || apply_method || apply_target FROM listings WHERE id = ?`, b.id["pjob"]); s != "live "+b.id["lea"]+" board" {
		t.Errorf("the listing is %q", s)
	}
	if s := b.one(t, `SELECT name || website FROM companies WHERE id = ?`, b.id["pair"]); s != "Pairhttps://pair.example" {
		t.Errorf("the company is %q", s)
	}
	if b.held(t, lea)["listings"] != 1 {
		t.Error("the colleague has no listing")
	}
}

// An erasure that lost its task, with its board on the way to another
// installation or by staff's hand, gets another; one under way gets none.
func TestALostTaskComesBack(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	if _, err := b.AskErasure(b.ctx(t), b.ticket(t, ada).Ticket); err != nil {
		t.Fatal(err)
	}
	count := func() string { return b.one(t, `SELECT count(*) FROM tasks WHERE kind = 'privacy.erase'`) }
	b.clock.Advance(privacy.Grace + time.Hour)
	for _, lost := range []bool{false, true} {
		err := b.World.Platform.Write(t.Context(), func(ctx context.Context, tx bun.IDB) error {
			if lost {
				if _, err := tx.NewRaw(`DELETE FROM tasks WHERE kind = 'privacy.erase'`).Exec(ctx); err != nil {
					return err
				}
			}
			return b.Sweep(ctx, tx)
		})
		if err != nil || count() != "1" {
			t.Fatalf("lost %v: %s tasks, %v", lost, count(), err)
		}
	}
	if n := b.run(t, "privacy.erase"); n != 1 || b.requests(t)[0].State != privacy.Done {
		t.Error("it did not run")
	}
}

// The same address on another board is another person.
func TestARivalBoardIsLeftAlone(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	rival := b.Board(t, "rival")
	o := b.ticket(t, ada)
	r, err := b.AskErasure(b.ctx(t), o.Ticket)
	if err != nil {
		t.Fatal(err)
	}
	keep := b.token(t, "data-erasure-asked")
	testkit.EachWall(t, b.World, b.board, rival, func(t *testing.T, rv *testkit.Rival) {
		rv.Nothing(t, "the requests", func(ctx context.Context, tx bun.IDB) (int, error) {
			list, n, err := b.Requests(ctx, tx, 1, 50)
			return n + len(list), err
		})
		rv.Try(t, "a rival's link", func(ctx context.Context, tx bun.IDB) error { _, err := b.PeekKeep(ctx, tx, keep); return err }, fault.Gone)
	})
	ctx := b.World.Ctx(t, rival)
	if err := b.Download(ctx, io.Discard, o.Ticket); !fault.Is(err, fault.Gone) {
		t.Errorf("a ticket on a rival: %v", err)
	}
	if err := b.Keep(ctx, keep); !fault.Is(err, fault.Gone) {
		t.Errorf("a link on a rival: %v", err)
	}
	b.clock.Advance(privacy.Grace + time.Minute)
	err = b.Erase(ctx, r.ID, nil)
	if err != nil || b.requests(t)[0].State != privacy.Asked || b.held(t, ada)["applications"] != 1 {
		t.Errorf("a rival erased: %v", err)
	}
	if !slices.ContainsFunc(b.requests(t), func(r privacy.Request) bool { return r.Email == ada }) {
		t.Error("the request is gone")
	}
}
