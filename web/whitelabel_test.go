package web_test

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

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
	}
	nameless(t, "a host without a board", h.get(t, "nobody.localhost", "/"))
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
