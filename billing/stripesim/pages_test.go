package stripesim_test

import (
	"io"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/chromedp/chromedp"
	"github.com/stripe/stripe-go/v76"

	"shingle/billing/stripesim"
	"shingle/internal/testkit"
)

// browser follows no redirects, so that tests see where pages send people.
var browser = &http.Client{Timeout: 10 * time.Second, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}

func show(t *testing.T, url string) (int, string, string) {
	t.Helper()
	resp, err := browser.Get(url)
	must(t, err)
	return answerOf(t, resp)
}

func submit(t *testing.T, url string, form url.Values) (int, string, string) {
	t.Helper()
	resp, err := browser.PostForm(url, form)
	must(t, err)
	return answerOf(t, resp)
}

func answerOf(t *testing.T, resp *http.Response) (int, string, string) {
	t.Helper()
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	must(t, err)
	if csp := resp.Header.Get("Content-Security-Policy"); !strings.Contains(csp, "default-src 'none'") || strings.Contains(csp, "unsafe") {
		t.Errorf("policy: %q", csp)
	}
	return resp.StatusCode, string(body), resp.Header.Get("Location")
}

func contains(t *testing.T, body string, want ...string) {
	t.Helper()
	for _, w := range want {
		if !strings.Contains(body, w) {
			t.Errorf("no %q in the page: %.300s", w, body[strings.Index(body, "<main")+1:])
		}
	}
}

func fullSession(p *stripe.CheckoutSessionParams) {
	p.BillingAddressCollection = stripe.String("required")
	p.TaxIDCollection = &stripe.CheckoutSessionTaxIDCollectionParams{Enabled: stripe.Bool(true)}
	p.InvoiceCreation = &stripe.CheckoutSessionInvoiceCreationParams{Enabled: stripe.Bool(true)}
	p.ConsentCollection = &stripe.CheckoutSessionConsentCollectionParams{TermsOfService: stripe.String("required")}
	p.PaymentMethodTypes = stripe.StringSlice([]string{"card", "sepa_debit"})
}

func typed(card string) url.Values {
	return url.Values{"card": {card}, "email": {"ada@example.test"}, "name": {"Ada"}, "line1": {"Allee 1"}, "city": {"Bonn"}, "postcode": {"53111"}, "country": {"DE"}, "terms": {"yes"}, "tax_id": {"DE 123 456 789"}}
}

func TestTheCheckoutPageLeadsBackToTheShop(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	acct := b.account("standard", "Harbour <Board>")
	s := b.session(checkout(acct, "eur", 19900, 1990, fullSession))

	status, body, _ := show(t, s.URL)
	equal(t, "status", status, 200)
	contains(t, body, "Test checkout", "Harbour &lt;Board&gt;", "30-day listing", "€199.00", "4242 4242 4242 4242", "Bank debit (settles later)", `href="http://board.localhost/post"`)

	status, body, _ = submit(t, s.URL, url.Values{"card": {stripesim.CardOK}, "email": {"nobody"}, "name": {"Kept Name"}, "country": {"DE"}, "tax_id": {"GB1"}})
	equal(t, "wrong fields", status, 422)
	contains(t, body, "Enter an e-mail address.", "Enter the postcode.", "Enter a VAT number of Germany", "Agree to the terms", "Kept Name")

	status, body, _ = submit(t, s.URL, typed(stripesim.CardDeclined))
	equal(t, "declined", status, 402)
	contains(t, body, "Your card was declined.", "Go back without paying", `value="Allee 1"`)

	status, _, to := submit(t, s.URL, typed(stripesim.CardAskBank))
	equal(t, "to the bank", status, 303)
	_, body, _ = show(t, b.srv.URL+to)
	contains(t, body, "Approve the payment", "€199.00")
	_, _, to = submit(t, b.srv.URL+to, url.Values{"answer": {"fail"}})
	_, body, _ = show(t, b.srv.URL+to)
	contains(t, body, "Your bank did not approve the payment", `value="Ada"`)

	status, _, to = submit(t, s.URL, typed(stripesim.CardOK))
	equal(t, "paid", status, 303)
	equal(t, "success URL", to, "http://board.localhost/paid?session="+s.ID)
	got := b.fetch(acct, s.ID)
	equal(t, "tax id", got.CustomerDetails.TaxIDs[0].Value, "DE123456789")

	_, body, _ = show(t, b.srv.URL+"/checkout/"+s.ID)
	contains(t, body, "all done here")
	_, _, to = submit(t, b.srv.URL+"/checkout/"+s.ID, typed(stripesim.CardOK))
	if strings.Contains(to, "paid") {
		t.Errorf("paid twice: %s", to)
	}
	_, body, _ = show(t, got.Invoice.HostedInvoiceURL)
	contains(t, body, "Invoice ", "30-day listing", "€199.00", "DE123456789")
	_, body, _ = show(t, got.PaymentIntent.LatestCharge.ReceiptURL)
	contains(t, body, "€199.00")
}

func TestOnboardingLinksWorkOnce(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	a, err := b.api.Accounts.New(&stripe.AccountParams{Type: stripe.String("standard"), Country: stripe.String("GB")})
	must(t, err)
	if a.ChargesEnabled || a.DetailsSubmitted || len(a.Requirements.CurrentlyDue) == 0 || a.DefaultCurrency != "gbp" {
		t.Errorf("new account: %+v", a)
	}
	link := func() string {
		l, err := b.api.AccountLinks.New(&stripe.AccountLinkParams{Account: &a.ID, Type: stripe.String("account_onboarding"),
			RefreshURL: stripe.String("http://board.localhost/again"), ReturnURL: stripe.String("http://board.localhost/back")})
		must(t, err)
		return l.URL
	}
	state := func() (bool, bool) {
		got, err := b.api.Accounts.GetByID(a.ID, nil)
		must(t, err)
		return got.ChargesEnabled, got.DetailsSubmitted
	}
	first := link()
	_, _, page := show(t, first)
	_, _, again := show(t, first)
	equal(t, "second visit", again, "http://board.localhost/again")
	_, body, _ := show(t, b.srv.URL+page)
	contains(t, body, "Complete onboarding", "Leave unfinished", a.ID)
	_, _, to := submit(t, b.srv.URL+page, url.Values{"answer": {"later"}})
	equal(t, "return", to, "http://board.localhost/back")
	if charges, details := state(); charges || details {
		t.Error("left unfinished, and enabled")
	}
	late := link()
	b.clock.add(6 * time.Minute)
	_, _, to = show(t, late)
	equal(t, "late visit", to, "http://board.localhost/again")

	_, _, page = show(t, link())
	submit(t, b.srv.URL+page, url.Values{"answer": {"complete"}, "name": {"Marine Jobs"}})
	if charges, details := state(); !charges || !details {
		t.Error("completed, and not enabled")
	}
	last := b.sim.Events()[len(b.sim.Events())-1]
	equal(t, "event", last.Type+" "+last.Account, "account.updated "+a.ID)
}

func TestLoginLinksAreForExpressAccounts(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	standard, express := b.account("standard", "S"), b.account("express", "E")
	_, err := b.api.LoginLinks.New(&stripe.LoginLinkParams{Account: &standard})
	wantError(t, err, 400, invalidRequest, "", "account")
	l, err := b.api.LoginLinks.New(&stripe.LoginLinkParams{Account: &express})
	must(t, err)
	_, body, _ := show(t, l.URL)
	contains(t, body, express)
	_, body, _ = show(t, l.URL)
	contains(t, body, "has been used")
}

func TestTheOverviewActs(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	acct := b.account("standard", "Board")
	s := b.session(checkout(acct, "eur", 10000, 1000, fullSession))
	must(t, b.sim.Pay(s.ID, stripesim.BankDebit))
	_, body, _ := show(t, b.srv.URL+"/")
	contains(t, body, "/act/settle/"+s.ID, "/act/bounce/"+s.ID, "No webhook endpoint is set up")
	act := func(name, id string) {
		t.Helper()
		status, page, _ := submit(t, b.srv.URL+"/act/"+name+"/"+id, nil)
		if status != 303 {
			t.Errorf("%s: %d %s", name, status, page)
		}
	}
	act("settle", s.ID)
	ch := b.fetch(acct, s.ID).PaymentIntent.LatestCharge.ID
	_, body, _ = show(t, b.srv.URL+"/?account="+acct)
	contains(t, body, "Refund in full (as from Stripe's dashboard)", "Open dispute", "Send event again")
	act("dispute", ch)
	act("win", ch)
	act("resend", b.sim.Events()[0].ID)
	act("restrict", acct)
	act("verify", acct)
	paid := b.paid(acct, 5000, 0)
	act("refund", paid.PaymentIntent.LatestCharge.ID)
	act("expire", b.session(checkout(acct, "eur", 1000, 0)).ID)
	if status, _, _ := submit(t, b.srv.URL+"/act/refund/ch_none", nil); status != 404 {
		t.Errorf("refund of nothing: %d", status)
	}
	req, _ := http.NewRequest(http.MethodPost, b.srv.URL+"/act/refund/"+ch, nil)
	req.Header.Set("Sec-Fetch-Site", "cross-site")
	resp, err := browser.Do(req)
	must(t, err)
	defer resp.Body.Close()
	equal(t, "a button pressed from elsewhere", resp.StatusCode, 403)
}

func TestPagesLiveUnderAPath(t *testing.T) {
	t.Parallel()
	b := newBench(t, func(o *stripesim.Options) { o.BaseURL += "/stripe" })
	outer := http.StripPrefix("/stripe", b.sim.Handler())
	b.srv.Config.Handler = outer
	b.api = newClient(b.srv.URL+"/stripe", "sk_test_x")
	s := b.session(checkout("", "eur", 1000, 0))
	_, body, _ := show(t, s.URL)
	contains(t, body, `action="/stripe/checkout/`+s.ID, `href="/stripe/style.css?`)
}

func TestPagesAreAccessible(t *testing.T) {
	t.Parallel()
	ctx := testkit.Chromium(t)
	shop := newShop(t)
	b := newBench(t)
	acct := b.account("standard", "Harbour Board")
	s := b.session(checkout(acct, "eur", 19900, 1990, fullSession, func(p *stripe.CheckoutSessionParams) {
		p.SuccessURL, p.CancelURL = stripe.String(shop+"/paid?session={CHECKOUT_SESSION_ID}"), stripe.String(shop+"/post")
	}))
	look := func(name string, steps ...chromedp.Action[chromedp.Void]) {
		t.Helper()
		if err := chromedp.Do(ctx, steps...); err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		testkit.Axe(t, ctx)
	}
	press := chromedp.Click(`main form button`)
	look("checkout", chromedp.EmulateViewport(375, 812), chromedp.Navigate(s.URL), chromedp.WaitVisible(`#email`))
	wide, err := chromedp.Run(ctx, chromedp.Evaluate[bool](`document.documentElement.scrollWidth > innerWidth`))
	must(t, err)
	if wide {
		t.Error("the checkout page is wider than a phone")
	}
	testkit.Screenshot(t, ctx, "stripesim checkout", 375)
	testkit.Screenshot(t, ctx, "stripesim checkout", 1280)
	look("wrong fields", press, chromedp.WaitVisible(`#email-wrong`))
	look("declined", chromedp.SetValue(`#email`, "ada@example.test"), chromedp.SetValue(`#name`, "Ada"), chromedp.SetValue(`#country`, "DE"), chromedp.SetValue(`#line1`, "Allee 1"),
		chromedp.SetValue(`#city`, "Bonn"), chromedp.SetValue(`#postcode`, "53111"), chromedp.Click(`#terms`), chromedp.Click(`#card-4000000000000002`), press,
		chromedp.WaitVisible(`.problem`), chromedp.WaitNotPresent(`#email-wrong`))
	look("bank", chromedp.Click(`#card-4000002500003155`), press, chromedp.WaitVisible(`button[value=approve]`))
	must(t, chromedp.Do(ctx, chromedp.Click(`button[value=approve]`), chromedp.WaitVisible(`#thanks`)))
	at, err := chromedp.Run(ctx, chromedp.Location())
	must(t, err)
	equal(t, "back at the shop", at, shop+"/paid?session="+s.ID)
	got := b.fetch(acct, s.ID)
	look("invoice", chromedp.Navigate(got.Invoice.HostedInvoiceURL), chromedp.WaitVisible(`h1`))
	look("done", chromedp.Navigate(s.URL), chromedp.WaitVisible(`h1`))
	l, err := b.api.AccountLinks.New(&stripe.AccountLinkParams{Account: &acct, Type: stripe.String("account_onboarding"), RefreshURL: &shop, ReturnURL: &shop})
	must(t, err)
	look("onboarding", chromedp.Navigate(l.URL), chromedp.WaitVisible(`button[value=complete]`))
	look("overview", chromedp.Navigate(b.srv.URL+"/"), chromedp.WaitVisible(`#deliveries`))
	testkit.Screenshot(t, ctx, "stripesim overview", 1280)
}

// newShop is where buyers come back to; another origin than the pages.
func newShop(t *testing.T) string {
	srv := newServer(t, func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/html")
		_, _ = io.WriteString(w, `<!doctype html><title>Shop</title><h1 id="thanks">Thanks</h1>`)
	})
	return srv.URL
}
