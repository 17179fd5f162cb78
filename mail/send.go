package mail

import (
	"bytes"
	"context"
	"database/sql"
	"embed"
	"encoding/json"
	"errors"
	"fmt"
	htmltemplate "html/template"
	"maps"
	"net"
	netmail "net/mail"
	"net/url"
	"regexp"
	"strconv"
	"strings"
	texttemplate "text/template"
	"time"

	"github.com/uptrace/bun"
	gomail "github.com/wneessen/go-mail"

	"shingle/internal/fault"
	"shingle/tasks"
	"shingle/tenant"
)

//go:embed layout
var layoutFiles embed.FS

// Brand is how a board's mails look: safe CSS colours, the accent also as it
// reads on a dark ground. Zero is the house style.
type Brand struct{ Accent, AccentText, DarkAccent string }

// Sender fills and sends queued mails.
type Sender struct {
	DB       *tenant.DB
	Platform *tenant.Platform
	// Transport puts a message on the wire.
	Transport Transport
	// From is the envelope's and header's address; the display name is the board's.
	From string
	// PlatformName signs mails of the platform itself.
	PlatformName string
	// Brand finds a board's colours; nil means the house style.
	Brand func(ctx context.Context, t *tenant.Tenant) Brand
	// Identities open the keys of boards that send under their own name; nil
	// means that all mail comes from From.
	Identities *Identities
	// Refs and ReturnDomain make the envelope's sender, so that what comes back
	// names its mail; without a domain the envelope carries From.
	Refs         Refs
	ReturnDomain string

	words *Catalogue
	html  *htmltemplate.Template
	text  *texttemplate.Template
}

// Transport puts one message on the wire. Kind fault.Invalid means that this
// recipient will never take it; anything else is tried again.
type Transport interface {
	Send(ctx context.Context, m *gomail.Msg) error
}

// Load parses words and layout; call once before Register.
func (s *Sender) Load() error {
	var err error
	if s.words, err = LoadCatalogue(); err != nil {
		return err
	}
	if s.html, err = htmltemplate.ParseFS(layoutFiles, "layout/mail.html"); err != nil {
		return err
	}
	s.text, err = texttemplate.ParseFS(layoutFiles, "layout/mail.txt")
	return err
}

// Register takes over the sending task.
func (s *Sender) Register(m *tasks.Mux) { m.Handle(taskSend, s.send) }

// inDoor runs fn in the board's own transaction, or the platform's for mails
// of the platform.
func (s *Sender) inDoor(ctx context.Context, fn tenant.Fn) error {
	if tenant.From(ctx) == nil {
		return s.Platform.Write(ctx, fn)
	}
	return s.DB.Write(ctx, fn)
}

// send is a network effect in three steps: read what is still queued, put it on
// the wire with the Message-ID that it always had, record and finish. Dead
// between two and three means the same Message-ID again.
func (s *Sender) send(ctx context.Context, t *tasks.Task) error {
	var p sendPayload
	if err := t.Decode(&p); err != nil {
		return err
	}
	board := tenant.Nil // the platform's own mail
	if b := tenant.From(ctx); b != nil {
		board = b.ID
	}
	var r row
	from := &origin{}
	reason := ""
	err := s.inDoor(ctx, func(ctx context.Context, tx bun.IDB) (err error) {
		if err := tx.NewRaw(`SELECT * FROM mails WHERE tenant_id = ? AND id = ?`, board, p.MailID).Scan(ctx, &r); err != nil {
			return err
		}
		if reason, err = suppressed(ctx, tx, r.Recipient); err != nil {
			return err
		}
		if from, err = originOf(ctx, tx); err != nil {
			return err
		}
		from.words, err = wordsFor(ctx, tx, r.Kind, r.Locale)
		return err
	})
	if errors.Is(err, sql.ErrNoRows) {
		return nil // erased meanwhile
	}
	if err != nil {
		return err
	}
	state, note, unknown := "sent", "", false
	switch {
	case r.State != "queued":
	case reason != "":
		state, note = "suppressed", reason
	default:
		msg, err := s.build(ctx, &r, from)
		if err == nil {
			err = s.Transport.Send(ctx, msg)
		}
		if err != nil && !fault.Is(err, fault.Invalid) {
			return err
		}
		if err != nil {
			state, note = "refused", fault.TextOf(err)
			unknown = errors.Is(err, errNoMailbox)
		}
	}
	return s.inDoor(ctx, func(ctx context.Context, tx bun.IDB) error {
		if err := t.Finish(ctx, tx); err != nil {
			return err
		}
		if unknown {
			if err := Suppress(ctx, tx, r.Recipient, "bounce", note); err != nil {
				return err
			}
		}
		// Links in the payload may grant something: they are not kept once sent.
		_, err := tx.NewRaw(`UPDATE mails SET state = ?, error = ?, sent_at = now(), payload = '{}'
			WHERE tenant_id = ? AND id = ? AND state = 'queued'`, state, note, board, p.MailID).Exec(ctx)
		return err
	})
}

// view is what the layout sees.
type view struct {
	*filled
	Locale, Dir, Board, URL, LinkURL, Code, Why, StopText, StopURL, Fallback, Accent, AccentText, DarkAccent string

	Quote []string
	Items []Item
	// What the board puts under all its mails.
	Footer, Postal []string
}

// origin is what a board's own identity adds to its mails.
type origin struct {
	identity *Identity
	key      *Key
	// words are the board's own, by kind.
	words map[string]Text
}

// originOf reads the identity of the context's board; the platform has none.
func originOf(ctx context.Context, tx bun.IDB) (*origin, error) {
	o := &origin{}
	if tenant.From(ctx) == nil {
		return o, nil
	}
	var err error
	if o.identity, err = IdentityOf(ctx, tx); err != nil || o.identity.State != Verified {
		return o, err
	}
	k := new(Key)
	err = tx.NewSelect().Model(k).Where("dk.state = ?", ActiveKey).Scan(ctx)
	if errors.Is(err, sql.ErrNoRows) {
		return o, nil
	}
	o.key = k
	return o, err
}

// address is the message's sender: the board's own when its key can sign.
func (o *origin) address(fallback string) string {
	if o.key != nil && o.identity.Address() != "" {
		return o.identity.Address()
	}
	return fallback
}

func (s *Sender) build(ctx context.Context, r *row, from *origin) (*gomail.Msg, error) {
	var p payload
	if err := json.Unmarshal(r.Payload, &p); err != nil {
		return nil, fmt.Errorf("mail payload: %w", err)
	}
	name, replyTo := s.PlatformName, p.ReplyTo
	if t := tenant.From(ctx); t != nil {
		name = t.Name
		if replyTo == "" {
			replyTo = t.ContactEmail
		}
	}
	v, err := s.view(ctx, r, &p, name, from)
	if err != nil {
		return nil, err
	}
	address := from.address(s.From)
	m, err := s.message(r, v, name, replyTo, address)
	if err != nil {
		return nil, err
	}
	if s.ReturnDomain != "" {
		domain := s.ReturnDomain
		if from.key != nil && from.identity.OwnReturn {
			domain = "bounce." + from.identity.Domain
		}
		if err := m.EnvelopeFrom(s.Refs.Address(r.ID, domain)); err != nil {
			return nil, err
		}
		m.SetGenHeader(RefHeader, s.Refs.Of(r.ID))
	}
	if from.key == nil || s.Identities == nil || address == s.From {
		return m, nil
	}
	signer, err := s.Identities.signer(from.key)
	if err != nil {
		return nil, err
	}
	return m, sign(m, from.identity.Domain, from.key.Selector, signer)
}

// lines parts a text that a board wrote.
func lines(s string) []string {
	if s = strings.TrimSpace(s); s == "" {
		return nil
	}
	return strings.Split(strings.ReplaceAll(s, "\r\n", "\n"), "\n")
}

// view fills the words and dresses them in the board's colours.
func (s *Sender) view(ctx context.Context, r *row, p *payload, name string, from *origin) (*view, error) {
	brand := Brand{}
	if t := tenant.From(ctx); t != nil && s.Brand != nil {
		brand = s.Brand(ctx, t)
	}
	if brand.Accent == "" {
		brand = Brand{Accent: "#1d4ed8", AccentText: "#ffffff", DarkAccent: "#8ab4ff"}
	}
	if brand.DarkAccent == "" {
		brand.DarkAccent = "#e8eaed"
	}
	data := Data{"Board": name}
	maps.Copy(data, p.Data) // a mail of the platform about a board names that board
	own := maps.Clone(from.words)
	if own == nil {
		own = map[string]Text{}
	}
	maps.Copy(own, p.Words)
	f, err := s.words.fill(r.Kind, r.Locale, data, own[r.Kind])
	if err != nil {
		return nil, err
	}
	v := &view{filled: f, Locale: r.Locale, Dir: "ltr", Board: name, URL: p.URL, LinkURL: p.LinkURL, Quote: lines(p.Quote), Items: p.Items,
		StopURL: p.StopURL, Accent: brand.Accent, AccentText: brand.AccentText, DarkAccent: brand.DarkAccent}
	data["Board"] = name // the mail's foot is the sender's
	v.Why, v.StopText, v.Fallback = s.words.footer(r.Locale, data, own[Footer])
	v.Code, _ = data["Code"].(string)
	if i := from.identity; i != nil {
		v.Footer, v.Postal = lines(i.Footer), lines(i.Postal)
	}
	return v, nil
}

// parts are a mail's two bodies.
func (s *Sender) parts(v *view) (html, text string, err error) {
	var h, t bytes.Buffer
	if err := s.html.Execute(&h, v); err != nil {
		return "", "", err
	}
	if err := s.text.Execute(&t, v); err != nil {
		return "", "", err
	}
	return h.String(), strings.TrimSpace(blankLines.ReplaceAllString(t.String(), "\n\n")) + "\n", nil
}

// blankLines are what parts of the layout leave that have nothing to say.
var blankLines = regexp.MustCompile(`\n{3,}`)

func (s *Sender) message(r *row, v *view, name, replyTo, from string) (*gomail.Msg, error) {
	html, text, err := s.parts(v)
	if err != nil {
		return nil, err
	}
	// Whose program wrote the mail is nobody's business.
	m := gomail.NewMsg(gomail.WithNoDefaultUserAgent())
	m.FromMailAddress(&netmail.Address{Name: oneLine(name), Address: from})
	if err := m.To(r.Recipient); err != nil {
		return nil, fault.New(fault.Invalid, "the recipient's address cannot be written to")
	}
	if replyTo != "" {
		if err := m.ReplyTo(replyTo); err != nil {
			return nil, fault.New(fault.Invalid, "the reply address cannot be written to")
		}
	}
	_, domain, _ := strings.Cut(from, "@")
	m.SetMessageIDWithValue(r.MessageID + "@" + domain)
	m.SetDateWithValue(r.CreatedAt)
	m.Subject(v.Subject)
	// Auto-replies and vacation notes stay away.
	m.SetGenHeader("Auto-Submitted", "auto-generated")
	m.SetGenHeader("X-Mail-Kind", r.Kind)
	if v.StopURL != "" {
		m.SetGenHeader(gomail.HeaderListUnsubscribe, "<"+v.StopURL+">")
		m.SetGenHeader(gomail.HeaderListUnsubscribePost, "List-Unsubscribe=One-Click")
	}
	m.SetBodyString(gomail.TypeTextPlain, text)
	m.AddAlternativeString(gomail.TypeTextHTML, html)
	return m, nil
}

// SMTP sends over SMTP: smtp://user:password@host:587 (STARTTLS when offered,
// demanded with a password off this machine) or smtps://host:465.
type SMTP struct {
	host string
	opts []gomail.Option
}

// NewSMTP reads the URL. Errors never hold its password.
func NewSMTP(raw string) (*SMTP, error) {
	u, err := url.Parse(raw)
	if err != nil || u.Hostname() == "" {
		return nil, errors.New("SHINGLE_SMTP_URL cannot be read: smtp://user:password@host:587")
	}
	s := &SMTP{host: u.Hostname(), opts: []gomail.Option{gomail.WithTimeout(20 * time.Second)}}
	if p := u.Port(); p != "" {
		port, err := strconv.Atoi(p)
		if err != nil {
			return nil, errors.New("SHINGLE_SMTP_URL: the port is not a number")
		}
		s.opts = append(s.opts, gomail.WithPort(port))
	}
	ip := net.ParseIP(s.host)
	local := s.host == "localhost" || (ip != nil && ip.IsLoopback())
	switch {
	case u.Scheme == "smtps":
		s.opts = append(s.opts, gomail.WithSSL())
	case local:
		s.opts = append(s.opts, gomail.WithTLSPolicy(gomail.NoTLS))
	case u.User != nil:
		s.opts = append(s.opts, gomail.WithTLSPolicy(gomail.TLSMandatory))
	default:
		s.opts = append(s.opts, gomail.WithTLSPolicy(gomail.TLSOpportunistic))
	}
	if u.User != nil {
		pass, _ := u.User.Password()
		s.opts = append(s.opts, gomail.WithSMTPAuth(gomail.SMTPAuthAutoDiscover), gomail.WithUsername(u.User.Username()), gomail.WithPassword(pass))
	}
	return s, nil
}

// errNoMailbox is a refusal that says the address itself is no good.
var errNoMailbox = errors.New("no such mailbox")

// Check greets the server and signs in as Send does, and sends nothing. The
// error names no password.
func (s *SMTP) Check(ctx context.Context) error {
	c, err := gomail.NewClient(s.host, s.opts...)
	if err != nil {
		return errors.New("the mail server's settings do not work")
	}
	if err := c.DialWithContext(ctx); err != nil {
		var op *net.OpError
		var dns *net.DNSError
		if errors.As(err, &op) || errors.As(err, &dns) {
			return errors.New("the mail server does not answer")
		}
		return errors.New("the mail server answers, but greeting or signing in failed")
	}
	_ = c.Close() // it let us in: how it says goodbye is all one
	return nil
}

// Send implements Transport.
func (s *SMTP) Send(ctx context.Context, m *gomail.Msg) error {
	c, err := gomail.NewClient(s.host, s.opts...)
	if err != nil {
		return errors.New("the mail server's settings do not work")
	}
	if err := c.DialAndSendWithContext(ctx, m); err != nil {
		var se *gomail.SendError
		if errors.As(err, &se) && !se.IsTemp() && se.Reason != gomail.ErrSMTPMailFrom && se.ErrorCode() >= 550 && se.ErrorCode() <= 553 {
			status := se.EnhancedStatusCode()
			if strings.HasPrefix(status, "5.1.") || status == "" && se.ErrorCode() == 550 && se.Reason == gomail.ErrSMTPRcptTo {
				return fault.Wrap(errNoMailbox, fault.Invalid, "the recipient's server knows no such address (%d)", se.ErrorCode())
			}
			return fault.New(fault.Invalid, "the recipient's server refused the message (%d %s)", se.ErrorCode(), status)
		}
		// The text may quote the recipient: keep the code alone.
		code := 0
		if se != nil {
			code = se.ErrorCode()
		}
		return fault.New(fault.Unavailable, "the mail server did not take the message (%d)", code)
	}
	return nil
}
