package testkit

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"testing"
	"time"

	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/cdproto/log"
	"github.com/chromedp/cdproto/page"
	"github.com/chromedp/cdproto/runtime"
	"github.com/chromedp/chromedp"
)

const (
	// browserPatience is how long one test may use its browser, on a machine that
	// others load too.
	browserPatience = 12 * time.Minute
	// lookPatience is how long one look at a page may take.
	lookPatience = 2 * time.Minute
)

// Chromium starts a headless browser for the test, with a profile of its own,
// and returns chromedp's context of its first tab. It resolves *.localhost by
// itself. An uncaught exception in a page, and anything that a page's content
// security policy refused, fail the test.
func Chromium(t testing.TB) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(start(t, context.Background()), browserPatience)
	t.Cleanup(cancel)
	watch(t, ctx)
	return ctx
}

// Browser is one Chromium that several tests share: starting it takes longer
// than most of them.
type Browser struct{ first context.Context }

// StartBrowser starts it; it closes when t ends.
func StartBrowser(t testing.TB) *Browser {
	t.Helper()
	return &Browser{first: start(t, context.Background())}
}

// Profile is a person with a browser of their own: a window that shares no
// cookie and no cache with the others, watched as Chromium's is.
func (b *Browser) Profile(t testing.TB) context.Context {
	t.Helper()
	patient, cancel := context.WithTimeout(b.first, browserPatience)
	ctx, cancelTab := chromedp.NewContext(patient, chromedp.WithNewBrowserContext())
	t.Cleanup(func() {
		cancelTab()
		cancel()
	})
	// Windows lie over each other; each shall think that it is the one in front.
	err := chromedp.Do(ctx, chromedp.EmulateViewport(1280, 900))
	if err == nil {
		_, err = chromedp.Call(ctx, emulation.SetFocusEmulationEnabled, emulation.SetFocusEmulationEnabledParams{Enabled: true})
	}
	if err != nil {
		t.Fatalf("opening a window: %v", err)
	}
	watch(t, ctx)
	return ctx
}

// start runs Chromium until t ends and returns its first tab.
func start(t testing.TB, ctx context.Context) context.Context { //nolint:revive // t first, as in all of testkit
	t.Helper()
	path, err := findChromium()
	if err != nil {
		t.Fatal(err)
	}
	// Now and then one crashes before it is there.
	for try := 1; ; try++ {
		tab, end, err := launch(ctx, path)
		if err == nil {
			t.Cleanup(end)
			return tab
		}
		if try == 3 {
			t.Fatalf("starting %s: %v", path, err)
		}
		t.Logf("starting %s: %v", path, err)
	}
}

// launch starts the browser; end closes it and removes its profile.
func launch(ctx context.Context, path string) (tab context.Context, end func(), err error) {
	profile, err := os.MkdirTemp("", "shingle-chromium-")
	if err != nil {
		return nil, nil, err
	}
	ctx, cancelAllocator := chromedp.NewExecAllocator(ctx,
		chromedp.ExecPath(path),
		chromedp.UserDataDir(profile),
		chromedp.NoFirstRun, chromedp.NoDefaultBrowserCheck,
		chromedp.Flag("headless", "new"),
		chromedp.Flag("no-sandbox", true),
		chromedp.Flag("disable-gpu", true),
		chromedp.Flag("disable-dev-shm-usage", true),
		chromedp.Flag("disable-background-networking", true),
		chromedp.Flag("disable-component-update", true),
		chromedp.Flag("disable-sync", true),
		chromedp.Flag("disable-default-apps", true),
		chromedp.Flag("disable-extensions", true),
		chromedp.Flag("disable-background-timer-throttling", true),
		chromedp.Flag("disable-backgrounding-occluded-windows", true),
		chromedp.Flag("disable-renderer-backgrounding", true),
		chromedp.Flag("no-proxy-server", true),
		chromedp.Flag("mute-audio", true),
		chromedp.Flag("hide-scrollbars", true),
		chromedp.Flag("password-store", "basic"),
		chromedp.Flag("force-color-profile", "srgb"),
		chromedp.Flag("lang", "en-US"),
		chromedp.WindowSize(1280, 900),
		// A loaded machine takes its time.
		chromedp.WSURLReadTimeout(60*time.Second),
	)
	ctx, cancelTab := chromedp.NewContext(ctx, chromedp.WithErrorf(func(string, ...any) {}))
	end = func() {
		_ = chromedp.Cancel(ctx) // asks the browser to close and waits
		cancelTab()
		cancelAllocator()
		removeProfile(profile)
	}
	if err := chromedp.Do(ctx); err != nil {
		end()
		return nil, nil, err
	}
	return ctx, end, nil
}

// watch fails the test with what goes wrong in its pages.
func watch(t testing.TB, ctx context.Context) { //nolint:revive // t first, as in all of testkit
	t.Helper()
	err := chromedp.Listen(ctx, func(ev any) {
		switch e := ev.(type) {
		case *runtime.EventExceptionThrown:
			t.Errorf("the page threw: %s", thrown(e.ExceptionDetails))
		case *log.EventEntryAdded:
			if e.Entry != nil && (e.Entry.Source == "security" || refusedByPolicy.MatchString(e.Entry.Text)) {
				t.Errorf("the browser refused something at %s: %s", e.Entry.URL, e.Entry.Text)
			}
		}
	})
	if err != nil {
		t.Fatalf("listening to the browser: %v", err)
	}
}

func thrown(d *runtime.ExceptionDetails) string {
	if d == nil {
		return "something unsaid"
	}
	text := d.Text
	if d.Exception != nil && d.Exception.Description != "" {
		text = d.Exception.Description
	}
	return fmt.Sprintf("%s (%s:%d)", text, d.URL, d.LineNumber+1)
}

var refusedByPolicy = regexp.MustCompile(`Content Security Policy|Content-Security-Policy|Trusted(HTML|Script)`)

// findChromium prefers the build without windows: the same engine, at under half
// the processor time of a whole browser that hides them.
func findChromium() (string, error) {
	for _, name := range []string{"chromium-headless-shell", "chrome-headless-shell", "chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome"} {
		if p, err := exec.LookPath(name); err == nil {
			return p, nil
		}
	}
	if mac := "/Applications/Chromium.app/Contents/MacOS/Chromium"; exists(mac) {
		return mac, nil
	}
	return "", errors.New("Chromium is missing and browser tests are never skipped: run `make deps` (on Debian and Ubuntu it installs the package chromium-headless-shell, or chromium)")
}

func exists(path string) bool {
	_, err := os.Stat(path)
	return err == nil
}

// removeProfile tries for a while: the browser's children may still be writing.
func removeProfile(dir string) {
	for deadline := time.Now().Add(5 * time.Second); os.RemoveAll(dir) != nil && time.Now().Before(deadline); {
		<-time.After(50 * time.Millisecond)
	}
}

var unfitForNames = regexp.MustCompile(`[^A-Za-z0-9._-]+`)

// Screenshot keeps a picture of the whole page, seen in a window that many CSS
// pixels wide, as <name>-<width>.jpg among the artefacts; it returns the path.
func Screenshot(t testing.TB, ctx context.Context, name string, width int) string { //nolint:revive // t first, as in all of testkit
	t.Helper()
	path := picture(t, ctx, name, width)
	if err := chromedp.Do(ctx, chromedp.ResetViewport()); err != nil {
		t.Fatalf("screenshot %s: %v", name, err)
	}
	return path
}

// Page looks at the page on show through windows of these widths: it keeps a
// picture of each, has axe check it, and fails when it scrolls sideways.
func Page(t testing.TB, ctx context.Context, name string, widths ...int) { //nolint:revive // t first, as in all of testkit
	t.Helper()
	ctx, cancel := context.WithTimeout(ctx, lookPatience)
	defer cancel()
	bringAxe(t, ctx)
	for _, width := range widths {
		picture(t, ctx, name, width)
		wide, err := chromedp.Run(ctx, chromedp.Evaluate[bool](`document.documentElement.scrollWidth > innerWidth + 1`))
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		if wide {
			t.Errorf("%s scrolls sideways at %d pixels", name, width)
		}
		axe(t, ctx)
	}
}

// picture leaves the window at that width.
func picture(t testing.TB, ctx context.Context, name string, width int) string { //nolint:revive // t first, as in all of testkit
	t.Helper()
	err := chromedp.Do(ctx, chromedp.EmulateViewport(int64(width), 900))
	if err == nil {
		// Fonts and images first, then one painted frame.
		_, err = chromedp.Run(ctx, chromedp.Evaluate[bool](settled, chromedp.EvalAwaitPromise))
	}
	var jpg []byte
	if err == nil {
		// As chromedp.FullScreenshot, but encoded in a fraction of the time.
		yes, quality := true, int64(85)
		var shot page.CaptureScreenshotResult
		shot, err = chromedp.Call(ctx, page.CaptureScreenshot, page.CaptureScreenshotParams{Format: page.CaptureScreenshotFormatJpeg, Quality: &quality, CaptureBeyondViewport: &yes, FromSurface: &yes, OptimizeForSpeed: &yes})
		jpg = shot.Data
	}
	if err != nil {
		t.Fatalf("screenshot %s: %v", name, err)
	}
	path := filepath.Join(Artifacts(t), fmt.Sprintf("%s-%d.jpg", unfitForNames.ReplaceAllString(name, "-"), width))
	if err := os.WriteFile(path, jpg, 0o644); err != nil { //nolint:gosec // made to be looked at
		t.Fatalf("screenshot %s: %v", name, err)
	}
	return path
}

const settled = `document.fonts.ready.then(() => Promise.all([...document.images].map(i => {
	i.loading = "eager"; // a lazy one further down would never load
	return i.decode().catch(() => 0);
})))
	.then(() => new Promise(r => requestAnimationFrame(() => requestAnimationFrame(() => r(true)))))`
