package accounts_test

import (
	"bytes"
	"context"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"net/url"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/uptrace/bun"

	"shingle/accounts"
	"shingle/internal/fault"
	"shingle/internal/links"
	"shingle/internal/seal"
	"shingle/internal/testkit"
	"shingle/tenant"
)

type desk struct {
	*testkit.World
	ops    *accounts.Operators
	people *accounts.People
	clock  *testkit.Clock
}

func newDesk(t testing.TB) *desk {
	t.Helper()
	w := testkit.NewWorld(t)
	clock := testkit.NewClock(time.Now().UTC().Truncate(time.Millisecond))
	ln, err := links.New("http://localhost:8080", "platform.localhost", "localhost")
	if err != nil {
		t.Fatal(err)
	}
	limit := accounts.NewLimiter(nil, clock.Now)
	ops := accounts.NewOperators(w.Platform, limit, ln, clock.Now)
	sealer, err := seal.New("second factors", bytes.Repeat([]byte{7}, 32))
	if err == nil {
		err = ops.UseFactors(sealer)
	}
	if err != nil {
		t.Fatal(err)
	}
	return &desk{w, ops, accounts.NewPeople(w.DB, limit, ln, clock.Now), clock}
}

var here = accounts.Client{Address: "203.0.113.9", UserAgent: "test"}

func (d *desk) platform(t testing.TB, fn func(ctx context.Context, tx bun.IDB) error) {
	t.Helper()
	if err := d.Platform.Write(t.Context(), fn); err != nil {
		t.Fatal(err)
	}
}

// operator makes an operator with an optional password.
func (d *desk) operator(t testing.TB, email, password string) *accounts.Operator {
	t.Helper()
	var o *accounts.Operator
	d.platform(t, func(ctx context.Context, tx bun.IDB) (err error) {
		o, err = d.ops.FindOrCreate(ctx, tx, email, "", "en")
		return err
	})
	if password != "" {
		if err := d.ops.SetPassword(t.Context(), o.ID, password); err != nil {
			t.Fatal(err)
		}
	}
	return o
}

type sent struct {
	Board  tenant.ID
	Kind   string
	URL    string
	Code   string
	Locale string
}

func (s sent) token(t testing.TB) string {
	t.Helper()
	u, err := url.Parse(s.URL)
	if err != nil || u.Query().Get("token") == "" {
		t.Fatalf("mail %s has no link with a token: %q", s.Kind, s.URL)
	}
	return u.Query().Get("token")
}

// mailTo is the latest mail to an address.
func (d *desk) mailTo(t testing.TB, email string) sent {
	t.Helper()
	var row struct {
		TenantID tenant.ID       `bun:"tenant_id"`
		Kind     string          `bun:"kind"`
		Locale   string          `bun:"locale"`
		Payload  json.RawMessage `bun:"payload"`
	}
	d.platform(t, func(ctx context.Context, tx bun.IDB) error {
		return tx.NewRaw(`SELECT tenant_id, kind, locale, payload FROM mails WHERE recipient = ? ORDER BY created_at DESC, id DESC LIMIT 1`, email).Scan(ctx, &row)
	})
	var p struct {
		URL  string         `json:"url"`
		Data map[string]any `json:"data"`
	}
	if err := json.Unmarshal(row.Payload, &p); err != nil {
		t.Fatal(err)
	}
	code, _ := p.Data["Code"].(string)
	return sent{row.TenantID, row.Kind, p.URL, code, row.Locale}
}

func is(t testing.TB, what string, err error, kind fault.Kind) {
	t.Helper()
	if !fault.Is(err, kind) {
		t.Errorf("%s: got %v, want kind %s", what, err, kind)
	}
}

func TestFold(t *testing.T) {
	t.Parallel()
	for in, want := range map[string]string{
		" Ann@Example.COM ": "ann@example.com", "a+b@x.example": "a+b@x.example", "ann@bücher.example": "ann@xn--bcher-kva.example",
		"o'neil@x.example": "o'neil@x.example",
		"":                 "", "ann": "", "ann@": "", "@x.example": "", "ann@localhost": "", "Ann <ann@x.example>": "", "a b@x.example": "",
		"ann@x.example\r\nBcc: b@x.example": "", "ann@x..example": "", "ann@[127.0.0.1]": "", "änn@x.example": "", `"a b"@x.example`: "",
		strings.Repeat("a", 65) + "@x.example": "", "a@x.example,b@x.example": "", "a@b@x.example": "",
	} {
		got, err := accounts.Fold(in)
		if got != want || (err == nil) != (want != "") {
			t.Errorf("Fold(%q) = %q, %v; want %q", in, got, err, want)
		}
		if err != nil && fault.FieldsOf(err)["email"] == "" {
			t.Errorf("Fold(%q): the field is not named", in)
		}
	}
}

func FuzzFold(f *testing.F) {
	f.Add("Ann@Example.com")
	f.Add("ü@ü.example")
	f.Fuzz(func(t *testing.T, in string) {
		once, err := accounts.Fold(in)
		if err != nil {
			return
		}
		if twice, err := accounts.Fold(once); err != nil || twice != once {
			t.Errorf("Fold(%q) = %q, and again %q, %v", in, once, twice, err)
		}
		if strings.ContainsAny(once, " \r\n<>,") || once != strings.ToLower(once) {
			t.Errorf("Fold(%q) = %q", in, once)
		}
	})
}

func TestLocalPath(t *testing.T) {
	t.Parallel()
	for in, want := range map[string]string{
		"/employers": "/employers", "/jobs?q=a%20b&x=/": "/jobs?q=a%20b&x=/", "": "/f", "//evil.example": "/f", "/\\evil.example": "/f",
		"https://evil.example": "/f", "javascript:alert(1)": "/f", "/a\nb": "/f", "/\t/evil.example": "/f", "employers": "/f",
	} {
		if got := accounts.LocalPath(in, "/f"); got != want {
			t.Errorf("LocalPath(%q) = %q, want %q", in, got, want)
		}
	}
}

func TestCookieHasThePrefixWhereBrowsersKeepIt(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		scheme, host string
		prefixed     bool
	}{{"https", "jobs.example.com", true}, {"http", "alder.localhost:8080", true}, {"http", "localhost:8080", true},
		{"http", "jobs.example.com", false}, {"http", "evillocalhost", false}, {"http", "192.0.2.7:8080", false}} {
		w, k := httptest.NewRecorder(), accounts.Cookies{Name: accounts.PersonCookie, Scheme: c.scheme}
		k.Set(w, c.host, "secret", time.Now().Add(time.Hour))
		got := w.Result().Cookies()[0]
		if strings.HasPrefix(got.Name, "__Host-") != c.prefixed || got.Secure != c.prefixed || !got.HttpOnly || got.Path != "/" ||
			got.Domain != "" || got.SameSite != http.SameSiteLaxMode {
			t.Errorf("%s://%s: %s", c.scheme, c.host, got)
		}
		r := httptest.NewRequest("GET", "/", nil)
		r.Host = c.host
		r.AddCookie(got)
		if k.Token(r) != "secret" {
			t.Errorf("%s://%s: the cookie is not read back", c.scheme, c.host)
		}
	}
}

func TestLimiterWithoutRedis(t *testing.T) {
	t.Parallel()
	clock := testkit.NewClock(time.Now())
	l := accounts.NewLimiter(nil, clock.Now)
	limit, key := accounts.Limit{N: 3, Period: time.Minute}, accounts.LimitKey(tenant.Nil, "test", "ann@x.example")
	for i := range 3 {
		if err := l.Allow(t.Context(), key, limit); err != nil {
			t.Fatalf("try %d: %v", i+1, err)
		}
	}
	err := l.Allow(t.Context(), key, limit)
	is(t, "the fourth", err, fault.TooMany)
	wait := accounts.RetryAfter(err)
	if wait <= 0 || wait > 20*time.Second {
		t.Errorf("wait %s, want up to 20 s", wait)
	}
	if err := l.Allow(t.Context(), accounts.LimitKey(tenant.NewID(), "test", "ann@x.example"), limit); err != nil {
		t.Errorf("another board's count: %v", err)
	}
	clock.Advance(wait)
	if err := l.Allow(t.Context(), key, limit); err != nil {
		t.Errorf("after waiting: %v", err)
	}
	if strings.Contains(key, "ann") {
		t.Error("the key shows the address")
	}
}

func TestCodeHasSixDigits(t *testing.T) {
	t.Parallel()
	d := newDesk(t)
	board := d.Board(t, "alder")
	err := d.DB.Write(d.Ctx(t, board), func(ctx context.Context, tx bun.IDB) error {
		i, err := d.people.Issue(ctx, tx, accounts.NewToken{Kind: "x", Email: "a@x.example", Lives: time.Hour, WithCode: true})
		if !regexp.MustCompile(`^\d{6}$`).MatchString(i.Code) || len(i.Token) != 43 || len(i.Ticket) != 43 {
			t.Errorf("issued %d digits, %d, %d", len(i.Code), len(i.Token), len(i.Ticket))
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
}

func TestSweepRemovesOnlyWhatIsOver(t *testing.T) {
	t.Parallel()
	d := newDesk(t)
	board := d.Board(t, "alder")
	d.operator(t, "ann@x.example", "")
	if _, err := d.ops.RequestSignIn(t.Context(), "ann@x.example", "", "en", here); err != nil {
		t.Fatal(err)
	}
	in, err := d.ops.SignIn(t.Context(), accounts.Proof{Token: d.mailTo(t, "ann@x.example").token(t)}, here)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := d.people.RequestSignIn(d.Ctx(t, board), "pat@x.example", "", here); err != nil {
		t.Fatal(err)
	}
	d.platform(t, func(ctx context.Context, tx bun.IDB) error {
		_, err := tx.NewRaw(`INSERT INTO held_forms (tenant_id, hash, form, email, sealed, created_at, expires_at) VALUES (?, '\x01', 'apply', 'pat@x.example', '\x00', ?, ?)`,
			board.ID, d.clock.Now(), d.clock.Now().Add(24*time.Hour)).Exec(ctx)
		return err
	})
	count := func() (n int) {
		d.platform(t, func(ctx context.Context, tx bun.IDB) error {
			if err := accounts.NewSweeper(d.Platform, d.clock.Now).Sweep(ctx, tx); err != nil {
				return err
			}
			return tx.NewRaw(`SELECT (SELECT count(*) FROM operator_tokens) + (SELECT count(*) FROM person_tokens) + (SELECT count(*) FROM operator_sessions) + (SELECT count(*) FROM held_forms)`).Scan(ctx, &n)
		})
		return n
	}
	if n := count(); n != 4 {
		t.Errorf("%d rows left, want 4", n)
	}
	d.clock.Advance(25 * time.Hour)
	if n := count(); n != 3 {
		t.Errorf("%d rows left, want all but the form that waited for a day", n)
	}
	d.clock.Advance(47 * time.Hour)
	if n := count(); n != 1 {
		t.Errorf("%d rows left, want the session", n)
	}
	if _, err := d.ops.SessionByToken(t.Context(), in.Token, nil); err != nil {
		t.Errorf("the live session: %v", err)
	}
}
