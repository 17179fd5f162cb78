package main

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"regexp"
	"strings"
	"syscall"

	"github.com/google/uuid"
	"github.com/redis/go-redis/v9"
	"github.com/stripe/stripe-go/v76"
	"github.com/stripe/stripe-go/v76/client"

	"shingle/billing/stripesim"
)

// shop lets the first board sell: a connected account that takes charges, and a
// product.
func (w *world) shop(ctx context.Context) error {
	api := client.New("sk_test_bench", stripe.NewBackends(http.DefaultClient))
	api.Init("sk_test_bench", &stripe.Backends{API: stripe.GetBackendWithConfig(stripe.APIBackend, &stripe.BackendConfig{URL: stripe.String("http://" + w.stripe)})})
	account, err := api.Accounts.New(&stripe.AccountParams{Type: stripe.String("standard")})
	if err != nil {
		return err
	}
	if err := w.sim.CompleteOnboarding(account.ID); err != nil {
		return err
	}
	w.key = uuid.NewString()
	_, err = w.super.Exec(ctx, `INSERT INTO stripe_accounts (tenant_id, account, kind, charges_enabled, payouts_enabled, details_submitted) VALUES ($1, $2, 'standard', true, true, true)
		ON CONFLICT (tenant_id) DO UPDATE SET account = excluded.account`, w.boards[0].id, account.ID)
	if err == nil {
		_, err = w.super.Exec(ctx, `INSERT INTO products (tenant_id, id, name, price, currency, duration_days) VALUES ($1, $2, 'Job post', 9900, 'USD', 30)`, w.boards[0].id, w.key)
	}
	return err
}

// errTold is an answer of 503: the visitor is asked to come back.
var errTold = errors.New("told to wait")

// step posts a form and says where the answer leads.
func (w *world) step(ctx context.Context, d *draw, path string, form url.Values) (string, error) {
	h := d.header()
	h.Set("Content-Type", "application/x-www-form-urlencoded")
	status, head, err := w.ask(ctx, request{method: http.MethodPost, host: w.boards[0].host, path: path, header: h, body: []byte(form.Encode())})
	switch {
	case err != nil:
		return "", err
	case status == http.StatusServiceUnavailable || status == http.StatusBadGateway:
		return "", errTold
	case !moved(status):
		return "", fmt.Errorf("%s answers %d", path, status)
	}
	return head.Get("Location"), nil
}

var session = regexp.MustCompile(`cs_test_[A-Za-z0-9]+`)

// buy posts a job and pays for it as a guest does; what it returns is the
// address that bought.
func (w *world) buy(ctx context.Context, d *draw, n int64) (string, error) {
	email := fmt.Sprintf("buyer-%d@example.org", n)
	preview, err := w.step(ctx, d, "/post", url.Values{"proof": {proofOf(&w.boards[0], "post")}, "title": {"Baker"}, "company_name": {fmt.Sprintf("Bread & Sons %d", n)}, "employment_type": {"full_time"}, "workplace": {"on_site"},
		"country": {"DE"}, "city": {"Bremen"}, "description": {strings.Repeat("We bake bread all night and sell it all day. ", 5)}, "apply_method": {"board"}, "email": {email}})
	if err != nil {
		return "", err
	}
	checkout, err := w.step(ctx, d, strings.TrimSuffix(preview, "/preview")+"/products", url.Values{"product": {w.key}, "terms": {"yes"}})
	if err != nil {
		return "", err
	}
	id := session.FindString(checkout)
	if id == "" {
		return "", errTold // back at the products, with words about Stripe
	}
	return email, w.sim.Pay(id, stripesim.CardOK)
}

// ask makes one request through the balancer.
func (w *world) ask(ctx context.Context, r request) (int, http.Header, error) {
	return w.askAt(ctx, w.addr, r)
}

func (w *world) askAt(ctx context.Context, addr string, r request) (int, http.Header, error) {
	status, head, _, err := w.answer(ctx, addr, r)
	return status, head, err
}

func (w *world) answer(ctx context.Context, addr string, r request) (int, http.Header, []byte, error) {
	req, err := http.NewRequestWithContext(ctx, r.method, "http://"+addr+r.path, strings.NewReader(string(r.body)))
	if err != nil {
		return 0, nil, nil, err
	}
	for name, values := range r.header {
		req.Header[name] = values
	}
	req.Host = r.host
	res, err := w.client.RoundTrip(req)
	if err != nil {
		return 0, nil, nil, err
	}
	body, err := drain(res)
	return res.StatusCode, res.Header, body, err
}

// upstreams are the servers that faults befall.
func (w *world) upstreams() map[string]string {
	r, _ := redis.ParseURL(w.redis)
	all := map[string]string{"postgres": fmt.Sprintf("127.0.0.1:%d", w.pg.Cluster.Port()), "redis": r.Addr, "smtp": w.smtp, "stripe": w.stripe}
	if w.find != nil {
		all["typesense"] = w.find.addr
	}
	return all
}

func (w *world) onRedis(fn func(*redis.Client) error) error {
	r, err := redis.ParseURL(w.redis)
	if err != nil {
		return err
	}
	c := redis.NewClient(r)
	defer func() { _ = c.Close() }()
	return fn(c)
}

func (w *world) flushRedis(ctx context.Context) error {
	return w.onRedis(func(c *redis.Client) error { return c.FlushAll(ctx).Err() })
}

func (p *process) kill() {
	_ = p.cmd.Process.Signal(syscall.SIGKILL)
	_ = p.cmd.Wait()
}

// relaunch starts a process that has ended anew, at its old address.
func (w *world) relaunch(ctx context.Context, role string, i int) error {
	if role == "worker" {
		p, err := w.launch(ctx, role, "127.0.0.1:"+freePort(), true)
		if err == nil {
			w.workers[i] = p
		}
		return err
	}
	p, err := w.launch(ctx, role, w.serves[i].listen, true)
	if err == nil {
		p.listen = w.serves[i].listen
		w.swap(i, p)
	}
	return err
}
