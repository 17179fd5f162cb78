package main

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/http/pprof"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"shingle/internal/listen"
	"shingle/web/route"
)

// opsHandler answers what watchers ask: alive, ready, figures, profiles. It
// listens on a port of its own, which is not for the world.
func opsHandler(reg *prometheus.Registry, ready func(context.Context) error) http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /healthz", func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write([]byte("ok\n")) })
	mux.HandleFunc("GET /readyz", func(w http.ResponseWriter, r *http.Request) {
		ctx, cancel := context.WithTimeout(r.Context(), 2*time.Second)
		defer cancel()
		if err := ready(ctx); err != nil {
			http.Error(w, "not ready: "+err.Error(), http.StatusServiceUnavailable)
			return
		}
		_, _ = w.Write([]byte("ready\n"))
	})
	// OpenMetrics, for who asks for it: exemplars stand in no other form.
	mux.Handle("GET /metrics", promhttp.HandlerFor(reg, promhttp.HandlerOpts{EnableOpenMetrics: true}))
	mux.HandleFunc("GET /debug/pprof/", pprof.Index)
	mux.HandleFunc("GET /debug/pprof/profile", pprof.Profile)
	mux.HandleFunc("GET /debug/pprof/trace", pprof.Trace)
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		route.Baseline(w.Header())
		mux.ServeHTTP(w, r)
	})
}

func newRegistry() *prometheus.Registry {
	reg := prometheus.NewRegistry()
	reg.MustRegister(collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	return reg
}

// ping answers whether the database can be reached, in words fit for a probe.
func ping(ctx context.Context, db *sql.DB) error {
	if err := db.PingContext(ctx); err != nil {
		return errors.New("the database does not answer")
	}
	return nil
}

// listenAndServe serves what the machine's own network asks until ctx ends, then
// lets requests under way finish.
func listenAndServe(ctx context.Context, name, addr string, h http.Handler) error {
	return serveAt(ctx, name, addr, listen.New(h, listen.Private))
}

func serveAt(ctx context.Context, name, addr string, s *listen.Server) error {
	l, err := listen.TCP(ctx, addr)
	if err != nil {
		return fmt.Errorf("%s: %w", name, err)
	}
	return s.Until(ctx, l)
}

// serveOn is for dev's listeners, which are made before they are named.
func serveOn(ctx context.Context, l net.Listener, h http.Handler) error {
	return listen.New(h, listen.Private).Until(ctx, l)
}
