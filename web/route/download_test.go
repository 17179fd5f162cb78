package route

import (
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/gin-gonic/gin"
)

// A download outlasts the time that the listener gives to an answer, and another
// answer does not.
func TestADownloadTakesItsTime(t *testing.T) {
	t.Parallel()
	gin.SetMode(gin.ReleaseMode)
	const each, count = 1 << 20, 8
	slow := func(c *gin.Context) error {
		for range count {
			if _, err := c.Writer.WriteString(strings.Repeat("x", each)); err != nil {
				return nil
			}
			time.Sleep(50 * time.Millisecond) // what the test is about
		}
		return nil
	}
	e := gin.New()
	for path, h := range map[string]Handler{"/download": Download(nil, slow), "/page": slow} {
		e.GET(path, func(c *gin.Context) { _ = h(c) })
	}
	srv := httptest.NewUnstartedServer(e)
	srv.Config.WriteTimeout = 100 * time.Millisecond
	srv.Start()
	t.Cleanup(srv.Close)
	size := func(path string) int64 {
		res, err := http.Get(srv.URL + path)
		if err != nil {
			return 0
		}
		defer func() { _ = res.Body.Close() }()
		n, _ := io.Copy(io.Discard, res.Body)
		return n
	}
	if n := size("/download"); n != each*count {
		t.Errorf("a slow download ends after %d bytes of %d", n, each*count)
	}
	if n := size("/page"); n >= each*count {
		t.Error("a slow page is not cut: the test shows nothing")
	}
}

// deadlines counts how often its reader was given time.
type deadlines struct {
	http.ResponseWriter
	n int
}

func (d *deadlines) SetWriteDeadline(time.Time) error { d.n++; return nil }

// What is written at once has the time of all its parts.
func TestADownloadInOnePieceTakesItsTime(t *testing.T) {
	t.Parallel()
	gin.SetMode(gin.ReleaseMode)
	rec := httptest.NewRecorder()
	w := &deadlines{ResponseWriter: rec}
	e := gin.New()
	e.GET("/csv", func(c *gin.Context) {
		_ = Unhurried(func(c *gin.Context) error { c.Data(http.StatusOK, "text/csv", make([]byte, 1<<20)); return nil })(c)
	})
	e.ServeHTTP(w, httptest.NewRequestWithContext(t.Context(), http.MethodGet, "/csv", http.NoBody))
	if rec.Body.Len() != 1<<20 || w.n < 1<<20/partSize {
		t.Errorf("%d bytes with time given %d times", rec.Body.Len(), w.n)
	}
}
