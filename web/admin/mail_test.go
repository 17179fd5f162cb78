package admin

import (
	"context"
	"net"
	"testing"
	"time"

	"shingle/internal/seal"
	"shingle/internal/testkit"
	"shingle/mail"
)

// noRecords is a DNS in which nothing is written.
type noRecords struct{}

func (noRecords) LookupTXT(_ context.Context, name string) ([]string, error) {
	return nil, &net.DNSError{Err: "no such host", Name: name, IsNotFound: true}
}

func (noRecords) LookupCNAME(_ context.Context, name string) (string, error) {
	return "", &net.DNSError{Err: "no such host", Name: name, IsNotFound: true}
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
