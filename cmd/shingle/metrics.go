package main

import (
	"context"
	"database/sql"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/uptrace/bun"

	"shingle/backup"
	"shingle/tenant"
)

// taskFigures are what a worker says of its work: attempts as they end, and what
// waits, asked when somebody looks.
type taskFigures struct {
	platform *tenant.Platform
	took     *prometheus.HistogramVec

	failed, waiting, oldest, backup *prometheus.Desc
}

func newTaskFigures(p *tenant.Platform) *taskFigures {
	desc := func(name, help string) *prometheus.Desc { return prometheus.NewDesc(name, help, nil, nil) }
	return &taskFigures{platform: p,
		took: prometheus.NewHistogramVec(prometheus.HistogramOpts{Name: "shingle_task_seconds", Help: "Time of an attempt by kind and result.",
			Buckets: []float64{.005, .025, .1, .5, 2.5, 10, 60}}, []string{"kind", "result"}),
		failed:  desc("shingle_tasks_failed", "Tasks that were given up and wait for staff."),
		waiting: desc("shingle_tasks_due", "Tasks that are due and not done."),
		oldest:  desc("shingle_tasks_oldest_due_seconds", "How long the oldest of them has been due."),
		backup:  desc("shingle_backup_age_seconds", "How long ago `shingle backup` last came to its end; absent where it never did."),
	}
}

// observe counts an attempt.
func (f *taskFigures) observe(kind string, err error, took time.Duration) {
	result := "done"
	if err != nil {
		result = "failed"
	}
	f.took.WithLabelValues(kind, result).Observe(took.Seconds())
}

// Describe is prometheus.Collector's.
func (f *taskFigures) Describe(c chan<- *prometheus.Desc) {
	f.took.Describe(c)
	c <- f.failed
	c <- f.waiting
	c <- f.oldest
	c <- f.backup
}

// Collect is prometheus.Collector's. Without an answer from Postgres the figures
// of what waits are left out: an alert on their absence says so.
func (f *taskFigures) Collect(c chan<- prometheus.Metric) {
	f.took.Collect(c)
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Second)
	defer cancel()
	var failed, due int64
	var oldest float64
	var age *float64
	err := f.platform.Read(ctx, func(ctx context.Context, tx bun.IDB) error {
		return tx.NewRaw(`SELECT (SELECT count(*) FROM tasks WHERE failed_at IS NOT NULL), count(*), coalesce(extract(epoch FROM max(now() - run_at)), 0)::float8,
			(SELECT extract(epoch FROM now() - max(at))::float8 FROM audit_log WHERE act = ?)
			FROM tasks WHERE failed_at IS NULL AND run_at <= now()`, backup.Noted).Scan(ctx, &failed, &due, &oldest, &age)
	})
	if err != nil {
		return
	}
	c <- prometheus.MustNewConstMetric(f.failed, prometheus.GaugeValue, float64(failed))
	c <- prometheus.MustNewConstMetric(f.waiting, prometheus.GaugeValue, float64(due))
	c <- prometheus.MustNewConstMetric(f.oldest, prometheus.GaugeValue, oldest)
	if age != nil {
		c <- prometheus.MustNewConstMetric(f.backup, prometheus.GaugeValue, *age)
	}
}

// watchPools shows how many connections are open, in use and waited for.
func watchPools(reg prometheus.Registerer, app, platform *sql.DB) {
	reg.MustRegister(collectors.NewDBStatsCollector(app, "app"), collectors.NewDBStatsCollector(platform, "platform"))
}
