package employer

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/gin-gonic/gin"
	"github.com/google/uuid"

	"shingle/billing"
	"shingle/candidates"
	"shingle/listings"
	"shingle/web/console"
)

// Each page is drawn in both languages, full and empty: a template that names
// what is not there, or a key without words, fails here.
func TestPagesOfTheDeskDraw(t *testing.T) {
	t.Parallel()
	e, _, _ := loads(t)
	now := time.Now()
	l := &listings.Listing{ID: uuid.New(), Title: "Night nurse", State: listings.Live, ApplyMethod: listings.ApplyBoard, PublishedAt: &now, EndsAt: &now, Company: &listings.Company{Name: "Hospital"}}
	order := billing.Line{Order: billing.Order{ID: uuid.New(), Number: 1001, ListingID: l.ID, State: billing.Paid, Amount: 19900, Currency: "EUR", CreatedAt: now,
		Product: billing.Bought{Name: "30 days"}, InvoiceURL: "https://invoice.example/1", InvoiceNumber: "A-1"}, ListingTitle: l.Title}
	unpaid := billing.Line{Order: billing.Order{State: billing.Open, Currency: "EUR", CreatedAt: now}}
	a := candidates.Application{ID: uuid.New(), Name: "Ada Example", Email: "ada@example.org", CVKey: "k", CVName: "cv.pdf", Status: candidates.New, Note: "Hello", ConsentText: "Fine", CreatedAt: now}
	gone := candidates.Application{ID: uuid.New(), Status: candidates.Withdrawn, WithdrawnAt: &now, CreatedAt: now}
	statuses := append(candidates.Statuses(), candidates.Withdrawn)
	options := []console.Option{{Value: "new", Label: "New"}}
	listing := func(s listings.State, more map[string]any) map[string]any {
		of := *l
		of.State, of.ReviewNote = s, "Say where the work is."
		m := map[string]any{"Hold": (*listings.Move)(nil), "Ask": "", "L": &of, "V": valuesOf(listings.ContentOf(&of), "de"), "Acts": acts[s], "Orders": []billing.Line(nil), "Pending": (*listings.Revision)(nil),
			"Errors": map[string]string(nil), "URL": "https://board.example/jobs/1", "Public": s.Public(), "Editable": s != listings.Filled && s != listings.Removed, "Moderated": true}
		for _, name := range []string{"Categories", "Types", "Workplaces", "Seniorities", "Periods", "Methods", "Currencies", "Countries"} {
			m[name] = options
		}
		for k, v := range more {
			m[k] = v
		}
		return m
	}
	type page struct {
		name string
		data map[string]any
		want []string
	}
	pages := []page{
		{"desk", map[string]any{"Rows": []deskRow(nil)}, []string{`href="/post"`}},
		{"desk", map[string]any{"Rows": []deskRow{{Card: listings.Card{ID: l.ID, Title: l.Title, State: listings.Draft, ReviewNote: "x", Pending: true, EndsAt: &now}, Applicants: 7, Fresh: 2}}},
			[]string{"/employers/listings/" + l.ID.String() + "/applicants", ">7</a>"}},
		{"orders", map[string]any{"Orders": []billing.Line(nil)}, []string{"empty-title"}},
		{"orders", map[string]any{"Orders": []billing.Line{order, unpaid}}, []string{"https://invoice.example/1", "A-1", "#1001"}},
		{"applicants", map[string]any{"L": l, "Rows": []candidates.Application(nil), "Status": "", "Statuses": statuses}, []string{"empty-title"}},
		{"applicants", map[string]any{"L": l, "Rows": []candidates.Application(nil), "Status": "hired", "Statuses": statuses}, []string{`value="hired" selected`}},
		{"applicants", map[string]any{"L": l, "Rows": []candidates.Application{a, gone}, "Status": "", "Statuses": statuses}, []string{"/employers/applications/" + a.ID.String() + "/cv"}},
		{"application", map[string]any{"A": &a, "L": l, "Replies": []candidates.Reply{{Body: "Come and see us.", At: now}}, "Body": "Half a", "Errors": map[string]string{"body": "Too short"}, "Statuses": options},
			[]string{"Come and see us.", "Half a</textarea>", "Too short", `name="status"`, "/cv"}},
		{"application", map[string]any{"A": &gone, "L": l, "Replies": []candidates.Reply(nil), "Body": "", "Errors": map[string]string(nil), "Statuses": options}, nil},
		{"listing", listing(listings.Draft, map[string]any{"Resubmit": true}), []string{`name="resubmit"`, "Say where the work is."}},
		{"listing", listing(listings.AwaitingPayment, map[string]any{"Pay": "/post/token/products"}), []string{`href="/post/token/products"`}},
		{"listing", listing(listings.Live, map[string]any{"Orders": []billing.Line{order}, "Pending": &listings.Revision{}, "Errors": map[string]string{"title": "Bad title"}}),
			[]string{"Bad title", `value="fill"`, "https://board.example/jobs/1", "https://invoice.example/1"}},
	}
	hold := &listings.Move{To: listings.Paused, Reason: "Looks like a scam."}
	pages = append(pages, page{"listing", listing(listings.Paused, map[string]any{"Hold": hold, "Ask": "desk@board.example", "Acts": []string{"fill"}}),
		[]string{"Looks like a scam.", "mailto:desk@board.example"}})
	for _, s := range listings.States() {
		want := []string{}
		for _, act := range acts[s] {
			if act == "relist" {
				want = append(want, "/relist")
			} else {
				want = append(want, `name="act" value="`+act+`"`)
			}
		}
		pages = append(pages, page{"listing", listing(s, nil), want})
	}
	for _, locale := range console.Locales {
		for _, p := range pages {
			w := httptest.NewRecorder()
			c, _ := gin.CreateTestContext(w)
			c.Request = httptest.NewRequest(http.MethodGet, "/employers/desk?ok=desk.saved", nil)
			if err := e.shell.Render(c, http.StatusOK, p.name, console.Page{Title: p.name, Locale: locale, Brand: console.Brand{Name: "Board"}}, p.data); err != nil {
				t.Errorf("%s %s: %v", locale, p.name, err)
				continue
			}
			body := w.Body.String()
			for _, bad := range []string{"⟦", "<no value>", "%!", "style="} {
				if strings.Contains(body, bad) {
					t.Errorf("%s %s holds %s", locale, p.name, bad)
				}
			}
			for _, want := range p.want {
				if !strings.Contains(body, want) {
					t.Errorf("%s %s lacks %s", locale, p.name, want)
				}
			}
		}
	}
}
