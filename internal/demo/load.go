package demo

import (
	"embed"
	"fmt"
	"hash/fnv"
	"math"
	"strconv"
	"strings"
	"time"

	"github.com/goccy/go-yaml"

	"shingle/internal/fault"
)

//go:embed data
var files embed.FS

// boardFile, companyFile, roleFile and listingFile are the shapes of the files
// under data/: one of each for every board, and one gazetteer for all.
type boardFile struct {
	Slug, Name, Tagline, Pack, Currency, Locale, Country string
	TimeZone                                             string `yaml:"time_zone"`
	Email                                                string
	Moderated                                            bool
	Mark, Colour                                         string
	Owner                                                Member
	Team                                                 []Member
	Intro, About, Footer, Privacy                        string
	Look                                                 struct{ Light, Dark, Shared map[string]string }
	Legal                                                Legal
	Categories                                           []Category
	Products                                             []struct {
		Slug, Name, Description string
		Price                   int64
		Days                    int
		Featured                bool
	}
	Voices       []voice
	Stock        stock
	Applications []applicationFile
}

type applicationFile struct {
	Listing, Name, Email, Note, Status, Ago string
	CV                                      []string `yaml:"cv"`
}

type companyFile struct {
	Slug, Name, Contact, Tagline, About, Industry, Size, City, Country, Colour, Mark string
	Voice                                                                            int
	Apply                                                                            string // board, link or email
	Offer                                                                            []string
	Hire                                                                             string
}

type roleFile struct {
	Category string
	About    []string
	Do       []string
	Bring    []string
	Hire     []string
	Tags     []string
}

type listingFile struct {
	Title, At, Role, Terms, Pay, Where, From, Lead, Note, State, Posted, Apply, Category string
	Tags                                                                                 []string
	Featured                                                                             bool
}

func read(name string, v any) error {
	raw, err := files.ReadFile("data/" + name)
	if err != nil {
		return fault.Wrap(err, fault.Internal, "demo data")
	}
	if err := yaml.UnmarshalWithOptions(raw, v, yaml.Strict()); err != nil {
		return fault.Wrap(err, fault.Internal, "demo data %s", name)
	}
	return nil
}

// load reads and assembles one board.
func load(slug string) (Board, error) {
	var (
		bf        boardFile
		companies []companyFile
		roles     map[string]roleFile
		listings  []listingFile
		places    map[string]Place
	)
	for _, f := range []struct {
		name string
		into any
	}{
		{slug + "/board.yaml", &bf},
		{slug + "/companies.yaml", &companies},
		{slug + "/roles.yaml", &roles},
		{slug + "/listings.yaml", &listings},
		{"places.yaml", &places},
	} {
		if err := read(f.name, f.into); err != nil {
			return Board{}, err
		}
	}

	b := Board{
		Slug: bf.Slug, Name: bf.Name, Tagline: bf.Tagline, Pack: bf.Pack, Currency: bf.Currency,
		Locale: bf.Locale, TimeZone: bf.TimeZone, Country: bf.Country, ContactEmail: bf.Email, Moderated: bf.Moderated,
		Owner: bf.Owner, Team: bf.Team, Intro: bf.Intro, About: bf.About, Footer: bf.Footer, PrivacyNote: bf.Privacy,
		Look: Look(bf.Look), Legal: bf.Legal, Categories: bf.Categories, mark: bf.Mark, colour: bf.Colour,
	}
	b.Owner.Role = "owner"
	for _, p := range bf.Products {
		b.Products = append(b.Products, Product(p))
	}

	a := assembler{board: &b, voices: bf.Voices, stock: bf.Stock, roles: roles, places: places, companies: map[string]companyFile{}}
	for _, c := range companies {
		host := c.Slug + ".example"
		b.Companies = append(b.Companies, Company{
			Slug: c.Slug, Name: c.Name, Website: "https://www." + host, Email: "jobs@" + host, Contact: c.Contact,
			Tagline: c.Tagline, About: c.About, Industry: c.Industry, Size: c.Size, City: c.City, Country: c.Country,
			Colour: c.Colour, mark: c.Mark,
		})
		a.companies[c.Slug] = c
	}
	for i, f := range listings {
		l, err := a.listing(i, f)
		if err != nil {
			return Board{}, fault.Wrap(err, fault.Internal, "demo listing %q on %s", f.Title, slug)
		}
		b.Listings = append(b.Listings, l)
	}
	for _, f := range bf.Applications {
		ago, err := duration(f.Ago)
		if err != nil {
			return Board{}, fault.Wrap(err, fault.Internal, "demo application of %s", f.Name)
		}
		b.Applications = append(b.Applications, Application{
			Listing: f.Listing, Name: f.Name, Email: f.Email, Note: f.Note, Status: f.Status, Age: ago,
			CVName: slugify(f.Name) + "-cv.pdf", CVLines: f.CV,
		})
	}
	return b, nil
}

// assembler turns listing lines into listings, with the board's stock at hand.
type assembler struct {
	board     *Board
	voices    []voice
	stock     stock
	roles     map[string]roleFile
	places    map[string]Place
	companies map[string]companyFile
}

func (a *assembler) listing(i int, f listingFile) (Listing, error) {
	c, ok := a.companies[f.At]
	if !ok {
		return Listing{}, fmt.Errorf("no company %q", f.At)
	}
	role, ok := a.roles[f.Role]
	if !ok {
		return Listing{}, fmt.Errorf("no role %q", f.Role)
	}
	l := Listing{
		Key: slugify(f.At + " " + f.Title), State: "live", Title: f.Title, Company: f.At, Category: role.Category,
		Tags: role.Tags, Featured: f.Featured, ApplyMethod: "board",
		Reference: fmt.Sprintf("%s-%03d", strings.ToUpper(slugify(c.Name)[:2]), 101+seed(f.At, f.Title)%799),
	}
	if f.State != "" {
		l.State = f.State
	}
	if f.Category != "" {
		l.Category = f.Category
	}
	if len(f.Tags) > 0 {
		l.Tags = f.Tags
	}

	terms := strings.Fields(f.Terms)
	if len(terms) < 2 {
		return Listing{}, fmt.Errorf("terms %q", f.Terms)
	}
	l.EmploymentType, l.Workplace = terms[0], terms[1]
	if len(terms) > 2 {
		l.Seniority = terms[2]
	}
	for _, key := range strings.Split(f.Where, ",") {
		if key = strings.TrimSpace(key); key == "" {
			continue
		}
		p, ok := a.places[key]
		if !ok {
			return Listing{}, fmt.Errorf("no place %q", key)
		}
		l.Places = append(l.Places, p)
	}
	l.Countries = strings.Fields(f.From)

	var err error
	if l.SalaryMin, l.SalaryMax, l.SalaryCurrency, l.SalaryPeriod, err = pay(f.Pay); err != nil {
		return Listing{}, err
	}

	switch apply := firstOf(f.Apply, c.Apply, "board"); apply {
	case "board":
	case "link":
		l.ApplyMethod, l.ApplyTarget = apply, "https://www."+c.Slug+".example/jobs/"+strings.ToLower(l.Reference)
	case "email":
		l.ApplyMethod, l.ApplyTarget = apply, "jobs@"+c.Slug+".example"
	default:
		return Listing{}, fmt.Errorf("apply %q", apply)
	}
	a.product(&l)
	if err := a.age(&l, i, f.Posted); err != nil {
		return Listing{}, err
	}
	l.Description = describe(a.voices[c.Voice%len(a.voices)], a.stock, c, role, f)
	return l, nil
}

// product names what a listing of its kind would have been bought with: the
// first that fits, as data/ lists them from plain to featured. A board may have
// a starter product for those who learn or help.
func (a *assembler) product(l *Listing) {
	starter := false
	switch l.EmploymentType {
	case "volunteer", "apprenticeship", "internship":
		starter = !l.Featured
	}
	for _, p := range a.board.Products {
		if p.Featured != l.Featured || strings.HasPrefix(p.Slug, "starter-") && !starter {
			continue
		}
		l.Product = p.Slug
		return
	}
}

// age spreads publication over the last four weeks, densest in the last days,
// and ends a listing when its product's days are over.
func (a *assembler) age(l *Listing, i int, posted string) error {
	days := 30
	for _, p := range a.board.Products {
		if p.Slug == l.Product {
			days = p.Days
		}
	}
	run := time.Duration(days) * 24 * time.Hour
	if posted != "" {
		age, err := duration(posted)
		if err != nil {
			return err
		}
		l.Age = age
	} else {
		// A bent ramp walked in a scrambled order, so that neighbours in
		// the file are not neighbours on the board.
		const steps = 67
		x := float64((i*29)%steps) / steps
		minutes := time.Duration(seed(l.Key)%173) * time.Minute
		l.Age = time.Duration(math.Pow(x, 1.7)*27.7*24)*time.Hour + 40*time.Minute + minutes
	}
	switch l.State {
	case "live", "paused", "filled":
		l.EndsIn = run - l.Age
	case "expired":
		l.Age = run + l.Age
		l.EndsIn = run - l.Age
	}
	return nil
}

// pay reads "150000-185000 USD year" or "18.50 GBP hour" into minor units.
func pay(s string) (low, high int64, currency, period string, err error) {
	if s == "" {
		return 0, 0, "", "", nil
	}
	f := strings.Fields(s)
	if len(f) != 3 {
		return 0, 0, "", "", fmt.Errorf("pay %q", s)
	}
	from, to, ranged := strings.Cut(f[0], "-")
	if low, err = minor(from); err != nil {
		return 0, 0, "", "", err
	}
	high = low
	if ranged {
		if high, err = minor(to); err != nil {
			return 0, 0, "", "", err
		}
	}
	return low, high, f[1], f[2], nil
}

// minor reads an amount with at most two decimals; every currency of the demo
// data has two.
func minor(s string) (int64, error) {
	whole, frac, _ := strings.Cut(s, ".")
	return strconv.ParseInt(whole+(frac + "00")[:2], 10, 64)
}

// duration reads "3d", "5h" or "40m".
func duration(s string) (time.Duration, error) {
	if n, ok := strings.CutSuffix(s, "d"); ok {
		days, err := strconv.Atoi(n)
		return time.Duration(days) * 24 * time.Hour, err
	}
	return time.ParseDuration(s)
}

func firstOf(values ...string) string {
	for _, v := range values {
		if v != "" {
			return v
		}
	}
	return ""
}

// seed is a number that is the same for the same words on every run.
func seed(words ...string) int {
	h := fnv.New32a()
	for _, w := range words {
		h.Write([]byte(w))
		h.Write([]byte{0})
	}
	return int(h.Sum32() & 0x7fffffff)
}

var plainLetters = strings.NewReplacer("ä", "ae", "ö", "oe", "ü", "ue", "ß", "ss", "é", "e", "è", "e", "á", "a",
	"ø", "o", "å", "a", "ñ", "n", "ç", "c", "ó", "o", "í", "i", "ã", "a", "ê", "e", "ł", "l", "ş", "s", "ð", "d", "æ", "ae", "ń", "n", "ě", "e", "š", "s", "č", "c", "ž", "z", "(m/w/d)", "", "&", "and")

// slugify folds a name to lower-case letters, digits and single hyphens.
func slugify(s string) string {
	var out strings.Builder
	gap := false
	for _, r := range plainLetters.Replace(strings.ToLower(s)) {
		if (r >= 'a' && r <= 'z') || (r >= '0' && r <= '9') {
			if gap && out.Len() > 0 {
				out.WriteByte('-')
			}
			gap = false
			out.WriteRune(r)
			continue
		}
		gap = true
	}
	return out.String()
}
