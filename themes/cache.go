package themes

import (
	"bytes"
	"context"
	"io"
	"net/http"
	"strconv"
	"time"

	"github.com/maypok86/otter/v2"
	"golang.org/x/sync/singleflight"

	"shingle/internal/fault"
	"shingle/tenant"
)

const (
	// Fresh is how long a page may be served without being rendered again:
	// ages and end dates move by themselves.
	Fresh = 10 * time.Minute
	// Stale is how much longer it may be served while it can't be rendered.
	Stale = 10 * time.Minute
	// fillTime bounds one rendering, which outlives the request that asked.
	fillTime = 10 * time.Second
)

// Cache keeps rendered pages as compressed bytes alone, bounded by their size:
// a page is five times as large as it is squeezed, and who can't read it so is
// rare. One entry serves all encodings. An entry answers for one generation of its board;
// the newest generation seen of a page replaces the one before, which stays
// only until then, for when the database is away.
type Cache struct {
	pages  *otter.Cache[slot, *Entry]
	flight singleflight.Group
	now    func() time.Time
}

// slot is a Key without its generation: its place in the cache.
type slot struct {
	tenant              tenant.ID
	path, query, locale string
}

func (k Key) slot() slot { return slot{k.Tenant, k.Path, k.Query, k.Locale} }

// Page is what a handler rendered. Status defaults to 200.
type Page struct {
	Status      int
	ContentType string // "text/html; charset=utf-8" when empty
	Body        []byte
	Robots      string // X-Robots-Tag, for what is not HTML
	Location    string // of a redirect
}

// Entry is a page ready to send. It is shared and never changed.
type Entry struct {
	Status     int
	Generation int64
	Filled     time.Time
	Expires    time.Time

	bodies      [3][]byte
	etags       [3]string
	etagHeads   [3][]string
	lengths     [3][]string
	encodings   [3][]string
	contentType []string
	robots      []string
	location    []string
	size        int
}

// NewCache makes a cache of at most maxBytes. Close it when done.
func NewCache(maxBytes int64, now func() time.Time) (*Cache, error) {
	pages, err := otter.New(&otter.Options[slot, *Entry]{
		MaximumWeight:    uint64(max(maxBytes, 1<<20)),
		Weigher:          func(_ slot, e *Entry) uint32 { return uint32(e.size) },
		ExpiryCalculator: otter.ExpiryWriting[slot, *Entry](Fresh + Stale),
	})
	if err != nil {
		return nil, fault.Wrap(err, fault.Internal, "page cache")
	}
	return &Cache{pages: pages, now: now}, nil
}

// Close ends the cache's own goroutines.
func (c *Cache) Close() { c.pages.StopAllGoroutines() }

// Get finds a page of the key's generation that has not expired.
func (c *Cache) Get(k Key) (*Entry, bool) {
	e, ok := c.pages.GetIfPresent(k.slot())
	if !ok || e.Generation != k.Generation || !c.now().Before(e.Expires) {
		return nil, false
	}
	return e, true
}

// Last finds a page of any generation, up to Stale after its end. It is for
// when the board's generation itself can't be asked.
func (c *Cache) Last(k Key) (*Entry, bool) {
	e, ok := c.pages.GetIfPresent(k.slot())
	if !ok || c.now().After(e.Expires.Add(Stale)) {
		return nil, false
	}
	return e, true
}

// Fill renders a page once for however many ask at the same moment, and keeps
// it until Fresh or midnight (the board's next; zero for none), whichever comes
// first. Pages of 500 and above are not kept. When render fails with
// fault.Unavailable the last page known is served instead, and stale is true.
// Other errors are render's own.
func (c *Cache) Fill(ctx context.Context, k Key, midnight time.Time, render func(context.Context) (Page, error)) (e *Entry, stale bool, err error) {
	// The generation is part of the flight: who has seen a change must not be
	// handed a page from before it.
	flight := k.Tenant.String() + "\x00" + strconv.FormatInt(k.Generation, 36) + "\x00" + k.Path + "\x00" + k.Query + "\x00" + k.Locale
	v, err, _ := c.flight.Do(flight, func() (any, error) {
		if e, ok := c.Get(k); ok {
			return e, nil
		}
		// One reader who goes away must not fail the others.
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), fillTime)
		defer cancel()
		start := c.now()
		page, err := render(ctx)
		if err != nil {
			return nil, err
		}
		e := newEntry(k.Generation, page)
		e.Filled, e.Expires = start, start.Add(Fresh)
		if !midnight.IsZero() && midnight.Before(e.Expires) {
			e.Expires = midnight
		}
		if e.Status < 500 && len(k.Query) <= maxQuery {
			c.pages.Compute(k.slot(), func(old *Entry, found bool) (*Entry, otter.ComputeOp) {
				if found && old.Generation > e.Generation {
					return old, otter.CancelOp
				}
				return e, otter.WriteOp
			})
		}
		return e, nil
	})
	if err == nil {
		return v.(*Entry), false, nil
	}
	if fault.Is(err, fault.Unavailable) {
		if e, ok := c.Last(k); ok {
			return e, true, nil
		}
	}
	return nil, false, err
}

// Forget drops all pages of a board, for when it is erased.
func (c *Cache) Forget(id tenant.ID) {
	for s := range c.pages.Keys() {
		if s.tenant == id {
			c.pages.Invalidate(s)
		}
	}
}

// Bytes is the size of all that is kept.
func (c *Cache) Bytes() int64 { return int64(c.pages.WeightedSize()) }

// NewEntry makes an entry that is sent once and not kept.
func NewEntry(p Page) *Entry { return newEntry(0, p) }

func newEntry(generation int64, p Page) *Entry {
	e := &Entry{Status: p.Status, Generation: generation}
	if e.Status == 0 {
		e.Status = http.StatusOK
	}
	if p.ContentType == "" {
		p.ContentType = "text/html; charset=utf-8"
	}
	e.contentType = []string{p.ContentType}
	if p.Robots != "" {
		e.robots = []string{p.Robots}
	}
	if p.Location != "" {
		e.location = []string{p.Location}
	}
	if len(p.Body) > 512 {
		e.bodies[Brotli], e.bodies[Gzip] = compress(p.Body, false)
	} else {
		e.bodies[Identity] = bytes.Clone(p.Body)
	}
	hash := Hash(p.Body)
	for enc, suffix := range [3]string{"", "-gz", "-br"} {
		e.etags[enc] = `"` + hash + suffix + `"`
		e.etagHeads[enc] = []string{e.etags[enc]}
		e.lengths[enc] = []string{itoa(len(e.bodies[enc]))}
		e.size += len(e.bodies[enc])
	}
	e.lengths[Identity] = []string{itoa(len(p.Body))}
	e.encodings[Gzip], e.encodings[Brotli] = []string{"gzip"}, []string{"br"}
	e.size += 1024 // the entry itself, its key and its place
	return e
}

// writeTo writes the page in one encoding.
func (e *Entry) writeTo(w io.Writer, enc Encoding) error {
	if enc == Identity && len(e.bodies[Gzip]) > 0 {
		return unzip(w, e.bodies[Gzip])
	}
	_, err := w.Write(e.bodies[enc])
	return err
}

var (
	revalidate = []string{"no-cache"}
	vary       = []string{"Accept-Encoding"}
)

// Serve sends a page in the best encoding that the reader takes, or 304. The
// browser may keep it and asks each time: a change shows at once.
func (c *Cache) Serve(w http.ResponseWriter, r *http.Request, e *Entry) { Serve(w, r, e) }

// Serve sends an entry; it is Cache.Serve for what no cache holds.
func Serve(w http.ResponseWriter, r *http.Request, e *Entry) {
	enc := Identity
	if len(e.bodies[Gzip]) > 0 {
		enc = PickEncoding(header(r.Header, "Accept-Encoding"))
	}
	h := w.Header()
	// Canonical names set directly: Header.Set would allocate for each.
	h["Etag"] = e.etagHeads[enc]
	h["Vary"] = vary
	if _, set := h["Cache-Control"]; !set {
		h["Cache-Control"] = revalidate
	}
	if e.robots != nil {
		h["X-Robots-Tag"] = e.robots
	}
	if e.location != nil {
		h["Location"] = e.location
	}
	if e.Status == http.StatusOK && matches(header(r.Header, "If-None-Match"), e.etags[enc]) {
		w.WriteHeader(http.StatusNotModified)
		return
	}
	h["Content-Type"] = e.contentType
	h["Content-Length"] = e.lengths[enc]
	if e.encodings[enc] != nil {
		h["Content-Encoding"] = e.encodings[enc]
	}
	w.WriteHeader(e.Status)
	if r.Method != http.MethodHead {
		_ = e.writeTo(w, enc) // a reader who hung up is no error of ours
	}
}

func header(h http.Header, name string) string {
	if v := h[name]; len(v) > 0 {
		return v[0]
	}
	return ""
}
