package testkit

import (
	"fmt"
	"testing"
)

func TestLogsFindWhatNobodyShouldSee(t *testing.T) {
	t.Parallel()
	for _, line := range []string{
		`{"msg":"mail","error":"550 <ada@example.org> refused"}`, `error="no route to ada%40example.org"`, `{"msg":"sk_test_4eC39"}`, `whsec_abc`, `pi_1_secret_abcdefgh1`,
		`postgres://shingle:hunter2@db/x`, `GET /sign-in?next=/&token=abc`, `__Host-session=1`, `Authorization: Bearer abcdefgh12`, `{"password":"x"}`, `%PDF-1.7`, `eyJhbGciOiJIUzI1NiJ9.e30`,
	} {
		l := new(Logs)
		_, _ = fmt.Fprintln(l, line)
		if len(l.Bad()) != 1 {
			t.Errorf("nothing is found in %s", line)
		}
	}
	l := new(Logs)
	_, _ = fmt.Fprintln(l, `time=2026 level=WARN msg="answered an error" route=/jobs/:slug status=503 board=0193f1c2-7d1e-7c3a-9a53-0c8b1f0a2b3c stack="/go/pkg/mod/github.com/gin-gonic/gin@v1.12.0/context.go:192" db=postgres://(hidden)@db/x url=/x?token=(hidden)`)
	if bad := l.Bad(); len(bad) != 0 || l.Lines() != 1 {
		t.Errorf("an innocent line of %d counts as %q", l.Lines(), bad)
	}
	_, _ = fmt.Fprintln(l, `the applicant wrote: six years of ledgers`)
	l.Forbid("what an applicant wrote", "years of ledgers")
	_, _ = fmt.Fprintln(l, `again six years of ledgers`)
	if bad := l.Bad(); len(bad) != 2 {
		t.Errorf("%d lines found, want the one before and the one after: %q", len(bad), bad)
	}
	if l.Bad() != nil {
		t.Error("a line is told twice")
	}
}
