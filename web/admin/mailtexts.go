package admin

import (
	"bytes"
	"context"
	"html/template"
	"net/http"
	"slices"
	"strconv"
	"strings"

	"github.com/gin-gonic/gin"
	"github.com/uptrace/bun"

	"shingle/authz"
	"shingle/internal/fault"
	"shingle/mail"
	"shingle/tenant"
	"shingle/web/console"
)

// textKind is the request's kind of mail and language.
func textKind(c *gin.Context) (*mail.Kind, string, error) {
	k := mail.KindOf(c.Param("kind"))
	if k == nil {
		return nil, "", fault.New(fault.NotFound, "no such kind of mail")
	}
	return k, mailLanguage(c), nil
}

// mailLanguage is the language that the request is about: the board's own at first.
func mailLanguage(c *gin.Context) string {
	if l := c.Query("language"); slices.Contains(mail.Languages, l) {
		return l
	}
	lang, _, _ := strings.Cut(tenant.From(c.Request.Context()).Locale, "-")
	if slices.Contains(mail.Languages, lang) {
		return lang
	}
	return mail.Languages[0]
}

// languageTabs are the languages of a page, the board's own first.
func (a *Admin) languageTabs(c *gin.Context) []console.Option {
	now := mailLanguage(c)
	own, _, _ := strings.Cut(tenant.From(c.Request.Context()).Locale, "-")
	var out []console.Option
	for _, l := range console.LocaleOptions() {
		l.Selected = l.Value == now
		if l.Value == own {
			out = append([]console.Option{l}, out...)
		} else {
			out = append(out, l)
		}
	}
	return out
}

// textGroup are the mails to one kind of reader.
type textGroup struct {
	For  string
	Rows []textRow
}

type textRow struct {
	Kind, Subject string
	Now           *mail.TextVersion
}

// mailTexts lists every mail that the board sends, with whose words it has.
func (a *Admin) mailTexts(c *gin.Context) error {
	lang := mailLanguage(c)
	var now map[string]*mail.TextVersion
	err := a.read(c, func(ctx context.Context, tx bun.IDB) (err error) {
		now, err = mail.TextsNow(ctx, tx, lang)
		return err
	})
	if err != nil {
		return err
	}
	var groups []*textGroup
	byFor := map[string]*textGroup{}
	for _, k := range mail.BoardKinds() {
		g := byFor[k.For]
		if g == nil {
			g = &textGroup{For: k.For}
			byFor[k.For], groups = g, append(groups, g)
		}
		t := a.Letters.Shipped(k.Name, lang)
		if v := now[k.Name]; !v.Shipped() {
			t = v.Text
		}
		subject := t["subject"]
		if k.Name == mail.Footer {
			subject = t["why"]
		}
		g.Rows = append(g.Rows, textRow{Kind: k.Name, Subject: subject, Now: now[k.Name]})
	}
	return a.renderUnder(c, http.StatusOK, "mail_texts", a.t(c, "mail.texts"), console.Link{Label: a.t(c, "admin.nav.mail"), URL: "/admin/mail"},
		map[string]any{"Groups": groups, "Languages": a.languageTabs(c), "Language": lang})
}

func (a *Admin) mailText(c *gin.Context) error {
	return a.showMailText(c, http.StatusOK, nil, nil)
}

// nameRow is a placeholder of the list beside the form.
type nameRow struct {
	Key, Name       string
	Block, Required bool
}

// showMailText is the form: with what is in force, or with what was typed.
func (a *Admin) showMailText(c *gin.Context, status int, typed mail.Text, errs map[string]string) error {
	k, lang, err := textKind(c)
	if err != nil {
		return err
	}
	var now *mail.TextVersion
	var history []mail.TextVersion
	err = a.read(c, func(ctx context.Context, tx bun.IDB) (err error) {
		if now, err = mail.TextNow(ctx, tx, k.Name, lang); err != nil {
			return err
		}
		history, err = mail.TextHistory(ctx, tx, k.Name, lang)
		return err
	})
	if err != nil {
		return err
	}
	text := a.Letters.Shipped(k.Name, lang)
	if !now.Shipped() {
		text = now.Text
	}
	base := 0
	if now != nil {
		base = now.N
	}
	if typed != nil {
		text = typed
		// What was typed still rests on the version that its writer saw.
		base, _ = strconv.Atoi(c.PostForm("base"))
	}
	var names []nameRow
	for _, n := range k.Names {
		names = append(names, nameRow{n.Name, "{{" + n.Name + "}}", n.Block(), n.Required})
	}
	return a.renderUnder(c, status, "mail_text", a.t(c, "mail.kind."+k.Name), console.Link{Label: a.t(c, "mail.texts"), URL: "/admin/mail/texts?language=" + lang},
		map[string]any{"Kind": k.Name, "Fields": k.Fields, "Text": text, "Names": names, "Language": lang, "Languages": a.languageTabs(c), "Errors": errs, "Base": base,
			"Own": !now.Shipped(), "History": history, "CanWrite": a.may(c, "mail", "write"), "You": session(c).Operator.Email, "Footer": k.Name == mail.Footer})
}

// typedText is what the form brought, whole, so that it can come back.
func typedText(c *gin.Context, k *mail.Kind) mail.Text {
	t := mail.Text{}
	for _, f := range k.Fields {
		t[f] = c.PostForm(f)
	}
	return t
}

func textURL(k *mail.Kind, lang string) string {
	return "/admin/mail/texts/" + k.Name + "?language=" + lang
}

func (a *Admin) saveMailText(c *gin.Context) error {
	k, lang, err := textKind(c)
	if err != nil {
		return err
	}
	typed := typedText(c, k)
	base, err := strconv.Atoi(c.PostForm("base"))
	if err != nil {
		base = -1 // no version that anybody saw: refused as outdated
	}
	err = a.act(c, authz.Act{Act: "mail.text_saved", ObjectKind: "mail", ObjectID: k.Name + " " + lang}, func(ctx context.Context, tx bun.IDB) error {
		return mail.SaveText(ctx, tx, k.Name, lang, base, typed)
	})
	if refused(err) {
		return a.showMailText(c, statusOf(err), typed, a.errors(c, err))
	}
	if err != nil {
		return err
	}
	return a.back(c, textURL(k, lang), "mail.text_saved")
}

func (a *Admin) restoreMailText(c *gin.Context) error {
	k, lang, err := textKind(c)
	if err != nil {
		return err
	}
	n, err := strconv.Atoi(c.PostForm("n"))
	if err != nil || n < 0 {
		return fault.New(fault.NotFound, "no such version")
	}
	base, err := strconv.Atoi(c.PostForm("base"))
	if err != nil {
		base = -1
	}
	err = a.act(c, authz.Act{Act: "mail.text_restored", ObjectKind: "mail", ObjectID: k.Name + " " + lang, Detail: map[string]any{"version": n}}, func(ctx context.Context, tx bun.IDB) error {
		return mail.RestoreText(ctx, tx, k.Name, lang, base, n)
	})
	if refused(err) {
		return a.showMailText(c, statusOf(err), nil, a.errors(c, err))
	}
	if err != nil {
		return err
	}
	return a.back(c, textURL(k, lang), "mail.text_restored")
}

// sampleOf is the kind's mail as it could be, in words that are not saved.
func (a *Admin) sampleOf(c *gin.Context, k *mail.Kind, lang string, words mail.Text) mail.Message {
	m := mail.Sample(k.Name, lang, session(c).Operator.Email, a.Links.Board(tenant.From(c.Request.Context()), "/"))
	if words != nil {
		m.Words = map[string]mail.Text{k.Name: words}
	}
	return m
}

// previewMailText fills the frame: with the words in force, those of an earlier
// version, or those just typed.
func (a *Admin) previewMailText(c *gin.Context) error {
	k, lang, err := textKind(c)
	if err != nil {
		return err
	}
	var words mail.Text
	part := c.Query("part")
	if c.Request.Method == http.MethodPost {
		part = c.PostForm("part")
		if words, err = mail.CheckText(k.Name, typedText(c, k)); err != nil {
			return a.frame(c, statusOf(err), a.t(c, "mail.text.not_yet"), a.errors(c, err))
		}
	}
	var shown *mail.Shown
	err = a.read(c, func(ctx context.Context, tx bun.IDB) (err error) {
		if n, err := strconv.Atoi(c.Query("version")); err == nil && words == nil {
			words = a.Letters.Shipped(k.Name, lang)
			if n > 0 {
				v, err := mail.TextAt(ctx, tx, k.Name, lang, n)
				if err != nil {
					return err
				}
				if !v.Shipped() {
					words = v.Text
				}
			}
		}
		shown, err = a.Letters.Preview(ctx, tx, a.sampleOf(c, k, lang, words))
		return err
	})
	if err != nil {
		return err
	}
	if part == "text" {
		var b bytes.Buffer
		if err := textFrame.Execute(&b, map[string]any{"Lang": lang, "Label": a.t(c, "mail.text.subject_line"), "Subject": shown.Subject, "Text": shown.Text}); err != nil {
			return err
		}
		return framed(c, http.StatusOK, b.Bytes())
	}
	return framed(c, http.StatusOK, []byte(shown.HTML))
}

// testMailText sends what was typed to the operator's own address. The answer
// goes into the frame, so that the form keeps what is not saved yet.
func (a *Admin) testMailText(c *gin.Context) error {
	k, lang, err := textKind(c)
	if err != nil {
		return err
	}
	words, err := mail.CheckText(k.Name, typedText(c, k))
	if err != nil {
		return a.frame(c, statusOf(err), a.t(c, "mail.text.not_yet"), a.errors(c, err))
	}
	m := a.sampleOf(c, k, lang, words)
	// At most six a minute: a button pressed twice is one message.
	m.Key = "test " + k.Name + " " + lang + " " + session(c).Operator.ID.String() + a.Now().UTC().Format(" 2006-01-02 15:04:") + strconv.Itoa(a.Now().Second()/10)
	err = a.act(c, authz.Act{Act: "mail.text_tested", ObjectKind: "mail", ObjectID: k.Name + " " + lang}, func(ctx context.Context, tx bun.IDB) error {
		return mail.Queue(ctx, tx, m)
	})
	if err != nil {
		return err
	}
	return a.frame(c, http.StatusOK, a.t(c, "mail.text.sent", m.To), nil)
}

// frame answers with a few words inside the preview's frame.
func (a *Admin) frame(c *gin.Context, status int, title string, errs map[string]string) error {
	var lines []string
	for name, text := range errs {
		lines = append(lines, a.t(c, "mail.field."+name)+": "+text)
	}
	slices.Sort(lines)
	var b bytes.Buffer
	if err := noteFrame.Execute(&b, map[string]any{"Lang": a.locale(c), "Title": title, "Lines": lines}); err != nil {
		return err
	}
	return framed(c, status, b.Bytes())
}

// framed writes a page that nothing can run in: a mail's own styles are in its
// tags, and its links lead nowhere from here.
func framed(c *gin.Context, status int, page []byte) error {
	c.Header("Content-Security-Policy", "default-src 'none'; style-src 'unsafe-inline'; frame-ancestors 'self'; sandbox")
	c.Data(status, "text/html; charset=utf-8", page)
	return nil
}

const frameHead = `<!doctype html><html lang="{{.Lang}}"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1"><title>-</title>` +
	`<style>body{margin:0;padding:20px;font:15px/1.5 system-ui,sans-serif;color:#1c2024;background:#fff}pre{white-space:pre-wrap;overflow-wrap:anywhere;font:14px/1.5 ui-monospace,Menlo,Consolas,monospace}</style></head><body>`

var (
	textFrame = template.Must(template.New("text").Parse(frameHead + `<p><strong>{{.Label}}</strong> {{.Subject}}</p><pre>{{.Text}}</pre></body></html>`))
	noteFrame = template.Must(template.New("note").Parse(frameHead + `<p role="status"><strong>{{.Title}}</strong></p>{{if .Lines}}<ul>{{range .Lines}}<li>{{.}}</li>{{end}}</ul>{{end}}</body></html>`))
)
