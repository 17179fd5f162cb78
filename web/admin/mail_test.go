package admin

import (
	"context"
	"testing"
	"time"

	"shingle/internal/fault"
	"shingle/internal/seal"
	"shingle/internal/testkit"
	"shingle/mail"
)

// noRecords is a DNS in which nothing is written.
type noRecords struct{}

func (noRecords) TXT(_ context.Context, name string) ([]string, error) {
	return nil, fault.New(fault.NotFound, "no record of %s", name)
}

func (noRecords) CNAME(_ context.Context, name string) (string, error) {
	return "", fault.New(fault.NotFound, "no record of %s", name)
}

func testIdentities(t testing.TB, w *testkit.World) *mail.Identities {
	t.Helper()
	sealer, err := seal.New("test", []byte("a secret of the tests, long enough"))
	if err != nil {
		t.Fatal(err)
	}
	return &mail.Identities{DB: w.DB, Platform: w.Platform, DNS: noRecords{}, Sealer: sealer, SPF: "include:spf.platform.example", ReturnDomain: "returns.example",
		Reserved: []string{"platform.localhost", "localhost"}, Now: time.Now}
}
