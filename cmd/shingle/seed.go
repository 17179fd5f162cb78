package main

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"html"
	"math/rand/v2"
	"os"
	"runtime/debug"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"github.com/schollz/progressbar/v3"
	"github.com/spf13/cobra"
	"github.com/uptrace/bun"
	"golang.org/x/sync/errgroup"

	"shingle/authz"
	"shingle/internal/demo"
	"shingle/listings"
	"shingle/search"
	"shingle/tenant"
)

// ad is a listing's source: a line of the file, or a demo listing.
type ad struct {
	Title          string `json:"title"`
	Country        string `json:"country"`
	Region         string `json:"region"`
	City           string `json:"city"`
	Department     string `json:"department"`
	SalaryRange    string `json:"salary_range"`
	Remote         bool   `json:"remote"`
	EmploymentType string `json:"employment_type"`
	Experience     string `json:"experience"`
	Function       string `json:"function"`
	Industry       string `json:"industry"`
	CompanyProfile string `json:"company_profile"`
	Description    string `json:"description"`
	Requirements   string `json:"requirements"`
	Benefits       string `json:"benefits"`

	text string // the description without markup
}

func seedCmd() *cobra.Command {
	var boards, perBoard int
	var file string
	cmd := &cobra.Command{
		Use: "seed", Short: "Make boards seed-1 … seed-N with M live listings each, for trying and measuring", Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if boards < 1 || perBoard < 0 {
				return fmt.Errorf("--boards must be 1 or more and --listings 0 or more")
			}
			a, err := open(cmd.Context(), "seed")
			if err != nil {
				return err
			}
			defer a.close()
			return a.seed(cmd.Context(), boards, perBoard, file)
		},
	}
	cmd.Flags().IntVar(&boards, "boards", 1, "how many boards")
	cmd.Flags().IntVar(&perBoard, "listings", 100, "live listings of each board")
	cmd.Flags().StringVar(&file, "data", "", "JSON Lines to take texts from (title, country, city, description …)")
	return cmd
}

// seed fills a few boards at a time. A board that has its listings is left alone, so
// a seed that was stopped goes on where it was.
func (a *app) seed(ctx context.Context, boards, perBoard int, file string) error {
	if a.cfg.BoardDomain == "" {
		a.cfg.BoardDomain = "localhost"
		a.links.BoardDomain = "localhost"
	}
	ads, err := readAds(file)
	if err != nil {
		return err
	}
	// Rows are made and forgotten: collecting them four times less often leaves
	// the processor to Postgres, for some ten megabytes.
	defer debug.SetGCPercent(debug.SetGCPercent(400))
	bar := progressbar.NewOptions(boards*perBoard, progressbar.OptionSetWriter(os.Stderr), progressbar.OptionSetDescription("listings"),
		progressbar.OptionShowCount(), progressbar.OptionShowIts(), progressbar.OptionSetItsString("listings"), progressbar.OptionThrottle(200*time.Millisecond))
	// Boards for measuring have no plan to run out and need no certificates.
	launcher := *a.launcher
	launcher.Plans, launcher.Order = nil, nil
	begun := time.Now()
	var made atomic.Int64
	g, ctx := errgroup.WithContext(ctx)
	g.SetLimit(seedAtOnce)
	for n := 1; n <= boards; n++ {
		g.Go(func() error {
			slug := "seed-" + strconv.Itoa(n)
			t, err := a.boards.BySlug(ctx, slug)
			if err != nil {
				t, err = launcher.Launch(ctx, tenant.NewBoard{Slug: slug, Name: "Seed " + strconv.Itoa(n), Tagline: "Jobs for measuring", Locale: "en", Currency: "USD", TimeZone: "UTC", Country: "US"}, "owner@"+slug+".example")
				if err != nil {
					return plainError(err)
				}
				if err := a.record(ctx, t, authz.Act{Act: "board.created", ObjectKind: "board", ObjectID: t.ID.String()}); err != nil {
					return err
				}
			}
			added, err := a.seedBoard(tenant.With(ctx, t), n, perBoard, ads, bar)
			if err != nil {
				return fmt.Errorf("board %s: %w", slug, err)
			}
			made.Add(int64(added))
			return nil
		})
	}
	if err := g.Wait(); err != nil {
		return err
	}
	_ = bar.Finish()
	took := time.Since(begun)
	fmt.Fprintf(os.Stderr, "\n%d listings on %d boards in %s (%.0f listings/s)\n", made.Load(), boards, took.Round(time.Millisecond), float64(made.Load())/took.Seconds())
	return nil
}

// seedAtOnce is how many boards are filled at the same time: while one waits
// for Postgres, another prepares its rows.
const seedAtOnce = 2

// seedChunk is how many listings one transaction writes, with their documents.
const seedChunk = 2500

func (a *app) seedBoard(ctx context.Context, n, want int, ads []ad, bar *progressbar.ProgressBar) (int, error) {
	have := 0
	var cats []listings.Category
	err := a.db.Read(ctx, func(ctx context.Context, tx bun.IDB) (err error) {
		if have, err = a.listings.CountLive(ctx, tx); err != nil {
			return err
		}
		cats, err = a.listings.Categories(ctx, tx)
		return err
	})
	if err != nil || have >= want {
		_ = bar.Add(want)
		return 0, err
	}
	_ = bar.Add(have)
	rng := rand.New(rand.NewPCG(uint64(n), 7)) // #nosec G404 -- the same data every time
	cos := seedCompanies(rng, max(5, want/20), have)
	for done := have; done < want; {
		rows, texts := make([]listings.Listing, 0, seedChunk), make([]string, 0, seedChunk)
		for i := done; i < min(want, done+seedChunk); i++ {
			d := &ads[(i*31+n*17)%len(ads)]
			rows, texts = append(rows, seedListing(rng, d, cos, cats)), append(texts, d.text)
		}
		first := done == have
		err := a.db.Write(ctx, func(ctx context.Context, tx bun.IDB) error {
			// A crash of the server may lose the last moment of it; the seed then goes on from there.
			// Checks of foreign keys keep the plan of their first rows: on a table that was
			// empty then it reads the whole table for each row.
			if _, err := tx.ExecContext(ctx, "SET LOCAL synchronous_commit = off; SET LOCAL enable_seqscan = off"); err != nil {
				return err
			}
			if first {
				if err := a.listings.BulkCompanies(ctx, tx, cos); err != nil {
					return err
				}
			}
			if err := a.listings.BulkInsert(ctx, tx, rows, false); err != nil {
				return err
			}
			docs := make([]search.Document, len(rows))
			for i := range rows {
				docs[i] = search.NewDocument(&rows[i], texts[i])
			}
			index, err := a.search.Prepare(ctx, docs...)
			if err != nil {
				return err
			}
			return index(ctx, tx)
		})
		if err != nil {
			return 0, err
		}
		done += len(rows)
		_ = bar.Add(len(rows))
	}
	return want - have, nil
}

var (
	seedFirst  = []string{"North", "Bright", "Blue", "Quiet", "Iron", "Open", "Green", "Swift", "Stone", "Clear", "Silver", "Maple", "River", "Harbour", "Summit", "Cedar"}
	seedSecond = []string{"field", "works", "line", "bridge", "point", "labs", "yard", "house", "gate", "wave", "path", "forge", "mark", "wood", "light", "ridge"}
	seedLast   = []string{"Systems", "Group", "Partners", "Health", "Logistics", "Studio", "Energy", "Foods", "Media", "Software"}
	seedRanks  = []string{"", "", "Senior ", "Junior ", "Lead ", "Associate "}
	seedPlaces = []listings.Place{{Country: "US", Region: "NY", City: "New York"}, {Country: "US", Region: "TX", City: "Austin"}, {Country: "US", Region: "WA", City: "Seattle"}, {Country: "US", Region: "IL", City: "Chicago"},
		{Country: "CA", Region: "ON", City: "Toronto"}, {Country: "GB", City: "London"}, {Country: "GB", City: "Leeds"}, {Country: "IE", City: "Dublin"}, {Country: "DE", City: "Berlin"}, {Country: "DE", City: "Hamburg"},
		{Country: "NL", City: "Utrecht"}, {Country: "FR", City: "Lyon"}, {Country: "ES", City: "Valencia"}, {Country: "PL", City: "Gdańsk"}, {Country: "AU", City: "Melbourne"}, {Country: "NZ", City: "Wellington"}}
)

func seedCompanies(rng *rand.Rand, n, offset int) []listings.Company {
	out := make([]listings.Company, n)
	for i := range out {
		name := seedFirst[rng.IntN(len(seedFirst))] + seedSecond[rng.IntN(len(seedSecond))] + " " + seedLast[rng.IntN(len(seedLast))]
		out[i] = listings.Company{ID: tenant.NewRowID(), Name: name, Slug: listings.Slugify(name, "company") + "-" + strconv.Itoa(offset+i), Website: "https://" + listings.Slugify(name, "company") + ".example"}
	}
	return out
}

var seedTypes = map[string]string{"full-time": listings.FullTime, "part-time": listings.PartTime, "contract": listings.Contract, "temporary": listings.Temporary}

func seedListing(rng *rand.Rand, d *ad, cos []listings.Company, cats []listings.Category) listings.Listing {
	published := time.Now().Add(-time.Duration(rng.Int64N(int64(28 * 24 * time.Hour))))
	ends := published.AddDate(0, 0, 30+rng.IntN(30))
	co := &cos[rng.IntN(len(cos))]
	l := listings.Listing{CompanyID: co.ID, Company: co, State: listings.Live, Title: seedRanks[rng.IntN(len(seedRanks))] + d.Title, Description: d.Description, Source: listings.FromSeed,
		EmploymentType: listings.FullTime, Workplace: listings.Workplaces()[rng.IntN(3)], PublishedAt: &published, EndsAt: &ends, Featured: rng.IntN(40) == 0}
	if t := seedTypes[strings.ToLower(d.EmploymentType)]; t != "" {
		l.EmploymentType = t
	} else if rng.IntN(5) == 0 {
		l.EmploymentType = listings.EmploymentTypes()[rng.IntN(4)]
	}
	if len(cats) > 0 {
		l.Category = &cats[rng.IntN(len(cats))]
		l.CategoryID = &l.Category.ID
	}
	if d.Country != "" && d.City != "" && rng.IntN(3) == 0 {
		l.Places = []listings.Place{{Country: d.Country, Region: d.Region, City: d.City}}
	} else {
		l.Places = []listings.Place{seedPlaces[rng.IntN(len(seedPlaces))]}
	}
	if l.Workplace == listings.Remote {
		l.ApplicantCountries = []string{l.Places[0].Country}
	}
	if rng.IntN(3) > 0 {
		lo := int64(30+rng.IntN(120)) * 100_000
		hi := lo + int64(5+rng.IntN(40))*100_000
		l.SalaryMin, l.SalaryMax, l.SalaryCurrency, l.SalaryPeriod = &lo, &hi, "USD", "year"
	}
	for _, tag := range []string{d.Department, d.Function, d.Industry} {
		if tag = strings.TrimSpace(tag); tag != "" && len(tag) <= 40 && len(l.Tags) < 3 {
			l.Tags = append(l.Tags, tag)
		}
	}
	return l
}

func readAds(file string) ([]ad, error) {
	if file == "" {
		return demoAds()
	}
	f, err := os.Open(file) // #nosec G304 -- the operator's own file
	if err != nil {
		return nil, err
	}
	defer func() { _ = f.Close() }()
	var out []ad
	in := bufio.NewScanner(f)
	in.Buffer(nil, 4<<20)
	for n := 1; in.Scan(); n++ {
		if strings.TrimSpace(in.Text()) == "" {
			continue
		}
		var d ad
		if err := json.Unmarshal(in.Bytes(), &d); err != nil {
			return nil, fmt.Errorf("%s, line %d: not a JSON object of the expected shape", file, n)
		}
		if d.Title == "" || d.Description == "" {
			continue
		}
		if r := []rune(d.Title); len(r) > 90 {
			d.Title = string(r[:90])
		}
		var b strings.Builder
		for _, part := range []string{d.Description, d.Requirements, d.Benefits, d.CompanyProfile} {
			if strings.TrimSpace(part) != "" {
				b.WriteString(listings.FromText(part))
			}
		}
		d.Description = listings.Sanitise(b.String())
		d.text = search.PlainText(d.Description)
		out = append(out, d)
	}
	if err := in.Err(); err != nil {
		return nil, err
	}
	if len(out) == 0 {
		return nil, fmt.Errorf("%s holds no listing with title and description", file)
	}
	return out, nil
}

// demoAds takes the texts of the demo's English boards.
func demoAds() ([]ad, error) {
	boards, err := demo.Boards()
	if err != nil {
		return nil, err
	}
	var out []ad
	for _, b := range boards {
		for _, l := range b.Listings {
			if b.Locale == "en" {
				d := ad{Title: html.UnescapeString(l.Title), Description: listings.Sanitise(l.Description)}
				if len(l.Tags) > 0 {
					d.Department = l.Tags[0]
				}
				d.text = search.PlainText(d.Description)
				out = append(out, d)
			}
		}
	}
	return out, nil
}
