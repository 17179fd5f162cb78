package web

import (
	"bytes"
	"net/http"
	"net/url"
	"strconv"
	"strings"

	"golang.org/x/net/html"

	"shingle/accounts"
	"shingle/domains/access"
	"shingle/internal/proxies"
	"shingle/tenant"
)

// basePath serves a board under a path of its owner's site, whose proxy asks
// us by one of the board's own hosts and says so in X-Forwarded-Host. It counts
// from trusted proxies alone, and only when it is the origin that the board
// names: what is written into pages is the configured origin, never the
// request's. A request comes out as if asked for at the root; what it answers
// is moved under the path, in one place, so that no page knows of it.
type basePath struct {
	next    http.Handler
	boards  *tenant.Resolver
	trusted proxies.List
}

func newBasePath(next http.Handler, boards *tenant.Resolver, trusted []string) (*basePath, error) {
	list, err := proxies.Parse(trusted)
	return &basePath{next: next, boards: boards, trusted: list}, err
}

func (b *basePath) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	forwarded := r.Header["X-Forwarded-Host"]
	if len(forwarded) == 0 { // nearly all requests: one look-up in a map
		b.next.ServeHTTP(w, r)
		return
	}
	t, err := b.boards.Resolve(r.Context(), r.Host)
	if err != nil || t.Base == nil || !sameHost(forwarded[0], t.Base.Origin) {
		b.next.ServeHTTP(w, r)
		return
	}
	if !b.trusted.Trusts(r) {
		// To send it on would send it back to where it came from, for ever.
		http.Error(w, "This proxy is not known here. Its address has to be among SHINGLE_TRUSTED_PROXIES.", http.StatusMisdirectedRequest)
		return
	}
	w.Header().Del("Strict-Transport-Security") // the owner's host, the owner's decision
	in, ok := b.inward(r, t.Base)
	if !ok {
		http.NotFound(w, r)
		return
	}
	out := &moved{ResponseWriter: w, base: t.Base, status: http.StatusOK, origin: t.Base.Origin}
	b.next.ServeHTTP(out, in)
	out.finish()
}

// sameHost compares a forwarded host with an origin's.
func sameHost(forwarded, origin string) bool {
	first, _, _ := strings.Cut(forwarded, ",")
	u, err := url.Parse(origin)
	if err != nil {
		return false
	}
	got := tenant.NormaliseHost(nil, strings.TrimSpace(first))
	return got != nil && string(got) == string(tenant.NormaliseHost(nil, u.Host))
}

// basedKey marks a request for toRightHost: it is where it belongs.
type basedKey struct{}

// inward is the request as if asked for at the root. A proxy that sends
// X-Forwarded-Prefix has cut the path off; from others it comes whole.
func (b *basePath) inward(r *http.Request, base *tenant.Base) (*http.Request, bool) {
	in := r.Clone(withBased(r.Context()))
	if prefix := r.Header.Get("X-Forwarded-Prefix"); prefix != "" {
		if strings.TrimSuffix(prefix, "/") != base.Path {
			return nil, false
		}
	} else {
		path, ok := strings.CutPrefix(r.URL.Path, base.Path)
		if !ok || path != "" && path[0] != '/' {
			return nil, false
		}
		in.URL.Path, in.URL.RawPath = path, ""
	}
	if in.URL.Path == "" {
		in.URL.Path = "/"
	}
	in.RequestURI = in.URL.RequestURI()
	in.Header.Del("Accept-Encoding") // the answer is read here
	// Cookies under a path can't have the __Host- prefix.
	var cookies []string
	for _, line := range r.Header["Cookie"] {
		for part := range strings.SplitSeq(line, ";") {
			part = strings.TrimSpace(part)
			switch {
			case strings.HasPrefix(part, "__Host-"): // another part of the owner's site
			case strings.HasPrefix(part, "__Secure-"+accounts.PersonCookie+"="), strings.HasPrefix(part, "__Secure-"+access.Cookie+"="):
				cookies = append(cookies, "__Host-"+strings.TrimPrefix(part, "__Secure-"))
			default:
				cookies = append(cookies, part)
			}
		}
	}
	in.Header.Del("Cookie")
	if len(cookies) > 0 {
		in.Header.Set("Cookie", strings.Join(cookies, "; "))
	}
	// The page's origin is the owner's site: for us it is this host.
	if r.Header.Get("Origin") == base.Origin {
		in.Header.Set("Origin", "https://"+r.Host)
	}
	return in, true
}

// moved writes an answer under the base path.
type moved struct {
	http.ResponseWriter
	base   *tenant.Base
	origin string
	status int
	wrote  bool
	hold   bool // the body is read whole and changed
	body   bytes.Buffer
}

func (m *moved) WriteHeader(status int) {
	if m.wrote {
		return
	}
	m.wrote, m.status = true, status
	h := m.Header()
	if to := h.Get("Location"); to != "" {
		h.Set("Location", m.path(to))
	}
	for i, c := range h["Set-Cookie"] {
		c = strings.Replace(c, "; Path=/", "; Path="+m.base.Path, 1)
		if rest, ok := strings.CutPrefix(c, "__Host-"); ok {
			c = "__Secure-" + rest
		}
		h["Set-Cookie"][i] = c
	}
	kind := h.Get("Content-Type")
	m.hold = strings.HasPrefix(kind, "text/html") || strings.HasPrefix(kind, "text/css")
	if !m.hold {
		m.ResponseWriter.WriteHeader(status)
		return
	}
	h.Del("Content-Length")
}

func (m *moved) Write(p []byte) (int, error) {
	if !m.wrote {
		m.WriteHeader(http.StatusOK)
	}
	if m.hold {
		return m.body.Write(p)
	}
	return m.ResponseWriter.Write(p)
}

func (m *moved) Unwrap() http.ResponseWriter { return m.ResponseWriter }

func (m *moved) finish() {
	if !m.wrote {
		m.WriteHeader(http.StatusOK)
	}
	if !m.hold {
		return
	}
	body := m.body.Bytes()
	if strings.HasPrefix(m.Header().Get("Content-Type"), "text/html") {
		body = moveHTML(body, m.path)
	} else {
		body = bytes.ReplaceAll(body, []byte("url(/"), []byte("url("+m.base.Path+"/"))
		body = bytes.ReplaceAll(body, []byte(`url("/`), []byte(`url("`+m.base.Path+"/"))
	}
	if len(body) > 0 {
		m.Header().Set("Content-Length", strconv.Itoa(len(body)))
	}
	m.ResponseWriter.WriteHeader(m.status)
	_, _ = m.ResponseWriter.Write(body) // a reader who hung up is no error of ours
}

// path moves an address on this board under the base; others stay.
func (m *moved) path(to string) string {
	if strings.HasPrefix(to, "/") && !strings.HasPrefix(to, "//") {
		if to == "/" {
			return m.base.Path + "/"
		}
		return m.base.Path + to
	}
	return to
}

// moveHTML moves the addresses in a page's attributes. Texts, scripts and data
// stay as they are: the first hold no address, the others only absolute ones.
func moveHTML(page []byte, path func(string) string) []byte {
	var out bytes.Buffer
	out.Grow(len(page) + 2048)
	z := html.NewTokenizer(bytes.NewReader(page))
	for {
		kind := z.Next()
		if kind == html.ErrorToken {
			return out.Bytes()
		}
		raw := z.Raw()
		if kind != html.StartTagToken && kind != html.SelfClosingTagToken {
			out.Write(raw)
			continue
		}
		raw = bytes.Clone(raw) // Token changes what Raw shares
		t := z.Token()
		changed := false
		for i := range t.Attr {
			a := &t.Attr[i]
			before := a.Val
			switch a.Key {
			case "href", "src", "action", "formaction", "poster", "hx-get", "hx-post", "data-proof", "data-url", "data-suggest", "data-src":
				a.Val = path(a.Val)
			case "srcset":
				var sources []string
				for s := range strings.SplitSeq(a.Val, ",") {
					sources = append(sources, path(strings.TrimSpace(s)))
				}
				a.Val = strings.Join(sources, ", ")
			case "content": // <meta http-equiv=refresh content="5;url=/…">
				if before, to, ok := strings.Cut(a.Val, "url="); ok {
					a.Val = before + "url=" + path(to)
				}
			}
			changed = changed || a.Val != before
		}
		if !changed {
			out.Write(raw)
			continue
		}
		out.WriteString(t.String())
	}
}
