package testkit

import (
	"bytes"
	"fmt"
	"log/slog"
	"regexp"
	"strings"
	"sync"
	"testing"
)

// Logs takes what a program logs and finds the lines that nobody should have to
// see: secrets, tokens, cookies, people's addresses, what they wrote. It is an
// io.Writer of whole lines; the test's logger, or a process's standard error.
type Logs struct {
	mu    sync.Mutex
	all   bytes.Buffer
	lines int
	known []known
	bad   []string // not yet told
}

// known is a text that must not be logged, and what it is.
type known struct{ what, text string }

// Log is a logger whose lines, of every level, are checked when the test ends.
// Nothing stands between it and the lines' writers: it is they who are tested.
func Log(t testing.TB) *slog.Logger {
	t.Helper()
	l := new(Logs)
	t.Cleanup(func() { l.Check(t) })
	return slog.New(slog.NewJSONHandler(l, &slog.HandlerOptions{Level: slog.LevelDebug}))
}

// Write is io.Writer's.
func (l *Logs) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.all.Write(p)
	for line := range strings.Lines(string(p)) {
		l.lines++
		if what := l.leaks(line); what != "" {
			l.bad = append(l.bad, what+" in the log: "+strings.TrimSpace(line))
		}
	}
	return len(p), nil
}

// Forbid finds a text in what was logged, and in what will be. Short ones say
// nothing.
func (l *Logs) Forbid(what, text string) {
	if len(text) < 6 {
		return
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	k := known{what, text}
	for _, old := range l.known {
		if old == k {
			return
		}
	}
	l.known = append(l.known, k)
	if !bytes.Contains(l.all.Bytes(), []byte(text)) {
		return
	}
	for line := range strings.Lines(l.all.String()) {
		if strings.Contains(line, text) {
			l.bad = append(l.bad, fmt.Sprintf("%s (%.4s…) in the log: %s", what, text, strings.TrimSpace(line)))
		}
	}
}

// Check fails the test with each line that should not be; it tells each once.
func (l *Logs) Check(t testing.TB) {
	t.Helper()
	for _, line := range l.Bad() {
		t.Error(line)
	}
}

// Bad are the lines that should not be and were not told before.
func (l *Logs) Bad() []string {
	l.mu.Lock()
	defer l.mu.Unlock()
	bad := l.bad
	l.bad = nil
	return bad
}

// Lines is how many there were.
func (l *Logs) Lines() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.lines
}

// forms are what a secret looks like, whoever's it is.
var forms = []struct {
	what string
	re   *regexp.Regexp
}{
	{"a person's address", regexp.MustCompile(`[\w.+%-]+(@|%40)[\w-]+(\.[\w-]+)*\.[A-Za-z]{2,}`)},
	{"a key of Stripe's", regexp.MustCompile(`\b[srp]k_(test|live)_\w`)},
	{"a webhook's secret", regexp.MustCompile(`\bwhsec_\w`)},
	{"a client secret", regexp.MustCompile(`_secret_\w{8}`)},
	{"a password in an address", regexp.MustCompile(`://[^/\s:@]*:[^/\s@(]+@`)},
	{"a token in an address", regexp.MustCompile(`[?&](token|t|key|code|sig|state|session_id|password)=[^&\s"(]`)},
	{"a cookie", regexp.MustCompile(`(?i)__Host-|\bset-cookie\b|"cookie":"[^(]`)},
	{"a header that lets in", regexp.MustCompile(`(?i)\b(bearer|basic) [A-Za-z0-9+/=_-]{8}`)},
	{"a password", regexp.MustCompile(`(?i)passw(or)?d["']?\s*[=:]\s*["']?[^\s"'(]`)},
	{"a CV", regexp.MustCompile(`%PDF-|\bendstream\b`)},
	{"a signed token", regexp.MustCompile(`\beyJ[\w-]{10}`)},
}

func (l *Logs) leaks(line string) string {
	for _, f := range forms {
		if f.re.MatchString(line) {
			return f.what
		}
	}
	for _, k := range l.known {
		if strings.Contains(line, k.text) {
			return k.what
		}
	}
	return ""
}
