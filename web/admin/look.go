package admin

import (
	"context"
	"errors"
	"io"
	"maps"
	"net/http"
	"net/url"
	"strconv"
	"strings"

	"github.com/gin-gonic/gin"
	"github.com/google/uuid"
	"github.com/uptrace/bun"

	"shingle/authz"
	"shingle/internal/fault"
	"shingle/listings"
	"shingle/themes"
	"shingle/themes/looks"
	"shingle/web/console"
	"shingle/web/site"
)

// keyColors come first; the rest is behind a fold.
var keyColors = []themes.ColorName{"primary", "primary-foreground", "background", "foreground", "card", "accent"}

// colorField is a colour's box: what was typed, and what holds when it is empty.
type colorField struct {
	Name, Label, Value, Preset, Hex string
}

// lookTexts are the owner's words with their fields.
func lookTexts(w *themes.LookWords) map[string]*string {
	return map[string]*string{"tagline": &w.Tagline, "hero_title": &w.HeroTitle, "hero_text": &w.HeroText, "footer": &w.Footer, "about": &w.About,
		"employers_title": &w.EmployersTitle, "employers_text": &w.EmployersText}
}

func (a *Admin) readLook(c *gin.Context) (*looks.Version, error) {
	var v *looks.Version
	err := a.read(c, func(ctx context.Context, tx bun.IDB) (err error) {
		v, err = a.Looks.Current(ctx, tx)
		return err
	})
	return v, err
}

func (a *Admin) look(c *gin.Context) error {
	v, err := a.readLook(c)
	if err != nil {
		return err
	}
	return a.showLook(c, http.StatusOK, v.Look, lookValues(v.Look), nil)
}

// lookValues are a look as its form shows it.
func lookValues(l themes.Look) url.Values {
	v := url.Values{"preset": {l.Pack + "/" + l.Preset}, "font_body": {string(l.Tokens.FontBody)}, "font_heading": {string(l.Tokens.FontHeading)},
		"radius": {l.Tokens.Radius.String()}, "custom_css": {l.CustomCSS}}
	if l.Tokens.Density != 0 {
		v.Set("density", strconv.FormatFloat(float64(l.Tokens.Density), 'f', -1, 64))
	}
	for name, text := range lookTexts(&l.Words) {
		v.Set(name, *text)
	}
	for scheme, p := range map[string]themes.Palette{"light": l.Tokens.Light, "dark": l.Tokens.Dark} {
		for name, color := range p {
			v.Set(scheme+"."+string(name), color.String())
		}
	}
	return v
}

func (a *Admin) showLook(c *gin.Context, status int, l themes.Look, typed url.Values, errs map[string]string) error {
	var history []looks.Version
	state := "default"
	err := a.read(c, func(ctx context.Context, tx bun.IDB) (err error) {
		now, err := a.Looks.Current(ctx, tx)
		if err != nil {
			return err
		}
		state = now.State
		history, err = a.Looks.History(ctx, tx)
		return err
	})
	if err != nil {
		return err
	}
	resolved := l.Resolve(a.Packs)
	var presets []console.Option
	for _, pack := range a.Packs.List() {
		for _, p := range pack.Presets {
			presets = append(presets, console.Option{Value: pack.Key + "/" + p.Key, Label: pack.Title + " – " + p.Title})
		}
	}
	if typed.Get("preset") == l.Pack+"/"+l.Preset { // an old preset's name shows what stands for it
		typed.Set("preset", l.Pack+"/"+a.Packs.Get(l.Pack).Preset(l.Preset).Key)
	}
	fonts := []console.Option{{Label: a.t(c, "look.font.preset")}}
	for _, f := range themes.Fonts() {
		fonts = append(fonts, console.Option{Value: string(f.Font), Label: f.Title})
	}
	_, dropped := themes.Confine(l.CustomCSS)
	logo := ""
	if l.LogoKey != "" {
		logo = site.FileURL(l.LogoKey)
	}
	key, more := a.colorFields(c, "light", resolved.Light, typed)
	dark, darkMore := a.colorFields(c, "dark", resolved.Dark, typed)
	return a.render(c, status, "look", a.t(c, "admin.nav.look"), map[string]any{"State": state, "History": history, "Typed": typed, "Errors": errs,
		"Presets": presets, "Fonts": fonts, "Colors": key, "More": more, "Dark": append(dark, darkMore...), "Findings": resolved.CheckContrast(),
		"Dropped": dropped, "Logo": logo, "Radius": resolved.Radius.String(), "Density": strconv.FormatFloat(float64(resolved.Density), 'f', -1, 64),
		"CanWrite": a.may(c, "look", "write"), "CanPublish": a.may(c, "look", "publish")})
}

// colorFields are a scheme's boxes: those of every day, and the others.
func (a *Admin) colorFields(c *gin.Context, scheme string, p themes.Palette, typed url.Values) (key, more []colorField) {
	field := func(n themes.ColorName) colorField {
		name := scheme + "." + string(n)
		f := colorField{Name: name, Label: a.t(c, "look.color."+string(n)), Value: typed.Get(name), Preset: p[n].String()}
		if !p[n].IsZero() {
			f.Hex = p[n].Hex()
		}
		return f
	}
	first := map[themes.ColorName]bool{}
	for _, n := range keyColors {
		first[n] = true
		key = append(key, field(n))
	}
	for _, n := range themes.ColorNames {
		if !first[n] {
			more = append(more, field(n))
		}
	}
	return key, more
}

// lookForm reads the form into a look, kept as it was where nothing was asked.
func lookForm(v url.Values, l themes.Look) (themes.Look, int, error) {
	bad := fault.Fields{}
	l.Pack, l.Preset, _ = strings.Cut(v.Get("preset"), "/")
	for name, to := range lookTexts(&l.Words) {
		*to = strings.TrimSpace(v.Get(name))
	}
	l.CustomCSS = v.Get("custom_css")
	t := themes.Tokens{Measure: l.Tokens.Measure, FontBody: themes.Font(v.Get("font_body")), FontHeading: themes.Font(v.Get("font_heading")),
		Light: themes.Palette{}, Dark: themes.Palette{}}
	for scheme, p := range map[string]themes.Palette{"light": t.Light, "dark": t.Dark} {
		for _, n := range themes.ColorNames {
			name := scheme + "." + string(n)
			if text := strings.TrimSpace(v.Get(name)); text != "" {
				color, err := themes.ParseColor(text)
				if err != nil {
					bad[name] = "look.color.form"
				}
				p[n] = color
			}
		}
	}
	if text := strings.TrimSpace(v.Get("radius")); text != "" {
		radius, err := themes.ParseLength(text)
		if err != nil {
			bad["radius"] = "look.radius.form"
		}
		t.Radius = radius
	}
	if text := strings.TrimSpace(v.Get("density")); text != "" {
		n, err := strconv.ParseFloat(strings.ReplaceAll(text, ",", "."), 64)
		if err != nil || n == 0 {
			bad["density"] = "must lie between 0.8 and 1.3"
		}
		t.Density = themes.Number(n)
	}
	ignored := 0
	if pasted := v.Get("paste"); strings.TrimSpace(pasted) != "" {
		from, unread, err := themes.ParseShadcn(pasted)
		if err != nil {
			bad["paste"] = fault.TextOf(err)
		}
		maps.Copy(t.Light, from.Light)
		maps.Copy(t.Dark, from.Dark)
		if !from.Radius.IsZero() {
			t.Radius = from.Radius
		}
		ignored = len(unread)
	}
	l.Tokens = t
	return l, ignored, fault.Invalids(bad)
}

func (a *Admin) saveLook(c *gin.Context) error {
	now, err := a.readLook(c)
	if err != nil {
		return err
	}
	var big *http.MaxBytesError
	if err := c.Request.ParseMultipartForm(1 << 20); errors.As(err, &big) {
		// What was typed is somewhere in what was not read: nothing is saved.
		err := fault.Invalids(fault.Fields{"logo": "field.logo.large|1"})
		return a.showLook(c, statusOf(err), now.Look, lookValues(now.Look), a.errors(c, err))
	}
	typed := c.Request.PostForm
	l, ignored, err := lookForm(typed, now.Look)
	if err == nil {
		err = lookFields(l.Check(a.Packs))
	}
	if err == nil {
		err = a.lookLogo(c, &l)
	}
	if err == nil {
		err = a.act(c, authz.Act{Act: "look.saved", ObjectKind: "look", Detail: map[string]any{"pack": l.Pack, "preset": l.Preset}},
			func(ctx context.Context, tx bun.IDB) error { return a.Looks.SaveDraft(ctx, tx, l) })
	}
	if refused(err) {
		return a.showLook(c, statusOf(err), l, typed, a.errors(c, err))
	}
	if err != nil {
		return err
	}
	if ignored > 0 {
		return a.back(c, "/admin/look?n="+strconv.Itoa(ignored), "look.pasted")
	}
	return a.back(c, "/admin/look", "look.saved")
}

// lookFields names a look's errors as its form does.
func lookFields(err error) error {
	fields := fault.Fields{}
	for name, text := range fault.FieldsOf(err) {
		fields[strings.TrimPrefix(name, "tokens.")] = text
	}
	if len(fields) == 0 {
		return err
	}
	if text, ok := fields["pack"]; ok {
		delete(fields, "pack")
		fields["preset"] = text
	}
	return fault.Invalids(fields)
}

// lookLogo stores an uploaded logo. The one before stays: a look of the
// history may show it.
func (a *Admin) lookLogo(c *gin.Context, l *themes.Look) error {
	if c.PostForm("remove_logo") != "" {
		l.LogoKey = ""
	}
	head, err := c.FormFile("logo")
	if err != nil || head.Size == 0 {
		return nil // none was chosen
	}
	if head.Size > listings.MaxLogo {
		return fault.Invalids(fault.Fields{"logo": "field.logo.large|1"})
	}
	f, err := head.Open()
	if err != nil {
		return fault.Wrap(err, fault.Unavailable, "the logo could not be read")
	}
	defer func() { _ = f.Close() }()
	data, err := io.ReadAll(io.LimitReader(f, listings.MaxLogo+1))
	if err != nil {
		return fault.Wrap(err, fault.Unavailable, "the logo could not be read")
	}
	key, err := a.storeLogo(c, data)
	if err == nil {
		l.LogoKey = key
	}
	return err
}

// previewReady is the look being worked on, with addresses of the console.
func (a *Admin) previewReady(c *gin.Context) (*looks.Ready, error) {
	v, err := a.readLook(c)
	if err != nil {
		return nil, err
	}
	r, err := a.Looks.Prepare(v.Look)
	if err != nil {
		return nil, err
	}
	r.CSSURL = "/admin/look" + r.CSSURL
	if r.CustomURL != "" {
		r.CustomURL = "/admin/look" + r.CustomURL
	}
	return r, nil
}

// previewLook is the board's home in the draft, for a frame of the console.
func (a *Admin) previewLook(c *gin.Context) error {
	r, err := a.previewReady(c)
	if err != nil {
		return err
	}
	return a.Site.PreviewHome(c, r)
}

// lookSheet serves the draft's style sheets.
func (a *Admin) lookSheet(c *gin.Context) error {
	r, err := a.previewReady(c)
	if err != nil {
		return err
	}
	css := r.File(c.Request.URL.Path)
	if css == nil {
		return fault.New(fault.NotFound, "no such style sheet")
	}
	c.Data(http.StatusOK, "text/css; charset=utf-8", css)
	return nil
}

// fixContrast takes the offered neighbour of a colour that reads badly.
func (a *Admin) fixContrast(c *gin.Context) error {
	scheme, name := c.PostForm("scheme"), themes.ColorName(c.PostForm("color"))
	err := a.act(c, authz.Act{Act: "look.contrast", ObjectKind: "look", Detail: map[string]any{"scheme": scheme, "color": string(name)}}, func(ctx context.Context, tx bun.IDB) error {
		v, err := a.Looks.Current(ctx, tx)
		if err != nil {
			return err
		}
		l := v.Look
		for _, f := range l.Resolve(a.Packs).CheckContrast() {
			if f.Scheme != scheme || f.Text != name {
				continue
			}
			to := &l.Tokens.Light
			if scheme == "dark" {
				to = &l.Tokens.Dark
			}
			changed := themes.Palette{}
			maps.Copy(changed, *to)
			changed[name] = f.Offer
			*to = changed
		}
		return a.Looks.SaveDraft(ctx, tx, l)
	})
	if err != nil {
		return err
	}
	return a.back(c, "/admin/look", "look.contrast")
}

func (a *Admin) discardLook(c *gin.Context) error {
	err := a.act(c, authz.Act{Act: "look.discarded", ObjectKind: "look"}, a.Looks.DropDraft)
	if err != nil {
		return err
	}
	return a.back(c, "/admin/look", "look.discarded")
}

// publishLook asks first when something would be hard to read: repaired is what
// it becomes then, unless the owner says to keep it ("contrast").
func (a *Admin) publishLook(c *gin.Context) error {
	how, done := c.PostForm("contrast"), "look.published"
	if how != "repair" && how != "keep" {
		how = ""
	}
	var unreadable []themes.Finding
	err := a.act(c, authz.Act{Act: "look.published", ObjectKind: "look", Detail: map[string]any{"contrast": how}}, func(ctx context.Context, tx bun.IDB) error {
		v, err := a.Looks.Draft(ctx, tx)
		if err != nil {
			return err
		}
		if unreadable = v.Look.Resolve(a.Packs).CheckContrast(); len(unreadable) > 0 && how != "keep" {
			if how == "" {
				return errUnreadable
			}
			l, left := v.Look.Repair(a.Packs)
			if len(left) > 0 {
				return errUnreadable
			}
			if err := a.Looks.SaveDraft(ctx, tx, l); err != nil {
				return err
			}
			done = "look.repaired"
		}
		return a.Looks.Publish(ctx, tx)
	})
	if fault.Is(err, fault.NotFound) {
		return a.back(c, "/admin/look", "look.no_draft")
	}
	if errors.Is(err, errUnreadable) {
		p := a.page(c, a.t(c, "look.repair.title"))
		p.Narrow, p.Crumbs = true, []console.Link{{Label: a.t(c, "admin.nav.look"), URL: "/admin/look"}}
		return a.shell.Render(c, http.StatusConflict, "look_repair", p, map[string]any{"Findings": unreadable, "Left": how == "repair"})
	}
	if err != nil {
		return err
	}
	return a.back(c, "/admin/look", done)
}

var errUnreadable = fault.New(fault.Conflict, "look.repair.title")

func (a *Admin) rollBackLook(c *gin.Context) error {
	id, err := uuid.Parse(c.Param("id"))
	if err != nil {
		return fault.New(fault.NotFound, "no such look")
	}
	err = a.act(c, authz.Act{Act: "look.rolled_back", ObjectKind: "look", ObjectID: id.String()}, func(ctx context.Context, tx bun.IDB) error {
		return a.Looks.RollBack(ctx, tx, id)
	})
	if err != nil {
		return err
	}
	return a.back(c, "/admin/look", "look.rolled_back")
}
