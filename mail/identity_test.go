package mail_test

import (
	"bytes"
	"context"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/emersion/go-msgauth/dkim"
	"github.com/uptrace/bun"

	"shingle/internal/fault"
	"shingle/internal/seal"
	"shingle/mail"
)

// zone is a DNS that a test writes.
type zone struct {
	mu    sync.Mutex
	txt   map[string][]string
	cname map[string]string
	dead  bool
}

func (z *zone) set(name string, values ...string) {
	z.mu.Lock()
	defer z.mu.Unlock()
	z.txt[name] = values
}

func (z *zone) TXT(_ context.Context, name string) ([]string, error) {
	z.mu.Lock()
	defer z.mu.Unlock()
	if z.dead {
		return nil, fault.New(fault.Unavailable, "nobody answers for %s", name)
	}
	if v := z.txt[name]; v != nil {
		return v, nil
	}
	return nil, fault.New(fault.NotFound, "no record of %s", name)
}

func (z *zone) CNAME(_ context.Context, name string) (string, error) {
	z.mu.Lock()
	defer z.mu.Unlock()
	if v := z.cname[name]; v != "" {
		return v, nil
	}
	return "", fault.New(fault.NotFound, "no record of %s", name)
}

// own is a post whose board may have a domain of its own.
type own struct {
	*post
	zone *zone
	ids  *mail.Identities
	now  time.Time
}

func newOwn(t *testing.T) *own {
	t.Helper()
	o := &own{zone: &zone{txt: map[string][]string{}, cname: map[string]string{}}, now: time.Now().Truncate(time.Second)}
	sealer, err := seal.New("test", []byte("a secret of the tests, long enough"))
	if err != nil {
		t.Fatal(err)
	}
	o.post = newPostWith(t, func(p *post, s *mail.Sender) {
		o.ids = &mail.Identities{DB: p.DB, Platform: p.Platform, DNS: o.zone, Sealer: sealer, SPF: "include:spf.platform.example", ReturnDomain: "returns.example",
			Reserved: []string{"platform.example"}, Now: func() time.Time { return o.now }}
		s.Identities, s.Refs, s.ReturnDomain = o.ids, refs, "returns.example"
	})
	o.ids.Register(o.mux)
	return o
}

var refs = mail.Refs{Key: []byte("a key of the tests")}

func (o *own) write(t *testing.T, fn func(ctx context.Context, tx bun.IDB) error) {
	t.Helper()
	if err := o.DB.Write(o.ctx, fn); err != nil {
		t.Fatal(err)
	}
}

func (o *own) save(t *testing.T, domain string) {
	t.Helper()
	o.write(t, func(ctx context.Context, tx bun.IDB) error {
		return o.ids.Save(ctx, tx, mail.IdentityForm{Domain: domain, LocalPart: "hello", Footer: "Acme, since 1999", Postal: "1 High Street\nLeeds"})
	})
}

func (o *own) state(t *testing.T) (*mail.Identity, []mail.Key) {
	t.Helper()
	var i *mail.Identity
	var keys []mail.Key
	err := o.DB.Read(o.ctx, func(ctx context.Context, tx bun.IDB) (err error) {
		if i, err = mail.IdentityOf(ctx, tx); err != nil {
			return err
		}
		keys, err = mail.Keys(ctx, tx)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return i, keys
}

func (o *own) look(t *testing.T) []mail.Check {
	t.Helper()
	found, err := o.ids.Look(o.ctx)
	if err != nil {
		t.Fatal(err)
	}
	return found
}

// publish writes the record of a key.
func (o *own) publish(k mail.Key, domain string) {
	o.zone.set(k.Selector+"._domainkey."+domain, k.Record())
}

// raw is the newest message on the wire, as it came.
func (o *own) raw(t *testing.T) []byte {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(o.dir, "*.eml"))
	if err != nil || len(files) == 0 {
		t.Fatalf("no mail came: %v", err)
	}
	b, err := os.ReadFile(files[len(files)-1])
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func TestMailComesFromTheBoardOnceItsKeyIsFound(t *testing.T) {
	t.Parallel()
	o := newOwn(t)
	o.save(t, "Acmé-Jobs.example")
	i, keys := o.state(t)
	if i.Domain != "xn--acm-jobs-e1a.example" && !strings.HasPrefix(i.Domain, "xn--") || i.State != mail.Pending || len(keys) != 1 {
		t.Fatalf("saved as %q, %s with %d keys", i.Domain, i.State, len(keys))
	}
	hello := mail.Message{Kind: "alert-confirm", Key: "1", To: "reader@example.org", Data: mail.Data{"Search": "nurse"}, URL: "http://acme.localhost/x", StopURL: "http://acme.localhost/stop"}
	o.queue(t, hello)
	o.send(t)
	if raw := o.raw(t); !bytes.Contains(raw, []byte("<boards@platform.example>")) || bytes.Contains(raw, []byte("DKIM-Signature")) {
		t.Fatalf("before the record is found mail must come from the platform, unsigned:\n%s", raw)
	}
	for _, c := range o.look(t) {
		if c.State != mail.CheckMissing {
			t.Errorf("%s of an empty zone is %s, want missing", c.Kind, c.State)
		}
	}
	o.publish(keys[0], i.Domain)
	o.zone.cname["bounce."+i.Domain] = "returns.example"
	o.look(t)
	if i, _ = o.state(t); i.State != mail.Verified || i.Address() != "hello@"+i.Domain || !i.OwnReturn {
		t.Fatalf("with its record found the identity is %s, %q, return %v", i.State, i.Address(), i.OwnReturn)
	}
	o.send(t) // the mail that says so
	hello.Key = "2"
	o.queue(t, hello)
	o.send(t)
	raw := o.raw(t)
	if !bytes.Contains(raw, []byte("<hello@"+i.Domain+">")) || bytes.Contains(bytes.ToLower(raw), []byte("platform.example")) || bytes.Contains(bytes.ToLower(raw), []byte("shingle")) {
		t.Fatalf("the mail must carry the board's name alone:\n%s", raw)
	}
	verified, err := dkim.VerifyWithOptions(bytes.NewReader(raw), &dkim.VerifyOptions{LookupTXT: func(name string) ([]string, error) { return o.zone.TXT(t.Context(), name) }})
	if err != nil || len(verified) != 1 || verified[0].Err != nil || verified[0].Domain != i.Domain {
		t.Fatalf("an independent verifier says %+v, %v\n%s", verified, err, raw)
	}
	if !bytes.Contains(raw, []byte("Acme, since 1999")) || !bytes.Contains(raw, []byte("1 High Street")) {
		t.Error("the board's own footer is not under the mail")
	}
	forged := bytes.Replace(raw, []byte("Acme, since 1999"), []byte("Acme, since 1899"), 1)
	verified, err = dkim.VerifyWithOptions(bytes.NewReader(forged), &dkim.VerifyOptions{LookupTXT: func(name string) ([]string, error) { return o.zone.TXT(t.Context(), name) }})
	if err != nil || len(verified) != 1 || verified[0].Err == nil {
		t.Errorf("a changed mail passes: %+v, %v", verified, err)
	}
}

func TestKeysRotateWithOverlap(t *testing.T) {
	t.Parallel()
	o := newOwn(t)
	o.save(t, "acme.example")
	_, keys := o.state(t)
	o.publish(keys[0], "acme.example")
	o.look(t)
	o.write(t, o.ids.Rotate)
	if err := o.DB.Write(o.ctx, o.ids.Rotate); !fault.Is(err, fault.Conflict) {
		t.Errorf("a second new key: %v, want a conflict", err)
	}
	_, keys = o.state(t)
	if len(keys) != 2 || keys[0].State != mail.ActiveKey || keys[1].State != mail.NewKey || keys[0].Selector == keys[1].Selector {
		t.Fatalf("after rotating: %+v", keys)
	}
	o.look(t) // the new one's record is not there yet: the old one signs on
	o.publish(keys[1], "acme.example")
	o.look(t)
	if _, keys = o.state(t); keys[0].State != mail.RetiringKey || keys[1].State != mail.ActiveKey || keys[0].RetireAt == nil {
		t.Fatalf("after the new record is found: %+v", keys)
	}
	o.now = o.now.Add(6 * 24 * time.Hour)
	o.look(t)
	if _, keys = o.state(t); len(keys) != 2 {
		t.Error("the old key went before mail under way could arrive")
	}
	o.now = o.now.Add(2 * 24 * time.Hour)
	o.look(t)
	if _, keys = o.state(t); len(keys) != 1 || keys[0].State != mail.ActiveKey {
		t.Errorf("after a week: %+v", keys)
	}
}

func TestALostRecordBringsThePlatformsAddressBack(t *testing.T) {
	t.Parallel()
	o := newOwn(t)
	o.save(t, "acme.example")
	_, keys := o.state(t)
	o.publish(keys[0], "acme.example")
	o.look(t)
	day := func() *mail.Identity {
		o.now = o.now.Add(24 * time.Hour)
		o.look(t)
		i, _ := o.state(t)
		return i
	}
	o.zone.dead = true
	for range 5 {
		if i := day(); i.State != mail.Verified {
			t.Fatal("a DNS that does not answer took the domain away")
		}
	}
	o.zone.dead = false
	o.zone.set(keys[0].Selector + "._domainkey.acme.example")
	delete(o.zone.txt, keys[0].Selector+"._domainkey.acme.example")
	if i := day(); i.State != mail.Verified {
		t.Error("one look without the record took the domain away")
	}
	day()
	if i := day(); i.State != mail.Broken || i.Address() != "" {
		t.Errorf("after three days without the record the identity is %s", i.State)
	}
	o.publish(keys[0], "acme.example")
	if i := day(); i.State != mail.Verified {
		t.Errorf("the record is back and the identity is %s", i.State)
	}
}

func TestRecordsAreRead(t *testing.T) {
	t.Parallel()
	o := newOwn(t)
	o.save(t, "acme.example")
	_, keys := o.state(t)
	name := keys[0].Selector + "._domainkey.acme.example"
	find := func(kind string) mail.Check {
		t.Helper()
		for _, c := range o.look(t) {
			if c.Kind == kind {
				return c
			}
		}
		t.Fatalf("no check %s", kind)
		return mail.Check{}
	}
	for _, c := range []struct {
		what, kind, name string
		records          []string
		state            mail.CheckState
		note, want       string
	}{
		{"another key", "dkim", name, []string{"v=DKIM1; p=MIIBIjAN"}, mail.CheckWrong, "mail.note.cut", ""},
		{"a foreign key", "dkim", name, []string{"v=DKIM1; p=AAAA"}, mail.CheckWrong, "mail.note.other_key", ""},
		{"a withdrawn key", "dkim", name, []string{"v=DKIM1; p="}, mail.CheckWrong, "mail.note.revoked", ""},
		{"something else", "dkim", name, []string{"hello"}, mail.CheckWrong, "mail.note.no_key", ""},
		{"white space in it", "dkim", name, []string{"k=rsa;  p= " + keys[0].Public[:200] + " " + keys[0].Public[200:]}, mail.CheckOK, "", ""},
		{"our policy", "spf", "acme.example", []string{"v=spf1 mx include:spf.platform.example -all", "google-site=1"}, mail.CheckOK, "", ""},
		{"a policy without us", "spf", "acme.example", []string{"v=spf1 mx -all"}, mail.CheckWrong, "mail.note.spf_without", "v=spf1 mx include:spf.platform.example -all"},
		{"two policies", "spf", "acme.example", []string{"v=spf1 mx -all", "v=spf1 a -all"}, mail.CheckWrong, "mail.note.spf_twice", ""},
		{"a policy of DMARC", "dmarc", "_dmarc.acme.example", []string{"v=DMARC1;p=quarantine"}, mail.CheckOK, "", ""},
		{"a wrong policy of DMARC", "dmarc", "_dmarc.acme.example", []string{"v=DMARC1; p=maybe"}, mail.CheckWrong, "mail.note.dmarc_policy", ""},
	} {
		o.zone.set(c.name, c.records...)
		got := find(c.kind)
		if got.State != c.state || got.Note != c.note || c.want != "" && got.Want != c.want {
			t.Errorf("%s: %s, %q, want to paste %q; expected %s, %q, %q", c.what, got.State, got.Note, got.Want, c.state, c.note, c.want)
		}
	}
}

func TestDomainsThatCannotBeOnesOwnAreRefused(t *testing.T) {
	t.Parallel()
	o := newOwn(t)
	for typed, want := range map[string]string{"co.uk": "mail.domain.public", "localhost": "mail.domain.form", "x.platform.example": "mail.domain.ours", "a b.example": "mail.domain.form", "../etc": "mail.domain.form"} {
		err := o.DB.Write(o.ctx, func(ctx context.Context, tx bun.IDB) error {
			return o.ids.Save(ctx, tx, mail.IdentityForm{Domain: typed})
		})
		if got := fault.FieldsOf(err)["domain"]; got != want {
			t.Errorf("%q: %q, want %q", typed, got, want)
		}
	}
	err := o.DB.Write(o.ctx, func(ctx context.Context, tx bun.IDB) error {
		return o.ids.Save(ctx, tx, mail.IdentityForm{Domain: "acme.example", LocalPart: "a\r\nBcc: x"})
	})
	if fault.FieldsOf(err)["local_part"] == "" {
		t.Errorf("a sender with a line break: %v", err)
	}
}

func TestARivalSeesNoKeyAndLiftsNothing(t *testing.T) {
	t.Parallel()
	o := newOwn(t)
	o.save(t, "acme.example")
	o.write(t, func(ctx context.Context, tx bun.IDB) error {
		return mail.Suppress(ctx, tx, "gone@example.org", "bounce", "")
	})
	rival := o.Ctx(t, o.Board(t, "rival"))
	err := o.DB.Write(rival, func(ctx context.Context, tx bun.IDB) error {
		i, err := mail.IdentityOf(ctx, tx)
		if err != nil || i.Domain != "" {
			t.Errorf("the rival reads the identity %q: %v", i.Domain, err)
		}
		if keys, err := mail.Keys(ctx, tx); err != nil || len(keys) != 0 {
			t.Errorf("the rival reads %d keys: %v", len(keys), err)
		}
		if err := mail.Lift(ctx, tx, "gone@example.org"); !fault.Is(err, fault.NotFound) {
			t.Errorf("the rival lifts: %v", err)
		}
		if rows, total, err := mail.Suppressions(ctx, tx, 1, 10); err != nil || len(rows)+total != 0 {
			t.Errorf("the rival reads %d addresses: %v", total, err)
		}
		if rows, _, err := mail.Log(ctx, tx, mail.LogFilter{Page: 1, Size: 10}); err != nil || len(rows) != 0 {
			t.Errorf("the rival reads %d lines of the log: %v", len(rows), err)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if _, keys := o.state(t); len(keys) != 1 {
		t.Error("the owner's key is gone")
	}
}
