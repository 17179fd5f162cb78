package site

import (
	"context"
	"io"
	"net/http"
	"os"
	"strconv"

	"github.com/gin-gonic/gin"
	"github.com/uptrace/bun"

	"shingle/accounts"
	"shingle/authz"
	"shingle/internal/fault"
	"shingle/privacy"
	"shingle/tenant"
	"shingle/themes"
	"shingle/web/proof"
	"shingle/web/route"
)

// yourData is where somebody asks about their own data.
const yourData = "/your-data"

// dataRoutes are the way to one's own data: a mailed link, spent by a POST,
// opens a page whose ticket is in its forms. No cookie is set.
func (s *Site) dataRoutes() []route.Route {
	pub := authz.Public
	return []route.Route{
		{Method: route.GET, Path: yourData, Handle: s.dataForm, Can: pub},
		{Method: route.POST, Path: yourData, Handle: s.askData, Can: pub},
		{Method: route.GET, Path: yourData + "/open", Handle: s.openDataForm, Can: pub},
		{Method: route.POST, Path: yourData + "/open", Handle: s.openData, Can: pub},
		{Method: route.POST, Path: yourData + "/download", Handle: route.Download(s.Limits, s.downloadData), Can: pub},
		{Method: route.POST, Path: yourData + "/erase", Handle: s.eraseData, Can: pub},
		{Method: route.GET, Path: yourData + "/keep", Handle: s.keepDataForm, Can: pub},
		{Method: route.POST, Path: yourData + "/keep", Handle: s.keepData, Can: pub},
	}
}

// showData renders one step.
func (s *Site) showData(c *gin.Context, status int, p themes.YourData, action string, values map[string]string, cause error) error {
	v, err := s.view(c.Request.Context())
	if err != nil {
		return err
	}
	hidden := p.Hidden
	p.Layout, p.Form = s.layout(v, v.Say("nav.your_data")), s.form(v, action, values, cause)
	if p.Step == "request" || p.Step == "over" { // which ask for a mail
		p.Proof = proof.Data
	}
	p.Hidden, p.Robots, p.PrivacyURL, p.Days = hidden, "noindex", s.privacyURL(v), privacy.GraceDays
	c.Header("Referrer-Policy", "no-referrer")
	c.Header("Cache-Control", "no-store")
	return s.render(c, v, status, "yourdata", p)
}

func (s *Site) dataForm(c *gin.Context) error {
	return s.showData(c, http.StatusOK, themes.YourData{Step: "request"}, yourData, nil, nil)
}

// askData mails the link; known and unknown addresses get the same answer.
func (s *Site) askData(c *gin.Context) error {
	email := c.PostForm("email")
	err := s.Proof.Mails(c, proof.Data)
	if err == nil {
		err = s.limit(c, accounts.AskingData)
	}
	if err == nil {
		err = s.Privacy.AskLink(c.Request.Context(), email, accounts.Client{Address: c.ClientIP(), UserAgent: c.Request.UserAgent()})
	}
	if err != nil && !retryable(err) {
		return err
	}
	if err != nil {
		route.RetryAfter(c, err)
		return s.showData(c, route.Status(err), themes.YourData{Step: "request"}, yourData, map[string]string{"email": email}, err)
	}
	return s.showData(c, http.StatusOK, themes.YourData{Step: "sent", Email: email}, yourData, nil, nil)
}

// dataOver answers a dead link with the form for another.
func (s *Site) dataOver(c *gin.Context, err error) error {
	if !fault.Is(err, fault.Gone) {
		return err
	}
	return s.showData(c, http.StatusGone, themes.YourData{Step: "over"}, yourData, nil, nil)
}

// dataButton shows a mailed link's button: scanners follow links.
func (s *Site) dataButton(c *gin.Context, step, action string, peek func(ctx context.Context, tx bun.IDB, token string) (string, error)) error {
	token, email := c.Query("token"), ""
	err := s.read(c, func(ctx context.Context, tx bun.IDB) (err error) {
		email, err = peek(ctx, tx, token)
		return err
	})
	if err != nil {
		return s.dataOver(c, err)
	}
	p := themes.YourData{Step: step, Email: email}
	p.Hidden = []themes.Hidden{{Name: "token", Value: token}}
	return s.showData(c, http.StatusOK, p, action, nil, nil)
}

func (s *Site) openDataForm(c *gin.Context) error {
	return s.dataButton(c, "open", yourData+"/open", s.Privacy.PeekLink)
}

func (s *Site) openData(c *gin.Context) error {
	o, err := s.Privacy.Open(c.Request.Context(), c.PostForm("token"))
	if err != nil {
		return s.dataOver(c, err)
	}
	return s.showHeld(c, http.StatusOK, o, nil)
}

func (s *Site) showHeld(c *gin.Context, status int, o *privacy.Opened, cause error) error {
	w := s.Writer(tenant.From(c.Request.Context()))
	p := themes.YourData{Step: "held", Email: o.Email, DownloadTo: yourData + "/download"}
	for _, h := range o.Held {
		p.Held = append(p.Held, themes.Held{Text: h.Title, Count: w.Number(h.Rows)})
	}
	if o.Erasure != nil {
		p.Day = w.Day(o.Erasure.RunsAt).Text
	}
	p.Hidden = []themes.Hidden{{Name: "ticket", Value: o.Ticket}}
	return s.showData(c, status, p, yourData+"/erase", nil, cause)
}

// downloadData sends the file: made whole first, so that what fails is a page.
func (s *Site) downloadData(c *gin.Context) error {
	ctx := c.Request.Context()
	ticket := c.PostForm("ticket")
	f, err := os.CreateTemp("", "shingle-person-*") // mode 0600
	if err != nil {
		return err
	}
	defer func() { _, _ = f.Close(), os.Remove(f.Name()) }()
	if err := s.Privacy.Download(ctx, f, ticket); err != nil {
		return s.dataOver(c, err)
	}
	size, err := f.Seek(0, io.SeekEnd)
	if err == nil {
		_, err = f.Seek(0, io.SeekStart)
	}
	if err != nil {
		return err
	}
	h := c.Writer.Header()
	h.Set("Content-Type", "application/zip")
	h.Set("Content-Disposition", `attachment; filename="`+tenant.From(ctx).Slug+"-"+s.Now().UTC().Format("2006-01-02")+`.zip"`)
	h.Set("Content-Length", strconv.FormatInt(size, 10))
	h.Set("Cache-Control", "no-store")
	c.Status(http.StatusOK)
	_, _ = io.Copy(c.Writer, f) // who hung up presses again
	return nil
}

func (s *Site) eraseData(c *gin.Context) error {
	ctx, ticket := c.Request.Context(), c.PostForm("ticket")
	if c.PostForm("confirm") == "" {
		o, err := s.Privacy.Again(ctx, ticket)
		if err != nil {
			return s.dataOver(c, err)
		}
		return s.showHeld(c, http.StatusUnprocessableEntity, o, fault.Invalids(fault.Fields{"confirm": "data.confirm"}))
	}
	r, err := s.Privacy.AskErasure(ctx, ticket)
	if err != nil {
		return s.dataOver(c, err)
	}
	return s.showData(c, http.StatusOK, themes.YourData{Step: "asked", Email: r.Email, Day: s.Writer(tenant.From(ctx)).Day(r.RunsAt).Text}, yourData, nil, nil)
}

func (s *Site) keepDataForm(c *gin.Context) error {
	return s.dataButton(c, "keep", yourData+"/keep", s.Privacy.PeekKeep)
}

func (s *Site) keepData(c *gin.Context) error {
	if err := s.Privacy.Keep(c.Request.Context(), c.PostForm("token")); err != nil {
		return s.dataOver(c, err)
	}
	return s.showData(c, http.StatusOK, themes.YourData{Step: "kept"}, yourData, nil, nil)
}
