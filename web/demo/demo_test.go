package demo

import (
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"shingle/internal/links"
)

func newDemo(t *testing.T, now time.Time) *Demo {
	t.Helper()
	ln, err := links.New("https://demo.example", "demo.example", "boards.example")
	if err != nil {
		t.Fatal(err)
	}
	d := &Demo{Links: ln, Next: NextReset(now, 3), Mail: "https://mail.boards.example/mail", Stripe: "https://stripe.boards.example/", Targets: "https://*.boards.example", Now: func() time.Time { return now }}
	if err := d.Load(); err != nil {
		t.Fatal(err)
	}
	return d
}

func TestEveryWordInBothLanguages(t *testing.T) {
	t.Parallel()
	words, _, _, err := load()
	if err != nil {
		t.Fatal(err)
	}
	if m := words.Missing(); len(m) > 0 {
		t.Errorf("missing: %v", m)
	}
	for _, p := range Parts {
		for _, end := range []string{"", "_text", "_go"} {
			if !words.Has("en", "demo."+p+end) {
				t.Errorf("no words for demo.%s%s", p, end)
			}
		}
	}
}

func TestNextReset(t *testing.T) {
	t.Parallel()
	for now, want := range map[string]string{
		"2026-11-30T02:59:59Z":      "2026-11-30T03:00:00Z",
		"2026-11-30T03:00:00Z":      "2026-12-01T03:00:00Z",
		"2026-12-31T23:00:00Z":      "2027-01-01T03:00:00Z",
		"2026-11-30T03:30:00+01:00": "2026-11-30T03:00:00Z",
	} {
		at, err := time.Parse(time.RFC3339, now)
		if err != nil {
			t.Fatal(err)
		}
		if got := NextReset(at, 3).Format(time.RFC3339); got != want {
			t.Errorf("after %s: %s, want %s", now, got, want)
		}
	}
}

// The banner is on each page, whoever made it, and on nothing else.
func TestBanner(t *testing.T) {
	t.Parallel()
	d := newDemo(t, time.Date(2026, 11, 30, 20, 30, 0, 0, time.UTC))
	const page = `<!doctype html><html lang="de-DE" class="x"><head></head><body class="y"><a class="skip-link" href="#c">Zum Inhalt</a><p>Hallo</p></body></html>`
	h := d.Handler(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Accept-Encoding") != "" || r.Header.Get("If-None-Match") != "" {
			t.Error("the product is asked for a compressed or a kept page")
		}
		w.Header().Set("Content-Security-Policy", "default-src 'none'; style-src 'nonce-1'")
		switch r.URL.Path {
		case "/page", "/lost":
			w.Header().Set("Content-Type", "text/html; charset=utf-8")
			w.Header().Set("ETag", `"1"`)
			w.Header().Set("Content-Length", "9")
			if r.URL.Path == "/lost" {
				w.WriteHeader(http.StatusNotFound)
			}
			_, _ = io.WriteString(w, page[:20])
			w.(http.Flusher).Flush()
			_, _ = io.WriteString(w, page[20:])
		case "/part":
			w.Header().Set("Content-Type", "text/html")
			_, _ = io.WriteString(w, "<li>a piece</li>")
		case "/file":
			w.Header().Set("Content-Type", "text/html")
			w.Header().Set("Content-Disposition", "attachment; filename=x.html")
			_, _ = io.WriteString(w, page)
		case "/data":
			w.Header().Set("Content-Type", "application/json")
			_, _ = io.WriteString(w, `{"html": "<body>"}`)
		case "/away":
			http.Redirect(w, r, "/page", http.StatusSeeOther)
		}
	}))
	get := func(path, dest string) *httptest.ResponseRecorder {
		r := httptest.NewRequest(http.MethodGet, "https://orbit.boards.example"+path, http.NoBody)
		r.Header.Set("Accept", "text/html")
		r.Header.Set("Accept-Encoding", "br")
		r.Header.Set("If-None-Match", `"1"`)
		r.Header.Set("Sec-Fetch-Dest", dest)
		w := httptest.NewRecorder()
		if dest == "iframe" {
			r.Header.Del("Accept-Encoding")
			r.Header.Del("If-None-Match")
		}
		h.ServeHTTP(w, r)
		if w.Header().Get("X-Robots-Tag") != "noindex, nofollow" {
			t.Errorf("%s may be indexed", path)
		}
		return w
	}
	for path, status := range map[string]int{"/page": 200, "/lost": 404} {
		w := get(path, "document")
		body := w.Body.String()
		if w.Code != status || !strings.Contains(body, `<body class="y"><a class="skip-link" href="#c">Zum Inhalt</a><link rel="stylesheet" href="/.demo/demo.css"><aside class="shingle-demo"`) || !strings.HasSuffix(body, "<p>Hallo</p></body></html>") {
			t.Errorf("%s: %d %s", path, w.Code, body)
		}
		if !strings.Contains(body, "um 03:00 UTC neu, in 6 Stunden") || !strings.Contains(body, `href="https://demo.example/demo"`) {
			t.Errorf("%s says %s", path, body)
		}
		if w.Header().Get("ETag") != "" || w.Header().Get("Cache-Control") != "no-store" || !strings.Contains(w.Header().Get("Content-Security-Policy"), "style-src 'self' 'nonce-1'") {
			t.Errorf("%s: headers %v", path, w.Header())
		}
	}
	for path, dest := range map[string]string{"/part": "empty", "/file": "document", "/data": "empty", "/away": "document", "/page": "iframe"} {
		if w := get(path, dest); strings.Contains(w.Body.String(), "shingle-demo") {
			t.Errorf("%s as %s has the banner: %s", path, dest, w.Body)
		}
	}
	if w := get("/robots.txt", "document"); !strings.Contains(w.Body.String(), "Disallow: /\n") {
		t.Errorf("robots.txt says %s", w.Body)
	}
}

func TestPartsAreForTheDemosOwnPageAlone(t *testing.T) {
	t.Parallel()
	d := newDemo(t, time.Now())
	passed := 0
	h := d.Handler(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { passed++ }))
	do := func(method, target, site string) *httptest.ResponseRecorder {
		r := httptest.NewRequest(method, target, http.NoBody)
		r.Header.Set("Sec-Fetch-Site", site)
		r.Header.Set("Accept-Language", "de")
		w := httptest.NewRecorder()
		h.ServeHTTP(w, r)
		return w
	}
	if w := do(http.MethodGet, "https://demo.example/demo", "none"); w.Code != http.StatusOK || strings.Count(w.Body.String(), "<form ") != len(Parts) || !strings.Contains(w.Body.String(), "Als Inhaberin eintreten") {
		t.Errorf("%d %s", w.Code, w.Body)
	}
	if w := do(http.MethodPost, "https://demo.example/demo/as/owner", "cross-site"); w.Code != http.StatusForbidden {
		t.Errorf("from another site: %d", w.Code)
	}
	if w := do(http.MethodPost, "https://demo.example/demo/as/god", "same-origin"); w.Code != http.StatusNotFound {
		t.Errorf("an unknown part: %d", w.Code)
	}
	// On a board's host, and by GET, they are the product's to answer.
	do(http.MethodPost, "https://orbit.boards.example/demo/as/owner", "same-origin")
	do(http.MethodGet, "https://demo.example/demo/as/owner", "none")
	if passed != 2 {
		t.Errorf("%d requests went through, want 2", passed)
	}
}

func TestPause(t *testing.T) {
	t.Parallel()
	h, err := Pause()
	if err != nil {
		t.Fatal(err)
	}
	r := httptest.NewRequest(http.MethodGet, "https://demo.example/", http.NoBody)
	r.Header.Set("Accept-Language", "de-AT,de;q=0.9")
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	if w.Code != http.StatusServiceUnavailable || w.Header().Get("Retry-After") == "" || !strings.Contains(w.Body.String(), "Die Demo wird neu angelegt") {
		t.Errorf("%d %v %s", w.Code, w.Header(), w.Body)
	}
}
