// Package hooks takes what Stripe and the mail server send: verified, stored,
// answered at once. It never applies anything; a task does. Start at Routes.
package hooks

import (
	"context"
	"crypto/subtle"
	"io"
	"net/http"
	"strings"

	"github.com/gin-gonic/gin"

	"shingle/accounts"
	"shingle/authz"
	"shingle/internal/fault"
	"shingle/web/route"
)

// Inbox verifies an event by its signature and stores it.
type Inbox interface {
	Receive(ctx context.Context, payload []byte, signature string) error
}

// Returns stores a mail that came back.
type Returns interface {
	Receive(ctx context.Context, recipient, contentType string, raw []byte) error
}

// Hooks serves Stripe's two endpoints and the mail server's on the platform's host.
type Hooks struct {
	// Limits bounds what one sender may send; nil bounds nothing.
	Limits  *accounts.Limiter
	Inbox   Inbox
	Returns Returns
	// ReturnSecret is the mail server's; without one its endpoint is not there.
	ReturnSecret string
}

// Routes is every URL of the audience.
func (h *Hooks) Routes() []route.Route {
	return []route.Route{
		{Method: route.POST, Path: "/webhooks/stripe", Handle: route.Limited(h.Limits, accounts.Webhooks, h.stripe), Can: authz.Public, Body: 1 << 20},
		{Method: route.POST, Path: "/webhooks/stripe/connect", Handle: route.Limited(h.Limits, accounts.Webhooks, h.stripe), Can: authz.Public, Body: 1 << 20},
		{Method: route.POST, Path: "/webhooks/mail", Handle: route.Limited(h.Limits, accounts.Webhooks, h.mail), Can: authz.Public, Body: 1 << 20},
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

// mail takes a bounce or complaint: the message itself as message/rfc822 with
// ?recipient= of its envelope, or JSON {"type": "bounce" or "complaint",
// "return_path" or "ref", "status"}; the secret comes as a bearer token.
func (h *Hooks) mail(c *gin.Context) error {
	if h.ReturnSecret == "" {
		return fault.New(fault.NotFound, "no mail is taken here: set SHINGLE_MAIL_RETURN_SECRET")
	}
	token, _ := strings.CutPrefix(c.GetHeader("Authorization"), "Bearer ")
	if subtle.ConstantTimeCompare([]byte(token), []byte(h.ReturnSecret)) != 1 {
		return fault.New(fault.SignIn, "send the secret as Authorization: Bearer …")
	}
	raw, err := io.ReadAll(c.Request.Body)
	if err != nil {
		return fault.Wrap(err, fault.Invalid, "the body could not be read")
	}
	if err := h.Returns.Receive(c.Request.Context(), c.Query("recipient"), c.ContentType(), raw); err != nil {
		return err
	}
	c.Status(http.StatusOK)
	return nil
}
