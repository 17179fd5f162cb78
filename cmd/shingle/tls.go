package main

import (
	"context"
	"crypto/rand"
	"crypto/x509"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"os"
	"strconv"
	"strings"

	"github.com/quic-go/quic-go"
	"github.com/quic-go/quic-go/http3"

	"shingle/domains"
	"shingle/domains/certs"
	"shingle/internal/fault"
	"shingle/internal/listen"
	"shingle/internal/proxies"
)

// newCerts makes the certificates' service; without SHINGLE_TLS_LISTEN it knows
// no authority, orders nothing and serves nothing.
func (a *app) newCerts() (*certs.Certs, error) {
	cfg := a.cfg
	o := certs.Options{Platform: a.platform, Notifier: a.notifier, PlatformHost: cfg.PlatformHost, BoardDomain: cfg.BoardDomain, FilesHost: cfg.FilesHost,
		Email: cfg.ACMEEmail, HTTP: domains.PublicClient(), Secret: cfg.Secret(), Log: a.log}
	if cfg.SecretKey == "" { // a command that orders and serves nothing
		o.Secret = []byte(rand.Text())
	}
	if cfg.TLSListen != "" && cfg.SecretKey != "" {
		o.Authorities = []certs.Authority{{Directory: cfg.ACMEDir}}
		if cfg.ACMEFallback != "" {
			id, key, _ := strings.Cut(cfg.ACMEFallbackEAB, ":")
			o.Authorities = append(o.Authorities, certs.Authority{Directory: cfg.ACMEFallback, EABKey: id, EABMAC: key})
		}
	}
	if cfg.ACMERoot != "" {
		raw, err := os.ReadFile(cfg.ACMERoot)
		o.Roots = x509.NewCertPool()
		if err != nil || !o.Roots.AppendCertsFromPEM(raw) {
			return nil, errors.New("SHINGLE_ACME_CA_ROOT is not a readable file with a certificate in PEM form")
		}
	}
	var err error
	if o.DNS, err = certs.NewDNS(cfg.ACMEDNS); err != nil {
		return nil, errors.New(fault.TextOf(err))
	}
	c, err := certs.New(o)
	if err != nil {
		return nil, err
	}
	a.notifier.OnHost(func(host string) {
		a.boards.Forget(host)
		c.Changed(host)
	})
	a.registry.MustRegister(c.Metrics()...)
	return c, nil
}

// listeners are what serve listens on: plain always, TLS and HTTP/3 when set.
func (a *app) listeners(ctx context.Context, h http.Handler) ([]func(context.Context) error, error) {
	trusted, err := proxies.Parse(a.cfg.TrustedProxies)
	if err != nil {
		return nil, fmt.Errorf("SHINGLE_TRUSTED_PROXIES: %w", err)
	}
	plain := a.certs.Plain(h, a.links.Port, trusted)
	public := func(h http.Handler) *listen.Server {
		s := listen.New(h, listen.Public)
		s.Exempt = trusted.Has
		return s
	}
	parts := []func(context.Context) error{func(ctx context.Context) error { return serveAt(ctx, "SHINGLE_LISTEN", a.cfg.Listen, public(plain)) }}
	if !a.certs.On() {
		return parts, nil
	}
	// Hosts are known before the first handshake, or read as soon as they can be.
	if err := a.certs.Load(ctx); err != nil {
		a.log.Warn("hosts cannot be read yet", "error", err)
	}
	secure := certs.Secure(h)
	l, err := listen.TCP(ctx, a.cfg.TLSListen)
	if err != nil {
		return nil, fmt.Errorf("SHINGLE_TLS_LISTEN: %w", err)
	}
	if a.cfg.HTTP3 {
		udp, err := net.ListenPacket("udp", l.Addr().String())
		if err != nil {
			return nil, errors.Join(fmt.Errorf("SHINGLE_HTTP3: %w", err), l.Close())
		}
		most := listen.Public
		srv := &http3.Server{Handler: listen.Timed(most, secure), TLSConfig: http3.ConfigureTLSConfig(a.certs.TLSConfig()), MaxHeaderBytes: most.HeaderBytes, IdleTimeout: most.Idle,
			QUICConfig: &quic.Config{HandshakeIdleTimeout: most.Header, MaxIdleTimeout: most.Idle, MaxIncomingStreams: int64(most.Streams), MaxIncomingUniStreams: 8}, Port: publicPort(a.links.Port)}
		count := listen.NewCount(most, trusted.Has)
		srv.ConnContext = func(ctx context.Context, c *quic.Conn) context.Context {
			if !count.In(c.Context(), c.RemoteAddr()) {
				_ = c.CloseWithError(quic.ApplicationErrorCode(http3.ErrCodeExcessiveLoad), "")
			}
			return ctx
		}
		secure = announce(srv, secure)
		parts = append(parts, func(ctx context.Context) error { return serveQUIC(ctx, srv, udp) })
	}
	return append(parts,
		func(ctx context.Context) error { a.certs.Run(ctx); return nil },
		func(ctx context.Context) error {
			srv := public(secure)
			srv.TLSConfig = a.certs.TLSConfig()
			// Failed handshakes are counted; scanners would fill a log with them.
			srv.ErrorLog = slog.NewLogLogger(slog.DiscardHandler, slog.LevelDebug)
			return srv.Until(ctx, l)
		}), nil
}

// announce tells browsers that HTTP/3 is spoken too.
func announce(srv *http3.Server, next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_ = srv.SetQUICHeaders(w.Header()) // fails only before it listens
		next.ServeHTTP(w, r)
	})
}

func serveQUIC(ctx context.Context, srv *http3.Server, conn net.PacketConn) error {
	err := listen.Until(ctx, srv, func() error { return srv.Serve(conn) })
	return errors.Join(err, conn.Close())
}

// publicPort is where the public reaches us by links: ":8443", or "" for 443.
func publicPort(port string) int {
	if n, err := strconv.Atoi(strings.TrimPrefix(port, ":")); err == nil {
		return n
	}
	return 443
}
