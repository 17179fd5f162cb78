package web_test

import (
	"context"
	"io"
	"log/slog"
	"math/rand/v2"
	"net"
	"net/http"
	"net/http/httptest"
	"slices"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/gin-gonic/gin"

	"shingle/tenant"
)

// ask is one request of the mix.
type ask struct{ host, path string }

// mix draws from 200 boards and 20 pages of each, the first far more often.
func mix(hosts []string, paths [][]string) []ask {
	src := rand.New(rand.NewPCG(7, 11))
	board, page := rand.NewZipf(src, 1.1, 1, uint64(len(hosts)-1)), rand.NewZipf(src, 1.3, 1, 19)
	out := make([]ask, 1<<14)
	for i := range out {
		b := board.Uint64()
		out[i] = ask{hosts[b], paths[b][page.Uint64()]}
	}
	return out
}

// benchBoards are 200 small boards, with their pages in memory as far as 64 MiB go.
func benchBoards(b *testing.B) (*house, []ask) {
	b.Helper()
	h := newHouse(b)
	h.caching(b, 64<<20)
	ctx, stop := context.WithCancel(context.Background())
	listening := make(chan struct{})
	// The resolver trusts what it knows while the listener is there, as in service.
	quiet := tenant.NewNotifier(h.PG.App, slog.New(slog.DiscardHandler))
	h.Boards.Attach(quiet)
	go func() { defer close(listening); quiet.Run(ctx) }()
	b.Cleanup(func() { stop(); <-listening })
	from := demoBoards(b)
	hosts, paths := make([]string, 200), make([][]string, 200)
	for i := range hosts {
		board := h.Board(b, "board"+strconv.Itoa(i))
		hosts[i], paths[i] = board.PlatformHost, h.fill(b, board, &from[i%2*2], 10).paths[:20]
	}
	return h, mix(hosts, paths)
}

// bare answers with the bytes and headers that the house gave, from a map.
func bare(b *testing.B, h *house, all []ask) http.Handler {
	b.Helper()
	type answer struct {
		head   http.Header
		body   []byte
		status int
	}
	known := map[ask]answer{}
	for _, a := range all {
		if _, ok := known[a]; ok {
			continue
		}
		rec := httptest.NewRecorder()
		h.handler.ServeHTTP(rec, request(a))
		if rec.Code != http.StatusOK || rec.Header().Get("Content-Encoding") != "gzip" {
			b.Fatalf("%v: %d, %q", a, rec.Code, rec.Header().Get("Content-Encoding"))
		}
		known[a] = answer{rec.Header(), rec.Body.Bytes(), rec.Code}
	}
	e := gin.New()
	e.NoRoute(func(c *gin.Context) {
		a := known[ask{c.Request.Host, c.Request.URL.RequestURI()}]
		head := c.Writer.Header()
		for name, v := range a.head {
			head[name] = v
		}
		c.Writer.WriteHeader(a.status)
		_, _ = c.Writer.Write(a.body)
	})
	return e
}

func request(a ask) *http.Request {
	r := httptest.NewRequest(http.MethodGet, a.path, http.NoBody)
	r.Host = a.host
	r.Header.Set("Accept-Encoding", "gzip")
	return r
}

// nowhere is a writer that keeps nothing.
type nowhere struct{ head http.Header }

func (n *nowhere) Header() http.Header         { return n.head }
func (n *nowhere) Write(p []byte) (int, error) { return len(p), nil }
func (n *nowhere) WriteHeader(int)             {}

// BenchmarkPageCache is the public pages of 200 boards from the page cache,
// against a bare gin handler that writes the same bytes and headers; the two
// take turns. "in process" has no network around it; "over TCP" is what a
// visitor's throughput is.
func BenchmarkPageCache(b *testing.B) {
	h, all := benchBoards(b)
	plain := bare(b, h, all)
	b.Run("in process", func(b *testing.B) {
		requests := make([]*http.Request, len(all))
		for i, a := range all {
			requests[i] = request(a)
		}
		w := &nowhere{head: http.Header{}}
		turns(b, func(which, n int) {
			handler := []http.Handler{h.handler, plain}[which]
			for i := range n {
				clear(w.head)
				handler.ServeHTTP(w, requests[i%len(requests)])
			}
		})
	})
	b.Run("over TCP", func(b *testing.B) {
		addrs := []string{listen(b, h.handler), listen(b, plain)}
		turns(b, func(which, n int) { drive(b, addrs[which], all, n) })
	})
	b.Run("hit", func(b *testing.B) { // for the profiler
		r, w := request(all[0]), &nowhere{head: http.Header{}}
		b.ReportAllocs()
		for b.Loop() {
			clear(w.head)
			h.handler.ServeHTTP(w, r)
		}
	})
}

// turns lets both do b.N requests in slices and reports the ratio of the
// medians of their throughputs.
func turns(b *testing.B, run func(which, n int)) {
	b.Helper()
	const slicesOf = 15
	n := max(b.N/slicesOf, 1)
	run(0, n)
	run(1, n)
	var rates [2][]float64
	b.ResetTimer()
	for range slicesOf {
		for which := range rates {
			begun := time.Now()
			run(which, n)
			rates[which] = append(rates[which], float64(n)/time.Since(begun).Seconds())
		}
	}
	for which := range rates {
		slices.Sort(rates[which])
	}
	ours, theirs := rates[0][slicesOf/2], rates[1][slicesOf/2]
	b.ReportMetric(ours, "pages/s")
	b.ReportMetric(theirs, "bare/s")
	b.ReportMetric(ours/theirs, "ratio")
}

func listen(b *testing.B, h http.Handler) string {
	b.Helper()
	srv := httptest.NewServer(h)
	b.Cleanup(srv.Close)
	return srv.Listener.Addr().String()
}

// drive sends n requests over 8 kept connections.
func drive(b *testing.B, addr string, all []ask, n int) {
	b.Helper()
	tr := &http.Transport{DisableCompression: true, MaxIdleConnsPerHost: 8,
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			return new(net.Dialer).DialContext(ctx, "tcp", addr)
		}}
	defer tr.CloseIdleConnections()
	var wg sync.WaitGroup
	for w := range 8 {
		wg.Go(func() {
			for i := w; i < n; i += 8 {
				a := all[i%len(all)]
				r, err := http.NewRequest(http.MethodGet, "http://"+addr+a.path, http.NoBody)
				if err != nil {
					b.Error(err)
					return
				}
				r.Host = a.host
				r.Header.Set("Accept-Encoding", "gzip")
				res, err := tr.RoundTrip(r)
				if err != nil {
					b.Error(err)
					return
				}
				_, _ = io.Copy(io.Discard, res.Body)
				_ = res.Body.Close()
				if res.StatusCode != http.StatusOK {
					b.Errorf("%v: %d", a, res.StatusCode)
					return
				}
			}
		})
	}
	wg.Wait()
}
