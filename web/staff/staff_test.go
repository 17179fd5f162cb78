package staff

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"shingle/accounts"
	"shingle/tenant"
	"shingle/web/console"
)

func TestWords(t *testing.T) {
	t.Parallel()
	w, err := console.LoadWords(files)
	if err != nil {
		t.Fatal(err)
	}
	for _, m := range w.Missing() {
		t.Error("missing", m)
	}
	assets, err := console.LoadAssets()
	if err != nil {
		t.Fatal(err)
	}
	sh, err := console.NewShell(files, "pages", files, assets)
	if err != nil {
		t.Fatal(err)
	}
	var keys []string
	for _, p := range []string{"pages/*.html", "*.go"} {
		names, _ := filepath.Glob(p)
		for _, f := range names {
			if strings.HasSuffix(f, "_test.go") {
				continue
			}
			raw, err := os.ReadFile(f)
			if err != nil {
				t.Fatal(err)
			}
			for _, m := range regexp.MustCompile(`(?:\bt |s\.t\(c, )"([a-z_]+\.[a-z_.]+)"`).FindAllStringSubmatch(string(raw), -1) {
				keys = append(keys, m[1])
			}
			for _, m := range regexp.MustCompile(`\?ok=([a-z.]+)"`).FindAllStringSubmatch(string(raw), -1) {
				keys = append(keys, "done."+m[1])
			}
		}
	}
	for _, f := range tenant.Flags {
		keys = append(keys, f.Words(), "flag.text."+string(f))
	}
	for prefix, values := range map[string][]string{"staff.health.": boardHealth, "staff.activity.": boardActivity, "staff.sort.": boardSorts, "board.state.": boardStates,
		"event.state.": eventStates, "staff.timeline.": momentKinds, "staff.level.": accounts.Levels, "staff.announce.state.": {"shown", "planned", "over", "withdrawn"},
		"staff.acting.state.": {"asked", "granted", "refused", "active", "ended", "lapsed"},
		"impersonation.":      {"reason.required", "reason.long", "minutes", "operator", "open", "not_granted"},
		"announce.":           {"text.required", "text.long", "link", "level", "ends", "boards", "plans"}, "done.tasks.": {"retried", "discarded"}} {
		for _, v := range values {
			keys = append(keys, prefix+v)
		}
	}
	for _, s := range searches {
		keys = append(keys, "staff.find."+s.kind)
	}
	for _, l := range console.Locales {
		for _, k := range keys {
			if last := k[len(k)-1]; last != '.' && last != '_' && sh.T(l, k, 2, 2, 2) == k {
				t.Errorf("%s lacks %s", l, k)
			}
		}
	}
}

func TestRedactCoversWhatMayBeAPersons(t *testing.T) {
	t.Parallel()
	got := Redact([]byte(`{"id":"evt_1NqAbC","type":"checkout.session.completed","livemode":false,"created":1700000000,"data":{"object":{"id":"cs_test_a1B2",
		"amount_total":19900,"currency":"usd","customer_email":"ada@people.example","customer_details":{"name":"Ada King","phone":"+44 20 7946","address":{"line1":"12 St James","country":"GB"}},
		"client_secret":"pi_3Abc_secret_9xY","payment_intent":"pi_3Abc","url":"https://checkout.stripe.com/c/pay/cs_live_x","metadata":{"board":"0190a0b0-1111-7abc-8def-0123456789ab","note":"call Ada"}}}}`))
	for _, keep := range []string{"evt_1NqAbC", "checkout.session.completed", "19900", `"usd"`, "cs_test_a1B2", `"pi_3Abc"`, "0190a0b0-1111-7abc-8def-0123456789ab", `"GB"`} {
		if !strings.Contains(got, keep) {
			t.Errorf("%s is gone from %s", keep, got)
		}
	}
	for _, gone := range []string{"ada@", "Ada", "7946", "St James", "secret_9xY", "checkout.stripe.com"} {
		if strings.Contains(got, gone) {
			t.Errorf("%s shows in %s", gone, got)
		}
	}
	if Redact([]byte("no json")) != "" {
		t.Error("what cannot be read shows")
	}
}

func TestCursorsGoThereAndBack(t *testing.T) {
	t.Parallel()
	for _, bad := range []string{"", "_", "yesterday_x", "2026-01-01T00:00:00Z_", "' OR 1=1"} {
		if k := parseCursor(bad); !k.zero() {
			t.Errorf("%q is a cursor: %v", bad, k)
		}
	}
	k := parseCursor("2026-01-02T03:04:05.678901Z_0190a0b0-1111-7abc-8def-0123456789ab")
	if back := parseCursor(k.String()); k.zero() || back != k {
		t.Errorf("%v, then %v", k, back)
	}
}
