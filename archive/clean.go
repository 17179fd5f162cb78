package archive

import (
	"bytes"
	"encoding/json"
	"encoding/xml"
	"errors"
	"image"
	_ "image/png" // the one kind of picture that is stored
	"io"
	"net/url"
	"path"
	"strings"
	"time"

	"shingle/candidates"
	"shingle/listings"
	"shingle/mail"
	"shingle/themes"
)

// A restored row comes from a file that anybody may have written. What the
// database checks by itself (keys, states, amounts) is not checked again here.

// cleanRow makes a row's typed HTML safe and refuses what no form would have
// let in. at is when the archive was made.
func (s *Service) cleanRow(table string, row map[string]json.RawMessage, at time.Time) error {
	switch table {
	case "listings":
		if err := html(row, "description"); err != nil {
			return err
		}
		if !webAddress(text(row, "next_website")) {
			return bad("a listing's website is no web address")
		}
		if text(row, "apply_method") == "link" && !webAddress(text(row, "apply_target")) {
			return bad("a listing's application link is no web address")
		}
	case "companies":
		if !webAddress(text(row, "website")) {
			return bad("a company's website is no web address")
		}
		return html(row, "about")
	case "listing_revisions":
		return inside(row, "content", func(c map[string]json.RawMessage) error {
			if !webAddress(text(c, "website")) || text(c, "apply_method") == "link" && !webAddress(text(c, "apply_target")) {
				return bad("a revision holds a link that is no web address")
			}
			return html(c, "description")
		})
	case "looks":
		var l themes.Look
		if err := json.Unmarshal(row["look"], &l); err != nil {
			return bad("a look cannot be read")
		}
		// Past ones too: they can be rolled back to.
		if err := l.Check(s.Packs); err != nil {
			return bad("a look does not hold what looks must: %v", err)
		}
	case "mail_texts":
		// Words that the program cannot read give way to the shipped ones when a mail goes out.
		var words mail.Text
		if err := json.Unmarshal(row["texts"], &words); err != nil {
			return bad("a mail's words cannot be read")
		}
	case "redirects":
		if to := text(row, "target"); to != "" && !webAddress(to) && (!strings.HasPrefix(to, "/") || strings.HasPrefix(to, "//") || strings.Contains(to, `\`)) {
			return bad("a redirect leads to something that is no address")
		}
	case "orders":
		if !webAddress(text(row, "invoice_url")) {
			return bad("an invoice's link is no web address")
		}
	case "applications":
		if kind := text(row, "cv_type"); kind != "" && !candidates.KnownCVType(kind) {
			return bad("an application's file is of a kind that nobody can send")
		}
	case "audit_log":
		// A line from the future would stand before all that is still to happen.
		var when time.Time
		if err := json.Unmarshal(row["at"], &when); err != nil || when.After(at) {
			return bad("a line of the audit log is younger than the archive")
		}
	}
	return nil
}

func text(row map[string]json.RawMessage, name string) string {
	var s string
	_ = json.Unmarshal(row[name], &s) // anything else is no text
	return s
}

func webAddress(s string) bool {
	if s == "" {
		return true
	}
	u, err := url.Parse(s)
	return err == nil && (u.Scheme == "https" || u.Scheme == "http") && u.Host != ""
}

// html sanitises a member, which is the same again when it came from us.
func html(row map[string]json.RawMessage, name string) (err error) {
	if v, ok := row[name]; ok {
		var s string
		if err := json.Unmarshal(v, &s); err != nil {
			return bad("%s is no text", name)
		}
		row[name], err = compact(listings.Sanitise(s))
	}
	return err
}

// inside changes an object that is a column.
func inside(row map[string]json.RawMessage, name string, change func(map[string]json.RawMessage) error) error {
	var in map[string]json.RawMessage
	if err := json.Unmarshal(row[name], &in); err != nil || in == nil {
		return bad("%s is no object", name)
	}
	err := change(in)
	if err == nil {
		row[name], err = compact(in)
	}
	return err
}

// cleanFile holds a file against its name: a CV against what CVs may be, a logo
// against what the product stores itself.
func cleanFile(name string, data []byte) (kind string, err error) {
	if strings.HasPrefix(name, "cv/") {
		kind, err := candidates.CheckCV(name, data)
		if err != nil {
			return "", bad("the file %s is no CV as applicants can send", name)
		}
		return kind, nil
	}
	switch path.Ext(name) {
	case ".png":
		c, format, err := image.DecodeConfig(bytes.NewReader(data))
		if err != nil || format != "png" || c.Width < 1 || c.Height < 1 || c.Width > 4096 || c.Height > 4096 {
			return "", bad("the file %s is no picture", name)
		}
		return "image/png", nil
	case ".svg":
		if !plainSVG(data) {
			return "", bad("the picture %s holds more than a drawing", name)
		}
		return "image/svg+xml", nil
	}
	return "", bad("the file %s is of a kind that no board has", name)
}

// plainSVG lets drawings through: no script, no handler, nothing from elsewhere.
func plainSVG(data []byte) bool {
	if len(data) > listings.MaxLogo {
		return false
	}
	d := xml.NewDecoder(bytes.NewReader(data))
	for {
		t, err := d.Token()
		if errors.Is(err, io.EOF) {
			return true
		}
		if err != nil {
			return false
		}
		switch t := t.(type) {
		case xml.Directive: // entities
			return false
		case xml.ProcInst:
			if t.Target != "xml" {
				return false
			}
		case xml.StartElement:
			switch strings.ToLower(t.Name.Local) {
			case "script", "foreignobject", "iframe", "image", "animate", "set", "handler", "style":
				return false
			}
			for _, a := range t.Attr {
				name, value := strings.ToLower(a.Name.Local), strings.ToLower(a.Value)
				if strings.HasPrefix(name, "on") || name == "href" && !strings.HasPrefix(value, "#") || strings.Contains(value, "javascript:") ||
					strings.Contains(value, "url(") && !strings.Contains(value, "url(#") {
					return false
				}
			}
		}
	}
}
