// Package mailbox catches mail on a machine without a mail server: an SMTP
// server that keeps every message as a file, and the page that shows them. It
// never sends anything on. Start at Box.
package mailbox

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/mail"
	"os"
	"path/filepath"
	"regexp"
	"sort"
	"strings"
	"sync"
	"time"

	"github.com/emersion/go-message"
	_ "github.com/emersion/go-message/charset" // other charsets than UTF-8
	"github.com/emersion/go-smtp"
)

// maxMessage is the largest mail taken, in bytes.
const maxMessage = 10 << 20

// Message is a caught mail.
type Message struct {
	ID      string // file name without .eml; sorts by arrival
	At      time.Time
	From    string
	To      string
	Subject string
	Kind    string
	Header  []Field
	Text    string
	HTML    string
	// Links are the addresses in the text, in order, so that tests and readers
	// can follow them.
	Links []string
}

// Field is one header line.
type Field struct{ Name, Value string }

// Box keeps caught mail in a folder.
type Box struct {
	dir string
	now func() time.Time

	mu    sync.Mutex
	last  int64
	calls []chan struct{}
	taken func(recipient string) error
}

// Open makes the folder when it is missing.
func Open(dir string, now func() time.Time) (*Box, error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("mail folder: %w", err)
	}
	return &Box{dir: dir, now: now}, nil
}

// Serve takes mail on the listener until ctx ends.
func (b *Box) Serve(ctx context.Context, l net.Listener) error {
	s := smtp.NewServer(smtp.BackendFunc(func(*smtp.Conn) (smtp.Session, error) { return &session{box: b}, nil }))
	s.Domain = "localhost"
	s.MaxMessageBytes = maxMessage
	s.ReadTimeout, s.WriteTimeout = 30*time.Second, 30*time.Second
	s.MaxRecipients = 100
	stop := context.AfterFunc(ctx, func() { _ = s.Close() })
	defer stop()
	if err := s.Serve(l); err != nil && ctx.Err() == nil && !errors.Is(err, smtp.ErrServerClosed) {
		return err
	}
	return nil
}

// Judge lets f refuse recipients from now on: a *smtp.SMTPError is what the
// sender hears. Nil takes everybody again.
func (b *Box) Judge(f func(recipient string) error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.taken = f
}

func (b *Box) judge(to string) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.taken == nil {
		return nil
	}
	return b.taken(to)
}

type session struct {
	box  *Box
	from string
	to   []string
}

func (s *session) Reset()        { s.from, s.to = "", nil }
func (s *session) Logout() error { return nil }
func (s *session) Mail(from string, _ *smtp.MailOptions) error {
	s.from = from
	return nil
}
func (s *session) Rcpt(to string, _ *smtp.RcptOptions) error {
	if err := s.box.judge(to); err != nil {
		return err
	}
	s.to = append(s.to, to)
	return nil
}
func (s *session) Data(r io.Reader) error {
	raw, err := io.ReadAll(r)
	if err != nil {
		return err
	}
	return s.box.keep(raw)
}

// keep writes the message whole before the sender hears that it was taken.
func (b *Box) keep(raw []byte) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	n := max(b.now().UnixNano(), b.last+1)
	b.last = n
	name := filepath.Join(b.dir, fmt.Sprintf("%020d.eml", n))
	if err := os.WriteFile(name+".part", raw, 0o600); err != nil {
		return err
	}
	if err := os.Rename(name+".part", name); err != nil {
		return err
	}
	for _, c := range b.calls {
		close(c)
	}
	b.calls = nil
	return nil
}

// Arrived is closed at the next arrival.
func (b *Box) Arrived() <-chan struct{} {
	b.mu.Lock()
	defer b.mu.Unlock()
	c := make(chan struct{})
	b.calls = append(b.calls, c)
	return c
}

// List reads the newest mails first, at most limit, whose header or text holds
// the words asked for ("" for all).
func (b *Box) List(limit int, about string) ([]Message, error) {
	files, err := filepath.Glob(filepath.Join(b.dir, "*.eml"))
	if err != nil {
		return nil, err
	}
	sort.Sort(sort.Reverse(sort.StringSlice(files)))
	about = strings.ToLower(about)
	var out []Message
	for _, f := range files {
		if len(out) == limit {
			break
		}
		m, err := read(f)
		if err != nil {
			continue
		}
		if about == "" || strings.Contains(strings.ToLower(m.To+"\n"+m.Subject+"\n"+m.From+"\n"+m.Kind), about) {
			out = append(out, *m)
		}
	}
	return out, nil
}

var idForm = regexp.MustCompile(`^[0-9]{20}$`)

// Get reads one mail.
func (b *Box) Get(id string) (*Message, error) {
	if !idForm.MatchString(id) {
		return nil, os.ErrNotExist
	}
	return read(filepath.Join(b.dir, id+".eml"))
}

// Clear deletes every mail.
func (b *Box) Clear() error {
	files, err := filepath.Glob(filepath.Join(b.dir, "*.eml"))
	for _, f := range files {
		err = errors.Join(err, os.Remove(f))
	}
	return err
}

func read(file string) (*Message, error) {
	raw, err := os.ReadFile(file) // #nosec G304 -- a name that we made
	if err != nil {
		return nil, err
	}
	id := strings.TrimSuffix(filepath.Base(file), ".eml")
	var nanos int64
	if _, err := fmt.Sscanf(id, "%d", &nanos); err != nil {
		return nil, err
	}
	m := &Message{ID: id, At: time.Unix(0, nanos)}
	e, err := message.Read(bytes.NewReader(raw))
	if err != nil && e == nil {
		return nil, err
	}
	dec := func(name string) string {
		v, err := e.Header.Text(name)
		if err != nil {
			return e.Header.Get(name)
		}
		return v
	}
	m.From, m.To, m.Subject, m.Kind = readable(dec("From")), readable(dec("To")), dec("Subject"), e.Header.Get("X-Mail-Kind")
	for fields := e.Header.Fields(); fields.Next(); {
		v, err := fields.Text()
		if err != nil {
			v = fields.Value()
		}
		m.Header = append(m.Header, Field{fields.Key(), v})
	}
	_ = e.Walk(func(_ []int, part *message.Entity, err error) error {
		if err != nil {
			return nil
		}
		kind, _, _ := part.Header.ContentType()
		if kind != "text/plain" && kind != "text/html" {
			return nil
		}
		body, err := io.ReadAll(io.LimitReader(part.Body, maxMessage))
		if err != nil {
			return nil
		}
		if kind == "text/plain" && m.Text == "" {
			m.Text = strings.ReplaceAll(string(body), "\r\n", "\n")
		} else if kind == "text/html" && m.HTML == "" {
			m.HTML = string(body)
		}
		return nil
	})
	m.Links = linkForm.FindAllString(m.Text, -1)
	return m, nil
}

var linkForm = regexp.MustCompile(`https?://[^\s<>"]+`)

// readable drops the angle brackets of a lone address.
func readable(s string) string {
	a, err := mail.ParseAddress(s)
	if err != nil {
		return s
	}
	if a.Name == "" {
		return a.Address
	}
	return a.Name + " <" + a.Address + ">"
}
