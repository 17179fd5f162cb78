// Package entitle is the arithmetic of what was granted: so much of something,
// from one time to another. What an employer bought for a listing and what a
// plan allows a board are both told by it. It never keeps a grant and never
// knows a price. Start at Grant.
package entitle

import "time"

// Unlimited is an Amount without an end.
const Unlimited = -1

// Grant is an amount of What that counts from From until To. A zero From has not
// begun; a zero To never ends.
type Grant struct {
	What     string
	From, To time.Time
	Amount   int64
	Revoked  bool
}

// At reports whether the grant counts at a time.
func (g Grant) At(now time.Time) bool {
	return !g.Revoked && !g.From.IsZero() && !g.From.After(now) && (g.To.IsZero() || g.To.After(now))
}

// Open reports whether the grant counts now or will: one that has not begun does.
func (g Grant) Open(now time.Time) bool { return !g.Revoked && (g.To.IsZero() || g.To.After(now)) }

// Allowed is the sum of what counts now, or Unlimited. Nothing granted is 0.
func Allowed(now time.Time, grants []Grant, what string) int64 {
	var sum int64
	for _, g := range grants {
		if g.What != what || !g.At(now) {
			continue
		}
		if g.Amount == Unlimited {
			return Unlimited
		}
		sum += g.Amount
	}
	return sum
}

// End is when the last grant of what that has an end ends; zero when there is none.
func End(grants []Grant, what string) (end time.Time) {
	for _, g := range grants {
		if g.What == what && !g.Revoked && g.To.After(end) {
			end = g.To
		}
	}
	return end
}

// Next is the window of a grant that lasts for d and begins when the others of
// its kind have ended, not before now.
func Next(now time.Time, grants []Grant, what string, d time.Duration) (from, to time.Time) {
	from = now
	if end := End(grants, what); end.After(now) {
		from = end
	}
	return from, from.Add(d)
}
