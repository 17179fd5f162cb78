package console

import (
	"fmt"
	"html/template"
	"net/url"
	"strings"
	"time"

	"shingle/internal/money"
	"shingle/web/route"
)

// funcs are what templates of the consoles may call, bound to a language.
func (s *Shell) funcs(locale string) template.FuncMap {
	return template.FuncMap{
		"t":     func(key string, args ...any) string { return s.words.T(locale, key, args...) },
		"text":  func(text string) string { return s.words.Text(locale, text) },
		"icon":  s.assets.Icon,
		"asset": s.assets.URL,
		"money": func(amount int64, currency string) string { return money.Format(amount, currency, locale) },
		"date":  func(t any) string { return Date(locale, t) },
		"time":  func(t any) string { return DateTime(locale, t) },
		"iso":   iso,
		"ago":   func(t any) string { return s.Ago(locale, t, time.Now()) },
		"dict":  dict,
		"list":  func(v ...any) []any { return v },
		"safe":  route.SafeHTML,
		"join":  func(sep string, v []string) string { return strings.Join(v, sep) },
		"query": query,
		"add":   func(a, b int) int { return a + b },
		"field": field,
	}
}

// Field is a form's control as the component templates see it.
type Field struct {
	Name, Label, Type, Value, Error, Hint string
	Placeholder, Autocomplete, Prefix     string
	Required                              bool
	Options                               []Option
	Rows                                  int
}

// Option is a choice of a select or radio group.
type Option struct {
	Value, Label string
	Selected     bool
}

// field builds a Field in a template: field "name" "Label" "type" value errors.
func field(name, label, kind string, value any, errs map[string]string, more ...any) (Field, error) {
	f := Field{Name: name, Label: label, Type: kind, Value: fmt.Sprint(value), Error: errs[name], Rows: 4}
	if value == nil {
		f.Value = ""
	}
	for i := 0; i+1 < len(more); i += 2 {
		key, _ := more[i].(string)
		switch key {
		case "hint":
			f.Hint = fmt.Sprint(more[i+1])
		case "required":
			f.Required, _ = more[i+1].(bool)
		case "placeholder":
			f.Placeholder = fmt.Sprint(more[i+1])
		case "autocomplete":
			f.Autocomplete = fmt.Sprint(more[i+1])
		case "prefix":
			f.Prefix = fmt.Sprint(more[i+1])
		case "rows":
			f.Rows, _ = more[i+1].(int)
		case "options":
			opts, ok := more[i+1].([]Option)
			if !ok {
				return f, fmt.Errorf("options of %s are not []console.Option", name)
			}
			f.Options = make([]Option, len(opts))
			for j, o := range opts {
				o.Selected = o.Selected || o.Value == f.Value
				f.Options[j] = o
			}
		default:
			return f, fmt.Errorf("field %s: unknown setting %q", name, key)
		}
	}
	return f, nil
}

func dict(kv ...any) (map[string]any, error) {
	if len(kv)%2 != 0 {
		return nil, fmt.Errorf("dict: odd number of values")
	}
	m := make(map[string]any, len(kv)/2)
	for i := 0; i < len(kv); i += 2 {
		k, ok := kv[i].(string)
		if !ok {
			return nil, fmt.Errorf("dict: key %v is not a string", kv[i])
		}
		m[k] = kv[i+1]
	}
	return m, nil
}

// query is a relative link with one parameter of the given values changed; an
// empty value drops it. Changing anything goes back to the first page.
func query(v url.Values, name string, value any) template.URL {
	out := url.Values{}
	for k, vs := range v {
		if k != "page" && k != "ok" && k != "undo" && k != "n" {
			out[k] = vs
		}
	}
	out.Del(name)
	if text := fmt.Sprint(value); text != "" && value != nil {
		out.Set(name, text)
	}
	return template.URL("?" + out.Encode()) // #nosec G203 -- encoded above
}

func asTime(v any) (time.Time, bool) {
	switch t := v.(type) {
	case time.Time:
		return t, !t.IsZero()
	case *time.Time:
		if t != nil {
			return *t, !t.IsZero()
		}
	}
	return time.Time{}, false
}

func iso(v any) string {
	if t, ok := asTime(v); ok {
		return t.Format(time.RFC3339)
	}
	return ""
}

var germanMonths = [...]string{"Januar", "Februar", "März", "April", "Mai", "Juni", "Juli", "August", "September", "Oktober", "November", "Dezember"}

// Date is a day in words of the language; "" for no time.
func Date(locale string, v any) string {
	t, ok := asTime(v)
	if !ok {
		return ""
	}
	if Locale(locale) == "de" {
		return fmt.Sprintf("%d. %s %d", t.Day(), germanMonths[t.Month()-1], t.Year())
	}
	return t.Format("2 January 2006")
}

// DateTime is a day and minute in the language.
func DateTime(locale string, v any) string {
	t, ok := asTime(v)
	if !ok {
		return ""
	}
	return Date(locale, t) + ", " + t.Format("15:04")
}

// Ago is how long before now, in words; a date when it is over a month ago.
func (s *Shell) Ago(locale string, v any, now time.Time) string {
	t, ok := asTime(v)
	if !ok {
		return ""
	}
	d := now.Sub(t)
	switch {
	case d < 0:
		return Date(locale, t)
	case d < time.Minute:
		return s.words.T(locale, "ago.now")
	case d < time.Hour:
		return s.words.T(locale, "ago.minutes", int(d.Minutes()))
	case d < 24*time.Hour:
		return s.words.T(locale, "ago.hours", int(d.Hours()))
	case d < 31*24*time.Hour:
		return s.words.T(locale, "ago.days", int(d.Hours()/24))
	}
	return Date(locale, t)
}

// ShortDay is a day of a chart's axis, without its year.
func ShortDay(locale string, d time.Time) string {
	if locale == "de" {
		return d.Format("2.1.")
	}
	return d.Format("2 Jan")
}
