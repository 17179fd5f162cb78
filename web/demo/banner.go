package demo

import (
	"bytes"
	"html/template"
	"mime"
	"net/http"
	"regexp"
	"strconv"
	"strings"
	"time"

	"shingle/web/route"
)

var (
	// body is where a page begins; a link that skips to the content stays its first.
	body = regexp.MustCompile(`(?i)<body[^>]*>(\s*<a [^>]*skip[^>]*>[^<]*</a>)?`)
	lang = regexp.MustCompile(`(?i)<html[^>]*\slang="?([a-z]{2})`)
)

// banner puts the banner at the top of every page that the product answers with,
// whichever part made it. It asks for pages as they are, neither compressed nor
// kept: the banner says a time.
func (d *Demo) banner(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		// What stands within a page (previews, mails) has the page's own banner.
		switch r.Header.Get("Sec-Fetch-Dest") {
		case "iframe", "frame", "embed", "object":
			next.ServeHTTP(w, r)
			return
		}
		r = r.Clone(r.Context())
		r.Header.Del("Accept-Encoding")
		if strings.Contains(r.Header.Get("Accept"), "text/html") {
			r.Header.Del("If-None-Match")
			r.Header.Del("If-Modified-Since")
		}
		b := &bannered{ResponseWriter: w}
		next.ServeHTTP(b, r)
		b.finish(d)
	})
}

// bannered holds a page back until it is whole; all else goes through.
type bannered struct {
	http.ResponseWriter
	decided, page bool
	status        int
	held          bytes.Buffer
}

func (b *bannered) WriteHeader(status int) {
	if b.decided {
		return
	}
	if status >= 100 && status < 200 {
		b.ResponseWriter.WriteHeader(status)
		return
	}
	b.decided, b.status = true, status
	h := b.Header()
	kind, _, _ := mime.ParseMediaType(h.Get("Content-Type"))
	b.page = kind == "text/html" && h.Get("Content-Encoding") == "" && !strings.HasPrefix(h.Get("Content-Disposition"), "attachment")
	if !b.page {
		b.ResponseWriter.WriteHeader(status)
	}
}

func (b *bannered) Write(p []byte) (int, error) {
	if !b.decided {
		if b.Header().Get("Content-Type") == "" {
			b.Header().Set("Content-Type", http.DetectContentType(p))
		}
		b.WriteHeader(http.StatusOK)
	}
	if b.page {
		return b.held.Write(p)
	}
	return b.ResponseWriter.Write(p)
}

// Flush has nothing to do for a page that is held back.
func (b *bannered) Flush() {
	if b.decided && b.page {
		return
	}
	if f, ok := b.ResponseWriter.(http.Flusher); ok {
		b.decided = true
		f.Flush()
	}
}

// Unwrap lets deadlines and hijacking through.
func (b *bannered) Unwrap() http.ResponseWriter { return b.ResponseWriter }

func (b *bannered) finish(d *Demo) {
	if !b.page {
		return
	}
	out := b.held.Bytes()
	h := b.Header()
	if at := body.FindIndex(out); at != nil {
		locale := "en"
		if m := lang.FindSubmatch(out); m != nil && string(bytes.ToLower(m[1])) == "de" {
			locale = "de"
		}
		var with bytes.Buffer
		with.Write(out[:at[1]])
		with.WriteString(string(d.bannerHTML(locale)))
		with.Write(out[at[1]:])
		out = with.Bytes()
		h.Del("ETag")
		h.Set("Cache-Control", "no-store")
		if csp := h.Get("Content-Security-Policy"); strings.Contains(csp, "style-src ") && !strings.Contains(csp, "style-src 'self'") {
			h.Set("Content-Security-Policy", strings.Replace(csp, "style-src ", "style-src 'self' ", 1))
		}
	}
	if b.held.Len() > 0 {
		h.Set("Content-Length", strconv.Itoa(len(out)))
	}
	b.ResponseWriter.WriteHeader(b.status)
	_, _ = b.ResponseWriter.Write(out)
}

func (d *Demo) bannerHTML(locale string) template.HTML {
	var b bytes.Buffer
	left := d.Next.Sub(d.Now())
	in := d.words.T(locale, "demo.minutes", int(max(left, time.Minute).Minutes()))
	if left >= 2*time.Hour {
		in = d.words.T(locale, "demo.hours", int(left.Hours()))
	}
	err := d.pages.ExecuteTemplate(&b, "banner", map[string]any{"Locale": locale, "At": d.Next.UTC().Format("15:04"), "In": in, "Home": d.Links.Platform(Path), "Mail": d.Mail, "CSS": cssPath})
	if err != nil {
		return ""
	}
	return template.HTML(b.String()) // #nosec G203 -- our own template, escaped by it
}

// Pause answers everything while the demo is made anew.
func Pause() (http.Handler, error) {
	words, pages, css, err := load()
	if err != nil {
		return nil, err
	}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		route.Baseline(w.Header())
		if r.URL.Path == cssPath {
			serveCSS(w, css)
			return
		}
		at := locale(r)
		w.Header().Set("Retry-After", "20")
		w.Header().Set("Refresh", "10")
		show(w, pages, "pause.html", http.StatusServiceUnavailable, "form-action 'none'", map[string]any{"Locale": at, "Title": words.T(at, "demo.pause"), "Text": words.T(at, "demo.pause_text"), "CSS": cssPath})
	}), nil
}

// NextReset is the next time at that hour of the day, in UTC.
func NextReset(now time.Time, hour int) time.Time {
	now = now.UTC()
	at := time.Date(now.Year(), now.Month(), now.Day(), hour, 0, 0, 0, time.UTC)
	if !at.After(now) {
		at = at.AddDate(0, 0, 1)
	}
	return at
}
