package main

import (
	"context"
	"encoding/hex"
	"encoding/json"
	"io/fs"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/chromedp/chromedp"
	"github.com/google/uuid"

	"shingle/candidates"
	"shingle/internal/demo"
	"shingle/internal/mailbox"
	"shingle/internal/testkit"
	"shingle/tenant"
)

// TestJourneySeeker searches, applies, withdraws, reports a listing and keeps an
// alert for a while; in between, the employer opens the CV.
func TestJourneySeeker(t *testing.T) {
	w := world(t)
	ctx := w.browser(t)
	board := w.demo(t, "orbit")
	base := w.board("orbit")

	visit(t, ctx, base+"/", 200)
	says(t, ctx, board.Name, "Post a job")
	w.page(t, ctx, "seeker-home")
	do(t, ctx, chromedp.SendKeys(chromedp.CSS(`main form[role="search"] [name="q"]`), "engineer"))
	press(t, ctx, `main form[role="search"] button`, 200)
	says(t, ctx, "engineer")
	w.page(t, ctx, "seeker-results")
	found := len(jobLinks(t, ctx))
	press(t, ctx, `.facet[open] a.check[href*="workplace=remote"]`, 200)
	filtered := jobLinks(t, ctx)
	if found == 0 || len(filtered) == 0 || !strings.Contains(where(ctx), "q=engineer") {
		t.Fatalf("found %d, filtered %d, at %s", found, len(filtered), where(ctx))
	}
	w.page(t, ctx, "seeker-filtered")

	job, path := appliesHere(t, board, filtered)
	visit(t, ctx, base+path, 200)
	says(t, ctx, job.Title)
	w.page(t, ctx, "seeker-listing")
	press(t, ctx, `a.btn.primary[href$="/apply"]`, 200)
	w.page(t, ctx, "seeker-apply")

	const name, email = "Ada Moreno", "ada.moreno@seekers.example"
	note := "I kept a ledger straight for six years and would like to do so for you."
	typeIn(t, ctx, "name", name)
	typeIn(t, ctx, "email", email)
	typeIn(t, ctx, "note", note)
	choose(t, ctx, "consent", "yes")
	for name, cv := range map[string]struct {
		content []byte
		said    string
	}{
		"empty.pdf":    {nil, "empty"},
		"large.pdf":    {append([]byte("%PDF-1.7\n"), make([]byte, 5<<20)...), "5 MB"},
		"portrait.pdf": {[]byte("\x89PNG\r\n\x1a\n not a CV"), "content"},
	} {
		attach(t, ctx, "cv", name, cv.content)
		send(t, ctx, path+"/apply", http.StatusUnprocessableEntity)
		says(t, ctx, cv.said)
	}
	attach(t, ctx, "cv", "portrait.png", []byte("\x89PNG\r\n\x1a\n not a CV"))
	send(t, ctx, path+"/apply", http.StatusUnprocessableEntity)
	says(t, ctx, "Send the CV as PDF, DOCX, ODT or TXT.")
	w.page(t, ctx, "seeker-apply-wrong-file")
	if valueOf(t, ctx, "name") != name || valueOf(t, ctx, "email") != email || valueOf(t, ctx, "note") != note {
		t.Error("what was typed is lost after the error")
	}
	attach(t, ctx, "cv", "Ada Moreno.pdf", demo.CV(name, []string{"Six years of ledgers."}))
	send(t, ctx, path+"/apply", 200)
	says(t, ctx, "Application sent", email)
	w.page(t, ctx, "seeker-applied")

	copied := w.mail(t, email, "Your application")
	company := companyOf(t, board, job)
	arrived := w.mail(t, company.Email, "New application for "+job.Title)
	if !strings.Contains(arrived.Text, name) {
		t.Errorf("the employer's mail does not name the applicant:\n%s", arrived.Text)
	}
	mailed := link(t, arrived, "/cv?token=")
	id := mailed[strings.Index(mailed, "/applications/")+len("/applications/"):][:36]
	if !w.stored(t, "/cv/"+id+".pdf") {
		t.Errorf("the CV of %s is not stored", id)
	}
	cv := employerOpensCV(t, w, mailed, company.Email)

	visit(t, ctx, link(t, copied, "/applications/withdraw"), 200)
	says(t, ctx, "Withdraw your application?")
	w.page(t, ctx, "seeker-withdraw")
	send(t, ctx, "/applications/withdraw", 200)
	says(t, ctx, "Application withdrawn")
	w.page(t, ctx, "seeker-withdrawn")
	w.mail(t, company.Email, "withdrawn")
	testkit.Eventually(t, patience, func() bool { return !w.stored(t, "/cv/"+id+".pdf") })
	if status, _ := cv(); status != http.StatusGone && status != http.StatusNotFound {
		t.Errorf("the CV of a withdrawn application answers %d", status)
	}

	reportListing(t, w, ctx, base+path)
	keepAlert(t, w, ctx, base)
}

// employerOpensCV follows the mailed link, signs in by mail as it asks, and
// returns a way to fetch the CV again in that session.
func employerOpensCV(t *testing.T, w *devWorldT, mailed, email string) (again func() (status int, start string)) {
	t.Helper()
	ctx := w.browser(t)
	visit(t, ctx, mailed, 200)
	if !strings.Contains(where(ctx), "/sign-in?next=") {
		t.Fatalf("the CV's link led to %s, want the sign-in", where(ctx))
	}
	w.page(t, ctx, "employer-sign-in")
	typeIn(t, ctx, "email", email)
	send(t, ctx, "/sign-in", 200)
	w.page(t, ctx, "employer-sign-in-sent")
	visit(t, ctx, link(t, w.mail(t, email, "Sign in"), "token="), 200)
	w.page(t, ctx, "employer-sign-in-confirm")
	u, err := url.Parse(mailed)
	if err != nil {
		t.Fatal(err)
	}
	// The button leads to the CV, which is a download and no page.
	again = func() (int, string) { return fetch(t, ctx, u.RequestURI()) }
	if status, _ := again(); status == 200 {
		t.Fatal("the CV opens before the sign-in")
	}
	download(t, ctx, w, `main form button`)
	testkit.Eventually(t, patience, func() bool { status, start := again(); return status == 200 && strings.HasPrefix(start, "%PDF-") })
	// The link is bound to the listing and the application, and it ends.
	stale := w.staleCVLink(t, u)
	if status, _ := fetch(t, ctx, stale); status != http.StatusGone {
		t.Errorf("a link that is too old answers %d, want 410", status)
	}
	visit(t, ctx, u.Scheme+"://"+u.Host+stale, http.StatusGone)
	says(t, ctx, "This link to a CV has expired.")
	w.page(t, ctx, "employer-cv-expired")
	if status, _ := fetch(t, ctx, u.Path+"?token="+strings.Repeat("A", 38)); status != http.StatusNotFound {
		t.Errorf("a link that nobody made answers %d, want 404", status)
	}
	visit(t, ctx, u.Scheme+"://"+u.Host+"/employers/desk", 200)
	w.page(t, ctx, "employer-desk-demo")
	return again
}

// download presses what leads to a file, which leaves the page as it is.
func download(t *testing.T, ctx context.Context, _ *devWorldT, sel string) { //nolint:revive // t first, as in testkit
	t.Helper()
	do(t, ctx, chromedp.Click(chromedp.CSS(sel)))
}

// fetch asks for an address of the page's own origin, as the browser is signed in.
func fetch(t *testing.T, ctx context.Context, path string) (int, string) { //nolint:revive // t first, as in testkit
	t.Helper()
	quoted, _ := json.Marshal(path)
	text, err := chromedp.Run(ctx, chromedp.Evaluate[string](
		`fetch(`+string(quoted)+`, {redirect: "manual"}).then(async r => r.status + " " + (await r.text()).slice(0, 4000))`, chromedp.EvalAwaitPromise))
	if err != nil {
		t.Fatal(err)
	}
	status, start, _ := strings.Cut(text, " ")
	n := 0
	for _, d := range status {
		n = n*10 + int(d-'0')
	}
	return n, start
}

// staleCVLink is the mailed link as it would be a week later.
func (w *devWorldT) staleCVLink(t *testing.T, mailed *url.URL) string {
	t.Helper()
	key, err := os.ReadFile(filepath.Join(w.dir, "secret"))
	if err != nil {
		t.Fatal(err)
	}
	secret, err := hex.DecodeString(strings.TrimSpace(string(key)))
	if err != nil {
		t.Fatal(err)
	}
	id := uuid.MustParse(strings.Split(mailed.Path, "/")[3])
	var board tenant.ID
	var listing uuid.UUID
	if err := w.db.QueryRowContext(t.Context(), `SELECT tenant_id, listing_id FROM applications WHERE id = $1`, id.String()).Scan(&board, &listing); err != nil {
		t.Fatal(err)
	}
	s := candidates.Service{Key: secret}
	return mailed.Path + "?token=" + s.CVToken(board, listing, id, time.Now().Add(-time.Minute))
}

func reportListing(t *testing.T, w *devWorldT, ctx context.Context, listing string) { //nolint:revive // t first, as in testkit
	t.Helper()
	visit(t, ctx, listing, 200)
	press(t, ctx, `p.report a`, 200)
	w.page(t, ctx, "seeker-report")
	action := strings.TrimPrefix(where(ctx), w.board("orbit"))
	send(t, ctx, action, http.StatusUnprocessableEntity)
	says(t, ctx, "Choose a reason.")
	w.page(t, ctx, "seeker-report-error")
	choose(t, ctx, "reason", "misleading")
	typeIn(t, ctx, "text", "The pay in the text is not the pay above it.")
	send(t, ctx, action, 200)
	says(t, ctx, "Thank you")
	w.page(t, ctx, "seeker-reported")
}

// keepAlert asks for an alert, confirms it by mail and stops it with one click.
func keepAlert(t *testing.T, w *devWorldT, ctx context.Context, base string) { //nolint:revive // t first, as in testkit
	t.Helper()
	const email = "ada.alerts@seekers.example"
	visit(t, ctx, base+"/jobs?q=engineer", 200)
	do(t, ctx, chromedp.SendKeys(chromedp.CSS(`form[action="/alerts"] [name="email"]`), email))
	send(t, ctx, "/alerts", 200)
	says(t, ctx, "Check your inbox", email)
	w.page(t, ctx, "seeker-alert-asked")
	visit(t, ctx, link(t, w.mail(t, email, "Confirm your daily job alert"), "/alerts/confirm"), 200)
	w.page(t, ctx, "seeker-alert-confirm")
	send(t, ctx, "/alerts/confirm", 200)
	says(t, ctx, "Your alert is on")
	w.page(t, ctx, "seeker-alert-on")

	// The next morning's mail, as if all of the board were new.
	morning := func() mailbox.Message {
		t.Helper()
		w.sql(t, `UPDATE alerts SET next_at = now(), seen_until = now() - interval '90 days' WHERE email = $1 AND state = 'active'`, email)
		w.soon(t, "candidates.spread_digests")
		return w.mail(t, email, "for “engineer”")
	}
	digest := morning()
	visit(t, ctx, link(t, digest, "/jobs/"), 200)
	stop := header(digest, "List-Unsubscribe")
	if got := header(digest, "List-Unsubscribe-Post"); got != "List-Unsubscribe=One-Click" || !strings.HasPrefix(stop, "<"+base+"/alerts/stop?") {
		t.Fatalf("the digest's headers are %q and %q", stop, got)
	}
	// A mail program's one click (RFC 8058): no cookie, no page, no question.
	if status := oneClick(t, strings.Trim(stop, "<>")); status != http.StatusOK {
		t.Errorf("one click answers %d", status)
	}
	visit(t, ctx, link(t, digest, "/alerts/stop"), 200)
	w.page(t, ctx, "seeker-alert-stop")

	// Asked for again, and stopped by the link in the mail.
	visit(t, ctx, base+"/jobs?q=engineer", 200)
	do(t, ctx, chromedp.SendKeys(chromedp.CSS(`form[action="/alerts"] [name="email"]`), email))
	send(t, ctx, "/alerts", 200)
	visit(t, ctx, link(t, w.mail(t, email, "Confirm your daily job alert"), "/alerts/confirm"), 200)
	send(t, ctx, "/alerts/confirm", 200)
	w.sql(t, `UPDATE mails SET key = key || ' of yesterday' WHERE kind = 'alert-digest'`) // one digest a day
	visit(t, ctx, link(t, morning(), "/alerts/stop"), 200)
	send(t, ctx, "/alerts/stop", 200)
	w.page(t, ctx, "seeker-alert-stopped")
	var state string
	if err := w.db.QueryRowContext(t.Context(), `SELECT state FROM alerts WHERE email = $1`, email).Scan(&state); err != nil || state != "stopped" {
		t.Errorf("the alert is %q (%v), want stopped", state, err)
	}
}

func header(m mailbox.Message, name string) string {
	for _, f := range m.Header {
		if strings.EqualFold(f.Name, name) {
			return f.Value
		}
	}
	return ""
}

// oneClick posts as a mail program does.
func oneClick(t *testing.T, to string) int {
	t.Helper()
	u, err := url.Parse(to)
	if err != nil {
		t.Fatal(err)
	}
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, "http://127.0.0.1:"+u.Port()+u.RequestURI(), strings.NewReader("List-Unsubscribe=One-Click"))
	if err != nil {
		t.Fatal(err)
	}
	req.Host = u.Host
	req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	_ = res.Body.Close()
	return res.StatusCode
}

// patience is how long one step may take on a machine that is busy with others.
const patience = time.Minute

// jobLinks are titles and paths of the cards on the page.
func jobLinks(t *testing.T, ctx context.Context) [][2]string { //nolint:revive // t first, as in testkit
	t.Helper()
	links, err := chromedp.Run(ctx, chromedp.Evaluate[[][2]string](`[...document.querySelectorAll('main .cards h3 a, main .rows h3 a, main h3 a[href^="/jobs/"]')].map(a => [a.textContent.trim(), a.getAttribute("href")])`))
	if err != nil {
		t.Fatal(err)
	}
	return links
}

// appliesHere is the first of the cards whose listing takes applications on the board.
func appliesHere(t *testing.T, b *demo.Board, cards [][2]string) (*demo.Listing, string) {
	t.Helper()
	for _, card := range cards {
		for i := range b.Listings {
			if l := &b.Listings[i]; l.Title == card[0] && l.ApplyMethod == "board" && l.State == "live" {
				return l, card[1]
			}
		}
	}
	t.Fatalf("none of %q takes applications on the board", cards)
	return nil, ""
}

func companyOf(t *testing.T, b *demo.Board, l *demo.Listing) *demo.Company {
	t.Helper()
	for i := range b.Companies {
		if b.Companies[i].Slug == l.Company {
			return &b.Companies[i]
		}
	}
	t.Fatalf("%s has no company", l.Title)
	return nil
}

// stored tells whether there is a file whose path ends so.
func (w *devWorldT) stored(t *testing.T, ending string) (found bool) {
	t.Helper()
	_ = filepath.WalkDir(filepath.Join(w.dir, "files"), func(path string, d fs.DirEntry, err error) error {
		found = found || err == nil && !d.IsDir() && strings.HasSuffix(filepath.ToSlash(path), ending)
		return nil
	})
	return found
}
