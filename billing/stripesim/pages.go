package stripesim

import (
	"bytes"
	"crypto/sha256"
	"embed"
	"encoding/hex"
	"errors"
	"html/template"
	"net/http"
	"strings"
	"time"
)

//go:embed pages
var pageFiles embed.FS

// pages are the parsed templates and the style sheet, with its hash in its URL.
type pages struct {
	byName map[string]*template.Template
	style  []byte
	hash   string
}

var pageNames = []string{"overview", "checkout", "bank", "onboarding", "message", "invoice", "express", "portal"}

func newPages() *pages {
	style, err := pageFiles.ReadFile("pages/style.css")
	if err != nil {
		panic(err)
	}
	sum := sha256.Sum256(style)
	p := &pages{byName: map[string]*template.Template{}, style: style, hash: hex.EncodeToString(sum[:4])}
	funcs := template.FuncMap{
		"money": formatMoney,
		"when":  func(unix int64) string { return time.Unix(unix, 0).UTC().Format("2 Jan 2006 15:04:05") },
		"day":   func(unix int64) string { return time.Unix(unix, 0).UTC().Format("2 January 2006") },
		"text":  text,
		"groups": func(number string) string {
			return strings.TrimSpace(number[:4] + " " + number[4:8] + " " + number[8:12] + " " + number[12:])
		},
	}
	for _, name := range pageNames {
		p.byName[name] = template.Must(template.New("layout.html").Funcs(funcs).ParseFS(pageFiles, "pages/layout.html", "pages/"+name+".html"))
	}
	return p
}

// visit is one request for a page. It answers by showing a template or by
// sending the browser elsewhere.
type visit struct {
	*http.Request
	id string

	name   string
	title  string
	data   any
	status int
	to     string
	asset  []byte
}

func (v *visit) show(name, title string, data any) error {
	v.name, v.title, v.data = name, title, data
	return nil
}

func (v *visit) redirect(to string) error {
	v.to = to
	return nil
}

type pageRoute struct {
	pattern string
	show    func(*visit) error
}

func (s *Sim) pageRoutes() []pageRoute {
	return []pageRoute{
		{"GET /{$}", s.overview},
		{"GET /style.css", s.styleSheet},
		{"POST /act/{act}/{id}", s.act},
		{"GET /checkout/{id}", s.showCheckout},
		{"POST /checkout/{id}", s.payCheckout},
		{"GET /checkout/{id}/bank", s.showBank},
		{"POST /checkout/{id}/bank", s.answerBank},
		{"GET /connect/setup/{id}", s.openLink},
		{"GET /connect/onboarding/{id}", s.showOnboarding},
		{"POST /connect/onboarding/{id}", s.answerOnboarding},
		{"GET /express/{id}", s.showExpress},
		{"GET /invoices/{id}", s.showInvoice},
		{"POST /invoices/{id}", s.payInvoicePage},
		{"GET /invoices/{id}/pdf", s.showInvoice},
		{"GET /portal/{id}", s.showPortal},
		{"POST /portal/{id}", s.answerPortal},
		{"GET /receipts/{id}", s.showReceipt},
		{"/", func(v *visit) error {
			v.status = http.StatusNotFound
			return v.show("message", "Page not found", message{Text: "There is no such page here."})
		}},
	}
}

// message is a page of one sentence, with at most one way on.
type message struct{ Text, Link, Label string }

func (s *Sim) servePage(show func(*visit) error) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		h := w.Header()
		// The buyer goes on to the shop's own address after a form: browsers hold
		// redirects to form-action too.
		h.Set("Content-Security-Policy", "default-src 'none'; style-src 'self'; img-src 'self'; form-action 'self' http: https:; base-uri 'none'; frame-ancestors 'none'")
		h.Set("X-Content-Type-Options", "nosniff")
		h.Set("Referrer-Policy", "no-referrer")
		h.Set("Cache-Control", "no-store")
		r.Body = http.MaxBytesReader(w, r.Body, maxBody)
		v := &visit{Request: r, id: r.PathValue("id"), status: http.StatusOK}
		err := s.update(sweep)
		if err == nil {
			err = show(v)
		}
		if err != nil {
			s.pageError(v, err)
		}
		switch {
		case v.asset != nil:
			h.Set("Content-Type", "text/css; charset=utf-8")
			h.Set("Cache-Control", "public, max-age=31536000, immutable")
			_, _ = w.Write(v.asset)
		case v.to != "":
			http.Redirect(w, r, v.to, http.StatusSeeOther)
		default:
			s.write(w, v)
		}
	})
}

func (s *Sim) pageError(v *visit, err error) {
	var e *Error
	if errors.As(err, &e) {
		v.status = e.Status
		_ = v.show("message", "That can't be done", message{Text: e.Message})
		return
	}
	v.status = http.StatusInternalServerError
	_ = v.show("message", "The simulator has stopped", message{Text: err.Error()})
}

func (s *Sim) write(w http.ResponseWriter, v *visit) {
	var out bytes.Buffer
	err := s.pages.byName[v.name].Execute(&out, map[string]any{"Title": v.title, "Base": s.prefix, "Style": s.prefix + "/style.css?" + s.pages.hash, "D": v.data})
	if err != nil {
		s.log.Error("stripe simulator: page", "name", v.name, "error", err)
		http.Error(w, "The page can't be shown.", http.StatusInternalServerError)
		return
	}
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	w.WriteHeader(v.status)
	_, _ = w.Write(out.Bytes())
}

func (s *Sim) styleSheet(v *visit) error {
	v.asset = s.pages.style
	return nil
}

// read runs fn over the state without changing it.
func (s *Sim) read(fn func(*tx) error) error {
	return s.update(fn) // nothing put, nothing written
}
