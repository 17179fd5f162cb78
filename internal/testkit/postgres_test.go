package testkit

import (
	"testing"
)

func TestPostgresGivesEachTestItsOwnMigratedDatabase(t *testing.T) {
	t.Parallel()
	for range 3 {
		t.Run("clone", func(t *testing.T) {
			t.Parallel()
			d := Postgres(t)
			for role, url := range map[string]string{"shingle_app": d.App, "shingle_platform": d.Platform, "shingle_owner": d.Owner} {
				db := d.Open(t, url, 1)
				var who, where string
				var n int
				if err := db.QueryRowContext(t.Context(), "SELECT current_user, current_database(), (SELECT count(*) FROM boards)").Scan(&who, &where, &n); err != nil {
					t.Fatalf("%s: %v", role, err)
				}
				if who != role || where != d.Name || n != 0 {
					t.Errorf("got %s in %s with %d boards, want %s in %s with none", who, where, n, role, d.Name)
				}
				var super, bypass bool
				if err := db.QueryRowContext(t.Context(), "SELECT rolsuper, rolbypassrls FROM pg_roles WHERE rolname = current_user").Scan(&super, &bypass); err != nil {
					t.Fatal(err)
				}
				if super || bypass {
					t.Errorf("%s sees through row level security", who)
				}
			}
		})
	}
}

func TestEmptyPostgresHasNoTables(t *testing.T) {
	t.Parallel()
	d := EmptyPostgres(t)
	var n int
	if err := d.Open(t, d.Owner, 1).QueryRowContext(t.Context(), "SELECT count(*) FROM pg_tables WHERE schemaname = 'public'").Scan(&n); err != nil {
		t.Fatal(err)
	}
	if n != 0 {
		t.Errorf("got %d tables, want none", n)
	}
}

func BenchmarkPostgresClone(b *testing.B) {
	s, err := server(b.Context())
	if err != nil {
		b.Fatal(err)
	}
	for b.Loop() {
		if err := s.clone(b.Context(), "test_1_bench"); err != nil {
			b.Fatal(err)
		}
		if _, err := s.super.ExecContext(b.Context(), "DROP DATABASE test_1_bench WITH (FORCE)"); err != nil {
			b.Fatal(err)
		}
	}
}
