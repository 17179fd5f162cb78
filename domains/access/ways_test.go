package access

import (
	"context"
	"encoding/json"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/uptrace/bun"

	"shingle/internal/fault"
	"shingle/internal/testkit"
	"shingle/tenant"
)

// letter is a queued mail.
type letter struct {
	to, host, token string
	minutes, days   float64
}

// letters are the board's mails of a kind, the oldest first.
func (d *door) letters(t *testing.T, b *tenant.Tenant, kind string) (out []letter) {
	t.Helper()
	var rows []struct {
		Recipient string `bun:"recipient"`
		Payload   []byte `bun:"payload"`
	}
	err := d.Platform.Read(t.Context(), func(ctx context.Context, tx bun.IDB) error {
		return tx.NewRaw(`SELECT recipient, payload FROM mails WHERE tenant_id = ? AND kind = ? ORDER BY id`, b.ID, kind).Scan(ctx, &rows)
	})
	if err != nil {
		t.Fatal(err)
	}
	for _, r := range rows {
		var p struct {
			URL  string         `json:"url"`
			Data map[string]any `json:"data"`
		}
		if err := json.Unmarshal(r.Payload, &p); err != nil {
			t.Fatal(err)
		}
		u, err := url.Parse(p.URL)
		if err != nil {
			t.Fatal(err)
		}
		l := letter{to: r.Recipient, host: u.Host, token: u.Query().Get("token")}
		l.minutes, _ = p.Data["Minutes"].(float64)
		l.days, _ = p.Data["Days"].(float64)
		out = append(out, l)
	}
	return out
}

func TestAskMail(t *testing.T) {
	t.Parallel()
	d := newDoor(t)
	for domains, want := range map[string]string{"": "access.domains.required", "acme": "access.domains.form|acme", "a@acme.test": "access.domains.form|a@acme.test", "http://acme.test": "access.domains.form|http://acme.test"} {
		if _, err := d.save(t, d.board, Change{Mode: Email, Domains: domains}); fault.FieldsOf(err)["domains"] != want {
			t.Errorf("domains %q: %v", domains, err)
		}
	}
	b, err := d.save(t, d.board, Change{Mode: Email, Domains: "@Acme.test, acme.example"})
	if err != nil {
		t.Fatal(err)
	}
	ctx := d.Ctx(t, b)
	for _, email := range []string{"", "acme.test", "@acme.test", "ann@other.test", "ann@sub.acme.test", "ann@acme.test.other.test", "ann@acme.test ", "a b@acme.test", "x@other.test,ann@acme.test",
		"ann@acme.test\r\nBcc: x@other.test", `"<x@other.test>"@acme.test`} {
		err := d.s.AskMail(ctx, email, "/")
		if email == "ann@acme.test " { // spaces around an address are nobody's fault
			if err != nil {
				t.Errorf("%q: %v", email, err)
			}
			continue
		}
		if fault.FieldsOf(err)["email"] != "gate.email.domain" {
			t.Errorf("%q: %v", email, err)
		}
	}
	if err := d.s.AskMail(ctx, "Bob@ACME.example", "/jobs/7"); err != nil {
		t.Fatal(err)
	}
	sent := d.letters(t, b, "access-link")
	if len(sent) != 2 || sent[1].to != "bob@acme.example" || sent[1].host != b.PlatformHost || sent[1].minutes != linkFor.Minutes() || len(sent[1].token) < 32 {
		t.Fatalf("mailed %+v", sent)
	}
	if sent[0].token == sent[1].token {
		t.Error("two letters have one link")
	}
	// What is kept cannot be used: neither the token nor anything that leads to it.
	var kept string
	if err := d.Platform.Read(t.Context(), func(ctx context.Context, tx bun.IDB) error {
		return tx.NewRaw(`SELECT string_agg(p::text, ' ') FROM access_passes AS p`).Scan(ctx, &kept)
	}); err != nil || strings.Contains(kept, sent[1].token) {
		t.Errorf("the token is kept in the clear, %v", err)
	}
	if next, err := d.s.SpendLink(ctx, sent[1].token); err != nil || next != "/jobs/7" {
		t.Errorf("spent: %q, %v", next, err)
	}
	d.clock.Advance(linkFor)
	if _, err := d.s.SpendLink(ctx, sent[0].token); !fault.Is(err, fault.Gone) {
		t.Errorf("after %s: %v", linkFor, err)
	}
	// A board with another way in mails nobody.
	if b, err = d.save(t, b, Change{Mode: Password, Password: "open sesame"}); err != nil {
		t.Fatal(err)
	}
	if err := d.s.AskMail(d.Ctx(t, b), "bob@acme.example", "/"); !fault.Is(err, fault.Invalid) || len(d.letters(t, b, "access-link")) != 2 {
		t.Errorf("by password: %v", err)
	}
}

func TestInvite(t *testing.T) {
	t.Parallel()
	d := newDoor(t)
	invite := func(b *tenant.Tenant, email string) error {
		return d.DB.Write(d.Ctx(t, b), func(ctx context.Context, tx bun.IDB) error { return d.s.Invite(ctx, tx, email) })
	}
	if err := invite(d.board, "ann@x.example"); !fault.Is(err, fault.Conflict) {
		t.Errorf("to an open board: %v", err)
	}
	b, err := d.save(t, d.board, Change{Mode: Invite})
	if err != nil {
		t.Fatal(err)
	}
	for _, email := range []string{"", "ann", "@x.example", "ann@x", "ann@x.example, bob@x.example", "ann@x.example\nBcc: y@z.example"} {
		if err := invite(b, email); fault.FieldsOf(err)["email"] != "access.email.form" {
			t.Errorf("%q: %v", email, err)
		}
	}
	for range 2 { // somebody who lost the first letter gets another
		if err := invite(b, " Ann@X.example "); err != nil {
			t.Fatal(err)
		}
	}
	sent := d.letters(t, b, "access-invite")
	if len(sent) != 2 || sent[0].to != "ann@x.example" || sent[0].days != 14 || sent[0].host != b.PlatformHost {
		t.Fatalf("mailed %+v", sent)
	}
	d.clock.Advance(inviteFor - time.Minute)
	if next, err := d.s.SpendLink(d.Ctx(t, b), sent[0].token); err != nil || next != "/" {
		t.Errorf("on the last day: %q, %v", next, err)
	}
	d.clock.Advance(2 * time.Minute)
	if _, err := d.s.SpendLink(d.Ctx(t, b), sent[1].token); !fault.Is(err, fault.Gone) {
		t.Errorf("a day later: %v", err)
	}
}

// TestClaims is what a company's sign-in has to say for somebody to be let in.
func TestClaims(t *testing.T) {
	t.Parallel()
	for raw, want := range map[string]bool{
		`"staff"`: true, `["guests","staff"]`: true, `[["staff"]]`: true, `7`: true, `true`: true,
		`"staf"`: false, `"staff council"`: false, `"STAFF"`: false, `[]`: false, `null`: false, `{"staff":true}`: false, `false`: false, `70`: false, `""`: false,
	} {
		var claim any
		if err := json.Unmarshal([]byte(raw), &claim); err != nil {
			t.Fatal(err)
		}
		if has(claim, []string{"staff", "7", "true"}) != want {
			t.Errorf("a claim of %s: let in is %v", raw, !want)
		}
	}
}

func TestCompanySignInIsSaved(t *testing.T) {
	t.Parallel()
	d := newDoor(t)
	good := Change{Mode: OIDC, Issuer: "https://id.acme.test", ClientID: "board", Secret: "s3cret", Claim: "groups", Values: "staff"}
	for field, c := range map[string]struct {
		spoil func(*Change)
		want  string
	}{
		"issuer":    {func(c *Change) { c.Issuer = "http://id.acme.test" }, "access.issuer.form"},
		"client_id": {func(c *Change) { c.ClientID = " " }, "access.client_id.required"},
		"secret":    {func(c *Change) { c.Secret = "" }, "access.secret.required"},
		"values":    {func(c *Change) { c.Values = "" }, "access.values.required"},
	} {
		in := good
		c.spoil(&in)
		if _, err := d.save(t, d.board, in); fault.FieldsOf(err)[field] != c.want {
			t.Errorf("%s: %v", field, err)
		}
	}
	b, err := d.save(t, d.board, good)
	if err != nil {
		t.Fatal(err)
	}
	read := func(b *tenant.Tenant) (c *Config) {
		t.Helper()
		if c, err = d.s.config(d.Ctx(t, b)); err != nil {
			t.Fatal(err)
		}
		return c
	}
	kept := read(b)
	if plain, err := d.s.open(d.Ctx(t, b), kept.Secret); err != nil || plain != "s3cret" || strings.Contains(kept.Secret, "s3cret") {
		t.Errorf("the secret is kept as %q, opens to %q, %v", kept.Secret, plain, err)
	}
	if _, err := d.s.open(d.Ctx(t, d.rival), kept.Secret); err == nil {
		t.Error("the rival opens the secret")
	}
	again := good
	again.Secret = ""
	if b, err = d.save(t, b, again); err != nil || read(b).Secret != kept.Secret {
		t.Errorf("an empty secret loses the one before: %v", err)
	}
	if _, err := d.s.Start(d.Ctx(t, d.rival), "/"); !fault.Is(err, fault.NotFound) {
		t.Errorf("a board without a sign-in: %v", err)
	}
}

// TestWalls holds that a rival opens nothing with what was mailed for another
// board, and reads nothing of its way in, whichever wall stands.
func TestWalls(t *testing.T) {
	t.Parallel()
	d := newDoor(t)
	owner, err := d.save(t, d.board, Change{Mode: Email, Domains: "acme.test"})
	if err != nil {
		t.Fatal(err)
	}
	if err := d.s.AskMail(d.Ctx(t, owner), "ann@acme.test", "/"); err != nil {
		t.Fatal(err)
	}
	link := d.letters(t, owner, "access-link")[0].token
	var state string
	if err := d.DB.Write(d.Ctx(t, owner), func(ctx context.Context, tx bun.IDB) (err error) {
		state, err = d.s.issue(ctx, tx, "oidc", "", notes{}, stateFor)
		return err
	}); err != nil {
		t.Fatal(err)
	}
	testkit.EachWall(t, d.World, owner, d.rival, func(t *testing.T, r *testkit.Rival) {
		s := *d.s
		s.DB = r.DB
		if _, err := s.SpendLink(r.Ctx, link); !fault.Is(err, fault.Gone) {
			t.Errorf("a link: %v", err)
		}
		if _, err := s.Finish(r.Ctx, state, "code"); !fault.Is(err, fault.Gone) {
			t.Errorf("a sign-in's answer: %v", err)
		}
		if c, err := s.config(r.Ctx); err == nil && (c.Mode != Open || len(c.Domains) > 0) {
			t.Errorf("the way in reads %+v", c)
		}
		if err := s.AskMail(r.Ctx, "ann@acme.test", "/"); err == nil {
			t.Error("a link was mailed")
		}
		if err := r.DB.Write(r.Ctx, func(ctx context.Context, tx bun.IDB) error { return s.Invite(ctx, tx, "ann@acme.test") }); err == nil {
			t.Error("an invitation was mailed")
		}
	})
	if _, err := d.s.SpendLink(d.Ctx(t, owner), link); err != nil {
		t.Errorf("afterwards the owner's link is spent: %v", err)
	}
}
