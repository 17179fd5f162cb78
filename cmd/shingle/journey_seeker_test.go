package main

import "testing"

func TestJourneySeeker(t *testing.T) {
	w := world(t)
	ctx := w.browser(t)
	visit(t, ctx, w.board(w.boards[0].Slug)+"/", 200)
	t.Log(body(t, ctx))
}
