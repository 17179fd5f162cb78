package doctor

// RealStripe makes the doctor look at the webhook endpoints of a Stripe that is not ours.
func (d *Doctor) RealStripe() { d.real = true }
