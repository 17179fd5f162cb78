package billing

import (
	"context"
	"encoding/json"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/uptrace/bun"

	"shingle/billing/stripesim"
	"shingle/internal/fault"
	"shingle/internal/testkit"
	"shingle/tasks"
	"shingle/tenant"
)

// over is the service on a rival's door.
func (w *world) over(r *testkit.Rival) *Service {
	s := *w.s
	s.db = r.DB
	return &s
}

// A rival board finds nothing, and what it tries changes nothing, with each
// wall alone.
func TestRivalBoardsFindNothing(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.sell(t)
	sale := w.sale(t)
	p := w.product(t, 19900, "USD")
	l := w.listing(t)
	o := w.place(t, l, p)
	session := w.open(t, o)
	var refund *Refund
	w.write(t, func(ctx context.Context, tx bun.IDB) (err error) {
		if _, err = tx.NewRaw(`INSERT INTO people (tenant_id, id, email) VALUES (?0, ?1, 'p@x.example'); UPDATE orders SET person_id = ?1`, w.board.ID, sale.ID).Exec(ctx); err != nil {
			return err
		}
		refund, err = w.s.AskRefund(ctx, tx, sale.ID, "")
		return err
	})
	if _, err := w.s.Reconcile(w.ctx, sale.CreatedAt.Add(-time.Hour), time.Now()); err != nil {
		t.Fatal(err)
	}
	f, err := w.s.fetchSession(w.ctx, o.account(), session)
	if err != nil {
		t.Fatal(err)
	}
	rival := w.Board(t, "rival")
	free := &Product{Name: "Free", Currency: "USD", DurationDays: 10, Active: true}
	if err := w.DB.Write(w.Ctx(t, rival), func(ctx context.Context, tx bun.IDB) error { return w.s.CreateProduct(ctx, tx, free) }); err != nil {
		t.Fatal(err)
	}
	testkit.EachWall(t, w.World, w.board, rival, func(t *testing.T, r *testkit.Rival) {
		s := w.over(r)
		for name, try := range map[string]tenant.Fn{
			"product":       func(ctx context.Context, tx bun.IDB) error { _, err := s.Product(ctx, tx, p.ID); return err },
			"archive":       func(ctx context.Context, tx bun.IDB) error { return s.SetProductActive(ctx, tx, p.ID, false) },
			"delete":        func(ctx context.Context, tx bun.IDB) error { _, err := s.DeleteProduct(ctx, tx, p.ID); return err },
			"sort products": func(ctx context.Context, tx bun.IDB) error { return s.OrderProducts(ctx, tx, []uuid.UUID{p.ID}) },
			"order":         func(ctx context.Context, tx bun.IDB) error { _, err := s.Order(ctx, tx, o.ID); return err },
			"by number":     func(ctx context.Context, tx bun.IDB) error { _, err := s.OrderByNumber(ctx, tx, "1001"); return err },
			"latest":        func(ctx context.Context, tx bun.IDB) error { _, err := s.LatestOrder(ctx, tx, l.ID); return err },
			"detail":        func(ctx context.Context, tx bun.IDB) error { _, err := s.OrderDetail(ctx, tx, o.ID); return err },
			"cancel":        func(ctx context.Context, tx bun.IDB) error { return s.Cancel(ctx, tx, o.ID) },
			"refund":        func(ctx context.Context, tx bun.IDB) error { _, err := s.AskRefund(ctx, tx, sale.ID, ""); return err },
			"account":       func(ctx context.Context, tx bun.IDB) error { _, err := s.Account(ctx, tx); return err },
			"of session":    func(ctx context.Context, tx bun.IDB) error { _, err := orderOfSession(ctx, tx, session); return err },
			"apply":         func(ctx context.Context, tx bun.IDB) error { return s.apply(ctx, tx, f) },
			"save product": func(ctx context.Context, tx bun.IDB) error {
				q := *p
				q.TenantID = tenant.Nil
				return s.SaveProduct(ctx, tx, &q)
			},
			"another's product": func(ctx context.Context, tx bun.IDB) error {
				_, err := s.PlaceOrder(ctx, tx, NewOrder{ListingID: l.ID, ProductID: p.ID, Email: "a@b.test", TermsVersion: "1"})
				return err
			},
			"another's listing": func(ctx context.Context, tx bun.IDB) error {
				_, err := s.PlaceOrder(ctx, tx, NewOrder{ListingID: l.ID, ProductID: free.ID, Email: "a@b.test", TermsVersion: "1"})
				return err
			},
		} {
			r.Try(t, name, try)
		}
		for name, try := range map[string]func() error{
			"checkout":  func() error { _, err := s.Checkout(r.Ctx, o.ID, "http://x.test/a", "http://x.test/b"); return err },
			"return":    func() error { _, err := s.Return(r.Ctx, session); return err },
			"refresh":   func() error { _, err := s.RefreshAccount(r.Ctx); return err },
			"dashboard": func() error { _, err := s.Dashboard(r.Ctx); return err },
			"reconcile": func() error { _, err := s.Reconcile(r.Ctx, sale.CreatedAt, time.Now()); return err },
			"settle":    func() error { return s.settleTask(r.Ctx, task(t, settlePayload{session})) },
			"expire":    func() error { return s.expireTask(r.Ctx, task(t, expirePayload{o.ID})) },
			"refunding": func() error { return s.refundTask(r.Ctx, task(t, refundPayload{refund.ID})) },
		} {
			r.Refused(t, name, try())
		}
		zero := time.Time{}
		for name, list := range map[string]func(ctx context.Context, tx bun.IDB) (int, error){
			"orders": func(ctx context.Context, tx bun.IDB) (int, error) {
				v, n, err := s.Orders(ctx, tx, Filter{})
				return len(v) + n, err
			},
			"orders of": func(ctx context.Context, tx bun.IDB) (int, error) {
				v, err := s.OrdersOf(ctx, tx, sale.ID)
				return len(v), err
			},
			"open sessions": func(ctx context.Context, tx bun.IDB) (int, error) {
				v, err := openSessions(ctx, tx, o.ID)
				return len(v), err
			},
			"balances": func(ctx context.Context, tx bun.IDB) (int, error) {
				v, err := s.Balances(ctx, tx, zero, zero)
				return len(v), err
			},
			"statement": func(ctx context.Context, tx bun.IDB) (int, error) {
				v, err := s.Statement(ctx, tx, zero, zero)
				return len(v), err
			},
			"entries": func(ctx context.Context, tx bun.IDB) (int, error) {
				v, err := s.EntriesOf(ctx, tx, sale.ID)
				return len(v), err
			},
			"unbalanced": func(ctx context.Context, tx bun.IDB) (int, error) {
				v, err := s.Unbalanced(ctx, tx)
				return len(v), err
			},
			"revenue": func(ctx context.Context, tx bun.IDB) (int, error) {
				v, err := s.Revenue(ctx, tx, zero, zero)
				return len(v), err
			},
			"reconciliations": func(ctx context.Context, tx bun.IDB) (int, error) {
				v, err := s.Reconciliations(ctx, tx, 9)
				return len(v), err
			},
			"products": func(ctx context.Context, tx bun.IDB) (int, error) {
				v, err := s.Products(ctx, tx)
				return others(v, free), err
			},
			"on sale": func(ctx context.Context, tx bun.IDB) (int, error) {
				v, err := s.ProductsOnSale(ctx, tx)
				return others(v, free), err
			},
			"refund listing": func(ctx context.Context, tx bun.IDB) (int, error) {
				ok, err := s.RefundListing(ctx, tx, l.ID, "")
				if ok {
					return 1, err
				}
				return 0, err
			},
			"can sell": func(ctx context.Context, tx bun.IDB) (int, error) {
				sell, err := s.CanSell(ctx, tx)
				if sell.OK || sell.Account != nil {
					return 1, err
				}
				return 0, err
			},
		} {
			r.Nothing(t, name, list)
		}
	})
	w.pay(t, session, stripesim.CardOK)
	w.deliver(t)
	wantEnd(t, w.end(t, o), sold())
}

// task is a row as the worker hands it to a handler.
func task(t *testing.T, payload any) *tasks.Task {
	t.Helper()
	raw, err := json.Marshal(payload)
	if err != nil {
		t.Fatal(err)
	}
	return &tasks.Task{Payload: raw}
}

// others counts products that are not the rival's own.
func others(ps []Product, own *Product) (n int) {
	for i := range ps {
		if ps[i].ID != own.ID {
			n++
		}
	}
	return n
}

func TestProductsAreCheckedAndKeptForTheirOrders(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	for name, c := range map[string]struct {
		p     Product
		field string
	}{
		"no name":          {Product{Price: 0, Currency: "USD", DurationDays: 30}, "name"},
		"below the least":  {Product{Name: "A", Price: 49, Currency: "USD", DurationDays: 30}, "price"},
		"yen below":        {Product{Name: "A", Price: 49, Currency: "JPY", DurationDays: 30}, "price"},
		"too much":         {Product{Name: "A", Price: 100_000_000, Currency: "USD", DurationDays: 30}, "price"},
		"negative":         {Product{Name: "A", Price: -1, Currency: "USD", DurationDays: 30}, "price"},
		"no such currency": {Product{Name: "A", Price: 100, Currency: "ABC", DurationDays: 30}, "currency"},
		"no days":          {Product{Name: "A", Price: 100, Currency: "USD"}, "duration_days"},
		"longer featured":  {Product{Name: "A", Price: 100, Currency: "USD", DurationDays: 7, FeaturedDays: 8}, "featured_days"},
	} {
		err := w.DB.Write(w.ctx, func(ctx context.Context, tx bun.IDB) error { return w.s.CreateProduct(ctx, tx, &c.p) })
		if fault.FieldsOf(err)[c.field] == "" {
			t.Errorf("%s: %v", name, err)
		}
	}
	free, never := w.product(t, 0, ""), w.product(t, 19900, "EUR")
	if free.Currency != "USD" || free.Position != 1 || never.Position != 2 {
		t.Errorf("made: %+v %+v", free, never)
	}
	w.place(t, w.listing(t), free)
	w.write(t, func(ctx context.Context, tx bun.IDB) error {
		archived, err := w.s.DeleteProduct(ctx, tx, free.ID)
		if err != nil || !archived {
			t.Errorf("a product with orders: archived %v, %v", archived, err)
		}
		if archived, err = w.s.DeleteProduct(ctx, tx, never.ID); err != nil || archived {
			t.Errorf("a product without: archived %v, %v", archived, err)
		}
		onSale, err := w.s.ProductsOnSale(ctx, tx)
		if len(onSale) != 0 {
			t.Errorf("on sale: %+v", onSale)
		}
		return err
	})
	v := PreviewOf(&Product{Price: 19900, Currency: "EUR", DurationDays: 30}, FeeRule{PercentBP: 1000, Min: 500}, "de")
	if v.Price != "199,00\u00a0€" || v.FeeText != "19,90\u00a0€" || v.OwnerText != "179,10\u00a0€" || v.Rule != "10\u00a0%, mindestens 5,00\u00a0€" {
		t.Errorf("preview: %+v", v)
	}
}

func TestWhyABoardCannotSell(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	reason := func() (r string) {
		w.read(t, func(ctx context.Context, tx bun.IDB) error {
			s, err := w.s.CanSell(ctx, tx)
			r = s.Reason
			return err
		})
		return r
	}
	if r := reason(); r != NoAccount {
		t.Errorf("before: %q", r)
	}
	for range 2 { // the form's address is made anew, the account is not
		if u, err := w.s.Onboard(w.ctx, "http://x.test/a", "http://x.test/b"); err != nil || u == "" {
			t.Fatal(u, err)
		}
	}
	if r := reason(); r != Unfinished {
		t.Errorf("begun: %q", r)
	}
	a := w.sell(t)
	if r := reason(); r != "" {
		t.Errorf("done: %q", r)
	}
	if err := w.sim.Restrict(a.Account); err != nil {
		t.Fatal(err)
	}
	w.deliver(t) // account.updated
	if r := reason(); r != ChargesDisabled {
		t.Errorf("restricted: %q", r)
	}
}

func TestWebhookEndpointsAreMadeOnce(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	first, err := MakeWebhooks(t.Context(), w.s.stripe, "https://platform.example/")
	if err != nil || len(first) != 2 || first[0].Secret == "" || first[1].Secret == "" || first[0].Connect == first[1].Connect {
		t.Fatalf("first: %+v %v", first, err)
	}
	again, err := MakeWebhooks(t.Context(), w.s.stripe, "https://platform.example")
	if err != nil || len(again) != 2 || again[0].ID != first[0].ID || again[1].ID != first[1].ID || again[0].Secret != "" {
		t.Errorf("again: %+v %v", again, err)
	}
	it := w.s.stripe.WebhookEndpoints.List(nil)
	n := 0
	for it.Next() {
		n++
		if it.WebhookEndpoint().APIVersion != APIVersion {
			t.Errorf("pinned to %q", it.WebhookEndpoint().APIVersion)
		}
	}
	if n != 2 {
		t.Errorf("%d endpoints", n)
	}
	_, err = MakeWebhooks(t.Context(), w.s.stripe, "platform.example")
	wantKind(t, err, fault.Invalid)
}

func TestStaffSeeTheSplitOfEveryBoard(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.sell(t)
	o := w.sale(t)
	err := w.Platform.Read(t.Context(), func(ctx context.Context, tx bun.IDB) error {
		sales, err := w.s.SalesByBoard(ctx, tx, o.CreatedAt.AddDate(0, 0, -1), o.CreatedAt.AddDate(0, 0, 1))
		if err != nil || len(sales) != 1 || sales[0].Fee != 1990 || sales[0].Owner != 17910 || sales[0].Slug != "acme" {
			t.Errorf("sales: %+v %v", sales, err)
		}
		list, err := w.s.BoardOrders(ctx, tx, w.board.ID, Paid, 1, 10)
		if err != nil || len(list) != 1 || list[0].Number != 1001 {
			t.Errorf("orders: %+v %v", list, err)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}
