package web_test

import (
	"bytes"
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"database/sql"
	"encoding/base64"
	"encoding/csv"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"hash/crc32"
	"maps"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/gin-gonic/gin"
	"github.com/google/uuid"
	"github.com/uptrace/bun"
	"gocloud.dev/blob"

	"shingle/accounts"
	"shingle/authz"
	"shingle/internal/dns"
	"shingle/internal/seal"
	"shingle/internal/testkit"
	"shingle/tenant"
	"shingle/web"
)

// Words that stand in the walked board's rows and nowhere else: the first in
// what everybody may read on that board, the second in what its own people may.
const (
	shown  = "Zanzibar"
	hidden = "Kwisatz"
)

// victim is a board with rows in every table, and what they are called by.
type victim struct {
	board *tenant.Tenant
	// id is each row's name: "listing", "order", …
	id map[string]string
	// params fill a pattern's placeholder, by the pattern up to it.
	params map[string]string
	// owner is the operator who runs it; token and platform are their sessions.
	owner           uuid.UUID
	token, platform string
	// hirer and seeker are sessions of the employer whose listing it is, and of
	// the candidate who applied.
	hirer, seeker string
	// tokens are the secrets of its links, by the field that takes them.
	secrets []string
}

// everyRow is the archive's own list of a board's rows, which its tests hold
// complete: a table that is new there is walked here.
func everyRow(t *testing.T) string {
	t.Helper()
	f, err := parser.ParseFile(token.NewFileSet(), "../archive/world_test.go", nil, parser.SkipObjectResolution)
	if err != nil {
		t.Fatal(err)
	}
	for _, d := range f.Decls {
		g, ok := d.(*ast.GenDecl)
		if !ok {
			continue
		}
		for _, s := range g.Specs {
			v, ok := s.(*ast.ValueSpec)
			if !ok || v.Names[0].Name != "rowsOfEverything" {
				continue
			}
			text, err := strconv.Unquote(v.Values[0].(*ast.BasicLit).Value)
			if err != nil {
				t.Fatal(err)
			}
			return text
		}
	}
	t.Fatal("archive/world_test.go has no rowsOfEverything")
	return ""
}

// marked puts the words in, and real secrets in place of made-up hashes.
var marked = strings.NewReplacer(
	`'Ada'`, `'=Ada `+hidden+`'`, `'Max'`, `'=Max `+hidden+`'`, `'Hello'`, `'@`+hidden+` note'`, `'Come in.'`, `'Come in, `+hidden+`.'`,
	`'Post'`, `'`+shown+` post'`, `"name": "Post"`, `"name": "`+hidden+` post"`, `'a.csv'`, `'`+hidden+`.csv'`, `'/old'`, `'/`+hidden+`'`, `<p>New.</p>`, `<p>`+hidden+`.</p>`,
	`"Ahoy"`, `"`+hidden+`"`, `"Olga"`, `"`+hidden+`"`, `"scam"`, `"`+hidden+`"`, `'Netscape'`, `'`+hidden+`'`,
	`Lock keeper "II"`, `=`+shown+` keeper`, `Lock keeper`, shown+` keeper`, `Keep the locks`, `Keep `+shown, `Hirer & Söhne`, shown+` & Söhne`, `'Locks'`, `'`+shown+` locks'`, `'Privacy'`, `'`+shown+` privacy'`,
	`'\xcafe'`, `sha256('withdraw-token')`, `'\x01'`, `sha256('confirm-token')`, `'\x02'`, `sha256('stop-token')`)

var rowName = regexp.MustCompile(`\{([a-z]+)\}`)

// newVictim fills a board with rows of every kind.
func newVictim(t *testing.T, h *house) *victim {
	t.Helper()
	b := h.Board(t, "orbit")
	v := &victim{board: b, id: map[string]string{"board": b.ID.String(), "slug": "orbit"}}
	v.platform = h.signedIn(t, b.ID, authz.Owner)
	v.token = h.handedOver(t, v.platform, b)
	s, err := h.operators.SessionByToken(t.Context(), v.platform, nil)
	if err != nil {
		t.Fatal(err)
	}
	v.owner = s.Operator.ID
	v.id["operator"] = v.owner.String()
	rows := everyRow(t)
	for _, m := range rowName.FindAllStringSubmatch(rows, -1) {
		if v.id[m[1]] == "" {
			v.id[m[1]] = tenant.NewRowID().String()
		}
	}
	for key, data := range map[string]string{"logos/" + v.id["logo"] + ".png": "\x89PNG\r\n\x1a\n", "cv/" + v.id["cv"] + ".pdf": "%PDF-1.4 " + hidden} {
		kind := "image/png"
		if strings.HasPrefix(key, "cv/") {
			kind = "application/pdf"
		}
		if err := h.parts.Site.Files.WriteAll(t.Context(), b.ID.String()+"/"+key, []byte(data), &blob.WriterOptions{ContentType: kind}); err != nil {
			t.Fatal(err)
		}
	}
	v.hirer, v.seeker = strings.Repeat("h", 43), strings.Repeat("s", 43)
	rows += `;
INSERT INTO person_sessions (tenant_id, token_hash, person_id, expires_at) VALUES ('{board}', sha256('` + v.hirer + `'), '{hirer}', now() + interval '1 day'), ('{board}', sha256('` + v.seeker + `'), '{person}', now() + interval '1 day');
INSERT INTO board_exports (tenant_id, id, state, asked_by, email, link_hash, link_until, created_at, ready_at, delete_at) VALUES ('{board}', '{mail}', 'ready', '{operator}', 'olga@orbit.example', sha256('export-token'), now() + interval '1 hour', now(), now(), now() + interval '1 day');
`
	sealer, err := seal.New("keys of mail", bytes.Repeat([]byte{7}, 32))
	if err != nil {
		t.Fatal(err)
	}
	h.parts.Admin.Mail.Sealer, h.parts.Admin.Mail.DNS = sealer, dns.New([]string{h.dns.Addr}).Fresh()
	super := h.PG.Open(t, h.PG.Superuser, 1)
	run := func(all string) {
		t.Helper()
		for q := range strings.SplitSeq(all, ";\n") {
			q = rowName.ReplaceAllStringFunc(q, func(n string) string { return v.id[n[1:len(n)-1]] })
			// A door before the whole board would be in front of what is walked.
			if q = strings.TrimSpace(q); q == "" || strings.HasPrefix(q, "UPDATE boards ") {
				continue
			}
			if _, err := super.ExecContext(t.Context(), q); err != nil {
				t.Fatalf("%v: %s", err, q)
			}
		}
	}
	run(`SELECT set_config('app.tenant_id', '{board}', false)`) // for columns that default to the bound board
	run(marked.Replace(rows))
	v.id["visit"], v.id["notice"], v.id["plan"], v.id["invited"] = uuid.NewString(), uuid.NewString(), uuid.NewString(), base64.RawURLEncoding.EncodeToString(sum("invite"))
	run(`INSERT INTO impersonations (tenant_id, id, staff_id, operator_id, reason, minutes, state, asked_at, lapses_at) VALUES ('{board}', '{visit}', '{operator}', '{operator}', '` + hidden + `', 30, 'asked', now(), now() + interval '1 day');
INSERT INTO announcements (id, text_en, text_de, starts_at, created_by, audience, boards) VALUES ('{notice}', 'Tonight', 'Heute', now(), '{operator}', 'boards', ARRAY['{board}'::uuid]);
INSERT INTO domains (tenant_id, host, token, state) VALUES ('{board}', 'jobs.orbit.example', 'x', 'live');
INSERT INTO operator_tokens (hash, kind, email, board_id, payload, expires_at) VALUES (sha256('invite'), 'invite', 'new@orbit.example', '{board}', '{"role": "viewer"}', now() + interval '1 day');
INSERT INTO operator_passkeys (credential_id, operator_id, name, credential, created_at) VALUES ('\x0102', '{operator}', '` + hidden + ` key', '{}', now());
`)
	v.secrets = []string{"withdraw-token", "confirm-token", "stop-token", "export-token", v.hirer, v.token}
	key := make([]byte, 32) // the house's
	session := base64.RawURLEncoding.EncodeToString(sum(v.platform))
	v.params = map[string]string{
		"/jobs/:listing": "lock-keeper-Abc123xyz9", "/companies/:company": "hirer", "/categories/:category": "locks", "/pages/:page": "privacy", "/sitemaps/:part": "jobs-1.xml",
		"/files/*file": "/logos/" + v.id["logo"] + ".png", "/x/*file": "/logos/" + v.id["logo"] + ".png", "/proof/:form": "apply", "/:theme": "theme.css", "/assets/:file": "a.css", "/assets/console/*file": "/console.css",
		"/post/:draft":                draftLink(key, b.ID, uuid.MustParse(v.id["listing"])),
		"/employers/listings/:id":     v.id["listing"],
		"/employers/applications/:id": v.id["application"],
		"/api/v1/jobs/:id":            "Abc123xyz9", "/api/v1/companies/:slug": "hirer", "/api/v1/*path": "/jobs",
		"/admin/redirects/:id": v.id["redirect"], "/admin/support/:id": v.id["visit"], "/admin/notices/:id": v.id["notice"], "/admin/domains/:host": "jobs.orbit.example",
		"/admin/products/:id": v.id["product"], "/admin/orders/:id": v.id["order"], "/admin/look/:sheet": "sheet.css", "/admin/looks/:id": v.id["look"],
		"/admin/pages/edit/:slug": "privacy", "/admin/mail/texts/:kind": "listing-live", "/admin/review/:id": v.id["listing"], "/admin/revisions/:id": v.id["revision"],
		"/admin/listings/:id": v.id["listing"], "/admin/imports/:id": v.id["import"], "/admin/reports/:id": v.id["report"], "/admin/companies/:id": v.id["company"],
		"/admin/categories/:id": v.id["category"], "/admin/members/:id": v.id["operator"], "/admin/export/:id": v.id["mail"],
		"/security/passkeys/:id": "AQI", "/security/sessions/:id": session,
		"/staff/plans/edit/:id": v.id["plan"], "/staff/boards/:id": v.id["board"], "/staff/boards/:id/act-as/:visit": v.id["visit"], "/staff/announcements/:id": v.id["notice"],
		"/staff/tasks/:board": v.id["board"], "/staff/tasks/:board/:id": v.id["look"], "/staff/events/:id": "evt_1", "/staff/team/:id": v.id["operator"],
	}
	return v
}

func sum(s string) []byte {
	h := sha256.Sum256([]byte(s))
	return h[:]
}

// draftLink is the token of a draft as a board's key makes it.
func draftLink(key []byte, board tenant.ID, listing uuid.UUID) string {
	m := hmac.New(sha256.New, key)
	m.Write([]byte("draft link v1"))
	m.Write(board[:])
	m.Write(listing[:])
	return base64.RawURLEncoding.EncodeToString(append(listing[:], m.Sum(nil)[:16]...))
}

// path fills a pattern; ok is false where the walk knows no row for a placeholder.
func (v *victim) path(pattern string) (path string, ok bool) {
	ok = true
	parts := strings.Split(pattern, "/")
	for i, p := range parts {
		if p == "" || p[0] != ':' && p[0] != '*' {
			continue
		}
		value, known := v.params[strings.Join(strings.Split(pattern, "/")[:i+1], "/")]
		ok = ok && known
		parts[i] = strings.TrimPrefix(value, "/")
	}
	return strings.Join(parts, "/"), ok
}

var (
	readNames = regexp.MustCompile(`\b(?:PostForm|PostFormArray|Query|QueryArray|FormValue|DefaultQuery|DefaultPostForm|GetPostForm|GetQuery)\("([^"]+)"`)
	formNames = regexp.MustCompile(` name="([a-z_0-9]+)"`)
)

// fields are the names of all that handlers read from forms and queries and
// that pages send.
func fields(t *testing.T) []string {
	t.Helper()
	all := map[string]bool{}
	for _, root := range []string{".", "../themes/packs"} {
		err := filepath.WalkDir(root, func(path string, d os.DirEntry, err error) error {
			if err != nil || d.IsDir() || strings.HasSuffix(path, "_test.go") {
				return err
			}
			find := formNames
			if strings.HasSuffix(path, ".go") {
				find = readNames
			}
			raw, err := os.ReadFile(path)
			for _, m := range find.FindAllSubmatch(raw, -1) {
				all[string(m[1])] = true
			}
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	if len(all) < 100 {
		t.Fatalf("found %d fields only", len(all))
	}
	return slices.Sorted(maps.Keys(all))
}

// form sends something in every field: a row of the victim's where a field is
// called like one, and what makes a form as good as right elsewhere.
func (v *victim) form(names []string, pattern, secret string) url.Values {
	f := url.Values{}
	if strings.HasPrefix(pattern, "/api/") { // which refuses what it does not know
		return f
	}
	for _, n := range names {
		switch id := v.id[n]; {
		case id != "":
			f.Set(n, id)
		default:
			f.Set(n, "1")
		}
	}
	for n, value := range map[string]string{"id": v.id["listing"], "token": secret, "ticket": secret, "session_id": "cs_1", "invitation": v.id["invited"], "to": v.id["operator"],
		"role": "viewer", "then": "admin", "email": "max@hirer.example", "address": "ada@seeker.example", "host": "jobs.orbit.example", "domain": "mail.orbit.example", "act": "pause", "status": "reviewing",
		"next": "/employers/listings/" + v.id["listing"], "back": "/", "name": "Walked", "title": "Walked", "company_name": "Walked", "description": "<p>Walked by somebody who ought not to.</p>", "body": "Walked",
		"text": "Walked", "note": "Walked", "reason": "scam", "source": "/walked", "target": "/", "price": "99", "currency": "USD", "duration_days": "30", "apply_method": "email", "apply_target": "a@walked.example",
		"employment_type": "full_time", "workplace": "remote", "consent": "1", "terms": "1", "ends_at": "", "starts_at": "", "answer": "grant", "language": "en", "base": "", "version": "0", "n": "1",
		"query": "q=walked", "days": "30", "percent": "10", "featured": "", "company": "Walked", "website": "https://walked.example", "category": "", "seniority": "", "places": "10115 Berlin", "countries": "", "tags": "", "logo": "",
		"salary_min": "", "salary_max": "", "salary_currency": "", "salary_period": "", "reference": "", "featured_days": "", "about": "", "tagline": "Walked", "industry": "", "size": "", "location": "", "local_part": "jobs",
		"credit": "1", "credit_reason": "Walked", "comp_reason": "Walked", "comp_until": "2099-01-01", "minutes": "30", "acting_reason": "Walked by somebody", "operator": v.id["operator"], "level": "info", "audience": "all", "text_en": "Walked", "text_de": "Walked", "page": "", "can": "page.read", "subject": "Walked", "locale": "en", "time_zone": "UTC", "contact_email": "walked@walked.example", "mode": "open", "ask": "1"} {
		f.Set(n, value)
	}
	for prefix, id := range map[string]string{"/applications/": "application", "/alerts/": "alert"} {
		if strings.HasPrefix(pattern, prefix) {
			f.Set("id", v.id[id])
		}
	}
	if strings.HasPrefix(pattern, "/admin/redirects") {
		f.Set("status", "301")
	}
	if strings.HasSuffix(pattern, "/cv") { // by the session; with a token it is the token's
		f.Del("token")
	}
	if pattern == "/staff/tasks" {
		f.Set("id", v.id["board"]+"/"+v.id["look"])
	}
	return f
}

// somebodyElse walks the routes of one host with one session.
type somebodyElse struct {
	name, host string
	cookie     string // the cookie's base name; "" for nobody
	token      string
	engine     *walked
	// rows are what the walk may leave in the victim's tables: "" nothing, or
	// that what is public there adds rows, as it does for everybody.
	adds bool
	// may are routes that are the session's own business.
	may func(method, pattern string) bool
	// sees: the public words of the victim are theirs to read.
	sees bool
	// secret goes into every field for one.
	secret string
	// params replace the victim's.
	params map[string]string
}

// walked is an engine's routes.
type walked struct {
	routes []walkedRoute
}

type walkedRoute struct {
	method, pattern string
	can             authz.Permission
	public          bool
}

// rowsAbout are all rows of and about the victim, by table, as Postgres prints them.
func rowsAbout(t *testing.T, super *sql.DB, v *victim, but ...string) map[string]int {
	t.Helper()
	rows, err := super.QueryContext(t.Context(), `SELECT c.relname, (xpath('//s/text()', query_to_xml(format('SELECT coalesce(string_agg(encode(convert_to(x::text, ''UTF8''), ''base64''), ''|''), '''') AS s FROM %I x WHERE %s', c.relname,
			CASE WHEN c.relname = 'boards' THEN format('id = %L', $1::text) WHEN c.relname = 'operators' THEN format('id = %L', $2::text)
				WHEN a.operator_id AND NOT a.tenant_id THEN format('operator_id = %L', $2::text) WHEN a.tenant_id THEN format('tenant_id = %L', $1::text) ELSE format('board_id = %L', $1::text) END), true, false, '')))[1]::text
		FROM pg_class c JOIN LATERAL (SELECT coalesce(bool_or(attname = 'tenant_id'), false) AS tenant_id, coalesce(bool_or(attname = 'operator_id'), false) AS operator_id, coalesce(bool_or(attname = 'board_id'), false) AS board_id
			FROM pg_attribute WHERE attrelid = c.oid AND NOT attisdropped) a ON a.tenant_id OR a.operator_id OR a.board_id OR c.relname IN ('boards', 'operators')
		WHERE c.relkind = 'r' AND c.relnamespace = 'public'::regnamespace`, v.board.ID.String(), v.owner.String())
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = rows.Close() }()
	out, tables := map[string]int{}, 0
	for rows.Next() {
		var table string
		var all sql.NullString
		if err := rows.Scan(&table, &all); err != nil {
			t.Fatal(err)
		}
		tables++
	row:
		for one := range strings.SplitSeq(all.String, "|") {
			raw, err := base64.StdEncoding.DecodeString(strings.ReplaceAll(one, "\n", ""))
			if err != nil {
				t.Fatal(err)
			}
			for _, b := range but {
				if bytes.Contains(raw, []byte(b)) {
					continue row
				}
			}
			if len(raw) > 0 {
				out[table+" "+string(raw)]++
			}
		}
	}
	if err := rows.Err(); err != nil || tables < 40 || len(out) < 40 {
		t.Fatalf("%d rows in %d tables: %v", len(out), tables, err)
	}
	return out
}

// TestNothingOfABoardIsReachedByItsRivals asks every route that is mounted for
// rows that exist, as everybody who has no business with them: from a rival
// board, from the same board, and from nowhere. No answer holds a word of
// theirs, and no row about the board is another one afterwards.
func TestNothingOfABoardIsReachedByItsRivals(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	v := newVictim(t, h)
	rival := h.Board(t, "rival")
	platformEngine, boardEngine, err := web.Engines(h.parts)
	if err != nil {
		t.Fatal(err)
	}
	can := map[string]authz.Permission{}
	for _, r := range slices.Concat(h.parts.Site.Routes(), h.parts.Employer.PublicRoutes(), h.parts.Employer.DeskRoutes(), h.parts.Admin.Routes()) {
		can["board "+r.Method+" "+r.Path] = r.Can
	}
	for _, r := range slices.Concat(h.parts.Platform.Routes(), h.parts.Staff.Routes(), h.parts.Hooks.Routes()) {
		can["platform "+r.Method+" "+r.Path] = r.Can
	}
	var onBoard, onPlatform []walkedRoute
	for _, r := range boardEngine.Routes() {
		p, known := can["board "+strings.Replace(r.Method, "HEAD", "GET", 1)+" "+r.Path]
		onBoard = append(onBoard, walkedRoute{r.Method, r.Path, p, !known || p == authz.Public})
	}
	for _, r := range platformEngine.Routes() {
		p, known := can["platform "+strings.Replace(r.Method, "HEAD", "GET", 1)+" "+r.Path]
		onPlatform = append(onPlatform, walkedRoute{r.Method, r.Path, p, !known || p == authz.Public})
	}
	if len(onBoard) < 200 || len(onPlatform) < 100 {
		t.Fatalf("%d routes on boards, %d on the platform's host", len(onBoard), len(onPlatform))
	}
	for _, r := range slices.Concat(onBoard, onPlatform) {
		if _, ok := v.path(r.pattern); !ok {
			t.Errorf("%s %s: say in newVictim's params which row of the board stands for its placeholder", r.method, r.pattern)
		}
	}
	boards, platforms := &walked{onBoard}, &walked{onPlatform}

	// The rivals.
	owner := h.signedIn(t, rival.ID, authz.Owner)
	ownerThere, ownerHere := h.handedOver(t, owner, rival), h.handedOver(t, owner, v.board)
	var weak string
	if err := h.Platform.Write(t.Context(), func(ctx context.Context, tx bun.IDB) (err error) {
		weak, err = authz.DefineRole(ctx, tx, v.board.ID, "Weak", authz.Can("redirect", "read"))
		return err
	}); err != nil {
		t.Fatal(err)
	}
	weakToken := h.signedIn(t, v.board.ID, weak)
	weakHere := h.handedOver(t, weakToken, v.board)
	others := map[string]string{}
	super := h.PG.Open(t, h.PG.Superuser, 1)
	person := func(board *tenant.Tenant, name string, employer bool) (token string) {
		t.Helper()
		id, company := uuid.NewString(), uuid.NewString()
		token = base64.RawURLEncoding.EncodeToString(sum(name + board.Slug))
		others[id], others[company] = name, name
		q := `INSERT INTO people (tenant_id, id, email, confirmed_at) VALUES ($1, $2, $3, now());INSERT INTO person_sessions (tenant_id, token_hash, person_id, expires_at) VALUES ($1, sha256($4), $2, now() + interval '1 day')`
		if employer {
			q += `;INSERT INTO companies (tenant_id, id, slug, name) VALUES ($1, $5, $3, $3);INSERT INTO company_members (tenant_id, company_id, person_id) VALUES ($1, $5, $2)`
		}
		for one := range strings.SplitSeq(q, ";") {
			args := strings.NewReplacer("$1", "'"+board.ID.String()+"'", "$2", "'"+id+"'", "$3", "'"+strings.ReplaceAll(name, " ", "-")+"@people.example'", "$4", "'"+token+"'", "$5", "'"+company+"'")
			if _, err := super.ExecContext(t.Context(), args.Replace(one)); err != nil {
				t.Fatal(err)
			}
		}
		return token
	}
	here, there := v.board.PlatformHost, rival.PlatformHost
	forged := map[string]string{"/post/:draft": draftLink(make([]byte, 32), rival.ID, uuid.MustParse(v.id["listing"]))}
	const operator, somebody = accounts.OperatorCookie, accounts.PersonCookie
	var all []somebodyElse
	for _, secret := range v.secrets {
		all = append(all, somebodyElse{name: "nobody on the rival board with the secret " + secret[:4], host: there, engine: boards, secret: secret})
	}
	all = append(all,
		somebodyElse{name: "the rival's owner on their own board", host: there, cookie: operator, token: ownerThere, engine: boards},
		somebodyElse{name: "the rival's employer on their own board", host: there, cookie: somebody, token: person(rival, "hirer there", true), engine: boards},
		somebodyElse{name: "the rival's candidate on their own board", host: there, cookie: somebody, token: person(rival, "seeker there", false), engine: boards},
		somebodyElse{name: "the board's owner's session on the rival board", host: there, cookie: operator, token: v.token, engine: boards},
		somebodyElse{name: "the board's employer's session on the rival board", host: there, cookie: somebody, token: v.hirer, engine: boards},
		somebodyElse{name: "nobody", host: here, engine: boards, adds: true, sees: true, params: forged},
		somebodyElse{name: "the rival's owner", host: here, cookie: operator, token: ownerHere, engine: boards, adds: true, sees: true, params: forged},
		somebodyElse{name: "the rival's owner's session", host: here, cookie: operator, token: ownerThere, engine: boards, adds: true, sees: true, params: forged},
		somebodyElse{name: "another employer", host: here, cookie: somebody, token: person(v.board, "hirer here", true), engine: boards, adds: true, sees: true, params: forged},
		somebodyElse{name: "a candidate", host: here, cookie: somebody, token: v.seeker, engine: boards, adds: true, sees: true, params: forged},
		somebodyElse{name: "a member with another role", host: here, cookie: operator, token: weakHere, engine: boards, adds: true, sees: true, params: forged,
			may: func(_, pattern string) bool { return can["board GET "+pattern] == authz.Can("redirect", "read") }},
		somebodyElse{name: "nobody at the platform", host: platformHost, engine: platforms},
		somebodyElse{name: "the rival's owner at the platform", host: platformHost, cookie: operator, token: owner, engine: platforms},
		somebodyElse{name: "a member with another role at the platform", host: platformHost, cookie: operator, token: weakToken, engine: platforms},
		somebodyElse{name: "an operator without a board", host: platformHost, cookie: operator, token: h.signedIn(t, tenant.Nil, ""), engine: platforms},
	)
	names := fields(t)
	asked := 0
	for _, s := range all {
		if s.secret == "" {
			s.secret = strings.Repeat("n", 43)
		}
		for _, public := range []bool{false, true} {
			before := rowsAbout(t, super, v, slices.Collect(maps.Keys(others))...)
			for _, r := range s.engine.routes {
				if r.public != public || s.may != nil && s.may(r.method, r.pattern) || r.can == authz.SignedIn && signsOut(r.pattern) {
					continue
				}
				asked++
				h.trespass(t, v, s, r, names)
			}
			after := rowsAbout(t, super, v, slices.Collect(maps.Keys(others))...)
			for row := range before {
				if after[row] < before[row] {
					t.Errorf("%s: changed %.400s", s.name, row)
				}
			}
			for row := range after {
				if after[row] > before[row] && !(public && s.adds) {
					t.Errorf("%s: wrote %.400s", s.name, row)
				}
			}
		}
	}
	t.Logf("%d requests", asked)
}

// signsOut are routes that end the walker's own session or membership.
func signsOut(pattern string) bool {
	return strings.HasSuffix(pattern, "/sign-out") || strings.HasSuffix(pattern, "/team/leave")
}

// trespass asks for one route and reads the answer for what is not theirs.
func (h *house) trespass(t *testing.T, v *victim, s somebodyElse, r walkedRoute, names []string) {
	t.Helper()
	params := v.params
	if s.params != nil {
		params = maps.Clone(params)
		maps.Copy(params, s.params)
	}
	path, _ := (&victim{params: params}).path(r.pattern)
	form := v.form(names, r.pattern, s.secret)
	status, head, body := h.ask(t, s.host, r.method, path, s.cookie, s.token, form)
	what := fmt.Sprintf("%s: %s %s (%d)", s.name, r.method, r.pattern, status)
	if status == http.StatusInternalServerError {
		t.Errorf("%s: %.300s", what, body)
	}
	if !s.sees && strings.Contains(body, shown) {
		t.Errorf("%s reads the board's public words", what)
	}
	if strings.Contains(body, hidden) || strings.Contains(fmt.Sprint(head), hidden) {
		at := strings.Index(body, hidden)
		t.Errorf("%s reads what is not theirs: …%s…", what, body[max(0, at-150):min(len(body), at+150)])
	}
}

// ask sends the form as a query, and as a body where there is one.
func (h *house) ask(t *testing.T, host, method, path, cookie, token string, form url.Values) (int, http.Header, string) {
	t.Helper()
	// Each session from a network of its own: how often one may ask is another test's matter.
	from := fmt.Sprintf("198.51.%d.7:1", crc32.ChecksumIEEE([]byte(host+cookie+token))%250)
	var r *http.Request
	if method == http.MethodGet || method == http.MethodHead || method == http.MethodOptions {
		r = httptest.NewRequestWithContext(t.Context(), method, "http://"+host+":8080"+path+"?"+form.Encode(), http.NoBody)
	} else {
		// With its proof of work a form reaches what it is for.
		form = maps.Clone(form)
		form.Del("homepage")
		form.Set("proof", testkit.Proof(t, path, func(path string) []byte {
			r := httptest.NewRequestWithContext(t.Context(), http.MethodGet, "http://"+host+":8080"+path, http.NoBody)
			r.RemoteAddr = from
			rec := httptest.NewRecorder()
			h.handler.ServeHTTP(rec, r)
			return rec.Body.Bytes()
		}))
		r = httptest.NewRequestWithContext(t.Context(), method, "http://"+host+":8080"+path, strings.NewReader(form.Encode()))
		r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	}
	r.Header.Set("Accept", "text/html")
	if cookie != "" {
		r.AddCookie(&http.Cookie{Name: accounts.CookieName(cookie, accounts.Secured("http", host)), Value: token})
	}
	r.RemoteAddr = from
	rec := httptest.NewRecorder()
	h.handler.ServeHTTP(rec, r)
	return rec.Code, rec.Header(), rec.Body.String()
}

// poison is the value of fields that no handler reads.
const poison = "4242421"

// columns are the names of every column, for forms that say more than they ought to.
func columns(t *testing.T, super *sql.DB) (out []string) {
	t.Helper()
	rows, err := super.QueryContext(t.Context(), `SELECT DISTINCT column_name FROM information_schema.columns WHERE table_schema = 'public'`)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = rows.Close() }()
	for rows.Next() {
		var name string
		if err := rows.Scan(&name); err != nil {
			t.Fatal(err)
		}
		out = append(out, name)
	}
	if err := rows.Err(); err != nil || len(out) < 150 {
		t.Fatalf("%d columns: %v", len(out), err)
	}
	return out
}

// last puts what ends a row behind what asks for it.
func last(r walkedRoute) int {
	n := 0
	if r.method == http.MethodPost {
		n = 1
	}
	for _, end := range []string{"/delete", "/remove", "/discard", "/withdraw", "/reject", "/refuse", "/end", "/leave", "/sign-out", "/refund"} {
		if n > 0 && strings.HasSuffix(r.pattern, end) {
			n = 2
		}
	}
	return n
}

// absent are requests whose row is not there, or not in the state that they are
// for, for the rows' own people either.
var absent = map[string]string{
	"GET /admin/look/:sheet":                     "a sheet is called by its hash",
	"POST /admin/redirects/:id/restore":          "nobody deleted it",
	"POST /admin/reports/:id/dismiss":            "it was upheld",
	"POST /admin/domains/:host/certificate":      "the host is not served yet",
	"POST /admin/domains/:host/primary":          "the host is not served yet",
	"GET /staff/plans/edit/:id":                  "plans are the platform's",
	"POST /staff/plans/edit/:id":                 "plans are the platform's",
	"POST /staff/plans/edit/:id/archive":         "plans are the platform's",
	"POST /staff/boards/:id/plan":                "plans are the platform's",
	"POST /staff/boards/:id/comp-end":            "the board has no plan",
	"POST /staff/boards/:id/trial":               "the board has no plan",
	"POST /staff/boards/:id/release-host":        "the host is not held",
	"POST /staff/boards/:id/act-as/:visit/enter": "the visit was not granted",
	"GET /staff/events/:id":                      "events are the platform's",
	"POST /staff/events/:id/apply":               "events are the platform's",
	"POST /staff/tasks/:board/:id/retry":         "the task has not failed",
	"POST /staff/tasks/:board/:id/discard":       "the task has not failed",
	"POST /staff/team/:id/role":                  "the board's owner is none of the staff",
	"POST /staff/team/:id/remove":                "the board's owner is none of the staff",
	"POST /staff/boards/:id/comp":                "the plan that the form names is none of the platform's",
}

// The walk's other half: whose rows they are gets them by the same requests, so
// that a refusal is one for who asked. No export of theirs runs as a formula, no
// page passes its secret on, and fields that no form has, named like every
// column there is, change nothing.
func TestWhatIsWalkedIsThere(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	v := newVictim(t, h)
	super := h.PG.Open(t, h.PG.Superuser, 1)
	platformEngine, boardEngine, err := web.Engines(h.parts)
	if err != nil {
		t.Fatal(err)
	}
	list := func(e *gin.Engine, prefixes ...string) (out []walkedRoute) {
		for _, r := range e.Routes() {
			if r.Method != http.MethodHead && r.Method != http.MethodOptions && slices.ContainsFunc(prefixes, func(p string) bool { return strings.HasPrefix(r.Path, p) }) {
				out = append(out, walkedRoute{method: r.Method, pattern: r.Path})
			}
		}
		slices.SortStableFunc(out, func(a, b walkedRoute) int { return last(a) - last(b) })
		return out
	}
	names, answered, guards, files := fields(t), 0, 0, 0
	var extra []string
	for _, c := range columns(t, super) {
		if !slices.Contains(names, c) {
			extra = append(extra, c)
		}
	}
	staffToken := h.signedIn(t, tenant.Nil, authz.Superadmin)
	for _, s := range []struct {
		somebodyElse
		routes []walkedRoute
	}{
		{somebodyElse{name: "anybody", host: v.board.PlatformHost}, list(boardEngine, "/jobs/", "/companies", "/categories", "/pages", "/files", "/x", "/api/v1", "/post", "/alerts", "/applications")},
		{somebodyElse{name: "the employer", host: v.board.PlatformHost, cookie: accounts.PersonCookie, token: v.hirer}, list(boardEngine, "/employers/")},
		{somebodyElse{name: "the owner", host: v.board.PlatformHost, cookie: accounts.OperatorCookie, token: v.token}, list(boardEngine, "/admin")},
		{somebodyElse{name: "the staff", host: platformHost, cookie: accounts.OperatorCookie, token: staffToken}, list(platformEngine, "/staff")},
	} {
		kept := h.decided(t, super, v)
		for _, r := range s.routes {
			if signsOut(r.pattern) {
				continue
			}
			path, _ := v.path(r.pattern)
			form := v.form(names, r.pattern, v.secrets[0])
			if r.method == http.MethodPost {
				for _, c := range extra {
					form.Set(c, poison)
				}
			}
			status, head, body := h.ask(t, s.host, r.method, path, s.cookie, s.token, form)
			what := r.method + " " + r.pattern
			if path != r.pattern { // it asks for a row
				switch found := status < 400 || status == http.StatusUnprocessableEntity || status == http.StatusConflict || status == http.StatusGone; {
				case found && status < 400:
					answered++
				case !found && (status != http.StatusNotFound || absent[what] == ""):
					t.Errorf("%s: %s answers %d to whose row it is: %.200s", s.name, what, status, body)
				}
			}
			if strings.Contains(body, v.secrets[0]) && r.method == http.MethodGet && !slices.Contains([]string{"no-referrer", "same-origin", "strict-origin", "strict-origin-when-cross-origin"}, head.Get("Referrer-Policy")) {
				t.Errorf("%s: %s passes its secret on: Referrer-Policy %q", s.name, what, head.Get("Referrer-Policy"))
			}
			if strings.HasPrefix(head.Get("Content-Type"), "text/csv") {
				files++
				lines, err := csv.NewReader(strings.NewReader(body)).ReadAll()
				if err != nil {
					t.Errorf("%s: %s: %v", s.name, what, err)
				}
				for _, cell := range slices.Concat(lines...) {
					if cell != "" && strings.ContainsRune("=+@\t\r", rune(cell[0])) {
						t.Errorf("%s: %s has a cell that runs: %.80q", s.name, what, cell)
					}
					if strings.HasPrefix(cell, "'=") {
						guards++
					}
				}
			}
		}
		if s.cookie != accounts.OperatorCookie && kept != h.decided(t, super, v) {
			t.Errorf("%s changed what is sold or decided by others:\n%s\n%s", s.name, kept, h.decided(t, super, v))
		}
	}
	if answered < 60 {
		t.Errorf("%d requests for rows were answered", answered)
	}
	if files < 10 || guards < 3 {
		t.Errorf("%d exports with %d guarded cells", files, guards)
	}
	for row := range rowsAbout(t, super, v) {
		if strings.Contains(row, poison) {
			t.Errorf("a field that no form has was written: %.400s", row)
		}
	}
}

// decided is what an employer or a visitor never decides: what a listing's days
// are, what its order cost, who the company's people are, the board's own terms.
func (h *house) decided(t *testing.T, super *sql.DB, v *victim) (out string) {
	t.Helper()
	err := super.QueryRowContext(t.Context(), `SELECT concat_ws(E'\n',
		(SELECT row(id, tenant_id, public_id, company_id, person_id, featured, published_at, ends_at, source, created_at)::text FROM listings WHERE id = $1),
		(SELECT string_agg(o::text, ';') FROM orders o WHERE id = $2), (SELECT string_agg(e::text, ';') FROM entitlements e WHERE tenant_id = $3),
		(SELECT string_agg(m::text, ';') FROM company_members m WHERE tenant_id = $3 AND company_id = $4), (SELECT row(b.state, b.fee_rule, b.settings, b.slug, b.name)::text FROM boards b WHERE id = $3),
		(SELECT string_agg(p::text, ';' ORDER BY id) FROM products p WHERE tenant_id = $3), (SELECT string_agg(c::text, ';' ORDER BY c::text) FROM casbin_rules c WHERE tenant_id = $3),
		(SELECT string_agg(l::text, ';' ORDER BY l::text) FROM ledger_entries l WHERE tenant_id = $3), (SELECT string_agg(p::text, ';') FROM people p WHERE id = $5))`,
		v.id["listing"], v.id["order"], v.id["board"], v.id["company"], v.id["hirer"]).Scan(&out)
	if err != nil || len(out) < 500 {
		t.Fatalf("%v: %s", err, out)
	}
	return out
}

// Whatever stands in a field that says where to go on, no answer leaves the
// installation by it.
func TestNoFieldLeadsElsewhere(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	v := newVictim(t, h)
	platformEngine, boardEngine, err := web.Engines(h.parts)
	if err != nil {
		t.Fatal(err)
	}
	names := fields(t)
	walker := h.signedIn(t, v.board.ID, authz.Owner)
	asked, led := 0, 0
	leading := map[string]bool{} // the routes whose answer led on
	for i, evil := range []string{"//evil.example/x", "https://evil.example/x", "/\\evil.example/x", "\\\\evil.example", "/\t/evil.example", "https:evil.example", "///evil.example", "javascript:alert('evil.example')", " //evil.example", "/%09/evil.example"} {
		for _, s := range []struct {
			host, cookie, token string
			engine              *gin.Engine
		}{
			{v.board.PlatformHost, "", "", boardEngine}, {v.board.PlatformHost, accounts.PersonCookie, v.hirer, boardEngine}, {v.board.PlatformHost, accounts.OperatorCookie, v.token, boardEngine},
			{platformHost, "", "", platformEngine}, {platformHost, accounts.OperatorCookie, walker, platformEngine},
		} {
			for _, r := range s.engine.Routes() {
				route := s.host + s.cookie + r.Method + r.Path
				if r.Method == http.MethodHead || signsOut(r.Path) || i > 0 && (r.Method == http.MethodPost || !leading[route]) {
					continue
				}
				path, _ := v.path(r.Path)
				form := v.form(names, r.Path, v.secrets[0])
				for _, n := range []string{"next", "back", "return", "return_to", "url", "redirect", "to", "undo", "from", "then"} {
					form.Set(n, evil)
				}
				_, head, body := h.ask(t, s.host, r.Method, path, s.cookie, s.token, form)
				asked++
				if to := head.Get("Location"); to != "" && r.Path != "/admin/payouts/dashboard" { // Stripe says where that is
					led++
					leading[route] = true
					u, err := url.Parse(to)
					if err != nil || u.Host != "" && !strings.HasSuffix(u.Hostname(), "localhost") || u.Scheme != "" && !strings.HasPrefix(u.Scheme, "http") || strings.HasPrefix(to, "//") || strings.ContainsAny(to, "\\\t\n") {
						t.Errorf("%s %s with %q leads to %q", r.Method, r.Path, evil, to)
					}
				}
				if m := leaves.FindString(body); m != "" {
					t.Errorf("%s %s with %q has a link that leaves: %s", r.Method, r.Path, evil, m)
				}
			}
		}
	}
	if led < 50 {
		t.Errorf("%d of %d answers led anywhere", led, asked)
	}
	// A path that begins like another host stays on this one.
	for _, path := range []string{"//evil.example/", "//evil.example/%2e%2e", "/\\evil.example/", "/%5cevil.example", "//evil.example/admin", "/admin//evil.example"} {
		for _, host := range []string{v.board.PlatformHost, platformHost} {
			rec := h.get(t, host, "http://"+host+path)
			if u, err := url.Parse(rec.Header().Get("Location")); err != nil || u.Host != "" && !strings.HasSuffix(u.Hostname(), "localhost") {
				t.Errorf("%s%s leads to %q", host, path, rec.Header().Get("Location"))
			}
		}
	}
}

var leaves = regexp.MustCompile(`(?:href|action|src|content)="?(?:0;\s*url=)?(?:https?:)?[/\\]{2,}evil\.example[^>]{0,40}|(?:href|action)="?\s*javascript:[^>]{0,40}`)
