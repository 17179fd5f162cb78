package plans

import (
	"bytes"
	"io"
	"net/http"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"

	"shingle/billing/stripesim"
	"shingle/internal/fault"
	"shingle/internal/testkit"
)

// asked is every request that plans make of Stripe. A new one stands here, or
// the test below fails; one that is never made fails it too.
var asked = []string{
	"DELETE /v1/subscriptions/{id}",
	"GET /v1/invoices",
	"GET /v1/invoices/upcoming",
	"GET /v1/subscriptions",
	"POST /v1/billing_portal/sessions",
	"POST /v1/checkout/sessions",
	"POST /v1/checkout/sessions/{id}/expire",
	"POST /v1/customers",
	"POST /v1/customers/{id}/balance_transactions",
	"POST /v1/prices",
	"POST /v1/products",
	"POST /v1/subscription_schedules",
	"POST /v1/subscription_schedules/{id}",
	"POST /v1/subscription_schedules/{id}/release",
	"POST /v1/subscriptions/{id}",
}

// allowed are requests that stripe-mock's newer API refuses and that version
// 2023-10-16 takes, each with the line of stripe-go v76 that says so.
var allowed = map[string]string{
	// Removed in 2025 for invoices/create_preview. stripe-go v76.25.0, invoice/client.go:131: "Upcoming is
	// the method for the `GET /v1/invoices/upcoming` API."
	"GET /v1/invoices/upcoming": "invoice/client.go:131",
}

var idInPath = regexp.MustCompile(`/(cs_test|cus|sub_sched|sub|in)_[A-Za-z0-9_]+`)

// Everything that plans ask is asked of the simulator, written down, and asked
// again of stripe-mock, which holds it against Stripe's own OpenAPI.
func TestEveryRequestIsOneThatStripeTakes(t *testing.T) {
	t.Parallel()
	base := testkit.StripeMock(t)
	w := newWorld(t)
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	open := func(p *Plan) {
		_, err := w.s.Subscribe(w.ctx, w.board.ID, w.price(t, p, Month), "http://x.test/ok", "http://x.test/back")
		must(err)
	}
	open(w.large) // closed by the next
	open(w.small)
	must(w.sim.Pay(w.session(t), stripesim.CardOK))
	w.deliver(t)
	must(w.s.ExtendTrial(t.Context(), w.board.ID, 1))
	w.pass(t, 20)
	_, err := w.s.Preview(w.ctx, w.board.ID, w.price(t, w.middle, Month))
	must(err)
	_, err = w.s.Change(w.ctx, w.board.ID, w.price(t, w.middle, Month), w.clock())
	must(err)
	_, err = w.s.Change(w.ctx, w.board.ID, w.price(t, w.small, Month), time.Time{})
	must(err)
	_, err = w.s.Cancel(w.ctx, w.board.ID)
	must(err)
	_, err = w.s.Undo(w.ctx, w.board.ID)
	must(err)
	_, err = w.s.Portal(w.ctx, w.board.ID, "http://x.test/back")
	must(err)
	must(w.s.Credit(t.Context(), w.board.ID, 500, "USD", "Thanks", uuid.New()))

	// Long unpaid, and deleted.
	must(w.sim.SetCard(w.row(t).Customer, stripesim.CardDeclined))
	w.pass(t, 130)
	wantKind(t, w.s.Delete(t.Context(), w.board.ID, "bolt"), fault.Invalid)
	must(w.s.Delete(t.Context(), w.board.ID, "acme"))

	shape := func(r request) string {
		path, _, _ := strings.Cut(r.uri, "?")
		return r.method + " " + idInPath.ReplaceAllString(path, "/{id}")
	}
	w.mu.Lock()
	all := slices.Clone(w.requests)
	w.mu.Unlock()
	var shapes []string
	for _, r := range all {
		shapes = append(shapes, shape(r))
	}
	slices.Sort(shapes)
	if got := slices.Compact(shapes); !slices.Equal(got, asked) {
		t.Errorf("the requests made are\n%s\nand the list says\n%s", strings.Join(got, "\n"), strings.Join(asked, "\n"))
	}
	for _, r := range all {
		req, err := http.NewRequestWithContext(t.Context(), r.method, base+r.uri, strings.NewReader(r.body))
		must(err)
		req.Header.Set("Authorization", "Bearer sk_test_123")
		if r.method == http.MethodPost {
			req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		}
		res, err := http.DefaultClient.Do(req)
		must(err)
		body, _ := io.ReadAll(res.Body)
		_ = res.Body.Close()
		if res.StatusCode >= 400 && allowed[shape(r)] == "" {
			t.Errorf("%s %s\n%s\nanswered %d: %s", r.method, r.uri, r.body, res.StatusCode, bytes.TrimSpace(body))
		}
		if res.StatusCode < 400 && allowed[shape(r)] != "" {
			t.Errorf("%s is taken now: strike it from the list", shape(r))
		}
	}
}
