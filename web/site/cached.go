package site

import (
	"bytes"
	"context"
	"net/http"
	"strings"

	"github.com/gin-gonic/gin"

	"shingle/tenant"
	"shingle/themes"
	"shingle/web/console"
	"shingle/web/route"
)

// queryNames are the parameters that change a public page; all else is left
// out of the cache's key and of the page.
var queryNames = []string{"q", "location", "type", "workplace", "category", "company", "seniority", "country", "salary_min", "sort", "page"}

// cached answers a public page from memory, or makes it once for everybody who
// asks meanwhile. The key holds the board and its generation: a change of the
// board leaves the old pages unreachable.
func (s *Site) cached(h route.Handler) route.Handler {
	return func(c *gin.Context) error {
		t := tenant.From(c.Request.Context())
		query, ok := themes.NormalQuery(c.Request.URL.RawQuery, queryNames...)
		if !s.CacheOn || !ok || t == nil {
			return h(c)
		}
		key := themes.Key{Tenant: t.ID, Generation: t.Generation, Path: c.Request.URL.Path, Query: query, Locale: t.Locale}
		if t.Unconfirmed {
			if e, known := s.Cache.Last(key); known {
				s.Cache.Serve(c.Writer, c.Request, e)
				return nil
			}
			return h(c)
		}
		if e, hit := s.Cache.Get(key); hit {
			s.Cache.Serve(c.Writer, c.Request, e)
			return nil
		}
		// Stale pages are for when Postgres is away: better than none.
		e, _, err := s.Cache.Fill(c.Request.Context(), key, t.Midnight(s.Now()), func(ctx context.Context) (themes.Page, error) {
			return s.record(c, ctx, h)
		})
		if err != nil {
			return err
		}
		s.Cache.Serve(c.Writer, c.Request, e)
		return nil
	}
}

// viewed counts the pages that are shown to visitors, those that their browser
// has already among them; redirects and errors are none.
func (s *Site) viewed(h route.Handler) route.Handler {
	if s.Meter == nil {
		return h
	}
	return func(c *gin.Context) error {
		err := h(c)
		if st := c.Writer.Status(); err == nil && (st == http.StatusOK || st == http.StatusNotModified) && c.Request.Method == http.MethodGet {
			if t := tenant.From(c.Request.Context()); t != nil {
				s.Meter.View(t.ID)
			}
		}
		return err
	}
}

// record runs the handler against a buffer. Its request is the shared work of
// all who wait, so it must not end with the first one's connection.
func (s *Site) record(c *gin.Context, ctx context.Context, h route.Handler) (themes.Page, error) {
	w := &recorder{head: http.Header{}, status: http.StatusOK}
	copied := gin.CreateTestContextOnly(w, s.detached)
	copied.Request = c.Request.Clone(tenant.With(ctx, tenant.From(c.Request.Context())))
	copied.Params = c.Params
	if err := h(copied); err != nil {
		return themes.Page{}, err
	}
	copied.Writer.WriteHeaderNow()
	return themes.Page{Status: w.status, ContentType: w.head.Get("Content-Type"), Location: w.head.Get("Location"), Body: w.body.Bytes()}, nil
}

type recorder struct {
	head   http.Header
	body   bytes.Buffer
	status int
}

func (r *recorder) Header() http.Header         { return r.head }
func (r *recorder) Write(b []byte) (int, error) { return r.body.Write(b) }
func (r *recorder) WriteHeader(status int)      { r.status = status }

// page is a standing page: privacy, terms, Impressum, the board's own.
func (s *Site) page(c *gin.Context) error {
	return s.standingPage(c, strings.TrimSuffix(c.Param("page"), "/"))
}

func (v *view) locale() string { return console.Locale(v.T.Locale) }
