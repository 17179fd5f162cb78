package route

import (
	"bytes"
	"context"
	"log/slog"
	"net/http/httptest"
	"testing"

	"github.com/gin-gonic/gin"

	"shingle/internal/fault"
)

func TestWhoHungUpIsNoFailure(t *testing.T) {
	for _, hungUp := range []bool{true, false} {
		var logged bytes.Buffer
		ctx, cancel := context.WithCancel(t.Context())
		w := httptest.NewRecorder()
		c, _ := gin.CreateTestContext(w)
		c.Request = httptest.NewRequestWithContext(ctx, "GET", "/jobs", nil)
		if hungUp {
			cancel()
		}
		pages := 0
		Fail(c, fault.New(fault.Unavailable, "the database does not answer"), func(*gin.Context, int, error) { pages++ }, slog.New(slog.NewTextHandler(&logged, nil)))
		if quiet := logged.Len() == 0 && pages == 0; quiet != hungUp {
			t.Errorf("hung up %v: logged %q and rendered %d pages", hungUp, logged.String(), pages)
		}
		cancel()
	}
}
