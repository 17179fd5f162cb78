package main

import (
	"bytes"
	"context"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"fmt"
	mrand "math/rand"
	"mime/multipart"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"shingle/internal/pow"
)

// row is one thing that users do.
type row struct {
	name string
	// uncached are never answered from the page cache; mixed has no one thing that
	// it could be compared with.
	uncached, mixed bool
	next            func(*draw) request
	good            func(int) bool
}

// draw picks boards, listings and words as a real site's traffic does: a few are
// asked for most of the time.
type draw struct {
	w        *world
	from     []board
	r        *mrand.Rand
	hosts    *mrand.Zipf
	listings *mrand.Zipf
	words    *mrand.Zipf
	caller   uint32
}

// draw draws from the most visited boards, so many.
func (w *world) draw(boards int) *draw { return w.drawFrom(w.boards[:min(boards, len(w.boards))]) }

func (w *world) drawFrom(from []board) *draw {
	boards := len(from)
	r := mrand.New(mrand.NewSource(7)) // #nosec G404 -- a repeatable draw
	return &draw{w: w, from: from, r: r, hosts: mrand.NewZipf(r, 1.1, 4, uint64(max(1, boards)-1)), listings: mrand.NewZipf(r, 1.1, 4, 49), words: mrand.NewZipf(r, 1.1, 2, uint64(len(common)-1))}
}

func (d *draw) board() *board { return &d.from[int(d.hosts.Uint64())%len(d.from)] }

func (d *draw) listing(b *board) string { return b.listings[int(d.listings.Uint64())%len(b.listings)] }

// header makes each request another caller's, so that limits of a single one
// are not what is measured.
func (d *draw) header() http.Header {
	d.caller++
	return http.Header{"X-Forwarded-For": {fmt.Sprintf("100.%d.%d.%d", 64+d.caller>>16&63, d.caller>>8&255, d.caller&255)}}
}

var (
	common  = []string{"manager", "engineer", "sales", "developer", "customer service", "analyst", "nurse", "marketing", "project manager", "accountant", "designer", "english teacher", "assistant", "java", "support"}
	facets  = []string{"&type=full_time", "&workplace=remote", "&type=contract&workplace=hybrid", "&salary_min=60000", "&type=full_time&workplace=on_site"}
	misspel = []string{"managr", "enginer", "develper", "acountant", "markting", "asistant"}
	places  = []string{"London", "Berlin", "New York", "Austin", "Toronto", "Dublin"}
)

func ok(status int) bool { return status == http.StatusOK }

func moved(status int) bool { return status == http.StatusSeeOther || status == http.StatusFound }

func (d *draw) get(host, path string) request {
	return request{method: http.MethodGet, host: host, path: path, header: d.header()}
}

func (d *draw) word() string { return url.QueryEscape(common[d.words.Uint64()]) }

func (w *world) rows() []row {
	return []row{
		{name: "home", good: ok, next: func(d *draw) request { return d.get(d.board().host, "/") }},
		{name: "search: browse", good: ok, next: func(d *draw) request { return d.get(d.board().host, "/jobs?page="+strconv.Itoa(1+d.r.Intn(3))) }},
		{name: "search: one common word", good: ok, next: func(d *draw) request { return d.get(d.board().host, "/jobs?q="+d.word()) }},
		{name: "search: word and facets", good: ok, next: func(d *draw) request { return d.get(d.board().host, "/jobs?q="+d.word()+facets[d.r.Intn(len(facets))]) }},
		{name: "search: place", good: ok, next: func(d *draw) request {
			return d.get(d.board().host, "/jobs?location="+url.QueryEscape(places[d.r.Intn(len(places))]))
		}},
		{name: "search: misspelt", good: ok, next: func(d *draw) request { return d.get(d.board().host, "/jobs?q="+misspel[d.r.Intn(len(misspel))]) }},
		{name: "search: the large board", good: ok, next: func(d *draw) request {
			b := d.w.large
			if b == nil {
				b = d.board()
			}
			return d.get(b.host, "/jobs?q="+d.word()+facets[d.r.Intn(len(facets))])
		}},
		{name: "listing", good: ok, next: func(d *draw) request { b := d.board(); return d.get(b.host, d.listing(b)) }},
		{name: "company", good: ok, next: func(d *draw) request { b := d.board(); return d.get(b.host, b.companies[d.r.Intn(len(b.companies))]) }},
		{name: "API list", uncached: true, good: ok, next: func(d *draw) request { return d.get(d.board().host, "/api/v1/jobs") }},
		{name: "RSS", good: ok, next: func(d *draw) request { return d.get(d.board().host, "/feed.rss") }},
		{name: "sitemap part", good: ok, next: func(d *draw) request { return d.get(d.board().host, "/sitemaps/jobs-1.xml") }},
		{name: "a site's mix", mixed: true, good: func(s int) bool { return s < 500 }, next: mix},
		{name: "apply with a CV", uncached: true, good: ok, next: apply},
		{name: "post a job (form to preview)", uncached: true, good: moved, next: post},
		{name: "webhook", uncached: true, good: ok, next: w.webhook},
		{name: "admin listings page", uncached: true, good: ok, next: w.admin},
	}
}

// mix is the traffic of a job board: half listings, a quarter searches of which
// some type ahead, homes, companies, bots at feeds and sitemaps, wrong paths.
func mix(d *draw) request {
	b := d.board()
	switch n := d.r.Intn(100); {
	case n < 48:
		return d.get(b.host, d.listing(b))
	case n < 60:
		return d.get(b.host, "/jobs?q="+d.word())
	case n < 70:
		return d.get(b.host, "/jobs?page="+strconv.Itoa(1+d.r.Intn(5)))
	case n < 72:
		return d.get(b.host, "/suggest?q="+d.word()[:3])
	case n < 86:
		return d.get(b.host, "/")
	case n < 91:
		return d.get(b.host, b.companies[d.r.Intn(len(b.companies))])
	case n < 95:
		return d.get(b.host, "/feed.rss")
	case n < 98:
		return d.get(b.host, "/sitemaps/jobs-1.xml")
	default:
		return d.get(b.host, "/wp-login.php")
	}
}

// pdf is the smallest CV that is one by its content.
var pdf = []byte("%PDF-1.4\n1 0 obj<</Type/Catalog/Pages 2 0 R>>endobj 2 0 obj<</Type/Pages/Kids[]/Count 0>>endobj\ntrailer<</Root 1 0 R>>\n%%EOF\n")

// proofOf is the work that a browser does before it sends a form: an easy piece,
// signed with the key that the processes run with.
func proofOf(b *board, form string) string {
	answer, _ := pow.Solve(pow.NewKey(secretKey).New(b.id+"/"+form, 2, time.Now()))
	return answer
}

// secretKey is SHINGLE_SECRET_KEY of the processes that are measured.
var secretKey = bytes.Repeat([]byte{0x6b}, 32)

var applicants atomic.Int64

func apply(d *draw) request {
	return applyAs(d, fmt.Sprintf("ada-%d-%d@example.org", time.Now().UnixNano(), applicants.Add(1)))
}

func applyAs(d *draw, email string) request {
	b := d.board()
	return applyAt(d, b, d.listing(b), email)
}

// applyAt makes a proof of its own each time: one that was spent is not taken
// again, though its answer was lost.
func applyAt(d *draw, b *board, listing, email string) request {
	var body bytes.Buffer
	form := multipart.NewWriter(&body)
	for name, value := range map[string]string{"proof": proofOf(b, "apply"), "name": "Ada Applicant", "email": email, "note": "I would like to work for you.", "consent": "1"} {
		_ = form.WriteField(name, value)
	}
	file, _ := form.CreateFormFile("cv", "cv.pdf")
	_, _ = file.Write(pdf)
	_ = form.Close()
	h := d.header()
	h.Set("Content-Type", form.FormDataContentType())
	return request{method: http.MethodPost, host: b.host, path: listing + "/apply", header: h, body: body.Bytes()}
}

func post(d *draw) request {
	b := d.board()
	form := url.Values{"proof": {proofOf(b, "post")}, "title": {"Baker of bread and cake"}, "company_name": {fmt.Sprintf("Bread & Sons %d", d.r.Intn(1000))}, "employment_type": {"full_time"}, "workplace": {"on_site"},
		"country": {"DE"}, "city": {"Berlin"}, "description": {strings.Repeat("Bake what people like to eat. ", 30)}, "apply_method": {"board"},
		"email": {fmt.Sprintf("hr-%d@example.org", d.r.Intn(100_000))}}
	h := d.header()
	h.Set("Content-Type", "application/x-www-form-urlencoded")
	return request{method: http.MethodPost, host: b.host, path: "/post", header: h, body: []byte(form.Encode())}
}

var events atomic.Int64

// webhook is a signed event of a kind that is stored, looked at and left alone.
func (w *world) webhook(d *draw) request {
	n := events.Add(1)
	payload := fmt.Appendf(nil, `{"id":"evt_bench_%d_%d","object":"event","api_version":"2023-10-16","created":%d,"type":"customer.updated","livemode":false,"data":{"object":{"id":"cus_1","object":"customer"}}}`,
		time.Now().UnixNano(), n, time.Now().Unix())
	at := strconv.FormatInt(time.Now().Unix(), 10)
	mac := hmac.New(sha256.New, []byte(w.secret))
	mac.Write([]byte(at + "."))
	mac.Write(payload)
	h := d.header()
	h.Set("Stripe-Signature", "t="+at+",v1="+hex.EncodeToString(mac.Sum(nil)))
	h.Set("Content-Type", "application/json")
	return request{method: http.MethodPost, host: "platform.localhost", path: "/webhooks/stripe", header: h, body: payload}
}

// operator signs the large board's owner in, in the database: what is measured
// is the page.
func (w *world) operator(ctx context.Context) (string, error) {
	token, hash := newToken()
	_, err := w.super.Exec(ctx, `INSERT INTO operator_sessions (token_hash, operator_id, board_id, expires_at)
		SELECT $1, o.id, $2, now() + interval '1 day' FROM operators o WHERE o.email = 'owner@' || (SELECT slug FROM boards WHERE id = $2) || '.example'`, hash, w.busiest().id)
	return token, err
}

// newToken is a session's secret and what the database keeps of it.
func newToken() (token string, hash []byte) {
	raw := make([]byte, 32)
	_, _ = rand.Read(raw)
	token = base64.RawURLEncoding.EncodeToString(raw)
	sum := sha256.Sum256([]byte(token))
	return token, sum[:]
}

func (w *world) busiest() *board {
	if w.large != nil {
		return w.large
	}
	return &w.boards[0]
}

func (w *world) admin(d *draw) request {
	h := d.header()
	h.Set("Cookie", "__Host-operator="+w.token)
	return request{method: http.MethodGet, host: w.busiest().host, path: "/admin/listings?page=" + strconv.Itoa(1+d.r.Intn(5)), header: h}
}
