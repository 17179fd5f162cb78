package route

import (
	"net/http"
	"time"

	"github.com/gin-gonic/gin"

	"shingle/accounts"
)

// stalled is how long a download may wait for its reader to take the next part.
const stalled = time.Minute

// partSize is what a reader has that time for, in bytes, however much is written
// at once.
const partSize = 64 << 10

// Download is Limited by accounts.Downloads, for answers that take as long as
// their reader's line needs: the listener's time for a whole answer holds for
// each part instead.
func Download(l *accounts.Limiter, h Handler) Handler {
	return Limited(l, accounts.Downloads, Unhurried(h))
}

// Unhurried is Download for what was counted where its link was given out.
func Unhurried(h Handler) Handler {
	return func(c *gin.Context) error {
		c.Writer = &parts{ResponseWriter: c.Writer, times: http.NewResponseController(c.Writer)}
		return h(c)
	}
}

type parts struct {
	gin.ResponseWriter
	times *http.ResponseController
}

func (p *parts) more() {
	_ = p.times.SetWriteDeadline(time.Now().Add(stalled)) // a writer without deadlines waits for ever anyway
}

// Write is http.ResponseWriter's.
func (p *parts) Write(b []byte) (n int, err error) {
	for err == nil && len(b) > 0 {
		part := b[:min(len(b), partSize)]
		b = b[len(part):]
		p.more()
		var m int
		m, err = p.ResponseWriter.Write(part)
		n += m
	}
	return n, err
}

// WriteString is io.StringWriter's.
func (p *parts) WriteString(s string) (int, error) { return p.Write([]byte(s)) }

// Unwrap lets http.ResponseController through.
func (p *parts) Unwrap() http.ResponseWriter { return p.ResponseWriter }
