package searchtest

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"time"

	"github.com/google/uuid"

	"shingle/search"
)

// Mix is the fixed list of searches behind the figures of speed: 30 % browse,
// 30 % one common word, 30 % two or three words with two facets, 10 % rare or
// misspelt. Each entry is a URL's query; draw a group by its share, then an
// entry of it.
var Mix = []struct {
	Share   int
	Queries []string
}{
	{30, []string{"", "page=2", "page=5", "workplace=remote", "type=full_time", "category=engineering", "sort=recent",
		"type=contract&workplace=hybrid", "country=DE", "salary_min=60000"}},
	{30, []string{"q=engineer", "q=manager", "q=developer", "q=nurse", "q=sales", "q=designer", "q=analyst", "q=senior", "q=driver", "q=remote"}},
	{30, []string{"q=senior+engineer&type=full_time&workplace=remote", "q=product+manager&type=full_time&category=product",
		"q=data+analyst+london&type=contract&workplace=hybrid", "q=sales+manager&type=full_time&seniority=senior",
		"q=night+nurse&type=part_time&category=health", "q=lead+software+developer&workplace=remote&country=DE",
		"q=junior+designer&type=internship&workplace=on_site", "q=warehouse+driver&type=temporary&category=logistics",
		"q=software+engineer+berlin&type=full_time&seniority=mid", "q=marketing+manager&workplace=hybrid&country=GB"}},
	{10, []string{"q=enginer", "q=devloper", "q=acountant", "q=palaeontologist", "q=sofware+enginere", "location=Amstredam",
		"q=xylophone+tuner", "q=nurze", "q=c%2B%2B", "q=managr&type=full_time"}},
}

var (
	roles = []string{"Engineer", "Software Engineer", "Developer", "Manager", "Product Manager", "Nurse", "Sales Manager", "Designer", "Data Analyst",
		"Accountant", "Driver", "Warehouse Driver", "Teacher", "Cook", "Marketing Manager", "Support Agent", "C++ Developer", "Electrician", "Recruiter", "Lawyer"}
	levels = []string{"Senior", "Junior", "Lead", "", "", "", "Principal"}
	towns  = []search.Place{{Country: "DE", City: "Berlin"}, {Country: "DE", City: "München"}, {Country: "GB", City: "London"}, {Country: "GB", City: "Leeds"},
		{Country: "US", City: "Austin"}, {Country: "US", City: "New York"}, {Country: "FR", City: "Paris"}, {Country: "NL", City: "Amsterdam"}, {Country: "IE", City: "Dublin"}}
	branches = []string{"engineering", "product", "health", "logistics", "design", "data", "finance", "support", "education", "legal"}
	topics   = strings.Fields(`team work company customers product service experience skills people business build support time project
		develop manage data quality process training office benefits salary career growth design software report plan lead sales market
		night shift patient care delivery route safety budget client finance audit cloud platform network research learning culture travel`)
)

// Corpus yields n made-up listings of about 250 words, the same for a seed.
func Corpus(seed uint64, n int) search.Documents {
	return func(yield func([]search.Document, error) bool) {
		r := rand.New(rand.NewPCG(seed, 1)) //nolint:gosec // texts, not secrets
		rare := rand.NewZipf(r, 1.1, 4, 8000)
		employers := rand.NewZipf(r, 1.2, 20, 2500)
		now := time.Now().UTC().Truncate(time.Second)
		pick := func(list []string) string { return list[r.IntN(len(list))] }
		var batch []search.Document
		for i := range n {
			town := towns[r.IntN(len(towns))]
			company := employers.Uint64()
			var text strings.Builder
			for range 250 {
				if r.IntN(2) == 0 {
					text.WriteString(pick(topics))
				} else {
					fmt.Fprintf(&text, "w%sx", strings.Repeat(string(rune('a'+rare.Uint64()%26)), 1)+fmt.Sprint(rare.Uint64()))
				}
				text.WriteByte(' ')
			}
			batch = append(batch, search.Document{ID: uuid.NewSHA1(uuid.Nil, fmt.Appendf(nil, "%d %d", seed, i)), Version: 1,
				Title: strings.TrimSpace(pick(levels) + " " + pick(roles)), Company: fmt.Sprintf("Employer %d", company), CompanySlug: fmt.Sprintf("employer-%d", company),
				Category: pick(branches), Type: pick(search.Types[:5]), Workplace: pick(search.Workplaces), Seniority: pick(search.Seniorities),
				Places: []search.Place{town}, Countries: []string{town.Country}, SalaryMin: int64(30000+r.IntN(60000)) * 100,
				Featured: r.IntN(50) == 0, PublishedAt: now.Add(-time.Duration(r.IntN(60*24*3600)) * time.Second), Text: text.String()})
			if len(batch) == 500 || i == n-1 {
				if !yield(batch, nil) {
					return
				}
				batch = nil
			}
		}
	}
}
