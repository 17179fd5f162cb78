package main

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/chromedp/chromedp"

	"shingle/internal/testkit"
)

// mostClicks is what a new company may need from the platform's page to its
// first live listing, typing not counted.
const mostClicks = 25

// longest is what it may take a person, who types and points as the keystroke-level
// model of Card, Moran and Newell (1980) has it, in seconds: 0.28 a key of an
// average typist, and for each click 1.1 to point, 0.4 to move the hand, 1.35 to think.
const (
	longest          = 10 * time.Minute
	aKey             = 280 * time.Millisecond
	aClick           = (1100 + 400 + 1350) * time.Millisecond
	thinkingOfAField = 5 * time.Second // what to write in it is no part of that model
)

func TestJourneySignUp(t *testing.T) {
	w := world(t)
	ctx := w.browser(t)
	agrees(t, ctx, "")
	clicks, keys, fields, begun := 0, 0, 0, time.Now()
	fill := func(t *testing.T, ctx context.Context, pairs ...string) { //nolint:revive // t first, as in testkit
		t.Helper()
		for i := 1; i < len(pairs); i += 2 {
			keys, fields = keys+len(pairs[i]), fields+1
		}
		fill(t, ctx, pairs...)
	}
	click := func(ctx context.Context, sel string, status int) {
		t.Helper()
		clicks++
		press(t, ctx, sel, status)
	}
	const email, slug = "founder@looms.example", "looms"
	visit(t, ctx, w.platform+"/", 200)
	w.page(t, ctx, "platform-home")
	click(ctx, `a[href$="/sign-up"]`, 200)
	w.page(t, ctx, "signup-form")

	// What is wrong is named, and what was typed stays.
	fill(t, ctx, "name", "Loom & Thread Jobs", "slug", "orbit", "email", email, "person", "Wilma Weber")
	click(ctx, `form[action="/sign-up"] button`, 422)
	w.page(t, ctx, "signup-taken")
	if !truth(t, ctx, `document.querySelector("[name=email]").value === "`+email+`" && !!document.querySelector("#e-slug")`) {
		t.Errorf("the refused form lost what was typed, or does not name the address")
	}
	fill(t, ctx, "slug", slug)
	click(ctx, `form[action="/sign-up"] button`, 200)
	w.page(t, ctx, "signup-sent")

	clicks++ // the link in the mail
	visit(t, ctx, link(t, w.mail(t, email, ""), "/sign-up/confirm"), 200)
	w.page(t, ctx, "signup-confirm")
	clicks++
	do(t, ctx, chromedp.Click(`form[action="/sign-up/confirm"] button`))
	admin := w.board(slug) + "/admin"
	arrives(t, ctx, admin)
	w.page(t, ctx, "signup-checklist")
	says(t, ctx, "1 of 8", "12% ready", "Launch your board")

	steps := func() (n int) {
		n, err := chromedp.Run(ctx, chromedp.Evaluate[int](`Number(document.querySelector("progress")?.value ?? -1)`))
		if err != nil {
			t.Fatal(err)
		}
		return n
	}
	first := steps()
	click(ctx, `#launch-colors a`, 200)
	fill(t, ctx, "light.primary", "#8a3b12")
	click(ctx, `form[action="/admin/look"] .save-bar button`, 200)
	click(ctx, `form[action="/admin/look/publish"] button`, 200)
	click(ctx, `a.nav-link[href="/admin"]`, 200)

	click(ctx, `section[aria-labelledby=launch] a[href="/admin/pages"]`, 200)
	fill(t, ctx, "name", "Wilma Weber", "email", email, "street", "Weaver Lane 4", "city", "Ghent", "country", "Belgium")
	click(ctx, `form[action="/admin/pages/generate"] button`, 200)
	click(ctx, `a.nav-link[href="/admin"]`, 200)
	if got := steps(); got < first+2 {
		t.Errorf("the checklist counts %d done, want %d or more:\n%s", got, first+2, body(t, ctx))
	}
	w.page(t, ctx, "signup-checklist-half")

	click(ctx, `section[aria-labelledby=launch] a[href="/admin/listings/new"]`, 200)
	fill(t, ctx, "title", "Handloom Weaver", "company", "Loom & Thread", "places", "Ghent, BE",
		"description", "Weave linen on an old loom in a bright hall, and teach others how it is done.")
	do(t, ctx, chromedp.Evaluate[chromedp.Void](`(() => {
		for (const name of ["category", "employment_type", "workplace"]) {
			const s = document.querySelector("select[name=" + name + "]"); if (s && !s.value) s.value = s.options[1].value;
		}
	})()`))
	click(ctx, `form[action="/admin/listings"] button.btn-primary`, 200)
	says(t, ctx, "Handloom Weaver", "Live")
	clicks++ // a long link, which may run over two lines
	visit(t, ctx, href(t, ctx, `dd a[href*="/jobs/"]`), 200)
	says(t, ctx, "Handloom Weaver")
	w.page(t, ctx, "signup-first-listing")
	testkit.Eventually(t, patience, func() error {
		visit(t, ctx, w.board(slug)+"/", 200)
		if !truth(t, ctx, `document.body.innerText.includes("Handloom Weaver")`) {
			return fmt.Errorf("the board's home does not show its first listing")
		}
		return nil
	})
	// What the program, this machine and the looks at the pages took counts, too.
	person := time.Duration(keys)*aKey + time.Duration(clicks)*aClick + time.Duration(fields)*thinkingOfAField + time.Since(begun)
	t.Logf("%d clicks, %d keys in %d fields from the platform's page to the first live listing: %s of a person's time", clicks, keys, fields, person.Round(time.Second))
	if person > longest {
		t.Errorf("it takes a person %s, want %s at most", person.Round(time.Second), longest)
	}
	if clicks > mostClicks {
		t.Errorf("it takes %d clicks, want %d at most", clicks, mostClicks)
	}
}
