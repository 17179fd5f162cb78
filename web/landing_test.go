package web_test

import (
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"

	"github.com/chromedp/chromedp"

	"shingle/internal/testkit"
)

// The pages around the landing page stand under its name, in its type and on
// its ground, in both languages, and readable on a phone.
func TestPlatformPagesBelongToTheLandingPage(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	srv := httptest.NewServer(h.handler)
	t.Cleanup(srv.Close)
	form := url.Values{"name": {"Harbour"}, "slug": {"harbour"}, "email": {"owner@new.example"}, "person": {"Ann"}, "locale": {"en"}, "currency": {"EUR"}, "time_zone": {"Europe/Berlin"}}
	code, sent, _ := h.send(t, platformHost, "/sign-up", "", form)
	if code != http.StatusOK {
		t.Fatalf("sign-up: %d", code)
	}
	confirm := h.linkTo(t, "operator-sign-up")
	pages := map[string]string{"sent": sent}
	for _, path := range []string{"/sign-in", "/reset/ask", "/sign-up/confirm?token=" + confirm, "/sign-up/confirm?token=spent"} {
		for _, language := range []string{"en", "de"} {
			_, pages[language+" "+path] = h.console(t, platformHost, path, "", language)
		}
	}
	for name, body := range pages {
		if !strings.Contains(body, "landing.") || !strings.Contains(body, `class="landing-top"`) || !strings.Contains(body, `class="landing-foot"`) || !strings.Contains(body, "Instrument Sans") || strings.Contains(body, "⟦") {
			t.Errorf("%s does not look like the landing page: %.1500s", name, body)
		}
		if strings.Count(body, "<main") != 1 || strings.Count(body, "<h1") != 1 || strings.Count(body, "<header") != 1 {
			t.Errorf("%s has not one header, one main and one heading", name)
		}
	}
	if testing.Short() {
		return
	}
	ctx := testkit.Chromium(t)
	at := strings.Replace(srv.URL, "127.0.0.1", platformHost, 1)
	for _, path := range []string{"/sign-up/confirm?token=" + confirm, "/sign-in", "/reset/ask"} {
		if err := chromedp.Do(ctx, chromedp.Navigate(at+path), chromedp.WaitReady("main")); err != nil {
			t.Fatalf("%s: %v", path, err)
		}
		name, _, _ := strings.Cut(strings.Trim(path, "/"), "?")
		testkit.Page(t, ctx, "platform "+strings.ReplaceAll(name, "/", " "), 390, 1280)
	}
}
