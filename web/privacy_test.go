package web_test

import (
	"archive/zip"
	"bytes"
	"context"
	"io"
	"net/http"
	"net/url"
	"regexp"
	"strings"
	"testing"

	"github.com/uptrace/bun"

	"shingle/authz"
	"shingle/domains/access"
	"shingle/tenant"
	"shingle/themes/looks"
)

var ticketField = regexp.MustCompile(`name="ticket" value="([^"]+)"`)

// The whole way by forms alone, in both languages, on a private board too.
func TestSomebodyTakesTheirDataAlongAndHasItErased(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ lang, foot, held, asked, kept, over string }{
		{"en", "Your data", "What we hold about you", "Erasure is on its way", "Nothing will be erased", "This link is over"},
		{"de", "Ihre Daten", "Was wir über Sie gespeichert haben", "Die Löschung ist vorgemerkt", "Es wird nichts gelöscht", "Dieser Link ist abgelaufen"},
	} {
		t.Run(c.lang, func(t *testing.T) {
			t.Parallel()
			h := newHouse(t)
			board := h.BoardOf(t, tenant.NewBoard{Slug: "orbit", Name: "Orbit", Locale: c.lang, Currency: "EUR", TimeZone: "UTC", ContactEmail: "desk@orbit.example"})
			const host, ada = "orbit.localhost", "ada@seeker.example"
			err := h.DB.Write(h.Ctx(t, board), func(ctx context.Context, tx bun.IDB) error {
				for _, p := range looks.Templates(board, looks.Publisher{Name: "Orbit", Street: "Kai 1", PostalCode: "20457", City: "Hamburg", Country: "Germany"}) {
					if err := looks.SavePage(ctx, tx, p); err != nil {
						return err
					}
				}
				_, err := tx.NewRaw(`INSERT INTO alerts (tenant_id, id, email, query, confirm_hash, stop_hash) VALUES (?, ?, ?, 'q=x', '\x01', '\x02')`, board.ID, tenant.NewRowID(), ada).Exec(ctx)
				return err
			})
			if err != nil {
				t.Fatal(err)
			}
			for _, path := range []string{"/", "/pages/privacy"} {
				page := read(t, h.visit(t, host, "GET", path, "", ""))
				if n := strings.Count(page, `href="/your-data"`); n != map[string]int{"/": 1, "/pages/privacy": 2}[path] || !strings.Contains(page, c.foot) {
					t.Errorf("%s leads to the page %d times", path, n)
				}
			}
			if c.lang == "de" {
				h.private(t, board, access.Change{Mode: access.Password, Password: "open sesame 42"})
			}
			post := func(path string, form url.Values, want int, says string) string {
				t.Helper()
				res := h.visit(t, host, "POST", "/your-data"+path, form.Encode(), "")
				body := read(t, res)
				if res.StatusCode != want || !strings.Contains(body, says) || len(res.Cookies()) > 0 || !strings.Contains(res.Header.Get("Cache-Control"), "no-store") {
					t.Fatalf("%s: %d, %d cookies, want %d and %q: %.1500s", path, res.StatusCode, len(res.Cookies()), want, says, body)
				}
				return body
			}
			post("", url.Values{"email": {"nonsense"}}, 422, `aria-invalid="true"`)
			// Known or not: the answer differs in the address alone.
			known, unknown := post("", url.Values{"email": {ada}}, 200, ada), post("", url.Values{"email": {"nobody@x.example"}}, 200, "nobody@x.example")
			if strings.ReplaceAll(known, ada, "?") != strings.ReplaceAll(unknown, "nobody@x.example", "?") {
				t.Error("the page tells who is known")
			}
			post("", url.Values{"email": {ada}}, 200, ada)
			token := h.linkTo(t, "data-link")
			for range 2 { // a mail scanner looks, and looks again
				res := h.visit(t, host, "GET", "/your-data/open?token="+token, "", "")
				if body := read(t, res); res.StatusCode != 200 || !strings.Contains(body, ada) || res.Header.Get("Referrer-Policy") != "no-referrer" || !strings.Contains(body, "noindex") {
					t.Fatalf("the link: %d %.600s", res.StatusCode, body)
				}
			}
			held := post("/open", url.Values{"token": {token}}, 200, c.held)
			post("/open", url.Values{"token": {token}}, 410, c.over)
			ticket := ticketField.FindStringSubmatch(held)[1]
			res := h.visit(t, host, "POST", "/your-data/download", url.Values{"ticket": {ticket}}.Encode(), "")
			raw, err := io.ReadAll(res.Body)
			if err != nil || res.StatusCode != 200 || res.Header.Get("Content-Type") != "application/zip" || !strings.Contains(res.Header.Get("Content-Disposition"), "attachment") {
				t.Fatalf("the file: %d %v", res.StatusCode, res.Header)
			}
			if z, err := zip.NewReader(bytes.NewReader(raw), int64(len(raw))); err != nil || len(z.File) != 2 {
				t.Errorf("the file: %v", err)
			}
			post("/download", url.Values{"ticket": {token}}, 410, c.over)
			post("/erase", url.Values{"ticket": {ticket}}, 422, `aria-invalid="true"`)
			post("/erase", url.Values{"ticket": {ticket}, "confirm": {"yes"}}, 200, c.asked)

			// The team sees both with their dates.
			boss := h.handedOver(t, h.signedIn(t, board.ID, authz.Admin), board)
			page := read(t, h.call(t, board.PlatformHost, http.MethodGet, "/admin/privacy", boss))
			if strings.Count(page, "<tr><td>") != 2 || !strings.Contains(page, ada) || strings.Contains(page, "⟦") {
				t.Errorf("the team sees %.3000s", page)
			}
			check := h.submit(t, board.PlatformHost, "/admin/privacy", boss, url.Values{"email": {ada}})
			if body := read(t, check); check.StatusCode != 200 || !strings.Contains(body, `role="status"`) {
				t.Errorf("asking after an address: %d", check.StatusCode)
			}
			if res := h.submit(t, board.PlatformHost, "/admin/privacy", boss, url.Values{"email": {"x"}}); res.StatusCode != 422 {
				t.Errorf("asking after none: %d", res.StatusCode)
			}
			editor := h.handedOver(t, h.signedIn(t, board.ID, authz.Editor), board)
			if res := h.call(t, board.PlatformHost, http.MethodGet, "/admin/privacy", editor); res.StatusCode != http.StatusForbidden {
				t.Errorf("an editor: %d", res.StatusCode)
			}
			keep := h.linkTo(t, "data-erasure-asked")
			if res := h.visit(t, host, "GET", "/your-data/keep?token="+keep, "", ""); res.StatusCode != 200 {
				t.Errorf("the way back: %d", res.StatusCode)
			}
			post("/keep", url.Values{"token": {keep}}, 200, c.kept)
			post("/keep", url.Values{"token": {keep}}, 410, c.over)
		})
	}
}
