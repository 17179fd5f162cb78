package main

import (
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"shingle/backup"
	"shingle/internal/testkit"
)

// TestTheAgeOfTheLastBackup is told where there was one, and only there.
func TestTheAgeOfTheLastBackup(t *testing.T) {
	t.Parallel()
	w := testkit.NewWorld(t)
	reg := prometheus.NewRegistry()
	reg.MustRegister(newTaskFigures(w.Platform))
	age := func() (time.Duration, bool) {
		t.Helper()
		all, err := reg.Gather()
		if err != nil {
			t.Fatal(err)
		}
		for _, f := range all {
			if f.GetName() == "shingle_backup_age_seconds" {
				return time.Duration(f.GetMetric()[0].GetGauge().GetValue() * float64(time.Second)), true
			}
		}
		return 0, false
	}
	if d, ok := age(); ok {
		t.Errorf("%s without a backup", d)
	}
	for _, ago := range []string{"70 hours", "40 hours"} {
		if _, err := w.PG.Open(t, w.PG.Superuser, 1).ExecContext(t.Context(), `INSERT INTO audit_log (tenant_id, id, actor_kind, act, at)
			VALUES ('00000000-0000-0000-0000-000000000000', gen_random_uuid(), 'system', $1, now() - $2::interval)`, backup.Noted, ago); err != nil {
			t.Fatal(err)
		}
	}
	if d, ok := age(); !ok || d < 40*time.Hour || d > 41*time.Hour {
		t.Errorf("%s, %v; want 40 hours", d, ok)
	}
}
