package access

import (
	"context"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/uptrace/bun"

	"shingle/internal/fault"
	"shingle/internal/links"
	"shingle/internal/testkit"
	"shingle/tenant"
)

func TestMain(m *testing.M) { testkit.Main(m) }

// door is a board and a rival, and the service that opens both.
type door struct {
	*testkit.World
	s            *Service
	clock        *testkit.Clock
	board, rival *tenant.Tenant
}

func newDoor(t *testing.T) *door {
	t.Helper()
	d := &door{World: testkit.NewWorld(t), clock: testkit.NewClock(time.Now())}
	d.s = &Service{DB: d.DB, Links: links.Links{Scheme: "https", BoardDomain: "boards.test"}, Key: []byte("0123456789abcdef0123456789abcdef"), Now: d.clock.Now, HTTP: http.DefaultClient}
	d.board, d.rival = d.Board(t, "acme"), d.Board(t, "rival")
	return d
}

// save changes a board's way in and gives the board as it is then.
func (d *door) save(t *testing.T, b *tenant.Tenant, in Change) (*tenant.Tenant, error) {
	t.Helper()
	err := d.DB.Write(d.Ctx(t, b), func(ctx context.Context, tx bun.IDB) error { return d.s.Save(ctx, tx, in) })
	now, rerr := d.Boards.BySlug(t.Context(), b.Slug)
	if rerr != nil {
		t.Fatal(rerr)
	}
	return now, err
}

func TestPassword(t *testing.T) {
	t.Parallel()
	d := newDoor(t)
	if _, err := d.save(t, d.board, Change{Mode: Password, Password: "short"}); fault.FieldsOf(err)["password"] != "access.password.short" {
		t.Errorf("a short password: %v", err)
	}
	b, err := d.save(t, d.board, Change{Mode: Password, Password: "open sesame"})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := d.save(t, d.rival, Change{Mode: Password, Password: "another word"}); err != nil {
		t.Fatal(err)
	}
	for password, want := range map[string]bool{"open sesame": true, "Open sesame": false, "": false, "another word": false, strings.Repeat("x", 2000): false} {
		if err := d.s.EnterPassword(d.Ctx(t, b), password); (err == nil) != want || err != nil && !fault.Is(err, fault.Invalid) {
			t.Errorf("%.20q: %v", password, err)
		}
	}
	if err := d.s.EnterPassword(d.Ctx(t, d.rival), "open sesame"); !fault.Is(err, fault.Invalid) {
		t.Errorf("at the rival's door: %v", err)
	}
	// An empty password keeps the one before.
	if b, err = d.save(t, b, Change{Mode: Password}); err != nil {
		t.Fatal(err)
	}
	if err := d.s.EnterPassword(d.Ctx(t, b), "open sesame"); err != nil {
		t.Errorf("kept: %v", err)
	}
}

func TestPassEnds(t *testing.T) {
	t.Parallel()
	d := newDoor(t)
	b, err := d.save(t, d.board, Change{Mode: Password, Password: "open sesame"})
	if err != nil {
		t.Fatal(err)
	}
	pass, _ := d.s.Pass(b)
	if !d.s.Admits(b, pass) {
		t.Error("a fresh pass is refused")
	}
	rival, err := d.save(t, d.rival, Change{Mode: Password, Password: "open sesame"})
	if err != nil {
		t.Fatal(err)
	}
	for _, bad := range []string{"", ".", pass + "x", "zzzzzz" + pass, strings.Replace(pass, ".", "", 1)} {
		if d.s.Admits(b, bad) {
			t.Errorf("%q is let in", bad)
		}
	}
	if d.s.Admits(rival, pass) {
		t.Error("another board lets the pass in")
	}
	if changed, err := d.save(t, b, Change{Mode: Password, Password: "a new word"}); err != nil || d.s.Admits(changed, pass) {
		t.Errorf("a pass from before the change is let in, %v", err)
	}
	d.clock.Advance(passFor)
	if d.s.Admits(b, pass) {
		t.Error("an old pass is let in")
	}
}

func TestLinksAreSpentOnceByTheirBoard(t *testing.T) {
	t.Parallel()
	d := newDoor(t)
	b, err := d.save(t, d.board, Change{Mode: Invite})
	if err != nil {
		t.Fatal(err)
	}
	rival, err := d.save(t, d.rival, Change{Mode: Invite})
	if err != nil {
		t.Fatal(err)
	}
	issue := func() (token string) {
		t.Helper()
		err := d.DB.Write(d.Ctx(t, b), func(ctx context.Context, tx bun.IDB) (err error) {
			token, err = d.s.issue(ctx, tx, "invite", "ann@x.example", notes{Next: "/jobs"}, inviteFor)
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
		return token
	}
	token := issue()
	if _, err := d.s.SpendLink(d.Ctx(t, rival), token); !fault.Is(err, fault.Gone) {
		t.Errorf("spent by the rival: %v", err)
	}
	if next, err := d.s.SpendLink(d.Ctx(t, b), token); err != nil || next != "/jobs" {
		t.Errorf("spent: %q, %v", next, err)
	}
	if _, err := d.s.SpendLink(d.Ctx(t, b), token); !fault.Is(err, fault.Gone) {
		t.Errorf("spent twice: %v", err)
	}
	before := issue()
	d.clock.Advance(inviteFor)
	if _, err := d.s.SpendLink(d.Ctx(t, b), before); !fault.Is(err, fault.Gone) {
		t.Errorf("too late: %v", err)
	}
	before = issue()
	if b, err = d.save(t, b, Change{Mode: Invite}); err != nil {
		t.Fatal(err)
	}
	if _, err := d.s.SpendLink(d.Ctx(t, b), before); !fault.Is(err, fault.Gone) {
		t.Errorf("after a change of the way in: %v", err)
	}
}
