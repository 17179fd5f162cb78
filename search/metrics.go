package search

import (
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// Metrics counts what search does. Register it where metrics are served.
type Metrics struct {
	searches  *prometheus.CounterVec
	seconds   *prometheus.HistogramVec
	fallbacks *prometheus.CounterVec
	writes    *prometheus.CounterVec
	repairs   prometheus.Counter
	open      prometheus.Gauge
}

var _ prometheus.Collector = (*Metrics)(nil)

// NewMetrics makes the counters of one service.
func NewMetrics() *Metrics {
	return &Metrics{
		searches: prometheus.NewCounterVec(prometheus.CounterOpts{Name: "shingle_search_total",
			Help: "Searches answered, by engine."}, []string{"engine"}),
		seconds: prometheus.NewHistogramVec(prometheus.HistogramOpts{Name: "shingle_search_seconds",
			Help: "Time of a search, by engine.", Buckets: []float64{.001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 2.5}}, []string{"engine"}),
		fallbacks: prometheus.NewCounterVec(prometheus.CounterOpts{Name: "shingle_search_fallback_total",
			Help: "Searches answered by Postgres in place of the first engine, by reason."}, []string{"reason"}),
		writes: prometheus.NewCounterVec(prometheus.CounterOpts{Name: "shingle_search_writes_total",
			Help: "Documents written or deleted, by engine and outcome."}, []string{"engine", "outcome"}),
		repairs: prometheus.NewCounter(prometheus.CounterOpts{Name: "shingle_search_repairs_total",
			Help: "Listings on which index and table differed, found by the nightly check."}),
		open: prometheus.NewGauge(prometheus.GaugeOpts{Name: "shingle_search_breaker_open",
			Help: "1 while the first engine is taken to be away."}),
	}
}

func (m *Metrics) all() []prometheus.Collector {
	return []prometheus.Collector{m.searches, m.seconds, m.fallbacks, m.writes, m.repairs, m.open}
}

// Describe implements prometheus.Collector.
func (m *Metrics) Describe(ch chan<- *prometheus.Desc) {
	for _, c := range m.all() {
		c.Describe(ch)
	}
}

// Collect implements prometheus.Collector.
func (m *Metrics) Collect(ch chan<- prometheus.Metric) {
	for _, c := range m.all() {
		c.Collect(ch)
	}
}

func (m *Metrics) searched(engine string, took time.Duration) {
	m.searches.WithLabelValues(engine).Inc()
	m.seconds.WithLabelValues(engine).Observe(took.Seconds())
}

func (m *Metrics) wrote(engine string, err error) {
	outcome := "done"
	if err != nil {
		outcome = "failed"
	}
	m.writes.WithLabelValues(engine, outcome).Inc()
}
