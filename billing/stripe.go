package billing

import (
	"context"

	"github.com/stripe/stripe-go/v76"
)

// Call is what every call of Stripe has, for the packages below this one: the
// context and the key that makes a repeat the same call. It is made on the
// platform's own account.
func Call(ctx context.Context, key string) stripe.Params { return params(ctx, "", key) }

// StripeFault gives an answer of Stripe's a kind, without the customer's data
// that its text may quote: fault.NotFound, fault.Conflict when it refused,
// fault.Unavailable. doing is said to staff.
func StripeFault(err error, doing string) error { return stripeFault(err, doing) }
