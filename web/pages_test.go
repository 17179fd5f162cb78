package web_test

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/uptrace/bun"

	"shingle/internal/pg"
	"shingle/listings"
	"shingle/tenant"
	"shingle/themes"
	"shingle/web"
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

// The redirect leads to the configured scheme, host and port, whatever a visitor
// or a proxy says of the way here.
func TestTheRedirectBelievesTheSettingsAlone(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	board := h.Board(t, "orbit")
	err := h.Platform.Write(t.Context(), func(ctx context.Context, tx bun.IDB) error {
		_, err := tx.NewRaw(`UPDATE hosts SET canonical = false WHERE board_id = ?`, board.ID).Exec(ctx)
		if err == nil {
			_, err = tx.NewRaw(`INSERT INTO hosts (host, board_id, kind, canonical, verified_at) VALUES ('jobs.orbit.example', ?, 'custom', true, now())`, board.ID).Exec(ctx)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	h.parts.TrustedProxies, h.parts.Registry = []string{"10.0.0.0/8"}, prometheus.NewRegistry()
	handler, err := web.New(h.parts)
	if err != nil {
		t.Fatal(err)
	}
	for peer, want := range map[string]string{"203.0.113.5:999": "http://jobs.orbit.example:8080/jobs", "10.9.9.9:999": "http://jobs.orbit.example:8080/jobs"} {
		r := httptest.NewRequestWithContext(t.Context(), http.MethodGet, "http://"+board.PlatformHost+"/jobs", http.NoBody)
		r.RemoteAddr = peer
		r.Header.Set("X-Forwarded-Proto", "https")
		rec := httptest.NewRecorder()
		handler.ServeHTTP(rec, r)
		if rec.Code != http.StatusMovedPermanently || rec.Header().Get("Location") != want {
			t.Errorf("from %s: %d to %q, want %q", peer, rec.Code, rec.Header().Get("Location"), want)
		}
	}
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

// The board has just changed and Postgres takes questions without answering
// them: visitors get the last page known, a suspended board stays closed.
func TestTheLastPageServesWhilePostgresIsAway(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	h.caching(t, 1<<20)
	open, shut := h.Board(t, "orbit"), h.Board(t, "shut")
	if err := h.Platform.Write(t.Context(), func(ctx context.Context, tx bun.IDB) error {
		return tenant.SetState(ctx, tx, shut.ID, tenant.Suspended, "unpaid")
	}); err != nil {
		t.Fatal(err)
	}
	for host, want := range map[string]int{open.PlatformHost: http.StatusOK, shut.PlatformHost: http.StatusServiceUnavailable} {
		if rec := h.get(t, host, "/"); rec.Code != want {
			t.Fatalf("%s: %d, want %d", host, rec.Code, want)
		}
	}
	owner, err := pg.Connect(t.Context(), h.PG.Owner)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = owner.Close(context.WithoutCancel(t.Context())) }()
	if _, err := owner.Exec(t.Context(), `BEGIN; LOCK TABLE hosts, boards, generations, listings, looks IN ACCESS EXCLUSIVE MODE`); err != nil {
		t.Fatal(err)
	}
	begun := time.Now()
	for _, b := range []*tenant.Tenant{open, shut} {
		h.Boards.Moved(b.ID, b.Generation+5)
		h.Boards.Forget(b.PlatformHost)
	}
	for range 20 {
		if rec := h.get(t, open.PlatformHost, "/"); rec.Code != http.StatusOK || !strings.Contains(rec.Body.String(), open.Name) {
			t.Fatalf("open: %d", rec.Code)
		}
		if rec := h.get(t, shut.PlatformHost, "/"); rec.Code != http.StatusServiceUnavailable || !strings.Contains(rec.Body.String(), "taking a break") {
			t.Fatalf("suspended: %d %.200s", rec.Code, rec.Body)
		}
		if took := time.Since(begun); took > 4*time.Second {
			t.Fatalf("visitors have waited %s", took)
		}
	}
}

// What an owner writes into the look is what visitors read.
func TestTheOwnersWordsShow(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	for _, pack := range []string{"harbor", "gazette"} {
		board := h.Board(t, "words-"+pack)
		err := h.DB.Write(h.Ctx(t, board), func(ctx context.Context, tx bun.IDB) error {
			err := h.parts.Admin.Looks.SaveDraft(ctx, tx, themes.Look{Pack: pack, Words: themes.LookWords{Tagline: "Jobs by the sea", HeroTitle: "Find your berth", Footer: "Made on the quay",
				About: "First <b>part</b>.\r\n\r\nSecond part.", EmployersTitle: "Hire sailors", EmployersText: "They read us daily."}})
			if err != nil {
				return err
			}
			return h.parts.Admin.Looks.Publish(ctx, tx)
		})
		if err != nil {
			t.Fatal(err)
		}
		home := h.get(t, board.PlatformHost, "/").Body.String()
		lacks(t, pack+" home", home, "Jobs by the sea</p>", "<h1>Find your berth</h1>", "Made on the quay", "<p>First &lt;b&gt;part&lt;/b&gt;.</p><p>Second part.</p>", `content="Jobs by the sea"`)
		if n := strings.Count(home, "Jobs by the sea</p>"); n != 1 {
			t.Errorf("%s says the tagline %d times", pack, n)
		}
		lacks(t, pack+" employers", h.get(t, board.PlatformHost, "/employers").Body.String(), "Hire sailors", "They read us daily.")
	}
}
