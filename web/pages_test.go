package web_test

import (
	"context"
	"fmt"
	"net/http"
	"regexp"
	"strings"
	"testing"

	"github.com/uptrace/bun"

	"shingle/listings"
	"shingle/tenant"
)

// pageBudget is the most that a public page may weigh, in bytes before
// compression: the document, its stylesheets and its scripts. Pictures and
// fonts come on top, and so does the editor, which a reader fetches only by
// beginning to fill in the posting form.
const pageBudget = 60_000

// weight is what a page's parts come to.
type weight struct{ html, css, js int }

func (w weight) total() int { return w.html + w.css + w.js }

var (
	sheetLink  = regexp.MustCompile(`<link[^>]+rel="?stylesheet"?[^>]*>`)
	hrefOf     = regexp.MustCompile(`href="?([^"\s>]+)`)
	scriptTag  = regexp.MustCompile(`(?is)<script\b([^>]*)>`)
	srcOf      = regexp.MustCompile(`\bsrc="?([^"\s>]+)`)
	inlineCode = regexp.MustCompile(`(?i)<[a-z][^>]*\s(?:style|on[a-z]+)\s*=[^>]*>|<style\b|href="?javascript:`)
)

func TestEveryPublicPage(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	h.caching(t, 16<<20)
	for _, from := range demoBoards(t) {
		board := h.BoardOf(t, tenant.NewBoard{Slug: from.Slug, Name: from.Name, Locale: from.Locale, Currency: from.Currency, TimeZone: from.TimeZone, ContactEmail: from.ContactEmail})
		st := h.fill(t, board, &from, 60)
		paths := append([]string{"/jobs?page=2", "/jobs?q=engineer", "/jobs?q=nothing-has-this-word", "/employers", "/post", "/sign-in",
			listings.Path(st.listings[0].Slug, st.listings[0].PublicID) + "/apply", listings.Path(st.listings[0].Slug, st.listings[0].PublicID) + "/report"}, st.paths...)
		table := fmt.Sprintf("%s (%s), bytes before compression:\n%8s %7s %7s %7s  %s\n", from.Slug, from.Pack, "total", "html", "css", "js", "page")
		for _, path := range append(paths, "/no/such/page", "/jobs/no-such-listing-x") {
			rec := h.get(t, board.PlatformHost, path)
			want := http.StatusOK
			if strings.Contains(path, "no-such-listing") || strings.Contains(path, "/no/such") {
				want = http.StatusNotFound
			}
			if rec.Code != want {
				t.Errorf("%s%s: %d, want %d: %.200s", from.Slug, path, rec.Code, want, rec.Body)
				continue
			}
			h.checkHeaders(t, from.Slug+path, rec.Header())
			w := h.checkPage(t, board.PlatformHost, path, rec.Body.String())
			table += fmt.Sprintf("%8d %7d %7d %7d  %s\n", w.total(), w.html, w.css, w.js, path)
			if w.total() > pageBudget {
				t.Errorf("%s%s weighs %d bytes, want at most %d", from.Slug, path, w.total(), pageBudget)
			}
			if w.css == 0 || w.js == 0 {
				t.Errorf("%s%s: found %d bytes of styles and %d of scripts, want some of each", from.Slug, path, w.css, w.js)
			}
		}
		t.Log(table)
	}
}

func (h *house) checkHeaders(t *testing.T, what string, head http.Header) {
	t.Helper()
	csp := head.Get("Content-Security-Policy")
	for _, part := range []string{"default-src 'none'", "script-src 'self'", "style-src 'self'", "base-uri 'none'", "frame-ancestors 'none'"} {
		if !strings.Contains(csp, part) {
			t.Errorf("%s: the policy %q lacks %s", what, csp, part)
		}
	}
	if strings.Contains(csp, "unsafe") || strings.Contains(csp, "nonce") {
		t.Errorf("%s: the policy %q lets inline code in", what, csp)
	}
	for _, name := range []string{"X-Content-Type-Options", "Referrer-Policy", "Cross-Origin-Opener-Policy", "Permissions-Policy"} {
		if head.Get(name) == "" {
			t.Errorf("%s: no %s", what, name)
		}
	}
	if c := head.Values("Set-Cookie"); len(c) > 0 {
		t.Errorf("%s sets a cookie", what)
	}
}

// checkPage looks for inline code and returns the page's weight.
func (h *house) checkPage(t *testing.T, host, path, html string) weight {
	t.Helper()
	for _, bad := range inlineCode.FindAllString(html, 3) {
		t.Errorf("%s%s has inline code: %.120s", host, path, bad)
	}
	w := weight{html: len(html)}
	part := func(url string) int {
		if !strings.HasPrefix(url, "/") || strings.HasPrefix(url, "//") {
			t.Errorf("%s%s loads %s from elsewhere", host, path, url)
			return 0
		}
		rec := h.get(t, host, url)
		if rec.Code != http.StatusOK {
			t.Errorf("%s%s: its part %s answers %d", host, path, url, rec.Code)
		}
		if len(rec.Header().Values("Set-Cookie")) > 0 {
			t.Errorf("%s sets a cookie", url)
		}
		return rec.Body.Len()
	}
	for _, link := range sheetLink.FindAllString(html, -1) {
		w.css += part(hrefOf.FindStringSubmatch(link)[1])
	}
	for _, m := range scriptTag.FindAllStringSubmatch(html, -1) {
		switch src := srcOf.FindStringSubmatch(m[1]); {
		case src != nil:
			w.js += part(src[1])
		case !strings.Contains(m[1], "application/ld+json"):
			t.Errorf("%s%s has an inline script: <script%s>", host, path, m[1])
		}
	}
	return w
}

func TestHosts(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	h.caching(t, 1<<20)
	board := h.Board(t, "orbit")
	for _, c := range []struct {
		name, host string
		want       int
	}{
		{"plain", "orbit.localhost", http.StatusOK},
		{"with a port", "orbit.localhost:8080", http.StatusOK},
		{"in capitals", "ORBIT.LocalHost", http.StatusOK},
		{"with the root's dot", "orbit.localhost.", http.StatusOK},
		{"all of it", "Orbit.LOCALHOST.:8080", http.StatusOK},
		{"unknown", "nobody.localhost", http.StatusNotFound},
		{"a board's name elsewhere", "orbit.example", http.StatusNotFound},
		{"an address", "127.0.0.9:8080", http.StatusNotFound},
		{"with a blank", "or bit.localhost", http.StatusBadRequest},
		{"with a slash", "orbit.localhost/x", http.StatusBadRequest},
		{"with a bad port", "orbit.localhost:http", http.StatusBadRequest},
		{"with an empty label", "orbit..localhost", http.StatusBadRequest},
		{"too long", strings.Repeat("a.", 200) + "localhost", http.StatusBadRequest},
		{"with a user", "x@orbit.localhost", http.StatusBadRequest},
		{"with markup", "<b>.localhost", http.StatusBadRequest},
		{"none", "", http.StatusBadRequest},
	} {
		rec := h.get(t, c.host, "/")
		if rec.Code != c.want {
			t.Errorf("%s (%q): %d, want %d", c.name, c.host, rec.Code, c.want)
		}
		if body := rec.Body.String(); c.want != http.StatusOK {
			if strings.Contains(strings.ToLower(body), "orbit") || strings.Contains(strings.ToLower(body), "shingle") || strings.Contains(body, "<b>.") {
				t.Errorf("%s: the page names somebody: %.300s", c.name, body)
			}
			if rec.Header().Get("Cache-Control") != "no-store" || rec.Header().Get("Content-Security-Policy") == "" {
				t.Errorf("%s: headers %v", c.name, rec.Header())
			}
		}
	}

	err := h.Platform.Write(t.Context(), func(ctx context.Context, tx bun.IDB) error {
		return tenant.SetState(ctx, tx, board.ID, tenant.Suspended, "the fee was not paid")
	})
	if err != nil {
		t.Fatal(err)
	}
	h.Notifier.HostChanged(board.PlatformHost)
	for _, path := range []string{"/", "/jobs", "/post", "/feed.rss", "/api/v1/jobs", "/no-such-page"} {
		rec := h.get(t, board.PlatformHost, path)
		if rec.Code != http.StatusServiceUnavailable || rec.Header().Get("Retry-After") == "" {
			t.Errorf("suspended, %s: %d, Retry-After %q", path, rec.Code, rec.Header().Get("Retry-After"))
		}
		if strings.Contains(rec.Body.String(), "fee") {
			t.Errorf("suspended, %s: the reason shows", path)
		}
	}
	rec := h.get(t, board.PlatformHost, "/admin")
	if rec.Code != http.StatusSeeOther || !strings.HasPrefix(rec.Header().Get("Location"), h.links.Platform("/go?")) {
		t.Errorf("suspended, /admin: %d to %q, want the way to sign in", rec.Code, rec.Header().Get("Location"))
	}
}

// TestAChangeShowsAtOnce: pages come from memory, and yet no request after a
// commit sees what was before it.
func TestAChangeShowsAtOnce(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	h.caching(t, 4<<20)
	board, from := h.Board(t, "orbit"), demoBoards(t)[0]
	st := h.fill(t, board, &from, 5)
	l := st.listings[0]
	path := listings.Path(l.Slug, l.PublicID)
	etag := h.get(t, board.PlatformHost, path).Header().Get("Etag")
	if again := h.get(t, board.PlatformHost, path).Header().Get("Etag"); etag == "" || again != etag {
		t.Fatalf("the page is not kept: %q, then %q", etag, again)
	}
	for n, title := range []string{"Keeper of the <Old> Light", "Keeper of the New Light"} {
		h.get(t, board.PlatformHost, "/")
		ctx := tenant.WithActor(h.Ctx(t, board), tenant.Actor{Kind: tenant.Operator, ID: tenant.NewRowID()})
		err := h.DB.Write(ctx, func(ctx context.Context, tx bun.IDB) error {
			full, err := h.parts.Site.Listings.Full(ctx, tx, l.ID)
			if err != nil {
				return err
			}
			c := listings.ContentOf(full)
			c.Title = title
			_, err = h.parts.Site.Listings.Edit(ctx, tx, l.ID, c)
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
		word := []string{"Keeper of the &lt;Old&gt; Light", "Keeper of the New Light"}[n]
		for _, p := range []string{"/", path} {
			rec := h.get(t, board.PlatformHost, p)
			if rec.Code == http.StatusPermanentRedirect { // the title is in the address
				path = rec.Header().Get("Location")
				path = path[strings.Index(path, "/jobs/"):]
				rec = h.get(t, board.PlatformHost, path)
			}
			if !strings.Contains(rec.Body.String(), word) {
				t.Errorf("change %d does not show at %s (%d)", n+1, p, rec.Code)
			}
		}
	}
}

// TestBoardsKeepTheirPagesApart: the same paths, asked in turns and at once.
func TestBoardsKeepTheirPagesApart(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	h.caching(t, 16<<20)
	demos := demoBoards(t)
	boards := []*tenant.Tenant{h.Board(t, "north"), h.Board(t, "south"), h.Board(t, "east")}
	for i, b := range boards {
		h.fill(t, b, &demos[i%2*2], 10)
	}
	done := make(chan bool)
	for _, b := range boards {
		go func() {
			defer func() { done <- true }()
			for range 3 {
				for _, path := range []string{"/", "/jobs", "/companies", "/pages/privacy", "/employers", "/feed.rss", "/sitemap.xml", "/robots.txt"} {
					rec := h.get(t, b.PlatformHost, path)
					body := rec.Body.String()
					if rec.Code != http.StatusOK {
						t.Errorf("%s%s: %d", b.Slug, path, rec.Code)
					}
					for _, other := range boards {
						if names := strings.Contains(body, other.PlatformHost) || strings.Contains(body, other.Name); names && other != b {
							t.Errorf("%s%s names %s", b.Slug, path, other.Slug)
						}
					}
				}
			}
		}()
	}
	for range boards {
		<-done
	}
}
