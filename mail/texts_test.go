package mail_test

import (
	"context"
	"fmt"
	"strings"
	"testing"

	"github.com/uptrace/bun"

	"shingle/internal/fault"
	"shingle/internal/mailbox"
	"shingle/internal/testkit"
	"shingle/mail"
	"shingle/tasks"
	"shingle/tenant"
)

func (p *post) say(t *testing.T, kind, lang string, base int, text mail.Text) {
	t.Helper()
	if err := p.trySay(kind, lang, base, text); err != nil {
		t.Fatalf("%s: %v %v", kind, err, fault.FieldsOf(err))
	}
}

func (p *post) trySay(kind, lang string, base int, text mail.Text) error {
	return p.DB.Write(p.ctx, func(ctx context.Context, tx bun.IDB) error { return mail.SaveText(ctx, tx, kind, lang, base, text) })
}

func (p *post) restore(base, n int) error {
	return p.DB.Write(p.ctx, func(ctx context.Context, tx bun.IDB) error {
		return mail.RestoreText(ctx, tx, "listing-live", "en", base, n)
	})
}

// got is the one mail that came to an address.
func (p *post) got(t *testing.T, to string) *mailbox.Message {
	t.Helper()
	list, err := p.box.List(1000, "")
	if err != nil {
		t.Fatal(err)
	}
	for _, m := range list {
		if m.To == to {
			return &m
		}
	}
	t.Fatalf("nothing came to %s", to)
	return nil
}

// Every mail of a board is in its own words once it has written some, in the
// language that they are written for, and in no other.
func TestEveryMailIsInTheBoardsWords(t *testing.T) {
	t.Parallel()
	p := newPost(t)
	for _, k := range mail.BoardKinds() {
		text := shipped(t, k.Name, "de")
		for field, s := range text {
			if field != "details" {
				text[field] = "Ahoi " + s
			}
		}
		if k.Name == mail.Footer {
			text["fallback"] = "Ahoi, hier lang:"
		} else if text["button"] == "Ahoi " {
			t.Fatalf("%s has no button", k.Name)
		}
		p.say(t, k.Name, "de", 0, text)
	}
	for _, k := range mail.BoardKinds() {
		for _, lang := range mail.Languages {
			m := mail.Sample(k.Name, lang, k.Name+"."+lang+"@x.example", "http://acme.localhost:8080/here")
			m.Key = k.Name + lang
			p.queue(t, m)
		}
	}
	p.queue(t, mail.Message{Kind: "review-waiting", Key: "team", To: "team@x.example", Locale: "de", Data: mail.Data{"Title": "x"}, URL: "http://acme.localhost:8080/admin"})
	p.send(t)
	for _, k := range mail.BoardKinds() {
		if k.Name == mail.Footer {
			continue
		}
		de, en := p.got(t, k.Name+".de@x.example"), p.got(t, k.Name+".en@x.example")
		for what, s := range map[string]string{"subject": de.Subject, "text": de.Text, "HTML": de.HTML} {
			if !strings.Contains(s, "Ahoi") || strings.Contains(s, "{{") || strings.Contains(s, "[[") {
				t.Errorf("%s, %s: %s", k.Name, what, s)
			}
		}
		for what, s := range map[string]string{"text": de.Text, "HTML": de.HTML} {
			if !strings.Contains(s, "Ahoi Sie erhalten diese Nachricht") {
				t.Errorf("%s, %s: the small print is not the board's: %s", k.Name, what, s)
			}
		}
		if strings.Contains(en.Subject+en.Text+en.HTML, "Ahoi") {
			t.Errorf("%s in English: %s", k.Name, en.Text)
		}
	}
	if team := p.got(t, "team@x.example"); strings.Contains(team.Subject, "Ahoi") {
		t.Errorf("a mail to the team: %s", team.Subject)
	}
}

// Values are text: they are escaped in HTML, never read as words of the
// language, and cannot break a line.
func TestValuesStayValues(t *testing.T) {
	t.Parallel()
	p := newPost(t)
	p.say(t, "listing-live", "en", 0, mail.Text{"subject": "{{listing}} <b>", "preview": "", "body": "Hi <i>{{listing}}</i>[[ until {{ends}}]].\nSecond line.\n\n{{button}}\n\nSmall.", "button": "Look & see"})
	p.queue(t, mail.Message{Kind: "listing-live", Key: "1", To: "a@x.example", Locale: "en", URL: "http://acme.localhost:8080/l", Data: mail.Data{"Title": "{{board}} [[x]]\r\nBcc: e@x.example <script>"}})
	p.send(t)
	m := p.got(t, "a@x.example")
	const title = "{{board}} [[x]] Bcc: e@x.example "
	if m.Subject != title+"<script> <b>" {
		t.Errorf("subject %q", m.Subject)
	}
	for _, want := range []string{"Hi &lt;i&gt;" + title + "&lt;script&gt;&lt;/i&gt;.<br>Second line.", ">Look &amp; see</a>", `font-size:14px;color:#5b626b">Small.</p>`} {
		if !strings.Contains(m.HTML, want) {
			t.Errorf("the HTML lacks %q: %s", want, m.HTML)
		}
	}
	if want := "Hi <i>" + title + "<script></i>.\nSecond line.\n\nLook & see:\nhttp://acme.localhost:8080/l\n\nSmall.\n\n-- \nacme jobs\n"; !strings.HasPrefix(m.Text, want) {
		t.Errorf("the text is %q, want %q", m.Text, want)
	}
}

// Versions are kept; our words and earlier ones come back; nobody overwrites
// what they have not seen.
func TestVersionsOfWords(t *testing.T) {
	t.Parallel()
	p := newPost(t)
	p.ctx = tenant.WithActor(p.ctx, tenant.Actor{Kind: tenant.Operator, ID: tenant.NewRowID(), Label: "Ann"})
	text := shipped(t, "listing-live", "en")
	subject := func(want string) {
		t.Helper()
		var got *mail.Shown
		err := p.DB.Read(p.ctx, func(ctx context.Context, tx bun.IDB) (err error) {
			got, err = p.sender(t, p.DB).Preview(ctx, tx, mail.Sample("listing-live", "en", "", "http://acme.localhost:8080/"))
			return err
		})
		if err != nil || got.Subject != want {
			t.Fatalf("subject %q, %v; want %q", got.Subject, err, want)
		}
	}
	subject("“Night nurse” is live")
	for n, s := range []string{"One", "Two"} {
		text["subject"] = s
		p.say(t, "listing-live", "en", n, text)
	}
	subject("Two")
	for _, base := range []int{0, 1, 3, -1} {
		if err := p.trySay("listing-live", "en", base, text); !fault.Is(err, fault.Conflict) {
			t.Errorf("on version %d of 2: %v, want a conflict", base, err)
		}
	}
	if err := p.restore(2, 1); err != nil {
		t.Fatal(err)
	}
	subject("One")
	if err := p.restore(3, 0); err != nil {
		t.Fatal(err)
	}
	subject("“Night nurse” is live")
	if err := p.restore(3, 1); !fault.Is(err, fault.Conflict) {
		t.Errorf("restored on an old version: %v", err)
	}
	if err := p.restore(4, 9); !fault.Is(err, fault.NotFound) {
		t.Errorf("restored what never was: %v", err)
	}
	if err := p.restore(4, 2); err != nil {
		t.Fatal(err)
	}
	subject("Two")
	if err := p.trySay("listing-live", "fr", 0, text); !fault.Is(err, fault.NotFound) {
		t.Errorf("a language without words: %v", err)
	}
	var history []mail.TextVersion
	err := p.DB.Read(p.ctx, func(ctx context.Context, tx bun.IDB) (err error) {
		history, err = mail.TextHistory(ctx, tx, "listing-live", "en")
		return err
	})
	got := ""
	for _, v := range history {
		got += fmt.Sprintf("%d %s %v %s;", v.N, v.Text["subject"], v.Shipped(), v.By)
		if v.At.IsZero() {
			t.Errorf("version %d has no time", v.N)
		}
	}
	if want := "5 Two false Ann;4  true Ann;3 One false Ann;2 Two false Ann;1 One false Ann;"; err != nil || got != want {
		t.Errorf("history %s, %v; want %s", got, err, want)
	}
}

// Words that a later release no longer understands do not keep a mail back.
func TestWordsThatCannotBeReadGiveWay(t *testing.T) {
	t.Parallel()
	p := newPost(t)
	err := p.DB.Write(p.ctx, func(ctx context.Context, tx bun.IDB) error {
		_, err := tx.NewRaw(`INSERT INTO mail_texts (tenant_id, kind, language, n, texts) VALUES (?, 'listing-live', 'en', 1, '{"subject":"Ahoy {{gone}}","body":"x"}')`, p.board.ID).Exec(ctx)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	m := mail.Sample("listing-live", "en", "a@x.example", "http://acme.localhost:8080/")
	m.Key = "1"
	p.queue(t, m)
	p.send(t)
	if got := p.got(t, "a@x.example"); got.Subject != "“Night nurse” is live" {
		t.Errorf("subject %q", got.Subject)
	}
}

// A test carries words that are not saved; nobody else's mail does.
func TestWordsOfATestStayInIt(t *testing.T) {
	t.Parallel()
	p := newPost(t)
	for _, words := range []map[string]mail.Text{{"listing-live": {"subject": "Trial", "body": "Trial\n\n{{button}}", "button": "Go"}, mail.Footer: {"why": "Because."}}, nil} {
		m := mail.Sample("listing-live", "en", fmt.Sprint(len(words))+"@x.example", "http://acme.localhost:8080/")
		m.Key, m.Words = m.To, words
		p.queue(t, m)
	}
	p.send(t)
	if m := p.got(t, "2@x.example"); m.Subject != "Trial" || !strings.Contains(m.Text, "Because.") {
		t.Errorf("the test says %q: %s", m.Subject, m.Text)
	}
	if m := p.got(t, "0@x.example"); m.Subject != "“Night nurse” is live" || strings.Contains(m.Text, "Because.") {
		t.Errorf("the other says %q: %s", m.Subject, m.Text)
	}
}

// A rival neither reads, writes, restores nor sends a board's words.
func TestARivalHasNoWords(t *testing.T) {
	t.Parallel()
	p := newPost(t)
	text := shipped(t, "listing-live", "en")
	text["subject"] = "Owner's secret offer"
	p.say(t, "listing-live", "en", 0, text)
	foot := shipped(t, mail.Footer, "en")
	foot["why"] = "Owner's secret reason"
	p.say(t, mail.Footer, "en", 0, foot)
	testkit.EachWall(t, p.World, p.board, p.Board(t, "rival"), func(t *testing.T, r *testkit.Rival) {
		r.Refused(t, "a version", r.DB.Read(r.Ctx, func(ctx context.Context, tx bun.IDB) error {
			_, err := mail.TextAt(ctx, tx, "listing-live", "en", 1)
			return err
		}))
		r.Refused(t, "restore", r.DB.Write(r.Ctx, func(ctx context.Context, tx bun.IDB) error {
			return mail.RestoreText(ctx, tx, "listing-live", "en", 0, 1)
		}))
		err := r.DB.Write(r.Ctx, func(ctx context.Context, tx bun.IDB) error {
			now, err := mail.TextNow(ctx, tx, "listing-live", "en")
			if err != nil || now != nil {
				t.Errorf("the rival reads %v, %v", now, err)
			}
			all, err := mail.TextsNow(ctx, tx, "en")
			if err != nil || len(all) != 0 {
				t.Errorf("the rival reads %v, %v", all, err)
			}
			history, err := mail.TextHistory(ctx, tx, "listing-live", "en")
			if err != nil || len(history) != 0 {
				t.Errorf("the rival reads %v, %v", history, err)
			}
			shown, err := p.sender(t, r.DB).Preview(ctx, tx, mail.Sample("listing-live", "en", "", "http://rival.localhost:8080/"))
			if err != nil || strings.Contains(shown.Subject+shown.Text, "secret") {
				t.Errorf("the rival's preview: %+v, %v", shown, err)
			}
			if err := mail.SaveText(ctx, tx, "listing-live", "en", 0, text); err != nil {
				return err
			}
			return fault.New(fault.NotFound, "saved as the rival's own: undone")
		})
		r.Refused(t, "save", err)
		sent := mail.Sample("listing-live", "en", "rival@x.example", "http://rival.localhost:8080/")
		sent.Key = fmt.Sprintf("%p", t)
		var due []tasks.Task
		if err := r.DB.Write(r.Ctx, func(ctx context.Context, tx bun.IDB) error {
			if err := mail.Queue(ctx, tx, sent); err != nil {
				return err
			}
			return tx.NewRaw(`SELECT tenant_id, id, kind, payload::text AS payload, handover FROM tasks WHERE kind = 'mail.send' AND tenant_id = ?`, tenant.From(r.Ctx).ID).Scan(ctx, &due)
		}); err != nil && !fault.Is(err, fault.NotFound) {
			t.Log(err) // with row level security alone, a row of the owner's cannot be written
		}
		mux := tasks.NewMux()
		p.sender(t, r.DB).Register(mux)
		for i := range due {
			_ = mux.Run(r.Ctx, &due[i])
		}
		list, err := p.box.List(100, "")
		if err != nil {
			t.Fatal(err)
		}
		for _, m := range list {
			if strings.Contains(m.Subject+m.Text, "secret") {
				t.Errorf("the rival sent %q: %s", m.Subject, m.Text)
			}
		}
	})
}

// With a domain of its own that also takes what comes back, no mail to seekers,
// applicants or employers names the platform: not its headers, not its envelope.
func TestABoardsMailNamesNobodyElse(t *testing.T) {
	t.Parallel()
	o := newOwn(t)
	o.save(t, "acme.example")
	_, keys := o.state(t)
	o.zone.set(keys[0].Selector+"._domainkey.acme.example", keys[0].Record())
	o.zone.mu.Lock()
	o.zone.cname["bounce.acme.example"] = "returns.example"
	o.zone.mu.Unlock()
	o.look(t)
	n := 0
	for _, k := range mail.BoardKinds() {
		for _, lang := range mail.Languages {
			m := mail.Sample(k.Name, lang, k.Name+"."+lang+"@x.example", "https://jobs.acme.example/here")
			m.Key = k.Name + lang
			o.queue(t, m)
			n++
		}
	}
	o.send(t)
	list, err := o.box.List(1000, "")
	if err != nil || len(list) != n+1 {
		t.Fatalf("%d mails, want %d and the team's word that the domain is verified: %v", len(list), n, err)
	}
	for _, m := range list {
		if !strings.Contains(m.From, "hello@acme.example") {
			t.Errorf("%s comes from %s", m.Kind, m.From)
		}
		all := m.Subject + m.Text + m.HTML
		for _, f := range m.Header {
			all += f.Name + ": " + f.Value + "\n"
		}
		for _, name := range []string{"shingle", "platform", "returns.example"} {
			if i := strings.Index(strings.ToLower(all), name); i >= 0 {
				t.Errorf("%s holds %q: …%.120s…", m.Kind, name, all[max(0, i-60):])
			}
		}
	}
}
