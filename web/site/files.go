package site

import (
	"context"
	"fmt"
	"io"
	"mime"
	"net/http"
	"net/url"
	"path"
	"strconv"
	"strings"

	"github.com/gin-gonic/gin"
	"github.com/uptrace/bun"
	"gocloud.dev/gcerrors"

	"shingle/authz"
	"shingle/candidates"
	"shingle/internal/fault"
	"shingle/tenant"
	"shingle/themes"
	"shingle/themes/looks"
	"shingle/web/route"
)

// file serves a board's public file: a logo. Where uploads have a host of their
// own it leads there; a private board's pictures stay behind its door.
func (s *Site) file(c *gin.Context) error {
	t := tenant.From(c.Request.Context())
	name := strings.TrimPrefix(path.Clean("/"+c.Param("file")), "/")
	if !strings.HasPrefix(name, "logos/") {
		return fault.New(fault.NotFound, "no such file")
	}
	if s.FilesOrigin != "" && !t.Private() {
		c.Header("Cache-Control", "public, max-age=3600")
		c.Header("Cross-Origin-Resource-Policy", "cross-origin") // other sites show a listing's logo
		c.Redirect(http.StatusFound, s.FilesOrigin+"/x/"+t.ID.String()+"/"+(&url.URL{Path: name}).EscapedPath())
		return nil
	}
	return s.picture(c, t, name)
}

// FileRoutes are those of the host of uploads. Boards are named in the path.
func (s *Site) FileRoutes() []route.Route {
	return []route.Route{
		{Method: route.GET, Path: "/x/:board/logos/:file", Handle: s.hostedPicture, Can: authz.Public},
		{Method: route.GET, Path: "/x/:board/cv/:application/:token", Handle: route.Unhurried(s.hostedCV), Can: authz.Public},
	}
}

func (s *Site) hostedPicture(c *gin.Context) error {
	t := tenant.From(c.Request.Context())
	if t.Private() {
		return fault.New(fault.NotFound, "no such file")
	}
	return s.picture(c, t, "logos/"+c.Param("file"))
}

// hostedCV serves a CV to whoever was sent here from the employer's desk a
// moment ago: the link is for one application of one listing.
func (s *Site) hostedCV(c *gin.Context) error {
	a, r, err := s.Candidates.LinkedCV(c.Request.Context(), parseID(c.Param("application")), c.Param("token"))
	if err != nil {
		return err
	}
	defer func() { _ = r.Close() }()
	SendCV(c, a, r)
	return nil
}

// SendCV sends a CV as a download that no browser runs: the type is ours, and the
// page it could be is sandboxed.
func SendCV(c *gin.Context, a *candidates.Application, r io.Reader) {
	h := c.Writer.Header()
	h.Set("Content-Security-Policy", sandboxed)
	h.Set("Cache-Control", "private, no-store")
	h.Set("Referrer-Policy", "no-referrer")
	h.Set("Content-Type", a.CVType)
	h.Set("Content-Disposition", mime.FormatMediaType("attachment", map[string]string{"filename": a.CVName}))
	h.Set("Content-Length", strconv.FormatInt(a.CVSize, 10))
	c.Status(http.StatusOK)
	_, _ = io.Copy(c.Writer, r)
}

// sandboxed lets nothing in a file run, load or reach anything, whatever it is.
const sandboxed = "default-src 'none'; sandbox"

// picture serves one of a board's pictures. The key is the board's own id and
// the name, so no address reaches another board's files, and only pictures are
// shown; CVs lie elsewhere.
func (s *Site) picture(c *gin.Context, t *tenant.Tenant, name string) error {
	r, err := s.Files.NewReader(c.Request.Context(), t.ID.String()+"/"+name, nil)
	if gcerrors.Code(err) == gcerrors.NotFound {
		return fault.Wrap(err, fault.NotFound, "no such file")
	}
	if err != nil {
		return fault.Wrap(err, fault.Unavailable, "files cannot be read now")
	}
	defer func() { _ = r.Close() }()
	kind := r.ContentType()
	if !strings.HasPrefix(kind, "image/") {
		return fault.New(fault.NotFound, "no such file")
	}
	h := c.Writer.Header()
	// A picture may be shown by a page and nothing more, whatever is in it: opened
	// by itself it is a download.
	h.Set("Content-Security-Policy", sandboxed)
	h.Set("Content-Disposition", "attachment")
	h.Set("Cross-Origin-Resource-Policy", "cross-origin") // mails and other sites' lists of jobs show logos
	if t.Private() {
		h.Set("Cache-Control", "private, max-age=3600")
	} else {
		h.Set("Cache-Control", "public, max-age=86400")
	}
	h.Set("Content-Type", kind)
	h.Set("Content-Length", strconv.FormatInt(r.Size(), 10))
	c.Status(http.StatusOK)
	_, _ = io.Copy(c.Writer, r)
	return nil
}

// themeFile serves the board's token sheet and custom CSS under their hashed
// names. An old name gets the new sheet, uncached: its page is still on screen.
func (s *Site) themeFile(c *gin.Context) error {
	if !strings.HasPrefix(c.Request.URL.Path, "/theme.") {
		return fault.New(fault.NotFound, "no such page")
	}
	look, err := s.Looks.Of(c.Request.Context(), tenant.From(c.Request.Context()))
	if err != nil {
		return err
	}
	css := look.File(c.Request.URL.Path)
	h := c.Writer.Header()
	if css != nil {
		h.Set("Cache-Control", "public, max-age=31536000, immutable")
	} else {
		css = look.CSS
		h.Set("Cache-Control", "no-cache")
	}
	c.Data(http.StatusOK, "text/css; charset=utf-8", css)
	return nil
}

// asset serves the packs' own files.
func (s *Site) asset(c *gin.Context) error {
	if !s.Packs.ServeAsset(c.Writer, c.Request, strings.TrimPrefix(c.Request.URL.Path, "/assets/")) {
		return fault.New(fault.NotFound, "no such file")
	}
	return nil
}

func (s *Site) favicon(c *gin.Context) error {
	v, err := s.view(c.Request.Context())
	if err != nil {
		return err
	}
	if v.look.LogoKey == "" {
		return fault.New(fault.NotFound, "no icon")
	}
	c.Redirect(http.StatusFound, v.logoURL())
	return nil
}

// suggest completes what is being typed, for the search box.
func (s *Site) suggest(c *gin.Context) error {
	typed := strings.TrimSpace(c.Query("q"))
	out := []string{}
	if len(typed) >= 2 && len(typed) <= 60 {
		found, err := s.Search.Suggest(c.Request.Context(), typed, 8)
		if err != nil {
			return err
		}
		for _, f := range found {
			out = append(out, f.Text)
		}
	}
	if !tenant.From(c.Request.Context()).Private() {
		c.Header("Cache-Control", "public, max-age=60")
	}
	c.JSON(http.StatusOK, out)
	return nil
}

// standingPage shows a published page.
func (s *Site) standingPage(c *gin.Context, slug string) error {
	v, err := s.view(c.Request.Context())
	if err != nil {
		return err
	}
	var p *looks.Page
	err = s.read(c, func(ctx context.Context, tx bun.IDB) (err error) {
		p, err = looks.ReadPage(ctx, tx, slug)
		return err
	})
	if err != nil {
		return err
	}
	if !p.Published {
		return fault.New(fault.NotFound, "no such page")
	}
	when := v.Day(p.CreatedAt)
	out := themes.TextPage{Layout: s.layout(v, p.Title), Heading: p.Title, Body: route.SafeHTML(underTitle(p.Body)), Updated: &when}
	if p.Kind == "privacy" {
		out.More = &themes.Link{Text: v.Say("nav.your_data"), URL: yourData}
	}
	out.Canonical = s.canonical(v, p.Path())
	out.Description = fmt.Sprintf("%s, %s", p.Title, v.T.Name)
	return s.render(c, v, http.StatusOK, "text", out)
}

// underTitle makes a page's headings the level below its title: what was typed
// is kept with the small headings of listings, two levels below.
func underTitle(body string) string {
	if strings.Contains(body, "<h2>") {
		return body
	}
	return promoted.Replace(body)
}

var promoted = strings.NewReplacer("<h3>", "<h2>", "</h3>", "</h2>", "<h4>", "<h3>", "</h4>", "</h3>")
