package entitle

import (
	"testing"
	"time"
)

func TestGrantsAddUpWithinTheirTime(t *testing.T) {
	t.Parallel()
	now := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	day := 24 * time.Hour
	gs := []Grant{
		{What: "listings", From: now.Add(-day), Amount: 10},
		{What: "listings", From: now.Add(-day), To: now.Add(day), Amount: 5},
		{What: "listings", From: now.Add(-2 * day), To: now, Amount: 100}, // over at this moment
		{What: "listings", From: now.Add(day), Amount: 100},               // not yet
		{What: "listings", Amount: 100},                                   // has not begun
		{What: "listings", From: now.Add(-day), Amount: 100, Revoked: true},
		{What: "seats", From: now.Add(-day), Amount: 3},
		{What: "views", From: now.Add(-day), Amount: 7},
		{What: "views", From: now.Add(-day), Amount: Unlimited},
	}
	for what, want := range map[string]int64{"listings": 15, "seats": 3, "views": Unlimited, "domains": 0} {
		if got := Allowed(now, gs, what); got != want {
			t.Errorf("%s: %d allowed, want %d", what, got, want)
		}
	}
	if got, want := End(gs, "listings"), now.Add(day); !got.Equal(want) {
		t.Errorf("listings end at %s, want %s", got, want)
	}
	from, to := Next(now, gs, "listings", 3*day)
	if !from.Equal(now.Add(day)) || !to.Equal(now.Add(4*day)) {
		t.Errorf("the next begins %s and ends %s", from, to)
	}
	if from, _ := Next(now, gs, "domains", day); !from.Equal(now) {
		t.Errorf("the first begins %s, want now", from)
	}
}
