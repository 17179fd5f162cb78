package web_test

import (
	"context"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/uptrace/bun"

	"shingle/accounts"
	"shingle/candidates"
	"shingle/listings"
	"shingle/tenant"
)

// TestABoardNamesNobodyElse: what visitors and search engines get from a board,
// pages, parts, errors, feeds and headers, never holds the platform's name or
// its host.
func TestABoardNamesNobodyElse(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	for _, from := range demoBoards(t) {
		board := h.BoardOf(t, tenant.NewBoard{Slug: from.Slug, Name: from.Name, Locale: from.Locale, Currency: from.Currency, TimeZone: from.TimeZone, ContactEmail: from.ContactEmail})
		st := h.fill(t, board, &from, 10)
		l := listings.Path(st.listings[0].Slug, st.listings[0].PublicID)
		for _, path := range append([]string{"/post", "/employers", "/sign-in", l + "/apply", l + "/report", "/robots.txt", "/sitemap.xml", "/sitemaps/pages.xml", "/sitemaps/jobs-1.xml",
			"/feed.rss", "/feed.json", "/no/such/page", "/jobs/no-such-x", "/api/v1/jobs", "/api/v1/nothing", "/files/x/nothing"}, st.paths...) {
			rec := h.get(t, board.PlatformHost, path)
			nameless(t, from.Slug+path, rec)
			for _, link := range sheetLink.FindAllString(rec.Body.String(), -1) {
				url := hrefOf.FindStringSubmatch(link)[1]
				nameless(t, from.Slug+url, h.get(t, board.PlatformHost, url))
			}
			for _, m := range scriptTag.FindAllStringSubmatch(rec.Body.String(), -1) {
				if src := srcOf.FindStringSubmatch(m[1]); src != nil {
					nameless(t, from.Slug+src[1], h.get(t, board.PlatformHost, src[1]))
				}
			}
		}
		req := httptest.NewRequest(http.MethodPost, l+"/apply", strings.NewReader("name=x"))
		req.Host = board.PlatformHost
		req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		rec := httptest.NewRecorder()
		h.handler.ServeHTTP(rec, req)
		nameless(t, from.Slug+" a refused form", rec)
		if from.Slug == demoBoards(t)[0].Slug {
			h.namelessDesk(t, board, st.listings[0].ID)
		}

		// Suspended, the board closes without a word about who closed it.
		err := h.Platform.Write(t.Context(), func(ctx context.Context, tx bun.IDB) error {
			return tenant.SetState(ctx, tx, board.ID, tenant.Suspended, "Shingle was not paid")
		})
		if err != nil {
			t.Fatal(err)
		}
		h.Notifier.HostChanged(board.PlatformHost)
		for _, path := range []string{"/", "/jobs", l, "/post", "/sign-in", "/feed.rss", "/api/v1/jobs", "/robots.txt", "/nothing"} {
			rec := h.get(t, board.PlatformHost, path)
			if rec.Code != http.StatusServiceUnavailable {
				t.Errorf("%s suspended, %s: %d", from.Slug, path, rec.Code)
			}
			nameless(t, from.Slug+" suspended, "+path, rec)
		}
	}
	nameless(t, "a host without a board", h.get(t, "nobody.localhost", "/"))
}

// namelessDesk looks at what an employer sees, down to the CV behind a mailed
// link: signed out, with a link that is broken, too old or another's, and opened.
func (h *house) namelessDesk(t *testing.T, board *tenant.Tenant, listing uuid.UUID) {
	t.Helper()
	ctx := h.Ctx(t, board)
	var in *accounts.PersonSignedIn
	var person uuid.UUID
	err := h.DB.Write(ctx, func(ctx context.Context, tx bun.IDB) error {
		p, err := h.parts.Employer.People.FindOrCreate(ctx, tx, "boss@hirer.example", "Boss")
		if err != nil {
			return err
		}
		person = p.ID
		if in, err = h.parts.Employer.People.StartSession(ctx, tx, p, accounts.Client{}); err != nil {
			return err
		}
		_, err = tx.NewRaw(`UPDATE listings SET person_id = ? WHERE tenant_id = ? AND id = ?`, person, board.ID, listing).Exec(ctx)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	applied := h.parts.Employer.Candidates
	a, err := applied.Apply(ctx, listing, candidates.Form{Name: "Ada", Email: "ada@seeker.example", Note: "Hello", CVName: "ada.pdf", CV: []byte("%PDF-1.4\n1 0 obj<</Type/Catalog>>endobj\ntrailer<</Root 1 0 R>>\n%%EOF\n"), Consent: true, ConsentText: "yes"})
	if err != nil {
		t.Fatal(err)
	}
	cv := "/employers/applications/" + a.ID.String() + "/cv?token="
	good := applied.CVToken(board.ID, listing, a.ID, time.Now().Add(time.Hour))
	old := applied.CVToken(board.ID, listing, a.ID, time.Now().Add(-time.Hour))
	opened := false
	for _, path := range []string{cv + good, cv + old, cv + "x", cv + strings.Repeat("A", 40), "/employers/desk", "/employers/listings/" + listing.String(), "/employers/listings/" + listing.String() + "/applicants",
		"/employers/applications/" + uuid.NewString() + "/cv?token=" + good, "/employers/nothing"} {
		for _, token := range []string{"", in.Token} {
			r := httptest.NewRequestWithContext(t.Context(), http.MethodGet, "http://"+board.PlatformHost+":8080"+path, http.NoBody)
			if token != "" {
				r.AddCookie(&http.Cookie{Name: accounts.CookieName(accounts.PersonCookie, accounts.Secured("http", board.PlatformHost)), Value: token})
			}
			rec := httptest.NewRecorder()
			h.handler.ServeHTTP(rec, r)
			if strings.HasPrefix(rec.Body.String(), "%PDF") {
				opened = true
			}
			nameless(t, path, rec)
		}
	}
	if !opened {
		t.Error("no link opened the CV")
	}
}

func nameless(t *testing.T, what string, rec *httptest.ResponseRecorder) {
	t.Helper()
	for _, name := range []string{"shingle", platformHost} {
		if i := strings.Index(strings.ToLower(rec.Body.String()), name); i >= 0 {
			t.Errorf("%s holds %q: …%.120s…", what, name, rec.Body.String()[max(0, i-60):])
		}
		for k, vs := range rec.Header() {
			if all := strings.ToLower(k + ": " + strings.Join(vs, ", ")); strings.Contains(all, name) {
				t.Errorf("%s: a header holds %q: %s", what, name, all)
			}
		}
	}
}
