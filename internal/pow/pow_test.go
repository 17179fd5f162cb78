package pow

import (
	"strconv"
	"strings"
	"testing"
	"time"

	"shingle/internal/fault"
)

func TestAProofIsForItsPurposeAndItsTime(t *testing.T) {
	t.Parallel()
	k, now := NewKey([]byte("a secret of some length")), time.Date(2026, 11, 30, 9, 0, 0, 0, time.UTC)
	c := k.New("board/apply", 2000, now)
	answer, ok := Solve(c)
	if !ok {
		t.Fatal("a challenge without an answer")
	}
	id, until, err := k.Verify("board/apply", answer, now.Add(Life-time.Second))
	if err != nil || id != c.Salt || !until.Equal(now.Add(Life)) {
		t.Fatalf("id %q until %s, %v", id, until, err)
	}
	token, number, _ := strings.Cut(answer, ":")
	n, _ := strconv.Atoi(number)
	for name, bad := range map[string]struct {
		purpose, answer string
		at              time.Time
		kind            fault.Kind
	}{
		"another form":      {"board/post", answer, now, fault.Invalid},
		"another board":     {"rival/apply", answer, now, fault.Invalid},
		"too late":          {"board/apply", answer, now.Add(Life), fault.Conflict},
		"another number":    {"board/apply", token + ":" + strconv.Itoa(n+1), now, fault.Invalid},
		"no number":         {"board/apply", token, now, fault.Invalid},
		"a negative number": {"board/apply", token + ":-" + number, now, fault.Invalid},
		"nothing":           {"board/apply", "", now, fault.Invalid},
		"a longer life":     {"board/apply", strings.Replace(answer, ".", ".z", 1), now, fault.Invalid},
		"much":              {"board/apply", answer + strings.Repeat(" ", 4096), now, fault.Invalid},
	} {
		if _, _, err := k.Verify(bad.purpose, bad.answer, bad.at); !fault.Is(err, bad.kind) {
			t.Errorf("%s: %v, want %v", name, err, bad.kind)
		}
	}
	if _, _, err := NewKey([]byte("another secret of length")).Verify("board/apply", answer, now); !fault.Is(err, fault.Invalid) {
		t.Errorf("another installation's: %v", err)
	}
}

func FuzzVerify(f *testing.F) {
	k, now := NewKey([]byte("a secret of some length")), time.Unix(1_800_000_000, 0)
	answer, _ := Solve(k.New("p", 10, now))
	f.Add(answer)
	f.Add("a.b.c.d:1")
	f.Add(strings.Repeat(".", 3) + ":0")
	f.Fuzz(func(t *testing.T, s string) {
		if _, _, err := k.Verify("p", s, now); err == nil && s != answer && strings.Trim(s, "+0123456789") == "" {
			t.Errorf("%q passes", s)
		}
	})
}

func BenchmarkVerify(b *testing.B) {
	k, now := NewKey([]byte("a secret of some length")), time.Now()
	answer, _ := Solve(k.New("p", 1000, now))
	for b.Loop() {
		if _, _, err := k.Verify("p", answer, now); err != nil {
			b.Fatal(err)
		}
	}
}
