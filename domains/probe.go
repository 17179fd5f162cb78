package domains

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"strings"
	"syscall"
	"time"

	"shingle/internal/dns"
)

// ProbePath answers for every host that is served here, for Prober. It names nobody.
const ProbePath = "/.well-known/board-verify"

// ProbeAnswer is what this installation says at ProbePath of a host.
func ProbeAnswer(key []byte, host string) string {
	m := hmac.New(sha256.New, key)
	m.Write([]byte("board-verify\n" + host))
	return hex.EncodeToString(m.Sum(nil))
}

// NewProbe makes a Service.Probe: it asks a host over plain HTTP, follows it to
// its own HTTPS, and holds the answer against ours. It reaches public addresses
// only: where a name leads is its owner's to say.
func NewProbe(key []byte) func(ctx context.Context, host string) error {
	return newProbe(key, dns.Public, "")
}

// NewBaseProbe makes a Service.ProbeBase: it asks the owner's site for
// ProbePath under the base and wants the answer of the board's host.
func NewBaseProbe(key []byte) func(ctx context.Context, address, host string) error {
	client := probeClient(dns.Public)
	return func(ctx context.Context, address, host string) error {
		return ask(ctx, client, address+ProbePath, ProbeAnswer(key, host))
	}
}

func newProbe(key []byte, may func(netip.Addr) bool, port string) func(ctx context.Context, host string) error {
	client := probeClient(may)
	return func(ctx context.Context, host string) error {
		return ask(ctx, client, "http://"+host+port+ProbePath, ProbeAnswer(key, host))
	}
}

// PublicClient asks addresses that somebody typed: those of the open internet
// only, by the address that a name led to and after every redirect, and no more
// than maxAnswer of what they say.
func PublicClient() *http.Client { return publicClient(dns.Public) }

func publicClient(may func(netip.Addr) bool) *http.Client {
	c := probeClient(may)
	c.CheckRedirect = nil
	return c
}

// PublicDialer is PublicClient for what is no HTTP: it connects to addresses of
// the open internet only. Others are refused with ErrInner.
func PublicDialer() *net.Dialer { return guarded(dns.Public) }

// ErrInner refuses an address that is not one of the open internet.
var ErrInner = errors.New("not a public address")

// maxAnswer is the largest answer that is read of a stranger's server, in bytes:
// discovery documents, keys and OCSP answers are far smaller.
const maxAnswer = 1 << 20

// short cuts answers off, for callers that read to the end.
type short struct{ http.RoundTripper }

func (s short) RoundTrip(r *http.Request) (*http.Response, error) {
	res, err := s.RoundTripper.RoundTrip(r)
	if err == nil {
		res.Body = http.MaxBytesReader(nil, res.Body, maxAnswer)
	}
	return res, err
}

// guarded dials the addresses that may be: it asks when a name has been
// resolved, of the very address that is dialled next, so a name that leads
// elsewhere the second time leads nowhere.
func guarded(may func(netip.Addr) bool) *net.Dialer {
	return &net.Dialer{Timeout: 3 * time.Second, Control: func(_, address string, _ syscall.RawConn) error {
		ap, err := netip.ParseAddrPort(address)
		if err != nil || !may(ap.Addr().Unmap()) {
			return ErrInner
		}
		return nil
	}}
}

func probeClient(may func(netip.Addr) bool) *http.Client {
	dial := guarded(may)
	return &http.Client{Timeout: 6 * time.Second,
		// No proxy: it would be asked to go where we do not.
		Transport: short{&http.Transport{DialContext: dial.DialContext, DisableKeepAlives: true, TLSHandshakeTimeout: 3 * time.Second, MaxResponseHeaderBytes: 64 << 10}},
		CheckRedirect: func(r *http.Request, via []*http.Request) error {
			if len(via) > 3 || r.URL.Hostname() != via[0].URL.Hostname() {
				return errors.New("leads to another host")
			}
			return nil
		}}
}

func ask(ctx context.Context, client *http.Client, address, want string) error {
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, address, http.NoBody)
	if err != nil {
		return err
	}
	res, err := client.Do(r)
	if err != nil {
		return err
	}
	defer func() { _ = res.Body.Close() }()
	body, err := io.ReadAll(io.LimitReader(res.Body, 256))
	if err != nil {
		return err
	}
	if res.StatusCode != http.StatusOK || !hmac.Equal([]byte(strings.TrimSpace(string(body))), []byte(want)) {
		return fmt.Errorf("somebody else answers (%d)", res.StatusCode)
	}
	return nil
}
