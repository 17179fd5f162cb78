package main

import (
	"strings"
	"testing"

	"github.com/chromedp/chromedp"
)

// TestOwnerTakesTheBoardAlong: asked for, made by the worker, mailed, and
// fetched by a link that is good once.
func TestOwnerTakesTheBoardAlong(t *testing.T) {
	w := world(t)
	ctx := w.browser(t)
	owner := w.demo(t, "pflege").Owner.Email
	atConsole(t, ctx, w, "pflege", owner)
	visit(t, ctx, w.board("pflege")+"/admin/export", 200)
	w.page(t, ctx, "admin-export-none")
	press(t, ctx, `form[action="/admin/export"] button`, 200)
	fetch := link(t, w.mail(t, owner, "Archiv"), "/admin/export/download")
	visit(t, ctx, w.board("pflege")+"/admin/export", 200)
	says(t, ctx, "Fertig", "Wird gelöscht am")
	w.page(t, ctx, "admin-export")
	visit(t, ctx, fetch, 200)
	says(t, ctx, "Herunterladen", "gilt einmal")
	w.page(t, ctx, "admin-export-download")
	// Sent by the page itself, as a download shows no page of its own.
	got, err := chromedp.Run(ctx, chromedp.Evaluate[string](`(() => {
		const f = document.querySelector('form[action="/admin/export/download"]'), r = new XMLHttpRequest();
		r.open("POST", f.getAttribute("action"), false);
		r.setRequestHeader("Content-Type", "application/x-www-form-urlencoded");
		r.send(new URLSearchParams(new FormData(f)).toString());
		return r.status + " " + r.getResponseHeader("Content-Type") + " " + r.getResponseHeader("Content-Disposition");
	})()`))
	if err != nil || !strings.HasPrefix(got, `200 application/gzip attachment; filename="pflege-`) {
		t.Errorf("fetched %q: %v", got, err)
	}
	visit(t, ctx, fetch, 410)
	says(t, ctx, "verbraucht oder zu alt", "Abgeholt")
	w.page(t, ctx, "admin-export-over")
	press(t, ctx, `form[action$="/link"] button`, 200)
	visit(t, ctx, link(t, w.mail(t, owner, "Archiv"), "/admin/export/download"), 200)
	visit(t, ctx, w.board("pflege")+"/admin/export", 200)
	press(t, ctx, `form[action$="/delete"] button`, 200)
	says(t, ctx, "Gelöscht")
}
