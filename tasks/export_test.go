package tasks

import (
	"context"
	"log/slog"
	"time"

	"shingle/tenant"
)

// Clock lets a test set back the database's clock: it cannot move the real one.
type Clock struct{ c clock }

// SetBack makes the next look see a step back.
func (c *Clock) SetBack(by time.Duration) { c.c.said = c.c.said.Add(by) }

// Look looks again after d.
func (c *Clock) Look(ctx context.Context, p *tenant.Platform, d time.Duration) error {
	for _, at := range []*time.Time{&c.c.looked, &c.c.until, &c.c.mended} {
		if !at.IsZero() {
			*at = at.Add(-d)
		}
	}
	if !c.c.said.IsZero() {
		c.c.said = c.c.said.Add(-d)
	}
	return c.c.watch(ctx, p, slog.New(slog.DiscardHandler))
}
