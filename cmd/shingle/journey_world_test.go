package main

import (
	"bytes"
	"context"
	"database/sql"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"net/http"
	"net/url"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/chromedp/chromedp"
	"github.com/google/uuid"

	"shingle/internal/demo"
	"shingle/internal/mailbox"
	"shingle/internal/testkit"
)

// devWorldT is `shingle dev` in this process, with the three demo boards, and
// one Chromium: all journeys share them and walk side by side. Each takes
// listings and addresses of its own, and one that changes a board's ways takes a
// board of its own.
type devWorldT struct {
	platform string // origin, such as http://platform.localhost:40123
	port     string
	box      *mailbox.Box
	boards   []demo.Board
	dns      *testkit.DNS
	stop     context.CancelFunc
	ended    chan error
	parent   *lifelong
	dir      string
	chromium *testkit.Browser
	table    *readyWhen // what the program printed
	db       *sql.DB    // sees every board: for what only time brings
	logs     *testkit.Logs

	mails sync.Mutex
	read  map[string]mailbox.Message // by id, of those that have come
	taken map[string]bool            // those that a journey has opened
}

func TestMain(m *testing.M) {
	if os.Getenv(asProgram) != "" {
		main() // a process of the crash tests
		os.Exit(0)
	}
	code := m.Run()
	if err := endWorld(); err != nil {
		fmt.Fprintln(os.Stderr, "the shared world ended badly:", err)
		code = max(code, 1)
	}
	os.Exit(code)
}

// inFull keeps browsers and killed processes out of the short run, which is the one
// under the race detector: scripts/test.sh runs these tests too, at the program's
// true speed, and their packages' own tests race.
func inFull(t testing.TB) {
	t.Helper()
	if testing.Short() {
		t.Skip("belongs to the full run, without -short")
	}
}

// shared is the world once a journey asked for it.
var shared struct {
	once  sync.Once
	world *devWorldT
	err   error
}

// world starts the program at the first call; later ones get the same. The
// journey goes on beside others.
func world(t *testing.T) *devWorldT {
	t.Helper()
	inFull(t)
	t.Parallel()
	shared.once.Do(func() { shared.world, shared.err = startWorld() })
	if shared.err != nil {
		t.Fatal(shared.err)
	}
	t.Cleanup(func() { shared.world.logs.Check(t) })
	return shared.world
}

// lifelong is a testing.TB that outlives any one test: what it cleans up waits
// for endWorld.
type lifelong struct {
	testing.TB
	mu       sync.Mutex
	cleanups []func()
}

func (*lifelong) Helper()                        {}
func (*lifelong) Context() context.Context       { return context.Background() }
func (*lifelong) Fatal(args ...any)              { panic(errors.New(fmt.Sprint(args...))) }
func (*lifelong) Fatalf(format string, a ...any) { panic(fmt.Errorf(format, a...)) }
func (*lifelong) Errorf(format string, a ...any) { fmt.Fprintf(os.Stderr, format+"\n", a...) }
func (l *lifelong) Cleanup(f func()) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.cleanups = append(l.cleanups, f)
}

func startWorld() (w *devWorldT, err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("starting the shared world: %v", p)
		}
	}()
	w = &devWorldT{parent: new(lifelong), ended: make(chan error, 1), read: map[string]mailbox.Message{}, taken: map[string]bool{}, logs: new(testkit.Logs)}
	if w.boards, err = demo.Boards(); err != nil {
		return nil, err
	}
	if w.dir, err = os.MkdirTemp("", "shingle-journey-"); err != nil {
		return nil, err
	}
	w.parent.Cleanup(func() { _ = os.RemoveAll(w.dir) })
	pg := testkit.Postgres(w.parent)
	w.dns = testkit.NewDNS(w.parent)
	w.db = pg.Open(w.parent, pg.Superuser, 2)
	started := make(chan struct{})
	go func() {
		defer close(started)
		defer func() {
			if p := recover(); p != nil {
				fmt.Fprintln(os.Stderr, p)
			}
		}()
		w.chromium = testkit.StartBrowser(w.parent) // takes as long as the program
	}()
	w.port = freePort()
	for name, value := range map[string]string{
		"SHINGLE_LISTEN": "127.0.0.1:" + w.port, "SHINGLE_OPS_LISTEN": "127.0.0.1:" + freePort(), "SHINGLE_DATA_DIR": w.dir,
		"SHINGLE_DATABASE_URL": pg.App, "SHINGLE_PLATFORM_DATABASE_URL": pg.Platform, "SHINGLE_MIGRATE_DATABASE_URL": pg.Owner,
		"SHINGLE_LISTEN_DATABASE_URL": "", "SHINGLE_REDIS_URL": "", "SHINGLE_TYPESENSE_URL": "", "SHINGLE_STRIPE_KEY": "",
		"SHINGLE_DNS_SERVERS": w.dns.Addr, "SHINGLE_EDGE_HOST": "edge.hosting.test", "SHINGLE_EDGE_ADDRESSES": "198.51.100.7,2001:db8::7",
		"SHINGLE_SMTP_URL": "", "SHINGLE_PUBLIC_URL": "", "SHINGLE_BOARD_DOMAIN": "", "SHINGLE_LOG": "debug",
	} {
		if err := os.Setenv(name, value); err != nil {
			return nil, err
		}
	}
	w.platform = "http://platform.localhost:" + w.port
	ctx, stop := context.WithCancel(context.Background())
	w.stop = stop
	ready := make(chan struct{})
	w.table = &readyWhen{words: "Settings for other commands", ready: ready}
	go func() { w.ended <- runDev(ctx, w.table, w.logs) }()
	select {
	case <-ready:
	case err := <-w.ended:
		stop()
		return nil, fmt.Errorf("the program ended while starting: %w", err)
	case <-time.After(2 * time.Minute):
		stop()
		return nil, errors.New("the program did not get ready within two minutes")
	}
	if <-started; w.chromium == nil {
		return nil, errors.New("no browser")
	}
	w.box, err = mailbox.Open(filepath.Join(w.dir, "mail"), time.Now)
	if err != nil {
		return nil, err
	}
	res, err := http.Get("http://" + os.Getenv("SHINGLE_OPS_LISTEN") + "/readyz")
	if err != nil {
		return nil, err
	}
	defer func() { _ = res.Body.Close() }()
	if res.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("/readyz says %s", res.Status)
	}
	return w, nil
}

func endWorld() error {
	w := shared.world
	if w == nil {
		return nil
	}
	w.stop()
	var err error
	select {
	case err = <-w.ended:
	case <-time.After(40 * time.Second):
		err = errors.New("it did not end")
	}
	err = errors.Join(err, w.nothingTold())
	for i := len(w.parent.cleanups) - 1; i >= 0; i-- {
		w.parent.cleanups[i]()
	}
	if errors.Is(err, context.Canceled) {
		return nil
	}
	return err
}

// nothingTold looks in the whole log for what came up while the journeys went on:
// every address that got a mail, every token of a link in one, the program's own
// secrets, and what people uploaded and wrote.
func (w *devWorldT) nothingTold() error {
	if w.logs == nil || w.box == nil {
		return nil
	}
	for what, text := range map[string]string{"the demo's password": demoPassword, "a CV's text": "Six years of ledgers"} {
		w.logs.Forbid(what, text)
	}
	for _, name := range []string{"secret", "webhook-secret"} {
		raw, err := os.ReadFile(filepath.Join(w.dir, name))
		if err != nil {
			return err
		}
		w.logs.Forbid("the program's "+name, strings.TrimSpace(string(raw)))
	}
	files, err := os.ReadDir(filepath.Join(w.dir, "mail"))
	if err != nil {
		return err
	}
	for _, f := range files {
		id, whole := strings.CutSuffix(f.Name(), ".eml")
		if !whole {
			continue
		}
		m, err := w.box.Get(id)
		if err != nil {
			return err
		}
		w.logs.Forbid("an address that got a mail", strings.Trim(m.To, "<> "))
		for _, l := range m.Links {
			u, err := url.Parse(l)
			if err != nil {
				continue
			}
			for name, values := range u.Query() {
				if len(values[0]) >= 16 && uuid.Validate(values[0]) != nil { // an id opens nothing
					w.logs.Forbid("the "+name+" of a mailed link", values[0])
				}
			}
			if last := path.Base(u.Path); len(last) >= 32 && uuid.Validate(last) != nil {
				w.logs.Forbid("the end of a mailed link", last)
			}
		}
	}
	if bad := w.logs.Bad(); len(bad) > 0 {
		return errors.New(strings.Join(bad, "\n"))
	}
	// A log without a line would prove nothing.
	if w.logs.Lines() == 0 {
		return errors.New("the program logged nothing: the log is not the one that was checked")
	}
	return nil
}

// readyWhen is a writer that closes ready when the words have been written, and
// keeps all of them.
type readyWhen struct {
	words string
	ready chan struct{}
	mu    sync.Mutex
	buf   bytes.Buffer
	said  bool
}

func (r *readyWhen) Write(p []byte) (int, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.buf.Write(p)
	if !r.said && strings.Contains(r.buf.String(), r.words) {
		r.said = true
		close(r.ready)
	}
	return len(p), nil
}

func (r *readyWhen) String() string {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.buf.String()
}

// freePort is a port that nobody listens on, below those that the kernel gives
// to outgoing connections: one of those could take it before the program does.
func freePort() string {
	for {
		port := strconv.Itoa(20000 + rand.IntN(12000))
		if l, err := net.Listen("tcp", "127.0.0.1:"+port); err == nil {
			_ = l.Close()
			return port
		}
	}
}

// board is a board's origin, such as http://orbit.localhost:40123.
func (w *devWorldT) board(slug string) string { return "http://" + slug + ".localhost:" + w.port }

// demo is what the board was filled with.
func (w *devWorldT) demo(t *testing.T, slug string) *demo.Board {
	t.Helper()
	for i := range w.boards {
		if w.boards[i].Slug == slug {
			return &w.boards[i]
		}
	}
	t.Fatalf("no demo board %q", slug)
	return nil
}

// mail waits for a mail to that address whose subject holds the words, the
// newest if there are several. Each mail is found once.
func (w *devWorldT) mail(t *testing.T, to, subjectContains string) mailbox.Message {
	t.Helper()
	var found mailbox.Message
	testkit.Eventually(t, patience, func() error {
		w.mails.Lock()
		defer w.mails.Unlock()
		files, err := os.ReadDir(filepath.Join(w.dir, "mail"))
		if err != nil {
			return err
		}
		var seen []string
		for i := len(files) - 1; i >= 0; i-- {
			id, whole := strings.CutSuffix(files[i].Name(), ".eml")
			if !whole || w.taken[id] {
				continue
			}
			m, known := w.read[id]
			if !known {
				full, err := w.box.Get(id)
				if err != nil {
					return err
				}
				m = *full
				w.read[id] = m
			}
			if !strings.Contains(strings.ToLower(m.To), strings.ToLower(to)) {
				continue
			}
			if strings.Contains(strings.ToLower(m.Subject), strings.ToLower(subjectContains)) {
				found, w.taken[id] = m, true
				return nil
			}
			seen = append(seen, m.Subject)
		}
		return fmt.Errorf("no mail to %s about %q; it got %q", to, subjectContains, seen)
	})
	return found
}

// link is the first address in the mail that holds part.
func link(t *testing.T, m mailbox.Message, part string) string {
	t.Helper()
	for _, l := range m.Links {
		if strings.Contains(l, part) {
			return l
		}
	}
	t.Fatalf("the mail %q has no link with %q, only %q", m.Subject, part, m.Links)
	return ""
}

// browser is a person's own window, with no cookie yet.
func (w *devWorldT) browser(t *testing.T) context.Context {
	t.Helper()
	return w.chromium.Profile(t)
}

// page keeps pictures of the page on show, narrow and wide, and has axe check both.
func (w *devWorldT) page(t *testing.T, ctx context.Context, name string) { //nolint:revive // t first, as in testkit
	t.Helper()
	testkit.Page(t, ctx, name, 390, 1280)
}

// do runs browser steps, or fails the test where they were asked for.
func do(t *testing.T, ctx context.Context, steps ...chromedp.Action[chromedp.Void]) { //nolint:revive // t first, as in testkit
	t.Helper()
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	if err := chromedp.Do(ctx, steps...); err != nil {
		t.Fatalf("%v, at %s", err, where(ctx))
	}
}

// visit loads an address and wants that status. The browser aborts a load that
// another one gets in the way of, as the end of the page before may.
func visit(t *testing.T, ctx context.Context, url string, status int) { //nolint:revive // t first, as in testkit
	t.Helper()
	goes(t, ctx, status, chromedp.Navigate(url), "net::ERR_ABORTED")
}

// press clicks what leads to another page and wants that page's status.
func press(t *testing.T, ctx context.Context, sel string, status int) { //nolint:revive // t first, as in testkit
	t.Helper()
	inView(t, ctx, sel)
	goes(t, ctx, status, chromedp.Click(chromedp.CSS(sel)))
}

// inView puts what a click is for in the middle of the window, at once: a page
// that scrolls smoothly would move under the pointer.
func inView(t *testing.T, ctx context.Context, sel string) { //nolint:revive // t first, as in testkit
	t.Helper()
	found, err := chromedp.Run(ctx, chromedp.Evaluate[string](fmt.Sprintf(`(() => {
		const el = document.querySelector(%q);
		if (!el) return "";
		el.scrollIntoView({behavior: "instant", block: "center"});
		const r = el.getBoundingClientRect(), hit = document.elementFromPoint(r.x + r.width / 2, r.y + r.height / 2);
		return el.contains(hit) ? "ok" : "covered by " + (hit ? hit.outerHTML.slice(0, 200) : "nothing") + " at " + JSON.stringify(r) + " in " + innerWidth;
	})()`, sel)))
	if err != nil {
		t.Fatal(err)
	}
	if found != "ok" {
		t.Fatalf("%s has no %s to press: %s", where(ctx), sel, found)
	}
}

// goes wants a page of that status from a step, which is taken again where it
// failed for a reason that passes: a part that renews itself was replaced between
// the look and the click, which then was none, or one of those given.
func goes(t *testing.T, ctx context.Context, status int, step chromedp.Action[chromedp.Void], passing ...string) { //nolint:revive // t first, as in testkit
	t.Helper()
	passes := func(err error) bool {
		return slices.ContainsFunc(append([]string{"Could not find node with given id"}, passing...), func(s string) bool { return strings.Contains(err.Error(), s) })
	}
	soon, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	res, err := chromedp.RunResponse(soon, step)
	for err != nil && passes(err) && soon.Err() == nil {
		res, err = chromedp.RunResponse(soon, step)
	}
	if err != nil {
		t.Fatalf("%v, at %s", err, where(ctx))
	}
	if res == nil {
		t.Fatalf("no page came, at %s", where(ctx))
	}
	if int(res.Status) != status {
		t.Fatalf("%s answers %d, want %d:\n%s", res.URL, res.Status, status, body(t, ctx))
	}
}

// says fails unless the page on show holds the words.
func says(t *testing.T, ctx context.Context, words ...string) { //nolint:revive // t first, as in testkit
	t.Helper()
	text := body(t, ctx)
	for _, word := range words {
		if !strings.Contains(strings.ToLower(text), strings.ToLower(word)) {
			t.Fatalf("%s does not say %q:\n%s", where(ctx), word, text)
		}
	}
}

// body is the page's visible text.
func body(t *testing.T, ctx context.Context) string { //nolint:revive // t first, as in testkit
	t.Helper()
	text, err := chromedp.Run(ctx, chromedp.Evaluate[string]("document.body ? document.body.innerText : ''"))
	if err != nil {
		t.Fatal(err)
	}
	return text
}

// where is the address on show.
func where(ctx context.Context) string {
	at, err := chromedp.Run(ctx, chromedp.Location())
	if err != nil {
		return "an unknown address"
	}
	return at
}

// typeIn empties the named field and types the text into it. The field has the
// focus before the first key and after the last: a script that takes it away
// would swallow a person's keys too.
func typeIn(t *testing.T, ctx context.Context, name, text string) { //nolint:revive // t first, as in testkit
	t.Helper()
	field := fmt.Sprintf(`document.querySelector('main [name=%q]')`, name)
	ready, err := chromedp.Run(ctx, chromedp.Evaluate[bool](`(() => { const el = `+field+`; if (!el) return false; el.value = ""; el.focus(); return document.activeElement === el })()`))
	if err != nil {
		t.Fatal(err)
	}
	if !ready {
		t.Fatalf("%s has no field %q that takes the focus", where(ctx), name)
	}
	do(t, ctx, chromedp.SendKeys(chromedp.CSS(`main [name="`+name+`"]`), text))
	got, err := chromedp.Run(ctx, chromedp.Evaluate[[]string](`(() => { const el = `+field+`, at = document.activeElement; return [el.value, at === el ? "" : at.outerHTML.slice(0, 200)] })()`))
	if err != nil {
		t.Fatal(err)
	}
	if got[0] != text || got[1] != "" {
		t.Fatalf("%s: field %q holds %q after typing %q; the focus is on %q", where(ctx), name, got[0], text, got[1])
	}
}

// choose picks a value of the named select, radio buttons or tick box.
func choose(t *testing.T, ctx context.Context, name, value string) { //nolint:revive // t first, as in testkit
	t.Helper()
	script := fmt.Sprintf(`(() => {
		const all = [...document.querySelectorAll('main [name=%q]')];
		const radio = all.find(e => e.value === %q && (e.type === "radio" || e.type === "checkbox"));
		if (radio) { if (!radio.checked) radio.click(); return radio.checked; }
		const select = all.find(e => e.tagName === "SELECT");
		if (!select) return false;
		select.value = %q;
		select.dispatchEvent(new Event("change", {bubbles: true}));
		return select.value === %q;
	})()`, name, value, value, value)
	ok, err := chromedp.Run(ctx, chromedp.Evaluate[bool](script))
	if err != nil {
		t.Fatal(err)
	}
	if !ok {
		t.Fatalf("%s offers no %q as %s", where(ctx), value, name)
	}
}

// valueOf is what the named field holds.
func valueOf(t *testing.T, ctx context.Context, name string) string { //nolint:revive // t first, as in testkit
	t.Helper()
	v, err := chromedp.Run(ctx, chromedp.Value(chromedp.CSS(`main [name="`+name+`"]`)))
	if err != nil {
		t.Fatal(err)
	}
	return v
}

// attach gives the named file field a file of that name and content.
func attach(t *testing.T, ctx context.Context, field, name string, content []byte) { //nolint:revive // t first, as in testkit
	t.Helper()
	path := filepath.Join(t.TempDir(), name)
	if err := os.WriteFile(path, content, 0o600); err != nil {
		t.Fatal(err)
	}
	do(t, ctx, chromedp.SetUploadFiles(chromedp.CSS(`main [name="`+field+`"]`), []string{path}))
}

// send presses the first button of the page's own form with that address.
func send(t *testing.T, ctx context.Context, action string, status int) { //nolint:revive // t first, as in testkit
	t.Helper()
	press(t, ctx, `main form[action="`+action+`"] button:not([type="button"])`, status)
}

// signInByMail follows the newest sign-in mail to that address and presses its button.
func (w *devWorldT) signInByMail(t *testing.T, ctx context.Context, to string) { //nolint:revive // t first, as in testkit
	t.Helper()
	m := w.mail(t, to, "sign in")
	visit(t, ctx, link(t, m, "token="), http.StatusOK)
	press(t, ctx, `main form button`, http.StatusOK)
}
