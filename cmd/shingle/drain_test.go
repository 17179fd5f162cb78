package main

import (
	"context"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"
)

func TestLeavingIsToldBeforeItHappens(t *testing.T) {
	d := &drain{delay: 150 * time.Millisecond}
	ctx, signal := context.WithCancel(t.Context())
	end := d.after(ctx)
	h := d.handler(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write([]byte("page")) }))
	ready := d.ready(func(context.Context) error { return nil })
	look := func() (connection string, err error) {
		rec := httptest.NewRecorder()
		h.ServeHTTP(rec, httptest.NewRequestWithContext(t.Context(), http.MethodGet, "/", nil))
		if rec.Body.String() != "page" {
			t.Errorf("answers %q", rec.Body)
		}
		return rec.Header().Get("Connection"), ready(t.Context())
	}
	if c, err := look(); c != "" || err != nil {
		t.Errorf("before the signal: Connection %q, ready %v", c, err)
	}
	begun := time.Now()
	signal()
	for !d.on.Load() {
		time.Sleep(time.Millisecond)
	}
	if c, err := look(); c != "close" || err == nil {
		t.Errorf("after the signal: Connection %q, ready %v", c, err)
	}
	<-end.Done()
	if took := time.Since(begun); took < d.delay {
		t.Errorf("ended %s after the signal, want %s or more", took, d.delay)
	}
}
