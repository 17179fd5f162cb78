package search_test

import (
	"net/url"
	"slices"
	"testing"

	"shingle/search"
)

func TestQueryHasOneNormalForm(t *testing.T) {
	t.Parallel()
	for raw, want := range map[string]string{
		"":                                       "",
		"q=++Go%00+dev+&utm_source=x":            "q=Go+dev",
		"type=full_time&type=nope&type=contract": "type=contract&type=full_time",
		"type=full_time&type=full_time":          "type=full_time",
		"workplace=remote&page=1":                "workplace=remote",
		"page=-3":                                "",
		"page=99999999":                          "page=500",
		"page=x":                                 "",
		"salary_min=50000":                       "salary_min=50000",
		"salary_min=-1":                          "",
		"salary_min=9999999999999999999":         "",
		"sort=recent":                            "sort=recent",
		"sort=%3B":                               "",
		"category=a-b&category=A%20b&company=acme": "category=a-b&company=acme",
		"country=de&country=deu":                   "country=DE",
		"location=Berlin":                          "location=Berlin",
	} {
		v, err := url.ParseQuery(raw)
		if err != nil {
			t.Fatal(err)
		}
		got := search.ParseQuery(v).Values().Encode()
		if got != want {
			t.Errorf("%q becomes %q, want %q", raw, got, want)
		}
	}
	q := search.Query{Types: []string{"contract"}, Page: 4}
	if got := q.Toggle("type", "full_time").Values().Encode(); got != "type=contract&type=full_time" {
		t.Errorf("toggled on: %s", got)
	}
	if got := q.Toggle("type", "contract").Values().Encode(); got != "" {
		t.Errorf("toggled off: %s", got)
	}
	if q.Page != 4 || len(q.Types) != 1 {
		t.Error("toggling changed the query itself")
	}
}

func TestTokens(t *testing.T) {
	t.Parallel()
	for text, want := range map[string][]string{
		"C++ and C#, F#":   {"cplusplus", "and", "csharp", "fsharp"},
		".NET / ASP.NET":   {"dotnet", "asp", "dotnet"},
		"node.js":          {"node", "js"},
		"Straße Köln Łódź": {"strasse", "koln", "lodz"},
		"R&D 3rd a+b":      {"r", "d", "3rd", "a", "b"},
		"ＦＵＬＬ":             {"full"},
		"":                 nil,
		"🦄 --":             nil,
	} {
		if got := search.Tokens(text); !slices.Equal(got, want) {
			t.Errorf("%q: %v, want %v", text, got, want)
		}
	}
	for _, c := range []struct {
		a, b string
		want int
	}{{"enginer", "engineer", 1}, {"enginere", "engineer", 1}, {"abc", "xyz", 3}, {"", "ab", 2}} {
		if got := search.Distance(c.a, c.b, 2); got != c.want {
			t.Errorf("%s to %s: %d, want %d", c.a, c.b, got, c.want)
		}
	}
}

func FuzzParseQuery(f *testing.F) {
	f.Add("q=go&type=full_time&page=2")
	f.Add("q=%ff%00&location=%F0%9F%A6%84")
	f.Fuzz(func(t *testing.T, raw string) {
		v, _ := url.ParseQuery(raw)
		once := search.ParseQuery(v).Values()
		if again := search.ParseQuery(once).Values(); again.Encode() != once.Encode() {
			t.Errorf("%q: %q becomes %q", raw, once.Encode(), again.Encode())
		}
		search.Tokens(v.Get("q"))
	})
}
