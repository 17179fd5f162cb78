package mail_test

import (
	"context"
	"fmt"
	"net"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/uptrace/bun"

	"shingle/internal/fault"
	"shingle/internal/mailbox"
	"shingle/internal/testkit"
	"shingle/mail"
	"shingle/tasks"
	"shingle/tenant"
)

func TestMain(m *testing.M) { testkit.Main(m) }

// post is a board with a sender over real SMTP to a box.
type post struct {
	*testkit.World
	mux   *tasks.Mux
	box   *mailbox.Box
	addr  string // of the box
	board *tenant.Tenant
	ctx   context.Context
	dir   string
}

func newPost(t *testing.T) *post {
	t.Helper()
	return newPostWith(t, func(*post, *mail.Sender) {})
}

// newPostWith lets a test change the sender before it takes its task over.
func newPostWith(t *testing.T, change func(*post, *mail.Sender)) *post {
	t.Helper()
	w := testkit.NewWorld(t)
	dir := t.TempDir()
	box, err := mailbox.Open(dir, time.Now)
	if err != nil {
		t.Fatal(err)
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	var wg sync.WaitGroup
	wg.Go(func() { _ = box.Serve(ctx, l) })
	t.Cleanup(func() { cancel(); wg.Wait() })
	p := &post{World: w, mux: tasks.NewMux(), box: box, addr: l.Addr().String(), board: w.Board(t, "acme"), dir: dir}
	s := p.sender(t, w.DB)
	change(p, s)
	s.Register(p.mux)
	p.ctx = w.Ctx(t, p.board)
	return p
}

// sender sends to the box what is queued behind a door.
func (p *post) sender(t *testing.T, db *tenant.DB) *mail.Sender {
	t.Helper()
	transport, err := mail.NewSMTP("smtp://" + p.addr)
	if err != nil {
		t.Fatal(err)
	}
	s := &mail.Sender{DB: db, Platform: p.Platform, Transport: transport, From: "boards@platform.example", PlatformName: "Shingle"}
	if err := s.Load(); err != nil {
		t.Fatal(err)
	}
	return s
}

// send runs the board's sending tasks as the worker would.
func (p *post) send(t *testing.T) {
	t.Helper()
	var due []tasks.Task
	err := p.DB.Read(p.ctx, func(ctx context.Context, tx bun.IDB) error {
		return tx.NewRaw(`SELECT tenant_id, id, kind, payload::text AS payload, handover FROM tasks WHERE kind = 'mail.send'`).Scan(ctx, &due)
	})
	if err != nil {
		t.Fatal(err)
	}
	for i := range due {
		if err := p.mux.Run(p.ctx, &due[i]); err != nil {
			t.Error(err)
		}
	}
}

func (p *post) queue(t *testing.T, m mail.Message) {
	t.Helper()
	if err := p.DB.Write(p.ctx, func(ctx context.Context, tx bun.IDB) error { return mail.Queue(ctx, tx, m) }); err != nil {
		t.Fatal(err)
	}
}

func TestOneMailWhateverHappens(t *testing.T) {
	t.Parallel()
	p := newPost(t)
	m := mail.Message{Kind: "alert-confirm", Key: "k", To: "reader@example.org", Data: mail.Data{"Search": "lock\r\nBcc: x@example.org"}, URL: "http://acme.localhost:8080/alerts/confirm?token=t"}
	p.queue(t, m)
	p.queue(t, m) // the same kind and key: a no-op
	var row struct {
		ID        string `bun:"id"`
		MessageID string `bun:"message_id"`
	}
	if err := p.DB.Read(p.ctx, func(ctx context.Context, tx bun.IDB) error {
		return tx.NewRaw(`SELECT id, message_id FROM mails`).Scan(ctx, &row)
	}); err != nil {
		t.Fatal(err)
	}
	p.send(t)
	// Dead between the wire and the record: queued again, the same Message-ID goes out.
	if err := p.DB.Write(p.ctx, func(ctx context.Context, tx bun.IDB) error {
		if _, err := tx.NewRaw(`UPDATE mails SET state = 'queued', payload = ?::jsonb`, `{"data":{"Search":"lock"}}`).Exec(ctx); err != nil {
			return err
		}
		return tasks.Add(ctx, tx, tasks.New{Kind: "mail.send", Queue: tasks.Mail, Payload: map[string]string{"mail_id": row.ID}})
	}); err != nil {
		t.Fatal(err)
	}
	p.send(t)
	got, err := p.box.List(10, "")
	if err != nil || len(got) != 2 {
		t.Fatalf("%d mails on the wire, want 2: %v", len(got), err)
	}
	for _, g := range got {
		id, bcc := "", ""
		for _, f := range g.Header {
			switch f.Name {
			case "Message-Id", "Message-ID":
				id = f.Value
			case "Bcc":
				bcc = f.Value
			}
		}
		if !strings.Contains(id, row.MessageID) || bcc != "" || strings.ContainsAny(g.Subject, "\r\n") {
			t.Errorf("Message-ID %q, Bcc %q, subject %q", id, bcc, g.Subject)
		}
	}
	first := got[len(got)-1]
	if !strings.Contains(first.From, "acme jobs") || !strings.Contains(first.Text, "http://acme.localhost:8080/alerts/confirm?token=t") || !strings.Contains(first.HTML, "Start the alert") {
		t.Errorf("from %q, text %q", first.From, first.Text)
	}
	var left string
	if err := p.DB.Read(p.ctx, func(ctx context.Context, tx bun.IDB) error {
		return tx.NewRaw(`SELECT payload::text FROM mails`).Scan(ctx, &left)
	}); err != nil || left != "{}" {
		t.Errorf("a sent mail keeps %q: %v", left, err)
	}
}

// TestEveryKindReadsWell sends each kind in both languages and looks for what
// no reader should meet.
func TestEveryKindReadsWell(t *testing.T) {
	t.Parallel()
	p := newPost(t)
	kinds, err := mail.Kinds()
	if err != nil || len(kinds) < 15 {
		t.Fatalf("%d kinds: %v", len(kinds), err)
	}
	for _, kind := range kinds {
		for _, locale := range []string{"en", "de"} {
			p.queue(t, mail.Message{Kind: kind, Key: kind + locale, To: fmt.Sprintf("%s.%s@example.org", kind, locale), Locale: locale, URL: "http://acme.localhost:8080/x?a=1&b=2",
				Quote: "Line one\nLine <two>", Data: mail.Data{"Title": "Lock keeper & more", "Company": "Hirer", "Name": "Ada", "Count": 2, "Minutes": 20, "Days": 7, "Hours": 24}})
		}
	}
	p.send(t)
	got, err := p.box.List(1000, "")
	if err != nil || len(got) != 2*len(kinds) {
		t.Fatalf("%d mails of %d: %v", len(got), 2*len(kinds), err)
	}
	for _, g := range got {
		for _, bad := range []string{"<no value>", "{{", "%!", "⟦"} {
			if strings.Contains(g.Subject+g.Text+g.HTML, bad) {
				t.Errorf("%s to %s holds %q", g.Kind, g.To, bad)
			}
		}
		if g.Subject == "" || g.Text == "" || g.HTML == "" || strings.Contains(g.HTML, "<two>") {
			t.Errorf("%s to %s: subject %q, %d bytes of text, %d of HTML", g.Kind, g.To, g.Subject, len(g.Text), len(g.HTML))
		}
	}
}

// A mail of the platform about a board names that board in what it says, and
// itself as the sender.
func TestThePlatformNamesTheBoardItWritesAbout(t *testing.T) {
	t.Parallel()
	p := newPost(t)
	for _, locale := range []string{"en", "de"} {
		if err := p.Platform.Write(t.Context(), func(ctx context.Context, tx bun.IDB) error {
			return mail.Queue(ctx, tx, mail.Message{Kind: "plan-restored", Key: locale, To: locale + "@x.example", Locale: locale, URL: "http://acme.localhost:8080/admin/plan", Data: mail.Data{"Board": "Quarry Jobs"}})
		}); err != nil {
			t.Fatal(err)
		}
	}
	var due []tasks.Task
	if err := p.Platform.Read(t.Context(), func(ctx context.Context, tx bun.IDB) error {
		return tx.NewRaw(`SELECT tenant_id, id, kind, payload::text AS payload, handover FROM tasks WHERE kind = 'mail.send'`).Scan(ctx, &due)
	}); err != nil || len(due) != 2 {
		t.Fatalf("%d tasks: %v", len(due), err)
	}
	for i := range due {
		if err := p.mux.Run(t.Context(), &due[i]); err != nil {
			t.Fatal(err)
		}
	}
	got, err := p.box.List(9, "")
	if err != nil || len(got) != 2 {
		t.Fatalf("%d mails: %v", len(got), err)
	}
	for _, m := range got {
		if !strings.Contains(m.Subject, "Quarry Jobs") || strings.Contains(m.Subject, "Shingle") || !strings.Contains(m.From, "Shingle") {
			t.Errorf("from %s: %q\n%s", m.From, m.Subject, m.Text)
		}
	}
}

// The receipt has one button, to the desk, and the invoice as a line of text.
func TestTheReceiptLeadsToTheDesk(t *testing.T) {
	t.Parallel()
	p := newPost(t)
	desk, invoice := "http://acme.localhost:8080/sign-in/link?token=t", "https://invoice.stripe.com/i/1"
	for _, locale := range []string{"en", "de"} {
		for _, invoice := range []string{invoice, ""} {
			p.queue(t, mail.Message{Kind: "receipt", Key: locale + invoice, To: locale + "@x.example", Locale: locale, URL: desk, LinkURL: invoice,
				Data: mail.Data{"Number": 1001, "Title": "Baker", "Product": "Job post", "Amount": "€199.00", "Invoice": "A-1", "Days": 7}})
		}
	}
	p.send(t)
	list, err := p.box.List(9, "")
	if err != nil || len(list) != 4 {
		t.Fatalf("%d mails: %v", len(list), err)
	}
	with := 0
	for _, m := range list {
		button, line := "Open your desk", "Invoice A-1"
		if m.To == "de@x.example" {
			button, line = "Zu Ihrer Übersicht", "Rechnung A-1"
		}
		if strings.Count(m.HTML, "padding:11px 20px") != 1 || !strings.Contains(m.HTML, `href="`+desk+`"`) || !strings.Contains(m.HTML, ">"+button+"</a>") || !strings.Contains(m.Text, button+":\n"+desk) {
			t.Errorf("to %s, the button:\n%s\n%s", m.To, m.Text, m.HTML)
		}
		if strings.Contains(m.Text, line+": "+invoice) && strings.Contains(m.HTML, `<a href="`+invoice+`"`) {
			with++
		} else if strings.Contains(m.Text+m.HTML, invoice) || strings.Contains(m.Text, line+":") {
			t.Errorf("to %s, half an invoice:\n%s\n%s", m.To, m.Text, m.HTML)
		}
	}
	if with != 2 {
		t.Errorf("%d of 2 mails have their invoice", with)
	}
}

// A rival neither sends, reads nor replaces a board's mail, with each wall alone.
func TestARivalReachesNoMail(t *testing.T) {
	t.Parallel()
	p := newPost(t)
	p.queue(t, mail.Message{Kind: "alert-confirm", Key: "1", To: "reader@x.example", Data: mail.Data{"Search": "lock"}})
	var due tasks.Task
	err := p.DB.Read(p.ctx, func(ctx context.Context, tx bun.IDB) error {
		return tx.NewRaw(`SELECT tenant_id, id, kind, payload::text AS payload, handover FROM tasks`).Scan(ctx, &due)
	})
	if err != nil {
		t.Fatal(err)
	}
	testkit.EachWall(t, p.World, p.board, p.Board(t, "rival"), func(t *testing.T, r *testkit.Rival) {
		mux := tasks.NewMux()
		p.sender(t, r.DB).Register(mux)
		if err := mux.Run(r.Ctx, &due); err != nil {
			r.Refused(t, "send", err, fault.Gone)
		}
		err := r.DB.Write(r.Ctx, func(ctx context.Context, tx bun.IDB) error {
			if err := mail.Queue(ctx, tx, mail.Message{Kind: "alert-confirm", Key: "1", To: "evil@x.example"}); err != nil {
				return err
			}
			return fault.New(fault.NotFound, "queued as the rival's own: undone")
		})
		r.Refused(t, "queue", err)
		if got, err := p.box.List(9, ""); err != nil || len(got) != 0 {
			t.Errorf("%d mails on the wire: %v", len(got), err)
		}
	})
	p.send(t)
	if got, err := p.box.List(9, ""); err != nil || len(got) != 1 {
		t.Errorf("%d mails on the wire, want the owner's: %v", len(got), err)
	}
}
