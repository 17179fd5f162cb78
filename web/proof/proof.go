// Package proof stands before what strangers may send: a form brings work that
// its browser did, and a field that people never see stays empty. What comes
// without is not refused: it waits for a link by mail (held.go). It owns which
// form came how; it never does what a form asks for. Start at Service.Of.
package proof

import (
	"bytes"
	"context"
	"math/bits"
	"net/http"
	"time"

	"github.com/gin-gonic/gin"

	"shingle/accounts"
	"shingle/internal/fault"
	"shingle/internal/links"
	"shingle/internal/pow"
	"shingle/internal/seal"
	"shingle/tenant"
	"shingle/web/route"
)

// The forms. Those that are no board's belong to the platform (tenant.Nil).
const (
	Apply  = "apply"
	Post   = "post"
	Report = "report"
	Alert  = "alert"
	SignIn = "sign-in"
	Enter  = "enter"
	Data   = "data"
	SignUp = "sign-up"
	Reset  = "reset"
)

// Path is where a form's script asks for its challenge.
const Path = "/proof/"

// Fields of a form: the proof, and the one that people do not see.
const (
	Field = "proof"
	Trap  = "homepage"
)

// Hashes a browser has to try at most, and how that grows. A phone of 2020 does
// 150,000 a second: 20,000 are an eighth of a second, done while the form is
// filled in. The figures stand in docs/decisions/proof-of-work.md.
const (
	base         = 20_000
	networkFree  = 16  // challenges for one network in ten minutes before it pays more
	networkSteps = 4   // doublings at most: two seconds of a phone
	boardFree    = 300 // challenges for one board in a minute before everybody pays more
	boardSteps   = 2   // few, or a flood of questions would shut the board for phones
)

// Way is how a form came.
type Way int

// The ways.
const (
	// Unproven brought no work: its act waits for a link by mail.
	Unproven Way = iota
	// Proven brought its work.
	Proven
	// Confirmed comes back from its link.
	Confirmed
)

// Service makes challenges and judges forms.
type Service struct {
	Key    pow.Key
	Limits *accounts.Limiter
	DB     *tenant.DB
	Links  links.Links
	// Seal keeps what waits unreadable.
	Seal *seal.Sealer
	Now  func() time.Time
}

// New makes the service from the program's secret. Kind: fault.Invalid for a
// short one.
func New(secret []byte, db *tenant.DB, limits *accounts.Limiter, l links.Links, now func() time.Time) (*Service, error) {
	s, err := seal.New("forms that wait", secret)
	return &Service{Key: pow.NewKey(secret), Limits: limits, DB: db, Links: l, Seal: s, Now: now}, err
}

func boardOf(ctx context.Context) tenant.ID {
	if t := tenant.From(ctx); t != nil {
		return t.ID
	}
	return tenant.Nil
}

func purpose(ctx context.Context, form string) string { return boardOf(ctx).String() + "/" + form }

func network(c *gin.Context) string { return accounts.Client{Address: c.ClientIP()}.Network() }

// Challenge answers Path+":form" for these forms.
func (s *Service) Challenge(forms ...string) route.Handler {
	known := map[string]bool{}
	for _, f := range forms {
		known[f] = true
	}
	return func(c *gin.Context) error {
		form := c.Param("form")
		if !known[form] {
			return fault.New(fault.NotFound, "no such form")
		}
		ctx := c.Request.Context()
		if err := accounts.Challenges.Allow(ctx, s.Limits, boardOf(ctx), network(c)); err != nil {
			return err
		}
		c.Header("Cache-Control", "no-store")
		c.JSON(http.StatusOK, s.Key.New(purpose(ctx, form), s.most(ctx, network(c)), s.Now()))
		return nil
	}
}

// most is how many hashes a challenge may take: more for a network that asks
// often, and a little more for all while a board is under attack.
func (s *Service) most(ctx context.Context, network string) int {
	board := boardOf(ctx)
	one := s.Limits.Count(ctx, accounts.LimitKey(board, "proof/network", network), 10*time.Minute)
	all := s.Limits.Count(ctx, accounts.LimitKey(board, "proof/board", ""), time.Minute)
	return base << max(min(bits.Len(uint(one/networkFree)), networkSteps), min(bits.Len(uint(all/boardFree)), boardSteps)) // #nosec G115 -- counts are positive
}

// Of tells how the form of this request came, and spends its proof: call it once
// all else is right, so that a form that comes back need not be proven twice.
// Kind: fault.Conflict ("form.again") for a proof that is over, spent or wrong.
func (s *Service) Of(c *gin.Context, form string) (Way, error) {
	ctx := c.Request.Context()
	if ctx.Value(confirmedKey{}) != nil {
		return Confirmed, nil
	}
	answer := c.PostForm(Field)
	// A trap that is not empty may have been filled by a browser, too: nobody is
	// turned away for it.
	if answer == "" || c.PostForm(Trap) != "" {
		return Unproven, nil
	}
	id, ends, err := s.Key.Verify(purpose(ctx, form), answer, s.Now())
	if err != nil || !s.Limits.Once(ctx, spent(ctx, id), ends) {
		return Unproven, fault.New(fault.Conflict, "form.again")
	}
	c.Set(spentKey, id)
	return Proven, nil
}

const spentKey = "proof_spent"

// spent names a proof that was used, under its board as all names in Redis are.
func spent(ctx context.Context, id string) string {
	return accounts.LimitKey(boardOf(ctx), "proof/spent", id)
}

// GiveBack lets the request's proof count again: the server failed, and whoever
// sends the form once more need not begin anew.
func (s *Service) GiveBack(c *gin.Context) {
	if id := c.GetString(spentKey); id != "" {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(c.Request.Context()), time.Second)
		defer cancel()
		s.Limits.Again(ctx, spent(ctx, id))
	}
}

// Mails is Of for a form that sends a link by mail anyway: without a proof that
// link is the confirmation, and fewer are sent. Kinds: as Of, fault.TooMany.
func (s *Service) Mails(c *gin.Context, form string) error {
	way, err := s.Of(c, form)
	if err != nil || way != Unproven {
		return err
	}
	err = accounts.Unproven.Allow(c.Request.Context(), s.Limits, boardOf(c.Request.Context()), network(c))
	route.RetryAfter(c, err)
	return err
}

type confirmedKey struct{}

// confirmed makes a request that was held out of the one that presses its link.
func confirmed(c *gin.Context, h *held) (*http.Request, error) {
	body, kind, err := h.body()
	if err != nil {
		return nil, err
	}
	r := c.Request.Clone(context.WithValue(c.Request.Context(), confirmedKey{}, true))
	r.Method, r.URL.Path, r.URL.RawPath, r.URL.RawQuery = http.MethodPost, h.Path, "", ""
	r.RequestURI = r.URL.RequestURI()
	r.Body, r.ContentLength = http.NoBody, int64(len(body))
	r.Form, r.PostForm, r.MultipartForm = nil, nil, nil
	r.Header.Set("Content-Type", kind)
	r.Body = readCloser{bytes.NewReader(body)}
	return r, nil
}

type readCloser struct{ *bytes.Reader }

func (readCloser) Close() error { return nil }
