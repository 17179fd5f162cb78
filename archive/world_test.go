package archive_test

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"context"
	"encoding/json"
	"errors"
	"image"
	"image/png"
	"io"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/uptrace/bun"
	"gocloud.dev/blob"
	"gocloud.dev/blob/memblob"

	"shingle/accounts"
	"shingle/archive"
	"shingle/authz"
	"shingle/internal/links"
	"shingle/internal/testkit"
	"shingle/tenant"
	"shingle/themes"
)

func TestMain(m *testing.M) { testkit.Main(m) }

// place is an installation: a database, a file store and the service over them.
type place struct {
	*testkit.World
	*archive.Service
	files *blob.Bucket
}

func newPlace(t *testing.T) *place {
	t.Helper()
	w := testkit.NewWorld(t)
	ln, err := links.New("http://platform.localhost:8080", "platform.localhost", "localhost")
	if err != nil {
		t.Fatal(err)
	}
	packs, err := themes.Load()
	if err != nil {
		t.Fatal(err)
	}
	ops := accounts.NewOperators(w.Platform, accounts.NewLimiter(nil, time.Now), ln, time.Now)
	files := memblob.OpenBucket(nil)
	t.Cleanup(func() { _ = files.Close() })
	return &place{World: w, files: files,
		Service: &archive.Service{DB: w.DB, Platform: w.Platform, Files: files, Links: ln, Packs: packs, Operators: ops, Rebuild: "search.rebuild", Now: time.Now}}
}

func (p *place) ctx(t *testing.T, b *tenant.Tenant) context.Context { return p.World.Ctx(t, b) }

// seeker and hirer are the two people of a filled board.
const seeker, hirer = "ada@seeker.example", "max@hirer.example"

func pixel(t *testing.T) []byte {
	t.Helper()
	var b bytes.Buffer
	if err := png.Encode(&b, image.NewNRGBA(image.Rect(0, 0, 3, 3))); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

const cv = "%PDF-1.4\n1 0 obj<<>>endobj\ntrailer<<>>\n%%EOF\n"

// fill makes a board with rows in every table that boards have.
func (p *place) fill(t *testing.T, slug string) *tenant.Tenant {
	t.Helper()
	b := p.Board(t, slug)
	ctx := p.ctx(t, b)
	id := map[string]string{}
	for _, name := range []string{"person", "hirer", "company", "category", "listing", "move", "revision", "product", "order", "refund", "entitlement", "reconciliation",
		"application", "reply", "report", "alert", "look", "import", "redirect", "mail", "queued", "audit", "request", "logo", "looklogo", "cv", "newlogo", "revlogo"} {
		id[name] = tenant.NewRowID().String()
	}
	for key, data := range map[string][]byte{"logos/" + id["logo"] + ".png": pixel(t), "logos/" + id["newlogo"] + ".png": pixel(t), "logos/" + id["revlogo"] + ".png": pixel(t),
		"logos/" + id["looklogo"] + ".svg": []byte(`<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 1 1"><path d="M0 0h1v1z" fill="#123"/></svg>`), "cv/" + id["cv"] + ".pdf": []byte(cv)} {
		if err := p.files.WriteAll(ctx, b.ID.String()+"/"+key, data, nil); err != nil {
			t.Fatal(err)
		}
	}
	var op *accounts.Operator
	if err := p.World.Platform.Write(t.Context(), func(ctx context.Context, tx bun.IDB) (err error) {
		if op, err = p.Operators.FindOrCreate(ctx, tx, "owner@"+slug+".example", "Olga", "en"); err != nil {
			return err
		}
		if err := authz.Grant(ctx, tx, b.ID, op.ID, authz.Owner); err != nil {
			return err
		}
		if _, err := authz.DefineRole(ctx, tx, b.ID, "Writer", authz.Can("page", "read"), authz.Can("page", "write")); err != nil {
			return err
		}
		_, err = tx.NewRaw(`INSERT INTO domains (tenant_id, host, token, state) VALUES (?, ?, 'x', 'live')`, b.ID, "jobs."+slug+".example").Exec(ctx)
		return err
	}); err != nil {
		t.Fatal(err)
	}
	id["operator"], id["board"], id["slug"] = op.ID.String(), b.ID.String(), slug
	err := p.World.DB.Write(ctx, func(ctx context.Context, tx bun.IDB) error {
		for q := range strings.SplitSeq(rowsOfEverything, ";\n") {
			for name, v := range id {
				q = strings.ReplaceAll(q, "{"+name+"}", v)
			}
			if strings.TrimSpace(q) == "" {
				continue
			}
			if _, err := tx.ExecContext(ctx, q); err != nil {
				return errors.Join(errors.New(q), err)
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return b
}

const rowsOfEverything = `
UPDATE boards SET settings = '{"base": {"origin": "https://x.example", "path": "/jobs", "active": true}, "access": {"mode": "password", "version": 3, "hash": "$argon2id$secret", "secret": "sealed-secret"}}' WHERE id = '{board}';
UPDATE order_numbers SET last = 1007;
INSERT INTO people (tenant_id, id, email, name, confirmed_at) VALUES ('{board}', '{person}', 'ada@seeker.example', 'Ada', now()), ('{board}', '{hirer}', 'max@hirer.example', 'Max', now());
INSERT INTO person_sessions (tenant_id, token_hash, person_id, user_agent, expires_at) VALUES ('{board}', '\xdeadbeef01', '{person}', 'Netscape', now() + interval '1 day');
INSERT INTO person_tokens (tenant_id, hash, kind, email, expires_at) VALUES ('{board}', '\xdeadbeef02', 'sign-in', 'ada@seeker.example', now() + interval '1 day');
INSERT INTO held_forms (tenant_id, hash, form, email, sealed, created_at, expires_at) VALUES ('{board}', '\xdeadbeef04', 'apply', 'ada@seeker.example', '\x00', now(), now() + interval '1 day');
INSERT INTO access_passes (tenant_id, hash, kind, email, expires_at) VALUES ('{board}', '\xdeadbeef03', 'link', 'ada@seeker.example', now() + interval '1 day');
INSERT INTO companies (tenant_id, id, slug, name, website, about, logo_key) VALUES ('{board}', '{company}', 'hirer', 'Hirer & Söhne', 'https://hirer.example', '<p>We hire.</p>', '{board}/logos/{logo}.png');
INSERT INTO company_members (tenant_id, company_id, person_id) VALUES ('{board}', '{company}', '{hirer}');
INSERT INTO categories (tenant_id, id, slug, name) VALUES ('{board}', '{category}', 'locks', 'Locks');
INSERT INTO listings (tenant_id, id, public_id, slug, company_id, category_id, person_id, state, title, description, tags, salary_min, salary_currency, salary_period, apply_method, apply_target, published_at, ends_at, next_logo, wanted_product_id)
	VALUES ('{board}', '{listing}', 'Abc123xyz9', 'lock-keeper', '{company}', '{category}', '{hirer}', 'live', 'Lock keeper "II"', '<p>Keep the locks. See <a href="http://{slug}.localhost:8080/jobs/lock-keeper-Abc123xyz9" rel="nofollow noreferrer">the job</a>.</p>',
	'{water,"a, b"}', 9007199254740993, 'EUR', 'year', 'link', 'https://ats.example/0190a0aa-1111-7222-8333-444455556666', now() - interval '1 day', now() + interval '30 days', '{board}/logos/{newlogo}.png', '{product}');
INSERT INTO listing_places (tenant_id, listing_id, n, country, city, lat, lon) VALUES ('{board}', '{listing}', 1, 'DE', 'Köln', 50.941278, 6.958281);
INSERT INTO listing_moves (tenant_id, id, listing_id, from_state, to_state, actor_kind, actor_id) VALUES ('{board}', '{move}', '{listing}', 'in_review', 'live', 'operator', '{operator}');
INSERT INTO listing_revisions (tenant_id, id, listing_id, content, author_kind, author_id) VALUES ('{board}', '{revision}', '{listing}', '{"title": "Lock keeper", "description": "<p>New.</p>", "apply_method": "board", "logo": "{board}/logos/{revlogo}.png"}', 'person', '{hirer}');
INSERT INTO products (tenant_id, id, name, price, currency, duration_days) VALUES ('{board}', '{product}', 'Post', 9900, 'EUR', 30);
INSERT INTO stripe_accounts (tenant_id, account, kind) VALUES ('{board}', 'acct_{slug}', 'standard');
INSERT INTO orders (tenant_id, id, number, listing_id, person_id, product_id, product, email, state, amount, currency, fee, fee_rule, charge_mode, payment_intent) VALUES ('{board}', '{order}', 1007, '{listing}', '{hirer}', '{product}', '{"name": "Post"}', 'max@hirer.example', 'paid', 9900, 'EUR', 990, '{}', 'direct', 'pi_1');
INSERT INTO checkout_sessions (tenant_id, id, order_id, attempt) VALUES ('{board}', 'cs_1', '{order}', 1);
INSERT INTO refunds (tenant_id, id, order_id, amount, currency, actor_kind, actor_id) VALUES ('{board}', '{refund}', '{order}', 100, 'EUR', 'operator', '{operator}');
INSERT INTO entitlements (tenant_id, id, listing_id, order_id, kind, days) VALUES ('{board}', '{entitlement}', '{listing}', '{order}', 'posting', 30);
INSERT INTO ledger_entries (tenant_id, txn, account, amount, currency, order_id) VALUES ('{board}', 'ch_1', 'sales', -9900, 'EUR', '{order}'), ('{board}', 'ch_1', 'stripe', 9900, 'EUR', '{order}');
INSERT INTO reconciliations (tenant_id, id, since, until, differences) VALUES ('{board}', '{reconciliation}', now() - interval '1 day', now(), '[{"order_id": "{order}"}]');
INSERT INTO applications (tenant_id, id, listing_id, name, email, note, cv_key, cv_name, cv_type, cv_size, consent_text, consented_at, withdraw_hash) VALUES ('{board}', '{application}', '{listing}', 'Ada', 'ada@seeker.example', 'Hello', '{board}/cv/{cv}.pdf', 'ada.pdf', 'application/pdf', 45, 'Agreed.', now(), '\xcafe');
INSERT INTO application_replies (tenant_id, id, application_id, person_id, body) VALUES ('{board}', '{reply}', '{application}', '{hirer}', 'Come in.');
INSERT INTO reports (tenant_id, id, listing_id, reason, email) VALUES ('{board}', '{report}', '{listing}', 'scam', 'ada@seeker.example');
INSERT INTO alerts (tenant_id, id, email, query, confirm_hash, stop_hash) VALUES ('{board}', '{alert}', 'ada@seeker.example', 'q=lock', '\x01', '\x02');
INSERT INTO person_requests (tenant_id, id, kind, state, email, asked_at, runs_at, due_at) VALUES ('{board}', '{request}', 'erasure', 'asked', 'zoe@seeker.example', now(), now() + interval '3 days', now() + interval '1 month');
INSERT INTO looks (tenant_id, id, n, state, look, created_by) VALUES ('{board}', '{look}', 1, 'published', '{"pack": "harbor", "preset": "tide", "tokens": {}, "words": {"footer": "Jobs"}, "logo_key": "{board}/logos/{looklogo}.svg"}', '{operator}');
INSERT INTO pages (tenant_id, slug, version, kind, title, body) VALUES ('{board}', 'privacy', 1, 'privacy', 'Privacy', 'See http://{slug}.localhost:8080/files/logos/{logo}.png and /files/logos/{logo}.png and http://{slug}.localhost.evil.example/.');
INSERT INTO imports (tenant_id, id, name, content, created_by) VALUES ('{board}', '{import}', 'a.csv', 'title', '{operator}');
INSERT INTO redirects (tenant_id, id, source, target, created_by) VALUES ('{board}', '{redirect}', '/old', '/jobs/lock-keeper-Abc123xyz9', '{operator}');
INSERT INTO mails (tenant_id, id, kind, key, recipient, payload, state, message_id, sent_at) VALUES ('{board}', '{mail}', 'application-sent', '{application}', 'ada@seeker.example', '{}', 'sent', '{mail}', now());
INSERT INTO mails (tenant_id, id, kind, key, recipient, payload, message_id) VALUES ('{board}', '{queued}', 'person-sign-in', 'k', 'ada@seeker.example', '{"url": "http://x/sign-in?token=open-sesame"}', '{queued}');
INSERT INTO mail_suppressions (tenant_id, address, reason) VALUES ('{board}', 'ada@seeker.example', 'bounce');
INSERT INTO mail_identities (tenant_id, domain, state, footer) VALUES ('{board}', 'mail.{slug}.example', 'verified', 'Yours');
INSERT INTO launch_checklists (tenant_id, dismissed_at) VALUES ('{board}', now());
INSERT INTO mail_texts (tenant_id, kind, language, n, texts, written_by) VALUES ('{board}', 'listing-live', 'en', 1, '{"subject": "Ahoy", "body": "Look at {{link}}"}', 'Olga');
INSERT INTO dkim_keys (tenant_id, id, selector, sealed, public) VALUES ('{board}', '{look}', 's1', '\xfeedface', 'p');
INSERT INTO tasks (tenant_id, id, kind) VALUES ('{board}', '{look}', 't.x');
INSERT INTO audit_log (tenant_id, id, actor_kind, actor_id, act, object_kind, object_id, detail, personal, at) VALUES ('{board}', '{audit}', 'operator', '{operator}', 'listing.approved', 'listing', '{listing}', '{"board": "{board}", "listing": "{listing}"}', '{"actor": "Olga", "email": "ada@seeker.example"}', now() - interval '1 minute')
`

func (p *place) export(t *testing.T, b *tenant.Tenant, o archive.Options) ([]byte, *archive.Manifest) {
	t.Helper()
	var out bytes.Buffer
	m, err := p.Export(p.ctx(t, b), &out, o)
	if err != nil {
		t.Fatal(err)
	}
	return out.Bytes(), m
}

func (p *place) bySlug(t *testing.T, slug string) *tenant.Tenant {
	t.Helper()
	b, err := p.Boards.BySlug(t.Context(), slug)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// boards counts them, with the files of all.
func (p *place) boards(t *testing.T) (n, files int) {
	t.Helper()
	if err := p.World.Platform.Read(t.Context(), func(ctx context.Context, tx bun.IDB) error {
		return tx.NewRaw(`SELECT count(*) FROM boards`).Scan(ctx, &n)
	}); err != nil {
		t.Fatal(err)
	}
	it := p.files.List(nil)
	for {
		if _, err := it.Next(t.Context()); errors.Is(err, io.EOF) {
			return n, files
		} else if err != nil {
			t.Fatal(err)
		}
		files++
	}
}

// entry is one of an archive's, for looking at and for forging.
type entry struct {
	tar.Header
	data []byte
}

func unpack(t *testing.T, raw []byte) (out []entry) {
	t.Helper()
	gz, err := gzip.NewReader(bytes.NewReader(raw))
	if err != nil {
		t.Fatal(err)
	}
	r := tar.NewReader(gz)
	for {
		h, err := r.Next()
		if errors.Is(err, io.EOF) {
			return out
		}
		if err != nil {
			t.Fatal(err)
		}
		data, err := io.ReadAll(r)
		if err != nil {
			t.Fatal(err)
		}
		out = append(out, entry{*h, data})
	}
}

// content is an archive's entries by name, and its rows by table.
func content(t *testing.T, raw []byte) (h archive.Header, files map[string]string, rows map[string][]string) {
	t.Helper()
	files, rows = map[string]string{}, map[string][]string{}
	for _, e := range unpack(t, raw) {
		switch parts := strings.Split(e.Name, "/"); parts[0] {
		case "shingle.json":
			if err := json.Unmarshal(e.data, &h); err != nil {
				t.Fatal(err)
			}
		case "tables":
			rows[parts[1]] = append(rows[parts[1]], strings.Split(strings.TrimSuffix(string(e.data), "\n"), "\n")...)
		case "files":
			files[strings.TrimPrefix(e.Name, "files/")] = string(e.data)
		}
	}
	return h, files, rows
}

func parse(t *testing.T, s string) uuid.UUID {
	t.Helper()
	u, err := uuid.Parse(s)
	if err != nil {
		t.Fatal(err)
	}
	return u
}
