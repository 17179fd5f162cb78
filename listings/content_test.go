package listings

import (
	"bytes"
	"context"
	"encoding/binary"
	"hash/crc32"
	"image"
	"image/png"
	"net/url"
	"regexp"
	"strings"
	"testing"

	"shingle/internal/fault"
)

func TestContentNamesWhatIsWrong(t *testing.T) {
	t.Parallel()
	good := func() url.Values {
		return url.Values{FieldTitle: {"Crane driver (f/m/d)"}, FieldCompany: {"Harbour Works"}, FieldWebsite: {"harbour.example"}, FieldPlaces: {"10115 Berlin"},
			FieldSalaryMin: {"45.000"}, FieldSalaryMax: {"52k"}, FieldDescription: {"Build cranes with us.\n\n- big ones\n- small ones\n\nDay after day."}, FieldTags: {"go, Go", "cranes"}}
	}
	r := Rules{Locale: "de", Currency: "EUR", Country: "DE"}
	c, err := ContentFromForm(good(), r)
	if err != nil {
		t.Fatal(err)
	}
	if c.Website != "https://harbour.example" || c.Places[0] != (Place{Country: "DE", City: "Berlin", PostalCode: "10115"}) || *c.SalaryMin != 4500000 ||
		*c.SalaryMax != 5200000 || c.SalaryCurrency != "EUR" || len(c.Tags) != 2 || !strings.Contains(c.Description, "<li>big ones</li>") {
		t.Errorf("read: %+v", c)
	}
	for _, test := range []struct{ field, value, want string }{
		{FieldTitle, "", "field.title.required"},
		{FieldTitle, "CRANE DRIVER WANTED", "field.title.shouting"},
		{FieldTitle, "Driver, see www.x.com", "field.title.link"},
		{FieldTitle, "Driver!!!", "field.title.symbols"},
		{FieldTitle, strings.Repeat("long ", 30), "field.title.long|100"},
		{FieldCompany, "", "field.company.required"},
		{FieldWebsite, "javascript://x", "field.url"},
		{FieldPlaces, "", "field.places.required"},
		{FieldEmployment, "slavery", "field.choice"},
		{FieldSalaryMin, "lots", "field.salary.amount"},
		{FieldSalaryMax, "10", "field.salary.order"},
		{FieldSalaryCurrency, "ABC", "field.salary.currency"},
		{FieldSalaryPeriod, "moon", "field.salary.period"},
		{FieldDescription, "<p><script>x</script></p>", "field.description.required"},
	} {
		v := good()
		v.Set(test.field, test.value)
		_, err := ContentFromForm(v, r)
		if got := fault.FieldsOf(err)[test.field]; got != test.want {
			t.Errorf("%s %q: %q, want %q", test.field, test.value, got, test.want)
		}
	}
	v := good()
	v.Set(FieldApplyMethod, ApplyLink)
	v.Set(FieldApplyTarget, "ftp://x.example")
	v.Set(FieldWorkplace, Remote)
	_, err = ContentFromForm(v, Rules{Locale: "de", Currency: "EUR", Country: "DE", NeedEmail: true})
	f := fault.FieldsOf(err)
	if f[FieldApplyTarget] != "field.apply.link" || f[FieldCountries] != "field.countries.required" || f[FieldEmail] != "field.email" {
		t.Errorf("fields: %v", f)
	}
	known := strings.Join(MessageKeys(), " ")
	for _, m := range f {
		if key, _ := Message(m); !strings.Contains(known, key) {
			t.Errorf("%s is not among the keys", key)
		}
	}
}

func TestAmounts(t *testing.T) {
	t.Parallel()
	for in, want := range map[string]int64{"85,000": 8500000, "85.000,50": 8500050, "85 000": 8500000, "85k": 8500000, "€ 85.000": 8500000, "1.234.567": 123456700,
		"12.5": 1250, "12,5": 1250, "85'000": 8500000, "45.5k": 4550000, "EUR 100": 10000, "100,-": 10000, "1,234.56": 123456} {
		if got, err := ParseAmount(in, "en", "EUR"); err != nil || got != want {
			t.Errorf("%q: %d %v, want %d", in, got, err, want)
		}
	}
	for _, in := range []string{"", "abc", "1.2.3", "12.345.6", "--5", "-5", "1,23,456", ",", "k", "99999999999999999999", "12.3456", "1.234.567,891"} {
		if got, err := ParseAmount(in, "en", "EUR"); err == nil {
			t.Errorf("%q: %d, want an error", in, got)
		}
	}
	if n, err := ParseAmount("5,000,000", "en", "JPY"); err != nil || n != 5000000 || FormatAmount(n, "JPY") != "5000000" {
		t.Errorf("yen: %d %v", n, err)
	}
	if FormatAmount(5, "EUR") != "0.05" || FormatAmount(1250, "EUR") != "12.50" || Exponent("KWD") != 3 {
		t.Error("amounts are written wrongly")
	}
	if YearlyAmount(1000, "hour") != 2080000 || YearlyAmount(7, "year") != 7 {
		t.Error("yearly amounts")
	}
}

func TestPlaces(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		in, country string
		want        Place
	}{
		{"Berlin, DE", "", Place{Country: "DE", City: "Berlin"}},
		{"Berlin, Deutschland", "US", Place{Country: "DE", City: "Berlin"}},
		{"Austin, TX, US", "", Place{Country: "US", Region: "TX", City: "Austin"}},
		{"San Francisco, CA", "US", Place{Country: "US", Region: "CA", City: "San Francisco"}},
		{"Toronto, CA", "", Place{Country: "CA", City: "Toronto"}},
		{"Germany", "", Place{Country: "DE"}},
		{"Berlin", "DE", Place{Country: "DE", City: "Berlin"}},
	} {
		got, ok := ParsePlace(c.in, c.country)
		if !ok || got != c.want {
			t.Errorf("%q on a board in %q: %+v %v, want %+v", c.in, c.country, got, ok, c.want)
		}
		if back, ok := ParsePlace(got.Text(), ""); !ok || back != got {
			t.Errorf("%q does not come back: %+v", got.Text(), back)
		}
	}
	if _, ok := ParsePlace("Nowhere", ""); ok {
		t.Error("a place without a country was taken")
	}
	if n := len(CountryCodes()); n < 240 || n > 255 {
		t.Errorf("%d countries: %v", n, CountryCodes())
	}
	if CountryName("DE", "de") != "Deutschland" || CountryName("US", "en") != "United States" {
		t.Error("country names")
	}
}

func TestSlugsAndPaths(t *testing.T) {
	t.Parallel()
	for in, want := range map[string]string{"Senior Go Dev (m/w/d)": "senior-go-dev-m-w-d", "Köchin für Große Küche": "koechin-fuer-grosse-kueche", "C++ / C#": "c-plus-plus-c-sharp",
		"日本": "job", "Café Manager": "cafe-manager", "Nurse's aide": "nurses-aide"} {
		if got := Slugify(in, "job"); got != want {
			t.Errorf("%q: %q, want %q", in, got, want)
		}
	}
	id := NewPublicID()
	if slug, got, ok := ParsePath("a-b-c-" + id); !ok || slug != "a-b-c" || got != id {
		t.Errorf("parsed %q %q %v", slug, got, ok)
	}
	if _, _, ok := ParsePath("a-b-0OIl"); ok {
		t.Error("letters outside base58 were taken")
	}
}

func TestFormulasAreKeptFromRunning(t *testing.T) {
	t.Parallel()
	for in, want := range map[string]string{"=1+1": "'=1+1", "@x": "'@x", "+49 30": "'+49 30", "-5": "-5", "-x": "'-x", "plain": "plain", "": ""} {
		if got := CSVCell(in); got != want {
			t.Errorf("%q: %q, want %q", in, got, want)
		}
	}
}

func TestLogosAreMadeAnew(t *testing.T) {
	t.Parallel()
	var b bytes.Buffer
	if err := png.Encode(&b, image.NewNRGBA(image.Rect(0, 0, 1000, 200))); err != nil {
		t.Fatal(err)
	}
	out, err := EncodeLogo(t.Context(), append(b.Bytes(), "<script>"...))
	if err != nil || bytes.Contains(out, []byte("<script>")) {
		t.Fatal("not made anew", err)
	}
	if cfg, err := png.DecodeConfig(bytes.NewReader(out)); err != nil || cfg.Width != 512 || cfg.Height != 102 {
		t.Errorf("%+v %v", cfg, err)
	}
	for in, want := range map[string]string{"<svg xmlns='http://www.w3.org/2000/svg'/>": "field.logo.type", "": "field.logo.type", string(b.Bytes()[:60]): "field.logo.broken"} {
		if _, err := EncodeLogo(t.Context(), []byte(in)); fault.FieldsOf(err)["logo"] != want {
			t.Errorf("%.20q: %v, want %s", in, err, want)
		}
	}
}

// bomb is a PNG of a few bytes that says how large it will be.
func bomb(width, height uint32) []byte {
	b := []byte("\x89PNG\r\n\x1a\n")
	head := binary.BigEndian.AppendUint32(binary.BigEndian.AppendUint32([]byte("IHDR"), width), height)
	head = append(head, 8, 6, 0, 0, 0)
	b = binary.BigEndian.AppendUint32(b, uint32(len(head)-4))
	return binary.BigEndian.AppendUint32(append(b, head...), crc32.ChecksumIEEE(head))
}

func TestAPictureBombIsRefusedUnread(t *testing.T) {
	t.Parallel()
	for _, side := range [][2]uint32{{60_000, 60_000}, {1 << 30, 1}, {1<<31 - 1, 4}, {4001, 4000}} {
		// Too large by its own word; who unfolds it finds it broken.
		if _, err := EncodeLogo(t.Context(), bomb(side[0], side[1])); !strings.HasPrefix(fault.FieldsOf(err)["logo"], "field.logo.large") {
			t.Errorf("%v: %v", side, err)
		}
	}
	// No room left: it waits as long as its request does.
	if err := unfolding.Acquire(t.Context(), maxPixels); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	_, err := EncodeLogo(ctx, bomb(4000, 4000))
	unfolding.Release(maxPixels)
	if !fault.Is(err, fault.Unavailable) {
		t.Errorf("with the memory taken: %v, want Unavailable", err)
	}
	if _, err := EncodeLogo(t.Context(), bomb(4000, 4000)); fault.FieldsOf(err)["logo"] != "field.logo.broken" {
		t.Errorf("with the memory free again: %v", err)
	}
}

func TestSanitise(t *testing.T) {
	t.Parallel()
	for in, want := range map[string]string{
		"<div>One<br>two</div><div><ul><li>a</li></ul></div>":          "<p>One<br/>two</p><ul><li>a</li></ul>",
		"<h1 onclick=x()>Big</h1><b>bold</b><script>alert(1)</script>": "<h3>Big</h3><strong>bold</strong>",
		`<a href="javascript:x()">a</a><img src=x onerror=y>`:          "a",
		`<a href="https://x.example/" target=_blank>b</a>`:             `<a href="https://x.example/" rel="nofollow noreferrer">b</a>`,
		"<p></p> ": "",
	} {
		if got := Sanitise(in); got != want {
			t.Errorf("%q\n got %q\nwant %q", in, got, want)
		}
	}
	if got := Text("<p>A &amp; B</p><ul><li>one</li><li>two</li></ul>"); got != "A & B\none\ntwo" {
		t.Errorf("text: %q", got)
	}
	if got := FromInput("1 < 2\nnext\n\n* item"); got != "<p>1 &lt; 2<br/>next</p><ul><li>item</li></ul>" {
		t.Errorf("plain text: %q", got)
	}
}

var unsafe = regexp.MustCompile(`(?i)<\s*(script|style|iframe|object|embed|svg|math|form|input|link|meta|base|img)|<[^>]*\son[a-z]+\s*=|href="\s*(javascript|data|vbscript)`)

func FuzzSanitise(f *testing.F) {
	for _, s := range []string{"<p>x</p>", "<div><div><p>a", "<svg><p><style><g title=\"</style><img src=x onerror=alert(1)>\">", "<math><mi//xlink:href=\"data:x,<script>\">",
		"<a href=\"jav&#x09;ascript:x\">", "<pre>\n\n x", "<table><tr><td><p>x", "<<p>", "<h1><div>x</div></h1>", strings.Repeat("<div>", 100)} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		once := Sanitise(s)
		if m := unsafe.FindString(once); m != "" {
			t.Fatalf("%q lets %q through: %q", s, m, once)
		}
		if twice := Sanitise(once); twice != once {
			t.Fatalf("not the same twice:\n in %q\n  1 %q\n  2 %q", s, once, twice)
		}
		_ = Text(once)
	})
}
