package testkit

import (
	"encoding/json"
	"strings"
	"testing"

	"shingle/internal/pow"
)

// proven are the forms that bring a proof of work, by the end of their address.
var proven = []struct{ end, form string }{
	{"/apply", "apply"}, {"/report", "report"}, {"/post", "post"}, {"/alerts", "alert"}, {"/sign-in", "sign-in"}, {"/sign-in/mail", "sign-in"}, {"/enter", "enter"}, {"/your-data", "data"},
	{"/sign-up", "sign-up"}, {"/reset/ask", "reset"},
}

// Proof is the proof of work that a browser would bring with a form to this
// path, or "" where none is asked for. Ask answers a GET of the same host.
func Proof(t testing.TB, path string, ask func(path string) []byte) string {
	t.Helper()
	path, _, _ = strings.Cut(path, "?")
	for _, p := range proven {
		board := p.form == "apply" || p.form == "report"
		if path != p.end && !(board && strings.HasPrefix(path, "/jobs/") && strings.HasSuffix(path, p.end)) {
			continue
		}
		raw := ask("/proof/" + p.form)
		var c pow.Challenge
		if err := json.Unmarshal(raw, &c); err != nil {
			return "" // no board, or a closed one: the post will say so itself
		}
		answer, ok := pow.Solve(c)
		if !ok {
			t.Fatalf("the challenge of %s has no answer", p.form)
		}
		return answer
	}
	return ""
}
