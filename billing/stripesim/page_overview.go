package stripesim

import (
	"fmt"
)

// shown is how many of each kind the overview lists.
const shown = 50

type overviewPage struct {
	Base       string
	Accounts   []*account
	Sessions   []sessionRow
	Payments   []paymentRow
	Refunds    []owned[refund]
	Events     []eventRow
	Deliveries []deliveryRow
	Endpoints  []endpointRow
	// Clock is the time of subscriptions that no test clock holds; buttons move
	// it ahead, and test clocks too. Note says what else follows it.
	Clock         int64
	Note          string
	Clocks        []owned[testClock]
	Subscriptions []owned[subscription]
	Filter        string
	FilterName    string
}

type sessionRow struct {
	owned[session]
	Merchant string
	Settles  bool
}

type paymentRow struct {
	owned[charge]
	Merchant  string
	Net       string
	CanRefund bool
	Dispute   *dispute
}

type eventRow struct {
	owned[event]
	Subject string
}

type deliveryRow struct {
	*delivery
	Type, Host string
}

type endpointRow struct {
	URL     string
	Connect bool
}

// overview lists what there is, of one account when asked.
func (s *Sim) overview(v *visit) error {
	filter := v.URL.Query().Get("account")
	return s.read(func(t *tx) error {
		own := platformID(t)
		p := &overviewPage{Base: s.prefix, Filter: filter}
		if filter != "" {
			r := t.row(filter)
			if r == nil || r.Kind != kAccount {
				return noAccess(filter)
			}
			p.FilterName = decode[account](r).name()
		}
		mine := func(owner string) bool { return filter == "" || filter == owner || (filter == own && owner == "") }
		for _, a := range newest[account](t, kAccount, shown, nil) {
			p.Accounts = append(p.Accounts, a.V)
		}
		for _, r := range newest(t, kSession, shown, func(owner string, _ *session) bool { return mine(owner) }) {
			settles := r.V.PaymentIntent != nil && known[intent](t, *r.V.PaymentIntent).Status == "processing"
			p.Sessions = append(p.Sessions, sessionRow{owned: r, Merchant: t.merchant(r.Account), Settles: settles})
		}
		for _, r := range newest(t, kCharge, shown, func(owner string, _ *charge) bool { return mine(owner) }) {
			p.Payments = append(p.Payments, t.paymentRow(r))
		}
		p.Clock, p.Note = t.clock(nil), t.sim.opt.ClockNote
		p.Clocks = newest(t, kTestClock, shown, func(owner string, _ *testClock) bool { return mine(owner) })
		p.Subscriptions = newest[subscription](t, kSubscription, shown, nil)
		p.Refunds = newest(t, kRefund, shown, func(owner string, _ *refund) bool { return mine(owner) })
		for _, r := range newest(t, kEvent, shown, func(owner string, _ *event) bool { return mine(owner) }) {
			subject, _ := parse(r.V.Data.Object)
			id := ""
			if m, ok := subject.(map[string]any); ok {
				id, _ = m["id"].(string)
			}
			p.Events = append(p.Events, eventRow{owned: r, Subject: id})
		}
		for _, d := range newest[delivery](t, kDelivery, shown, nil) {
			e := known[event](t, d.V.Event)
			if !mine(e.Account) {
				continue
			}
			host := "removed endpoint"
			if ep := t.endpoint(d.V.Endpoint); ep != nil {
				host = hostOf(ep.URL)
			}
			p.Deliveries = append(p.Deliveries, deliveryRow{delivery: d.V, Type: e.Type, Host: host})
		}
		for _, ep := range t.endpoints() {
			p.Endpoints = append(p.Endpoints, endpointRow{URL: ep.URL, Connect: ep.Application != nil})
		}
		return v.show("overview", "Stripe simulator", p)
	})
}

func (t *tx) paymentRow(r owned[charge]) paymentRow {
	p := paymentRow{owned: r, Merchant: t.merchant(r.Account)}
	c := r.V
	p.CanRefund = c.Status == "succeeded" && !c.Refunded && !c.Disputed && c.SourceTransfer == nil
	if c.BalanceTransaction != nil {
		p.Net = formatMoney(known[balanceTxn](t, *c.BalanceTransaction).Net, c.Currency)
	}
	if c.Dispute != nil {
		p.Dispute = known[dispute](t, *c.Dispute)
	}
	return p
}

// strides are how far a button moves a clock, in days.
var strides = map[string]int64{"day": 1, "week": 7, "month": 31}

// act is a button of the overview.
func (s *Sim) act(v *visit) error {
	var err error
	switch v.PathValue("act") {
	case "refund":
		err = s.RefundFromDashboard(v.id, 0)
	case "settle":
		err = s.SettleDelayed(v.id, true)
	case "bounce":
		err = s.SettleDelayed(v.id, false)
	case "dispute":
		err = s.OpenDispute(v.id)
	case "win":
		err = s.CloseDispute(v.id, true)
	case "lose":
		err = s.CloseDispute(v.id, false)
	case "resend":
		err = s.Redeliver(v.id)
	case "verify":
		err = s.CompleteOnboarding(v.id)
	case "restrict":
		err = s.Restrict(v.id)
	case "advance":
		days, ok := strides[v.id]
		if !ok {
			return &Error{Status: 404, Message: "The clock moves by a day, a week or 31 days."}
		}
		err = s.advanceDays(v.Context(), days)
	case "advance-test-clock":
		days, ok := strides[v.PostFormValue("by")]
		if !ok {
			return &Error{Status: 404, Message: "The clock moves by a day, a week or 31 days."}
		}
		err = s.update(func(t *tx) error {
			r := t.row(v.id)
			if r == nil || r.Kind != kTestClock {
				return missing(kTestClock, v.id, "test_clock")
			}
			c := decode[testClock](r)
			return t.advance(r.Account, c, c.FrozenTime+days*daySeconds)
		})
	case "expire":
		err = s.update(func(t *tx) error {
			r := t.row(v.id)
			if r == nil || r.Kind != kSession {
				return missing(kSession, v.id, "session")
			}
			cs := decode[session](r)
			if cs.Status != "open" {
				return invalid("", "", "This Checkout Session is %s.", cs.Status)
			}
			t.expireNow(r.Account, cs)
			return nil
		})
	default:
		return &Error{Status: 404, Message: fmt.Sprintf("There is no act %q.", v.PathValue("act"))}
	}
	if err != nil {
		return err
	}
	at := map[string]string{"advance": "#subscriptions", "advance-test-clock": "#clocks"}[v.PathValue("act")]
	return v.redirect(s.prefix + "/" + at)
}
