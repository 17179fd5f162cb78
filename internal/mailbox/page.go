package mailbox

import (
	"embed"
	"encoding/json"
	"html/template"
	"net/http"
	"strconv"
	"strings"
)

//go:embed pages
var pageFiles embed.FS

// Page shows the box under prefix (e.g. "/mail"). It belongs on a developer's
// machine only: who can open it reads every mail.
func (b *Box) Page(prefix string) http.Handler {
	pages := template.Must(template.ParseFS(pageFiles, "pages/*.html"))
	css, _ := pageFiles.ReadFile("pages/mailbox.css")
	mux := http.NewServeMux()
	show := func(w http.ResponseWriter, name string, data any) {
		h := w.Header()
		h.Set("Content-Type", "text/html; charset=utf-8")
		h.Set("Cache-Control", "no-store")
		h.Set("X-Content-Type-Options", "nosniff")
		h.Set("Content-Security-Policy", "default-src 'none'; style-src 'self'; frame-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'")
		_ = pages.ExecuteTemplate(w, name, data)
	}
	mux.HandleFunc("GET "+prefix, func(w http.ResponseWriter, r *http.Request) {
		q := r.URL.Query().Get("q")
		list, err := b.List(200, q)
		if err != nil {
			http.Error(w, "the mail folder cannot be read", http.StatusInternalServerError)
			return
		}
		if strings.Contains(r.Header.Get("Accept"), "application/json") {
			w.Header().Set("Content-Type", "application/json")
			_ = json.NewEncoder(w).Encode(list)
			return
		}
		show(w, "list.html", map[string]any{"Prefix": prefix, "Mails": list, "Query": q})
	})
	mux.HandleFunc("GET "+prefix+"/{id}", func(w http.ResponseWriter, r *http.Request) {
		m, err := b.Get(r.PathValue("id"))
		if err != nil {
			http.NotFound(w, r)
			return
		}
		show(w, "mail.html", map[string]any{"Prefix": prefix, "Mail": m})
	})
	mux.HandleFunc("GET "+prefix+"/{id}/html", func(w http.ResponseWriter, r *http.Request) {
		m, err := b.Get(r.PathValue("id"))
		if err != nil {
			http.NotFound(w, r)
			return
		}
		w.Header().Set("Content-Type", "text/html; charset=utf-8")
		// A mail's own styles are inline; nothing in it may run or load.
		w.Header().Set("Content-Security-Policy", "default-src 'none'; style-src 'unsafe-inline'; img-src data:; sandbox allow-top-navigation-by-user-activation allow-popups allow-popups-to-escape-sandbox; frame-ancestors 'self'")
		body := strings.Replace(m.HTML, "<head>", `<head><base target="_top">`, 1)
		w.Header().Set("Content-Length", strconv.Itoa(len(body)))
		_, _ = w.Write([]byte(body)) // #nosec G705 -- sandboxed above
	})
	mux.HandleFunc("POST "+prefix+"/clear", func(w http.ResponseWriter, r *http.Request) {
		if err := b.Clear(); err != nil {
			http.Error(w, "not every mail could be deleted", http.StatusInternalServerError)
			return
		}
		http.Redirect(w, r, prefix, http.StatusSeeOther)
	})
	mux.HandleFunc("GET "+prefix+"/mailbox.css", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/css; charset=utf-8")
		_, _ = w.Write(css)
	})
	return mux
}
