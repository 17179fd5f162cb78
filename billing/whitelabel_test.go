package billing

import (
	"io"
	"net/http"
	"net/url"
	"strings"
	"testing"

	"context"
	"github.com/uptrace/bun"
)

// What a buyer may see of a sale names the board and never the platform: what we
// tell Stripe (it is on its page, in receipts and on invoices), and the
// simulator's page itself. With destination charges the platform is the merchant,
// so Stripe's own page names it by law; what we send does not.
func TestACheckoutNamesTheBoardAlone(t *testing.T) {
	t.Parallel()
	for _, mode := range []string{Direct, Destination} {
		t.Run(mode, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			if mode == Destination {
				w.destination(t)
			}
			w.sell(t)
			o := w.place(t, w.listing(t), w.product(t, 19900, "EUR"))
			w.mu.Lock()
			w.requests = nil // what went before is between the owner, the platform and Stripe
			w.mu.Unlock()
			page, err := w.s.Checkout(w.ctx, o.ID, "http://acme.localhost:8080/done", "http://acme.localhost:8080/back")
			if err != nil {
				t.Fatal(err)
			}
			var session string
			w.read(t, func(ctx context.Context, tx bun.IDB) error {
				open, err := openSessions(ctx, tx, o.ID)
				if err == nil && len(open) == 1 {
					session = open[0].ID
				}
				return err
			})
			shown := func(what string) {
				t.Helper()
				if mode == Destination {
					return
				}
				res, err := http.Get(page) //nolint:gosec // the simulator's
				if err != nil {
					t.Fatal(err)
				}
				body, err := io.ReadAll(res.Body)
				_ = res.Body.Close()
				if err != nil {
					t.Fatal(err)
				}
				anonymous(t, what, string(body))
				for k, v := range res.Header {
					anonymous(t, what+", its headers", k+": "+strings.Join(v, " "))
				}
			}
			shown("the checkout page")
			w.pay(t, session, "4242424242424242")
			shown("the paid checkout page")
			w.deliver(t)
			w.mu.Lock()
			defer w.mu.Unlock()
			opened := false
			for _, r := range w.requests {
				form, err := url.ParseQuery(r.body)
				if err != nil {
					t.Fatal(err)
				}
				for k, vs := range form {
					anonymous(t, r.method+" "+r.uri, k+"="+strings.Join(vs, " "))
				}
				if r.method != http.MethodPost || r.uri != "/v1/checkout/sessions" {
					continue
				}
				opened = true
				for _, k := range []string{"success_url", "cancel_url"} {
					if u, err := url.Parse(form.Get(k)); err != nil || u.Host != "acme.localhost:8080" {
						t.Errorf("%s is %q", k, form.Get(k))
					}
				}
				for _, k := range []string{"payment_intent_data[description]", "invoice_creation[invoice_data][description]"} {
					if !strings.HasPrefix(form.Get(k), w.board.Name+",") {
						t.Errorf("%s is %q", k, form.Get(k))
					}
				}
				want := ""
				if mode == Destination {
					want = "ACME JOBS"
				}
				if got := form.Get("payment_intent_data[statement_descriptor_suffix]"); got != want {
					t.Errorf("the bank's line ends in %q, want %q", got, want)
				}
				if form.Get("line_items[0][price_data][product_data][name]") != "Job post" {
					t.Errorf("sold is %q", form.Get("line_items[0][price_data][product_data][name]"))
				}
			}
			if !opened {
				t.Errorf("no checkout among %d requests", len(w.requests))
			}
		})
	}
}

func anonymous(t *testing.T, what, text string) {
	t.Helper()
	low := strings.ToLower(text)
	for _, name := range []string{"shingle", "platform"} {
		if i := strings.Index(low, name); i >= 0 {
			t.Errorf("%s holds %q: …%.160s…", what, name, text[max(0, i-60):])
		}
	}
}

func TestTheBanksLineIsPrintable(t *testing.T) {
	t.Parallel()
	for name, want := range map[string]string{"Pflegewerk": "PFLEGEWERK", "Müller & Söhne": "MULLER SOHNE", "Straßen*Jobs<>": "STRASSEN JOB", "求人": "", "24-7": "", "A 求": "A",
		"1234567890 12 Jobs": ""} {
		if got := statementSuffix(name); got != want {
			t.Errorf("%s: %q, want %q", name, got, want)
		}
	}
}
