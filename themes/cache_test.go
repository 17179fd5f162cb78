package themes

import (
	"compress/gzip"
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/andybalholm/brotli"

	"shingle/internal/fault"
	"shingle/tenant"
)

type clock struct{ atomic.Int64 }

func (c *clock) now() time.Time          { return time.Unix(0, c.Load()) }
func (c *clock) advance(d time.Duration) { c.Add(int64(d)) }

func newCache(t testing.TB, bytes int64) (*Cache, *clock) {
	t.Helper()
	c := &clock{}
	c.Store(time.Date(2026, 11, 20, 12, 0, 0, 0, time.UTC).UnixNano())
	cache, err := NewCache(bytes, c.now)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(cache.Close)
	return cache, c
}

func page(text string) func(context.Context) (Page, error) {
	return func(context.Context) (Page, error) { return Page{Body: []byte(text)}, nil }
}

func fill(t *testing.T, c *Cache, k Key, text string) {
	t.Helper()
	if _, _, err := c.Fill(context.Background(), k, time.Time{}, page(text)); err != nil {
		t.Fatal(err)
	}
}

func TestCacheKeepsBoardsAndGenerationsApart(t *testing.T) {
	t.Parallel()
	c, _ := newCache(t, 8<<20)
	k := Key{Tenant: tenant.NewID(), Generation: 3, Path: "/", Locale: "en"}
	fill(t, c, k, "three")
	for name, other := range map[string]Key{
		"another board":      {tenant.NewID(), 3, "/", "", "en"},
		"another generation": {k.Tenant, 4, "/", "", "en"},
		"another path":       {k.Tenant, 3, "/jobs", "", "en"},
		"another query":      {k.Tenant, 3, "/", "q=x", "en"},
		"another language":   {k.Tenant, 3, "/", "", "de"},
	} {
		if _, ok := c.Get(other); ok {
			t.Errorf("%s was served this one's page", name)
		}
	}
	if e, ok := c.Get(k); !ok || plain(e) != "three" {
		t.Error("the page itself is gone")
	}
	k4 := k
	k4.Generation = 4
	fill(t, c, k4, "four")
	fill(t, c, k, "three again") // a slow render of the old generation ends last
	if e, ok := c.Get(k4); !ok || plain(e) != "four" {
		t.Error("an older generation replaced a newer one")
	}
	c.Forget(k.Tenant)
	if _, ok := c.Get(k4); ok {
		t.Error("forgotten board still served")
	}
}

func TestEntriesEnd(t *testing.T) {
	t.Parallel()
	c, clk := newCache(t, 8<<20)
	k := Key{Tenant: tenant.NewID(), Path: "/"}
	fill(t, c, k, "x")
	clk.advance(Fresh - time.Second)
	if _, ok := c.Get(k); !ok {
		t.Error("ended before its ten minutes")
	}
	clk.advance(time.Second)
	if _, ok := c.Get(k); ok {
		t.Error("served after its ten minutes")
	}
	if _, _, err := c.Fill(context.Background(), k, clk.now().Add(2*time.Minute), page("y")); err != nil {
		t.Fatal(err)
	}
	clk.advance(2 * time.Minute)
	if _, ok := c.Get(k); ok {
		t.Error("served after the board's midnight")
	}
}

func TestLastKnownPageWhileTheDatabaseIsAway(t *testing.T) {
	t.Parallel()
	c, clk := newCache(t, 8<<20)
	k := Key{Tenant: tenant.NewID(), Generation: 1, Path: "/"}
	fill(t, c, k, "known")
	away := func(context.Context) (Page, error) {
		return Page{}, fault.New(fault.Unavailable, "database away")
	}
	k.Generation = 2
	clk.advance(Fresh + time.Minute)
	e, stale, err := c.Fill(context.Background(), k, time.Time{}, away)
	if err != nil || !stale || plain(e) != "known" {
		t.Fatalf("want the last page, got %v %v", stale, err)
	}
	clk.advance(Stale)
	if _, _, err := c.Fill(context.Background(), k, time.Time{}, away); !fault.Is(err, fault.Unavailable) {
		t.Errorf("served too long after its end: %v", err)
	}
	_, _, err = c.Fill(context.Background(), k, time.Time{}, func(context.Context) (Page, error) {
		return Page{}, fault.New(fault.NotFound, "no such page")
	})
	if !fault.Is(err, fault.NotFound) {
		t.Errorf("an error that is not an outage must come through, got %v", err)
	}
}

func TestFillRendersOnce(t *testing.T) {
	t.Parallel()
	c, _ := newCache(t, 8<<20)
	k := Key{Tenant: tenant.NewID(), Path: "/"}
	var renders atomic.Int32
	release, entered := make(chan struct{}), make(chan struct{}, 1)
	var wg sync.WaitGroup
	ctx, cancel := context.WithCancel(context.Background())
	for range 20 {
		wg.Go(func() {
			_, _, err := c.Fill(ctx, k, time.Time{}, func(ctx context.Context) (Page, error) {
				renders.Add(1)
				entered <- struct{}{}
				<-release
				return Page{Body: []byte("x")}, ctx.Err()
			})
			if err != nil {
				t.Error(err)
			}
		})
	}
	<-entered
	cancel() // the first reader goes away: the others still get their page
	close(release)
	wg.Wait()
	if renders.Load() != 1 {
		t.Errorf("rendered %d times, want once", renders.Load())
	}
}

func TestFailuresAreNotKept(t *testing.T) {
	t.Parallel()
	c, _ := newCache(t, 8<<20)
	k := Key{Tenant: tenant.NewID(), Path: "/"}
	boom := errors.New("boom")
	if _, _, err := c.Fill(context.Background(), k, time.Time{}, func(context.Context) (Page, error) { return Page{}, boom }); !errors.Is(err, boom) {
		t.Errorf("want the render's own error, got %v", err)
	}
	e, _, err := c.Fill(context.Background(), k, time.Time{}, func(context.Context) (Page, error) { return Page{Status: 503, Body: []byte("x")}, nil })
	if err != nil || e.Status != 503 {
		t.Fatal(e, err)
	}
	if _, ok := c.Get(k); ok {
		t.Error("a 503 was kept")
	}
}

// plain is the page as a reader without any encoding gets it.
func plain(e *Entry) string {
	w := httptest.NewRecorder()
	Serve(w, httptest.NewRequest(http.MethodGet, "/", nil), e)
	return w.Body.String()
}

// What is kept is the compressed page: four times as many fit.
func TestAPageIsKeptCompressedAlone(t *testing.T) {
	t.Parallel()
	body := strings.Repeat("<p>Listing</p>", 4000)
	if e := NewEntry(Page{Body: []byte(body)}); e.size > len(body)/4 || plain(e) != body {
		t.Errorf("a page of %d bytes takes %d", len(body), e.size)
	}
}

func TestServe(t *testing.T) {
	t.Parallel()
	body := strings.Repeat("<p>Listing</p>", 400)
	e := NewEntry(Page{Status: 200, Body: []byte(body)})
	tags := map[string]bool{}
	for accept, want := range map[string]string{"": "", "gzip": "gzip", "gzip, br;q=0": "gzip", "gzip, deflate, br": "br", "br;q=1.0, *;q=0.5": "br", "gzip;q=0": ""} {
		r := httptest.NewRequest(http.MethodGet, "/", nil)
		r.Header.Set("Accept-Encoding", accept)
		w := httptest.NewRecorder()
		Serve(w, r, e)
		res := w.Result()
		if got := res.Header.Get("Content-Encoding"); got != want {
			t.Errorf("%q: want %q, got %q", accept, want, got)
		}
		var plain io.Reader = res.Body
		switch want {
		case "gzip":
			zr, err := gzip.NewReader(res.Body)
			if err != nil {
				t.Fatal(err)
			}
			plain = zr
		case "br":
			plain = brotli.NewReader(res.Body)
		}
		if got, err := io.ReadAll(plain); err != nil || string(got) != body {
			t.Errorf("%q: body differs, %v", accept, err)
		}
		tag := res.Header.Get("ETag")
		tags[tag] = true
		r.Header.Set("If-None-Match", `"old", W/`+tag)
		w = httptest.NewRecorder()
		Serve(w, r, e)
		if w.Code != http.StatusNotModified || w.Body.Len() > 0 || w.Header().Get("Content-Length") != "" {
			t.Errorf("%q: want an empty 304, got %d with %d bytes", accept, w.Code, w.Body.Len())
		}
		if w.Header().Get("Vary") != "Accept-Encoding" || w.Header().Get("Cache-Control") == "" {
			t.Errorf("%q: 304 without its headers: %v", accept, w.Header())
		}
	}
	if len(tags) != 3 {
		t.Errorf("each encoding needs its own tag, got %v", tags)
	}
	r := httptest.NewRequest(http.MethodHead, "/", nil)
	w := httptest.NewRecorder()
	Serve(w, r, e)
	if w.Body.Len() > 0 || w.Header().Get("Content-Length") != fmt.Sprint(len(body)) {
		t.Errorf("HEAD: %d bytes, length %s", w.Body.Len(), w.Header().Get("Content-Length"))
	}
	gone := NewEntry(Page{Status: 410, Body: []byte("over")})
	r = httptest.NewRequest(http.MethodGet, "/", nil)
	r.Header.Set("If-None-Match", "*")
	w = httptest.NewRecorder()
	Serve(w, r, gone)
	if w.Code != 410 {
		t.Errorf("a 410 stays a 410, got %d", w.Code)
	}
}

func TestCacheIsBounded(t *testing.T) {
	t.Parallel()
	c, _ := newCache(t, 1<<20)
	text := strings.Repeat("x", 20<<10)
	for i := range 300 {
		fill(t, c, Key{Tenant: tenant.NewID(), Path: fmt.Sprint("/", i)}, text)
	}
	c.pages.CleanUp()
	if got := c.Bytes(); got > 1<<20 {
		t.Errorf("%d bytes kept, want at most 1 MiB", got)
	}
}

func TestNormalQuery(t *testing.T) {
	t.Parallel()
	known := []string{"q", "type", "page"}
	for raw, want := range map[string]string{
		"": "", "utm_source=x&fbclid=y": "", "q=go&utm=1": "q=go", "type=b&q=a&type=a&type=b": "q=a&type=a&type=b",
		"q=++two%20%20words+": "q=two+words", "page=1": "", "page=2": "page=2", "q=": "",
	} {
		if got, ok := NormalQuery(raw, known...); !ok || got != want {
			t.Errorf("NormalQuery(%q) = %q, %v; want %q", raw, got, ok, want)
		}
	}
	for _, raw := range []string{"q=%zz", "q=" + strings.Repeat("x", 600), strings.Repeat("a=b&", 2000)} {
		if got, ok := NormalQuery(raw, known...); ok {
			t.Errorf("NormalQuery(%.20q…) = %q, want refused", raw, got)
		}
	}
}

func FuzzNormalQuery(f *testing.F) {
	f.Add("q=a&type=b&q=a")
	f.Fuzz(func(t *testing.T, raw string) {
		q, ok := NormalQuery(raw, "q", "type")
		if again, ok2 := NormalQuery(q, "q", "type"); ok && (!ok2 || again != q) {
			t.Fatalf("%q → %q → %q", raw, q, again)
		}
	})
}

// discard is a ResponseWriter whose cost is not what we measure.
type discard struct{ h http.Header }

func (d *discard) Header() http.Header         { return d.h }
func (d *discard) Write(b []byte) (int, error) { return len(b), nil }
func (d *discard) WriteHeader(int)             {}

func BenchmarkCacheHit(b *testing.B) {
	c, _ := newCache(b, 256<<20)
	body := []byte(strings.Repeat("<li><a href=/jobs/x>Staff Engineer</a></li>", 500))
	keys := make([]Key, 1000*50)
	for i := range keys {
		if i%50 == 0 {
			keys[i].Tenant = tenant.NewID()
		} else {
			keys[i].Tenant = keys[i-1].Tenant
		}
		keys[i].Path, keys[i].Locale, keys[i].Generation = fmt.Sprint("/jobs/", i%50), "en", 7
	}
	for _, k := range keys[:2000] {
		if _, _, err := c.Fill(context.Background(), k, time.Time{}, func(context.Context) (Page, error) { return Page{Body: body}, nil }); err != nil {
			b.Fatal(err)
		}
	}
	r := httptest.NewRequest(http.MethodGet, "/", nil)
	r.Header.Set("Accept-Encoding", "gzip, deflate, br")
	b.ReportAllocs()
	b.ResetTimer()
	b.RunParallel(func(pb *testing.PB) {
		w := &discard{h: http.Header{}}
		zipf := rand.NewZipf(rand.New(rand.NewPCG(1, 2)), 1.1, 1, 1999)
		for pb.Next() {
			e, ok := c.Get(keys[zipf.Uint64()])
			if !ok {
				b.Error("miss")
				return
			}
			clear(w.h)
			Serve(w, r, e)
		}
	})
}

func BenchmarkEntry(b *testing.B) {
	body := []byte(strings.Repeat(`<li class="card"><a href="/jobs/staff-engineer-7Kx2mQ">Staff Engineer</a></li>`, 250))
	b.ReportAllocs()
	for b.Loop() {
		NewEntry(Page{Body: body})
	}
}
