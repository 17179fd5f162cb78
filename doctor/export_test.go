package doctor

import (
	"context"
	"time"
)

// RealStripe makes the doctor look at the webhook endpoints of a Stripe that is not ours.
func (d *Doctor) RealStripe() { d.real = true }

// Served makes the one check, as Examine does.
func (d *Doctor) Served(ctx context.Context) []Finding {
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	l := &list{area: "certificates"}
	d.served(ctx, l)
	return l.out
}
