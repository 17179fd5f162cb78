package certs

import (
	"context"
	"encoding/json"
	"time"

	"github.com/uptrace/bun"

	"shingle/tasks"
)

// SetLease shortens a storage's lease, for tests.
func (s *Storage) SetLease(d time.Duration) { s.lease = d }

// CAKeys are the names that certificates of each authority are stored under.
func (c *Certs) CAKeys() (keys []string) {
	for _, a := range c.cas {
		keys = append(keys, a.name)
	}
	return keys
}

// Storage is where the certificates are.
func (c *Certs) Storage() *Storage { return c.storage }

// Watch runs the schedule's task once.
func (c *Certs) Watch(ctx context.Context) error {
	return c.handleWatch(ctx, &tasks.Task{Kind: kindWatch})
}

// RunOrder runs a host's order in this goroutine, as a task does.
func (c *Certs) RunOrder(ctx context.Context, host string) error {
	return c.handleOrder(ctx, &tasks.Task{Kind: kindOrder, Payload: json.RawMessage(`{"host":"` + host + `"}`)})
}

// Staple runs a host's look at its responder in this goroutine, as a task does.
func (c *Certs) Staple(ctx context.Context, host string) error {
	return c.handleStaple(ctx, &tasks.Task{Kind: kindStaple, Payload: json.RawMessage(`{"host":"` + host + `"}`)})
}

// AgeIdentities lets what the directories said run out.
func (c *Certs) AgeIdentities() {
	c.ids.mu.Lock()
	defer c.ids.mu.Unlock()
	for d, kept := range c.ids.by {
		kept.till = time.Time{}
		c.ids.by[d] = kept
	}
}

// Refresh is a round of Run's, Poll one that looks at what is new.
func (c *Certs) Refresh(ctx context.Context) error { return c.refresh(ctx) }

// Poll is Refresh as if the last one was a while ago.
func (c *Certs) Poll(ctx context.Context) error {
	c.known.mu.Lock()
	c.known.polled = time.Now().Add(-pollEvery)
	c.known.mu.Unlock()
	return c.refresh(ctx)
}

// RetryAfter is the standard wait.
var RetryAfter = retryAfter

// RegisteredDomain is what limits count by.
var RegisteredDomain = registeredDomain

// StoreIn is Store in the caller's transaction.
func (s *Storage) StoreIn(ctx context.Context, tx bun.IDB, key string, value []byte) error {
	return s.store(ctx, tx, key, value)
}
