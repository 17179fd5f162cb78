package main

import "testing"

// TestJourneyOwnData asks a board in German what it holds, looks at it, and has
// it erased and then kept after all.
func TestJourneyOwnData(t *testing.T) {
	w := world(t)
	const slug, email = "pflege", "mira@meinedaten.example"
	w.sql(t, `INSERT INTO alerts (tenant_id, id, email, query, confirm_hash, stop_hash)
		SELECT id, gen_random_uuid(), $1, 'q=pflege', '\x0d01', '\x0d02' FROM boards WHERE slug = $2`, email, slug)
	ctx := w.browser(t)
	visit(t, ctx, w.board(slug)+"/", 200)
	press(t, ctx, `footer a[href="/your-data"]`, 200)
	w.page(t, ctx, "data-ask")
	typeIn(t, ctx, "email", email)
	send(t, ctx, "/your-data", 200)
	w.page(t, ctx, "data-sent")
	visit(t, ctx, link(t, w.mail(t, email, "Ihre Daten"), "/your-data/open"), 200)
	w.page(t, ctx, "data-open")
	send(t, ctx, "/your-data/open", 200)
	says(t, ctx, "Was wir über Sie gespeichert haben")
	w.page(t, ctx, "data-held")
	choose(t, ctx, "confirm", "yes")
	send(t, ctx, "/your-data/erase", 200)
	says(t, ctx, "Die Löschung ist vorgemerkt")
	w.page(t, ctx, "data-asked")
	visit(t, ctx, link(t, w.mail(t, email, "gelöscht"), "/your-data/keep"), 200)
	w.page(t, ctx, "data-keep")
	send(t, ctx, "/your-data/keep", 200)
	says(t, ctx, "Es wird nichts gelöscht")
	w.page(t, ctx, "data-kept")
}
