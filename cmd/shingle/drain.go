package main

import (
	"context"
	"errors"
	"net/http"
	"sync/atomic"
	"time"
)

// drain is how serve leaves without a request lost: from the signal on it says
// that it is not ready and that connections end, but answers all the same for
// as long as a balancer needs to notice. Only then its listeners close: what
// waits to be accepted at that moment would be reset.
type drain struct {
	delay time.Duration
	on    atomic.Bool
}

// after is ctx, ended later by the delay.
func (d *drain) after(ctx context.Context) context.Context {
	later, cancel := context.WithCancel(context.WithoutCancel(ctx))
	context.AfterFunc(ctx, func() {
		d.on.Store(true)
		time.AfterFunc(d.delay, cancel)
	})
	return later
}

// ready is ready, but not while leaving.
func (d *drain) ready(ready func(context.Context) error) func(context.Context) error {
	return func(ctx context.Context) error {
		if d.on.Load() {
			return errors.New("shutting down")
		}
		return ready(ctx)
	}
}

// handler sends callers elsewhere with their next request.
func (d *drain) handler(h http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if d.on.Load() {
			w.Header().Set("Connection", "close")
		}
		h.ServeHTTP(w, r)
	})
}
