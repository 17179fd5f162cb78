package testkit

import (
	"context"
	"fmt"
	"image/jpeg"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/chromedp/chromedp"
)

// record is a testing.TB that notes failures instead of failing.
type record struct {
	testing.TB
	failures []string
}

func (r *record) Helper() {}
func (r *record) Errorf(format string, args ...any) {
	r.failures = append(r.failures, fmt.Sprintf(format, args...))
}

const goodPage = `<!doctype html><html lang="en"><head><title>Board</title><meta name="viewport" content="width=device-width"></head>
<body><main><h1>Jobs</h1><p>Three listings</p></main></body></html>`

func TestChromiumChecksPages(t *testing.T) {
	t.Parallel()
	pages := http.NewServeMux()
	show := func(path, body string) {
		pages.HandleFunc(path, func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Security-Policy", "default-src 'self'")
			_, _ = w.Write([]byte(body))
		})
	}
	show("/good", goodPage)
	show("/bad", strings.Replace(goodPage, "<p>", `<img src="/none.png"><p>`, 1))
	srv := httptest.NewServer(pages)
	t.Cleanup(srv.Close)
	host := strings.Replace(srv.URL, "127.0.0.1", "board.localhost", 1)

	ctx := Chromium(t)
	if err := chromedp.Do(ctx, chromedp.Navigate(host+"/good")); err != nil {
		t.Fatal(err)
	}
	Axe(t, ctx)
	path := Screenshot(t, ctx, "testkit good", 375)
	f, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = f.Close() }()
	img, err := jpeg.DecodeConfig(f)
	if err != nil {
		t.Fatal(err)
	}
	if img.Width != 375 {
		t.Errorf("got a picture %d wide, want 375", img.Width)
	}

	if err := chromedp.Do(ctx, chromedp.Navigate(host+"/bad")); err != nil {
		t.Fatal(err)
	}
	r := &record{TB: t}
	Axe(r, ctx)
	if len(r.failures) != 1 || !strings.Contains(r.failures[0], "image-alt") {
		t.Errorf("got %q, want one report of image-alt", r.failures)
	}
}

func TestChromiumFailsATestForWhatThePolicyRefused(t *testing.T) {
	t.Parallel()
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Security-Policy", "default-src 'self'")
		_, _ = w.Write([]byte(strings.Replace(goodPage, "<p>", `<p style="color:red">`, 1)))
	}))
	t.Cleanup(srv.Close)
	r := &record{TB: t}
	ctx := Chromium(r)
	if err := chromedp.Do(ctx, chromedp.Navigate(srv.URL)); err != nil {
		t.Fatal(err)
	}
	// Events arrive in order before the answer to this.
	if _, err := chromedp.Run(ctx, chromedp.Title()); err != nil {
		t.Fatal(err)
	}
	if len(r.failures) == 0 {
		t.Error("got no failure, want one about the inline style")
	}
}

func TestProfilesOfOneBrowserShareNoCookie(t *testing.T) {
	t.Parallel()
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write([]byte(goodPage)) }))
	t.Cleanup(srv.Close)
	b := StartBrowser(t)
	cookies := func(ctx context.Context, set string) string {
		t.Helper()
		if err := chromedp.Do(ctx, chromedp.Navigate(srv.URL)); err != nil {
			t.Fatal(err)
		}
		got, err := chromedp.Run(ctx, chromedp.Evaluate[[]string](`(() => { const before = document.cookie; if (`+strconv.Quote(set)+`) document.cookie = `+strconv.Quote(set)+`; return [before, String(document.hasFocus())] })()`))
		if err != nil {
			t.Fatal(err)
		}
		if got[1] != "true" {
			t.Error("a window thinks that it is not in front")
		}
		return got[0]
	}
	one, two := b.Profile(t), b.Profile(t)
	cookies(one, "who=one")
	if got := cookies(two, ""); got != "" {
		t.Errorf("the second window has the first one's cookie %q", got)
	}
	if got := cookies(one, ""); got != "who=one" {
		t.Errorf("the first window has %q, want its own cookie", got)
	}
}

// TestABrowserThatCrashesIsStartedAgain sets PATH, so it runs alone.
func TestABrowserThatCrashesIsStartedAgain(t *testing.T) {
	real, err := findChromium()
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	script := "#!/bin/sh\n[ -e '" + dir + "/crashed' ] && exec '" + real + "' \"$@\"\ntouch '" + dir + "/crashed'\nkill -SEGV $$\n"
	if err := os.WriteFile(filepath.Join(dir, "chromium-headless-shell"), []byte(script), 0o755); err != nil { //nolint:gosec // a program
		t.Fatal(err)
	}
	t.Setenv("PATH", dir+string(os.PathListSeparator)+os.Getenv("PATH"))
	two, err := chromedp.Run(Chromium(t), chromedp.Evaluate[int](`1 + 1`))
	if err != nil || two != 2 {
		t.Errorf("%d, %v", two, err)
	}
	if _, err := os.Stat(filepath.Join(dir, "crashed")); err != nil {
		t.Error("the first did not crash")
	}
}
