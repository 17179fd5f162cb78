package staff

import (
	"context"
	"net/http"
	"strconv"
	"time"

	"github.com/gin-gonic/gin"
	"github.com/uptrace/bun"

	"shingle/internal/money"
	"shingle/web/console"
)

// step is one day or month of the platform's figures.
type step struct {
	At       time.Time `bun:"at"`
	Fees     int64     `bun:"fees"`
	Orders   int       `bun:"orders"`
	Launched int       `bun:"launched"`
	Closed   int       `bun:"closed"`
	Live     int       `bun:"live"`
	Applied  int       `bun:"applied"`
	MRR      int64     `bun:"mrr"`
	Views    int64     `bun:"views"`
}

// span is how far back the figures go: 30 days, or 12 months.
type span struct {
	every, back string
	layout      string
}

var spans = map[string]span{
	"day":   {"1 day", "29 days", "2006-01-02"},
	"month": {"1 month", "11 months", "2006-01"},
}

// readSteps counts rows by day or month; fees are of one currency, by the
// moment of payment, without those of refunded orders; MRR is the last that was
// written of each step.
func readSteps(ctx context.Context, tx bun.IDB, every, currency string) ([]step, error) {
	sp := spans[every]
	var out []step
	err := tx.NewRaw(`WITH s AS (SELECT g AS at FROM generate_series(date_trunc(?0, now()) - ?1::interval, date_trunc(?0, now()), ?2::interval) AS g),
			since AS (SELECT min(at) AS t FROM s),
			paid AS (SELECT date_trunc(?0, paid_at) AS at, sum(fee) FILTER (WHERE currency = ?3 AND state = 'paid')::bigint AS fees, count(*) AS n FROM orders, since WHERE paid_at >= since.t GROUP BY 1),
			launched AS (SELECT date_trunc(?0, created_at) AS at, count(*) AS n FROM boards, since WHERE created_at >= since.t GROUP BY 1),
			closed AS (SELECT date_trunc(?0, state_since) AS at, count(*) AS n FROM boards, since WHERE state = 'closed' AND state_since >= since.t GROUP BY 1),
			live AS (SELECT date_trunc(?0, at) AS at, count(*) AS n FROM listing_moves, since WHERE to_state = 'live' AND from_state <> 'paused' AND at >= since.t GROUP BY 1),
			applied AS (SELECT date_trunc(?0, created_at) AS at, count(*) AS n FROM applications, since WHERE created_at >= since.t GROUP BY 1),
			worth AS (SELECT DISTINCT ON (date_trunc(?0, day::timestamptz)) date_trunc(?0, day::timestamptz) AS at, amount AS n FROM mrr_days, since WHERE currency = ?3 AND day >= since.t::date
				ORDER BY date_trunc(?0, day::timestamptz), day DESC),
			seen AS (SELECT date_trunc(?0, day::timestamptz) AS at, sum(amount)::bigint AS n FROM usage_days, since WHERE what = 'views' AND day >= since.t::date GROUP BY 1)
		SELECT s.at, coalesce(paid.fees, 0) AS fees, coalesce(paid.n, 0) AS orders, coalesce(launched.n, 0) AS launched, coalesce(closed.n, 0) AS closed,
			coalesce(live.n, 0) AS live, coalesce(applied.n, 0) AS applied, coalesce(worth.n, 0) AS mrr, coalesce(seen.n, 0) AS views
		FROM s LEFT JOIN paid USING (at) LEFT JOIN launched USING (at) LEFT JOIN closed USING (at) LEFT JOIN live USING (at) LEFT JOIN applied USING (at) LEFT JOIN worth USING (at) LEFT JOIN seen USING (at) ORDER BY s.at`,
		every, sp.back, sp.every, currency).Scan(ctx, &out)
	return out, err
}

// chart is one picture with the table beneath it.
type chart struct {
	ID, Title string
	Labels    []string
	Values    []float64
	Unit      string
}

func (s *Staff) readFigurePage(c *gin.Context) (every, currency string, currencies []string, steps []step, err error) {
	if every = oneOf(c.Query("every"), []string{"day", "month"}); every == "" {
		every = "day"
	}
	err = s.Platform.Read(c.Request.Context(), func(ctx context.Context, tx bun.IDB) error {
		err := tx.NewRaw(`SELECT currency FROM (SELECT currency FROM orders WHERE paid_at > now() - interval '1 year' UNION ALL SELECT currency FROM mrr_days WHERE day > now() - interval '1 year') AS c
			GROUP BY 1 ORDER BY count(*) DESC, 1`).Scan(ctx, &currencies)
		if err != nil {
			return err
		}
		if currency = oneOf(c.Query("currency"), currencies); currency == "" {
			if currency = "USD"; len(currencies) > 0 {
				currency = currencies[0]
			}
		}
		steps, err = readSteps(ctx, tx, every, currency)
		return err
	})
	return every, currency, currencies, steps, err
}

func (s *Staff) figures(c *gin.Context) error {
	every, currency, currencies, steps, err := s.readFigurePage(c)
	if err != nil {
		return err
	}
	labels := make([]string, len(steps))
	series := map[string][]float64{}
	scale := 1.0
	for range money.Exponent(currency) {
		scale *= 10
	}
	for i, st := range steps {
		labels[i] = st.At.Format(spans[every].layout)
		for name, v := range map[string]float64{"mrr": float64(st.MRR) / scale, "views": float64(st.Views), "fees": float64(st.Fees) / scale, "orders": float64(st.Orders), "launched": float64(st.Launched), "closed": float64(st.Closed),
			"live": float64(st.Live), "applied": float64(st.Applied)} {
			series[name] = append(series[name], v)
		}
	}
	charts := make([]chart, 0, 8)
	for _, name := range []string{"mrr", "fees", "orders", "launched", "closed", "live", "views", "applied"} {
		ch := chart{ID: "c-" + name, Title: s.t(c, "staff.figures."+name), Labels: labels, Values: series[name]}
		if name == "fees" || name == "mrr" {
			ch.Unit = currency
		}
		charts = append(charts, ch)
	}
	var choices []console.Option
	for _, cur := range currencies {
		choices = append(choices, console.Option{Value: cur, Label: cur, Selected: cur == currency})
	}
	return s.render(c, http.StatusOK, "figures", s.t(c, "staff.nav.figures"), map[string]any{"Charts": charts, "Currencies": choices,
		"Every": s.options(c, "staff.every.", every, []string{"day", "month"}, "")}, s.csvLink(c, "/staff/figures.csv"))
}

func (s *Staff) figuresCSV(c *gin.Context) error {
	every, currency, _, steps, err := s.readFigurePage(c)
	if err != nil {
		return err
	}
	out := newFile("figures", every, "currency", "mrr", "fees", "orders", "boards_launched", "boards_closed", "listings_live", "page_views", "applications")
	for _, st := range steps {
		out.add(st.At.Format(spans[every].layout), currency, money.Plain(st.MRR, currency), money.Plain(st.Fees, currency), strconv.Itoa(st.Orders), strconv.Itoa(st.Launched), strconv.Itoa(st.Closed), strconv.Itoa(st.Live), strconv.FormatInt(st.Views, 10), strconv.Itoa(st.Applied))
	}
	return out.send(c)
}
