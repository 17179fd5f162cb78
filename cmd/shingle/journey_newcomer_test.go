package main

import (
	"net/http"
	"regexp"
	"strconv"
	"strings"
	"testing"

	"github.com/chromedp/chromedp"
)

// TestJourneyNewcomer reads the table that the program prints and goes to every
// address in it: the three boards with their looks, the platform's page, the
// mail and Stripe's simulator.
func TestJourneyNewcomer(t *testing.T) {
	w := world(t)
	ctx := w.browser(t)
	table := w.table.String()
	for _, words := range []string{"Orbit Remote", "USD, en", "Pflegewerk", "EUR, de", "Tidal Jobs", "GBP, en", w.platform + "/staff", "staff@shingle.example",
		demoPassword, ". " + w.dir + "/env"} {
		if !strings.Contains(table, words) {
			t.Errorf("the table does not say %q:\n%s", words, table)
		}
	}
	for _, address := range regexp.MustCompile(`http://[^\s]+`).FindAllString(table, -1) {
		res, err := chromedp.RunResponse(ctx, chromedp.Navigate(address))
		if err != nil || res.Status != http.StatusOK {
			t.Errorf("%s of the table: %v, %+v", address, err, res)
		}
	}

	// The bare address leads to the platform's page, and that to the boards.
	visit(t, ctx, "http://localhost:"+w.port+"/", 200)
	says(t, ctx, "Orbit Remote", "Pflegewerk", "Tidal Jobs", "Mail", "Stripe simulator")
	seen := map[string]string{}
	for _, slug := range []string{"orbit", "pflege", "tidal"} {
		visit(t, ctx, "http://localhost:"+w.port+"/", 200)
		press(t, ctx, `a[href="`+w.board(slug)+`/"]`, 200)
		b := w.demo(t, slug)
		says(t, ctx, b.Name)
		look, err := chromedp.Run(ctx, chromedp.Evaluate[[]string](`[document.documentElement.lang, getComputedStyle(document.documentElement).getPropertyValue("--primary"), getComputedStyle(document.querySelector("h1")).fontFamily]`))
		if err != nil {
			t.Fatal(err)
		}
		if look[0] != b.Locale {
			t.Errorf("%s is in %q, want %q", slug, look[0], b.Locale)
		}
		if other := seen[look[1]]; other != "" {
			t.Errorf("%s and %s have the same colour %s", slug, other, look[1])
		}
		seen[look[1]] = slug
		visit(t, ctx, w.board(slug)+"/jobs", 200)
		n := 0
		for _, word := range regexp.MustCompile(`\d+`).FindAllString(body(t, ctx), -1) {
			if v, _ := strconv.Atoi(word); v < 500 {
				n = max(n, v)
			}
		}
		if n < 60 {
			t.Errorf("%s shows %d live listings at most, want 60 or more", slug, n)
		}
	}

	visit(t, ctx, "http://mail.localhost:"+w.port+"/", 200)
	w.page(t, ctx, "mail")
	visit(t, ctx, w.board("stripe")+"/", 200)
	says(t, ctx, "Orbit Remote")
	w.page(t, ctx, "stripe-simulator")

	// What is not there says so, in nobody's name.
	visit(t, ctx, w.board("nobody-lives-here")+"/", http.StatusNotFound)
	w.page(t, ctx, "unknown-host")
	visit(t, ctx, w.board("orbit")+"/jobs/nothing-here-22222222", http.StatusNotFound)
	w.page(t, ctx, "listing-unknown")
}
