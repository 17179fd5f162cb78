// Package hooks takes what Stripe sends: verified, stored, answered at once. It
// never applies anything; a task does. Start at Routes.
package hooks

import (
	"context"
	"io"
	"net/http"

	"github.com/gin-gonic/gin"

	"shingle/authz"
	"shingle/internal/fault"
	"shingle/web/route"
)

// Inbox verifies an event by its signature and stores it.
type Inbox interface {
	Receive(ctx context.Context, payload []byte, signature string) error
}

// Hooks serves Stripe's two endpoints on the platform's host.
type Hooks struct{ Inbox Inbox }

// Routes is every URL of the audience.
func (h *Hooks) Routes() []route.Route {
	return []route.Route{
		{Method: route.POST, Path: "/webhooks/stripe", Handle: h.stripe, Can: authz.Public, Body: 1 << 20},
		{Method: route.POST, Path: "/webhooks/stripe/connect", Handle: h.stripe, Can: authz.Public, Body: 1 << 20},
	}
}

// Guard lets everybody in: the signature is the permission.
func (h *Hooks) Guard(*gin.Context, authz.Permission) error { return nil }

// stripe answers 200 as soon as the event is stored. Anything else makes Stripe
// send it again.
func (h *Hooks) stripe(c *gin.Context) error {
	payload, err := io.ReadAll(c.Request.Body)
	if err != nil {
		return fault.Wrap(err, fault.Invalid, "the body could not be read")
	}
	if err := h.Inbox.Receive(c.Request.Context(), payload, c.GetHeader("Stripe-Signature")); err != nil {
		return err
	}
	c.Status(http.StatusOK)
	return nil
}
