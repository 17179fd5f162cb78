package web_test

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/prometheus/client_golang/prometheus"
	"gocloud.dev/blob"

	"shingle/billing/plans"
	"shingle/domains/access"
	"shingle/internal/testkit"
	"shingle/tenant"
	"shingle/web"
)

// filesHouse serves uploads from a host of their own.
func filesHouse(t *testing.T) *house {
	t.Helper()
	h := newHouse(t)
	h.parts.FilesHost, h.parts.FilesOrigin = "files.test", "http://files.test:8080"
	h.parts.Site.FilesOrigin, h.parts.Registry = h.parts.FilesOrigin, prometheus.NewRegistry()
	var err error
	if h.handler, err = web.New(h.parts); err != nil {
		t.Fatal(err)
	}
	return h
}

// upload keeps a file of a board.
func (h *house) upload(t *testing.T, b *tenant.Tenant, name, kind, body string) {
	t.Helper()
	w, err := h.parts.Site.Files.NewWriter(t.Context(), b.ID.String()+"/"+name, &blob.WriterOptions{ContentType: kind})
	if err == nil {
		_, err = w.Write([]byte(body))
	}
	if err == nil {
		err = w.Close()
	}
	if err != nil {
		t.Fatal(err)
	}

}

const pngFile = "\x89PNG\r\n\x1a\n and whatever else"

// download checks what an upload says about itself.
func download(t *testing.T, what string, rec *httptest.ResponseRecorder) {
	t.Helper()
	h := rec.Header()
	if rec.Code != http.StatusOK || h.Get("Content-Security-Policy") != "default-src 'none'; sandbox" || h.Get("X-Content-Type-Options") != "nosniff" || !strings.HasPrefix(h.Get("Content-Disposition"), "attachment") {
		t.Errorf("%s: %d %v", what, rec.Code, h)
	}
	if len(h.Values("Set-Cookie")) > 0 {
		t.Errorf("%s sets a cookie", what)
	}
}

func TestUploadsOnABoardAreDownloads(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	board := h.Board(t, "acme")
	h.upload(t, board, "logos/a.png", "image/png", pngFile)
	h.upload(t, board, "cv/a.pdf", "application/pdf", "%PDF-1.4")
	for _, path := range []string{"/x/logos/a.png", "/files/logos/a.png"} {
		download(t, path, h.get(t, board.PlatformHost, path))
	}
	for _, path := range []string{"/x/cv/a.pdf", "/x/logos/../cv/a.pdf", "/x/logos/%2e%2e/cv/a.pdf", "/x/", "/x/none"} {
		if rec := h.get(t, board.PlatformHost, path); rec.Code != http.StatusNotFound {
			t.Errorf("%s: %d, want 404", path, rec.Code)
		}
	}
}

func TestTheHostOfUploads(t *testing.T) {
	t.Parallel()
	h := filesHouse(t)
	board, rival, shut := h.Board(t, "acme"), h.Board(t, "rival"), h.Board(t, "shut")
	for _, b := range []*tenant.Tenant{board, rival, shut} {
		h.upload(t, b, "logos/a.png", "image/png", pngFile)
	}
	h.private(t, shut, access.Change{Mode: access.Password, Password: "open sesame 42"})
	at := "/x/" + board.ID.String() + "/logos/a.png"
	if rec := h.get(t, board.PlatformHost, "/x/logos/a.png"); rec.Code != http.StatusFound || rec.Header().Get("Location") != "http://files.test:8080"+at {
		t.Errorf("the board leads to %q (%d)", rec.Header().Get("Location"), rec.Code)
	}
	if rec := h.get(t, board.PlatformHost, "/x/logos/a.png"); rec.Header().Get("Cross-Origin-Resource-Policy") != "cross-origin" {
		t.Error("other sites may not follow to a logo")
	}
	download(t, "a logo", h.get(t, "files.test", at))
	download(t, "with a port", h.get(t, "FILES.test:8080", at))
	if csp := h.get(t, board.PlatformHost, "/").Header().Get("Content-Security-Policy"); !strings.Contains(csp, "img-src 'self' data: http://files.test:8080;") {
		t.Errorf("pages may not show its pictures: %s", csp)
	}
	// Nothing else is there: no page, no sign-in, no board.
	for _, path := range []string{"/", "/sign-in", "/admin", "/staff", "/jobs", "/api/v1/board", "/assets/console/none", "/x/logos/a.png", "/x/" + board.ID.String() + "/cv/a.pdf", "/webhooks/stripe",
		"/x/" + uuid.NewString() + "/logos/a.png", "/x/none/logos/a.png", "/x/" + board.ID.String() + "/logos/none.png", "/x/" + shut.ID.String() + "/logos/a.png"} {
		rec := h.get(t, "files.test", path)
		if rec.Code != http.StatusNotFound || len(rec.Header().Values("Set-Cookie")) > 0 {
			t.Errorf("%s: %d, want 404", path, rec.Code)
		}
		safe(t, "files.test"+path, rec)
	}
	// A board that its plan has closed shows nothing there either.
	h.step(t, board, plans.Suspended)
	testkit.Eventually(t, 10*time.Second, func() error {
		if rec := h.get(t, "files.test", at); rec.Code != http.StatusNotFound {
			return fmt.Errorf("a suspended board's logo: %d", rec.Code)
		}
		return nil
	})
	// A private board's pictures stay behind its door.
	if rec := h.get(t, shut.PlatformHost, "/x/logos/a.png"); rec.Code != http.StatusUnauthorized {
		t.Errorf("a private board's picture: %d", rec.Code)
	}
}

// A CV's link on the host of uploads is for its application, its board and a minute.
func TestALinkToACVIsShortAndItsOwn(t *testing.T) {
	t.Parallel()
	h := filesHouse(t)
	now := time.Now()
	h.parts.Site.Candidates.Now = func() time.Time { return now }
	board, rival := h.Board(t, "acme"), h.Board(t, "rival")
	job := h.job(t, board)
	kind, body := application("ada@x.example", "")
	if rec := h.from(t, "198.51.100.9", board.PlatformHost, job+"/apply", kind, body); rec.Code != http.StatusAccepted {
		t.Fatalf("%d", rec.Code)
	}
	h.from(t, "198.51.100.9", board.PlatformHost, "/confirm", encoded, "token="+h.linkTo(t, "form-held"))
	id, listing := h.applied(t)
	other, made := uuid.New(), h.parts.Site.Candidates
	link := func(b *tenant.Tenant, application uuid.UUID, token string) string {
		return "/x/" + b.ID.String() + "/cv/" + application.String() + "/" + token
	}
	good := made.CVLink(board.ID, listing, id)
	rec := h.get(t, "files.test", link(board, id, good))
	download(t, "a CV", rec)
	if !strings.HasPrefix(rec.Body.String(), "%PDF") || rec.Header().Get("Cache-Control") != "private, no-store" {
		t.Errorf("the CV is %.20q, %v", rec.Body, rec.Header())
	}
	for what, path := range map[string]string{
		"another board":            link(rival, id, good),
		"another board's link":     link(board, id, made.CVLink(rival.ID, listing, id)),
		"another listing's":        link(board, id, made.CVLink(board.ID, other, id)),
		"another application":      link(board, id, made.CVLink(board.ID, listing, other)),
		"the mail's, for a week":   link(board, id, made.CVToken(board.ID, listing, id, now.Add(time.Hour))),
		"a made-up one":            link(board, id, strings.Repeat("A", 38)),
		"an application of nobody": link(board, other, good),
	} {
		if rec := h.get(t, "files.test", path); rec.Code != http.StatusNotFound {
			t.Errorf("%s: %d, want 404", what, rec.Code)
		}
	}
	now = now.Add(2 * time.Minute)
	if rec := h.get(t, "files.test", link(board, id, good)); rec.Code != http.StatusGone {
		t.Errorf("two minutes later: %d, want 410", rec.Code)
	}
}
