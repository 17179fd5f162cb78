package main

import (
	"io"
	"mime"
	"mime/multipart"
	"net"
	"net/mail"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/emersion/go-smtp"
)

// wire is a mail server that can be made to dally.
type wire struct {
	addr string

	mu    sync.Mutex
	mails []wired
	gates map[string]*gate
}

// wired is a mail as it came over the wire.
type wired struct{ to, kind, messageID, text string }

// gate holds a stage of the conversation up: reached closes when somebody is there.
type gate struct {
	reached, open chan struct{}
	once          sync.Once
}

func startWire(t testing.TB) *wire {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	w := &wire{addr: l.Addr().String(), gates: map[string]*gate{}}
	s := smtp.NewServer(smtp.BackendFunc(func(*smtp.Conn) (smtp.Session, error) { return &wireSession{wire: w}, nil }))
	s.Domain = "localhost"
	s.ErrorLog = quietLog{}
	ended := make(chan struct{})
	go func() { defer close(ended); _ = s.Serve(l) }()
	t.Cleanup(func() { _ = s.Close(); <-ended })
	return w
}

// hold stops everybody at a stage, "mail" (nothing said yet) or "receipt" (one
// is taken, but its sender does not know), until the gate is opened.
func (w *wire) hold(t testing.TB, stage string) *gate {
	t.Helper()
	g := &gate{reached: make(chan struct{}), open: make(chan struct{})}
	w.mu.Lock()
	defer w.mu.Unlock()
	w.gates[stage] = g
	t.Cleanup(func() { w.release(stage) })
	return g
}

func (w *wire) release(stage string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if g := w.gates[stage]; g != nil {
		close(g.open)
		delete(w.gates, stage)
	}
}

func (w *wire) pass(stage string) {
	w.mu.Lock()
	g := w.gates[stage]
	w.mu.Unlock()
	if g != nil {
		g.once.Do(func() { close(g.reached) })
		<-g.open
	}
}

// receipt is the text of the receipt to an address.
func (w *wire) receipt(to string) string {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, m := range w.mails {
		if m.to == to && m.kind == "receipt" {
			return m.text
		}
	}
	return ""
}

// receipts counts an address' receipts: different Message-IDs, and copies.
func (w *wire) receipts(to string) (ids, copies int) {
	w.mu.Lock()
	defer w.mu.Unlock()
	seen := map[string]bool{}
	for _, m := range w.mails {
		if m.to == to && m.kind == "receipt" {
			seen[m.messageID] = true
			copies++
		}
	}
	return len(seen), copies
}

type wireSession struct {
	wire *wire
	to   string
}

func (s *wireSession) Reset()        { s.to = "" }
func (s *wireSession) Logout() error { return nil }
func (s *wireSession) Mail(string, *smtp.MailOptions) error {
	s.wire.pass("mail")
	return nil
}
func (s *wireSession) Rcpt(to string, _ *smtp.RcptOptions) error {
	s.to = to
	return nil
}
func (s *wireSession) Data(r io.Reader) error {
	m, err := mail.ReadMessage(r)
	if err != nil {
		return err
	}
	_, params, err := mime.ParseMediaType(m.Header.Get("Content-Type"))
	if err != nil {
		return err
	}
	part, err := multipart.NewReader(m.Body, params["boundary"]).NextPart() // text comes first
	if err != nil {
		return err
	}
	text, err := io.ReadAll(part)
	if err != nil {
		return err
	}
	if _, err := io.Copy(io.Discard, m.Body); err != nil {
		return err
	}
	got := wired{s.to, m.Header.Get("X-Mail-Kind"), m.Header.Get("Message-Id"), strings.ReplaceAll(string(text), "\r\n", "\n")}
	s.wire.mu.Lock()
	s.wire.mails = append(s.wire.mails, got)
	s.wire.mu.Unlock()
	s.wire.pass(got.kind)
	return nil
}

type quietLog struct{}

func (quietLog) Printf(string, ...any) {}
func (quietLog) Println(...any)        {}

// reach waits for somebody to come to the gate.
func (g *gate) reach(t testing.TB) {
	t.Helper()
	select {
	case <-g.reached:
	case <-time.After(atMost):
		t.Fatal("no mail came to the server")
	}
}
