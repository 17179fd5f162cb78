package api_test

import (
	"bytes"
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/gin-gonic/gin"
	"github.com/google/go-cmp/cmp"
	"github.com/google/uuid"
	"github.com/uptrace/bun"
	"go.uber.org/goleak"

	"shingle/accounts"
	"shingle/internal/links"
	"shingle/internal/testkit"
	"shingle/listings"
	"shingle/search"
	"shingle/search/postgres"
	"shingle/tenant"
	"shingle/web/api"
	"shingle/web/route"
	"shingle/web/site"
)

var update = flag.Bool("update", false, "write the golden files anew")

// The names that search remembers are swept by a goroutine as old as the service.
func TestMain(m *testing.M) {
	testkit.Main(m, goleak.IgnoreAnyFunction("github.com/maypok86/otter/v2.periodicCleanUp[...]"))
}

func clock() time.Time { return time.Now().UTC().Truncate(time.Second) }

type bench struct {
	*testkit.World
	api    *api.API
	store  *listings.Store
	search *search.Service
}

func start(t *testing.T) *bench {
	t.Helper()
	gin.SetMode(gin.TestMode)
	w := testkit.NewWorld(t)
	l := links.Links{Scheme: "https", PlatformHost: "localhost", BoardDomain: "localhost"}
	b := &bench{World: w, store: listings.NewStore(l)}
	b.search = search.NewService(search.Options{DB: w.DB, Platform: w.Platform, Local: postgres.New(w.DB)})
	s := &site.Site{Now: clock}
	if err := s.Load(); err != nil {
		t.Fatal(err)
	}
	b.api = &api.API{DB: w.DB, Links: l, Listings: b.store, Search: b.search, Site: s, Now: clock}
	if err := b.api.Load(); err != nil {
		t.Fatal(err)
	}
	return b
}

func content(title, company string) listings.Content {
	lo, hi := int64(9_000_000), int64(12_000_000)
	return listings.Content{Title: title, Company: company, Website: "https://tidewater.example", EmploymentType: listings.FullTime,
		Workplace: listings.Hybrid, Seniority: "senior", Places: []listings.Place{{Country: "PT", City: "Lisbon"}},
		SalaryMin: &lo, SalaryMax: &hi, SalaryCurrency: "USD", SalaryPeriod: "year",
		Description: "<p>You will run the services that harbours stand on &amp; like it.</p>", Tags: []string{"Go", "Postgres"},
		ApplyMethod: listings.ApplyBoard, Reference: "ENG-204"}
}

// live makes a listing that is out and indexed.
func (b *bench) live(t *testing.T, board *tenant.Tenant, c listings.Content) *listings.Listing {
	t.Helper()
	ctx := b.Ctx(t, board)
	var l *listings.Listing
	err := b.DB.Write(ctx, func(ctx context.Context, tx bun.IDB) (err error) {
		if l, err = b.store.Create(ctx, tx, c, listings.Owner{}); err != nil {
			return err
		}
		if err := b.store.Grant(ctx, tx, listings.Entitlement{ListingID: l.ID, Kind: listings.Posting, Days: 30}); err != nil {
			return err
		}
		l, err = b.store.Publish(ctx, tx, l.ID)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	if err := b.search.Index(ctx, search.Ref{ID: l.ID, Version: l.Version}); err != nil {
		t.Fatal(err)
	}
	return l
}

// get asks as a request to the board would come in.
func (b *bench) get(t *testing.T, board *tenant.Tenant, path string, header ...string) *httptest.ResponseRecorder {
	t.Helper()
	return b.send(t, http.MethodGet, board, path, header...)
}

func (b *bench) send(t *testing.T, method string, board *tenant.Tenant, path string, header ...string) *httptest.ResponseRecorder {
	t.Helper()
	r := httptest.NewRequest(method, path, nil)
	for i := 0; i+1 < len(header); i += 2 {
		r.Header.Set(header[i], header[i+1])
	}
	rec := httptest.NewRecorder()
	b.handler(t, board).ServeHTTP(rec, r)
	return rec
}

// handler serves one board, as behind the resolver.
func (b *bench) handler(t *testing.T, board *tenant.Tenant) http.Handler {
	e := gin.New()
	b.api.Mount(e.Group("", func(c *gin.Context) {
		// The board with the generation of this moment.
		now := *board
		err := b.Platform.Read(c.Request.Context(), func(ctx context.Context, tx bun.IDB) error {
			return tx.NewRaw("SELECT generation FROM generations WHERE tenant_id = ?", board.ID).Scan(ctx, &now.Generation)
		})
		if err != nil {
			t.Error(err)
		}
		c.Request = c.Request.WithContext(tenant.With(c.Request.Context(), &now))
	}, route.RequestID))
	return e
}

func decode[T any](t *testing.T, rec *httptest.ResponseRecorder, status int) T {
	t.Helper()
	var v T
	if rec.Code != status {
		t.Fatalf("status %d, want %d: %s", rec.Code, status, rec.Body)
	}
	if err := json.Unmarshal(rec.Body.Bytes(), &v); err != nil {
		t.Fatalf("%v in %s", err, rec.Body)
	}
	return v
}

func golden(t *testing.T, name string, got []byte) {
	t.Helper()
	path := "testdata/" + name
	if *update {
		if err := os.WriteFile(path, got, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff(string(want), string(got)); d != "" {
		t.Errorf("%s (-want +got):\n%s", name, d)
	}
}

func TestOneJob(t *testing.T) {
	t.Parallel()
	b := start(t)
	board, rival := b.Board(t, "harbor"), b.Board(t, "rival")
	var category string
	if err := b.DB.Write(b.Ctx(t, board), func(ctx context.Context, tx bun.IDB) error {
		c, err := b.store.CreateCategory(ctx, tx, "Engineering")
		category = c.Slug
		return err
	}); err != nil {
		t.Fatal(err)
	}
	c := content("Backend engineer", "Tidewater Labs")
	c.Category = category
	l := b.live(t, board, c)
	rec := b.get(t, board, "/api/v1/jobs/"+l.PublicID)
	decode[map[string]any](t, rec, http.StatusOK)
	var pretty bytes.Buffer
	if err := json.Indent(&pretty, rec.Body.Bytes(), "", "  "); err != nil {
		t.Fatal(err)
	}
	out := strings.NewReplacer(l.PublicID, "<id>", l.PublishedAt.UTC().Format("2006-01-02T15:04:05Z"), "<published>", l.EndsAt.UTC().Format("2006-01-02T15:04:05Z"), "<ends>",
		l.UpdatedAt.UTC().Format("2006-01-02T15:04:05Z"), "<published>").Replace(pretty.String())
	golden(t, "job.json", []byte(out))
	for name, want := range map[string]string{"Access-Control-Allow-Origin": "*", "Cache-Control": "public, max-age=60",
		"Content-Type": "application/json", "X-Content-Type-Options": "nosniff"} {
		if got := rec.Header().Get(name); got != want {
			t.Errorf("%s is %q, want %q", name, got, want)
		}
	}

	for _, id := range []string{l.PublicID, "nosuchjob11", "not-an-id", uuid.NewString()} {
		rec := b.get(t, rival, "/api/v1/jobs/"+id)
		p := decode[struct {
			Status   int
			Detail   string
			Instance string
		}](t, rec, http.StatusNotFound)
		if p.Detail != "listing not found" || !strings.HasPrefix(p.Instance, "urn:uuid:") || rec.Header().Get("Content-Type") != "application/problem+json" {
			t.Errorf("rival asks for %s: %+v, %s", id, p, rec.Header().Get("Content-Type"))
		}
		if rec.Header().Get("Cache-Control") != "no-store" || rec.Header().Get("ETag") != "" {
			t.Errorf("an error may be kept: %v", rec.Header())
		}
	}
}

func TestOverAndHidden(t *testing.T) {
	t.Parallel()
	b := start(t)
	board := b.Board(t, "harbor")
	status := func(l *listings.Listing) int { return b.get(t, board, "/api/v1/jobs/"+l.PublicID).Code }
	draft := content("Draft", "Tidewater Labs")
	var hidden *listings.Listing
	do := func(fn tenant.Fn) {
		t.Helper()
		if err := b.DB.Write(b.Ctx(t, board), fn); err != nil {
			t.Fatal(err)
		}
	}
	do(func(ctx context.Context, tx bun.IDB) (err error) {
		hidden, err = b.store.Create(ctx, tx, draft, listings.Owner{})
		return err
	})
	if got := status(hidden); got != http.StatusNotFound {
		t.Errorf("a draft answers %d, want 404", got)
	}
	for name, c := range map[string]struct {
		act  func(ctx context.Context, tx bun.IDB, id uuid.UUID) error
		want int
	}{
		"paused": {func(ctx context.Context, tx bun.IDB, id uuid.UUID) error {
			_, err := b.store.Pause(ctx, tx, id, "")
			return err
		}, http.StatusNotFound},
		"filled": {func(ctx context.Context, tx bun.IDB, id uuid.UUID) error {
			_, err := b.store.MarkFilled(ctx, tx, id)
			return err
		}, http.StatusGone},
		"removed": {func(ctx context.Context, tx bun.IDB, id uuid.UUID) error {
			_, err := b.store.Remove(ctx, tx, id, "")
			return err
		}, http.StatusGone},
	} {
		l := b.live(t, board, content("To be "+name, "Tidewater Labs"))
		do(func(ctx context.Context, tx bun.IDB) error { return c.act(ctx, tx, l.ID) })
		if got := status(l); got != c.want {
			t.Errorf("%s: answers %d, want %d", name, got, c.want)
		}
	}
}

func TestListsPageAndNarrow(t *testing.T) {
	t.Parallel()
	b := start(t)
	board, rival := b.Board(t, "harbor"), b.Board(t, "rival")
	for i := range 5 {
		c := content(fmt.Sprintf("Engineer number %d", i), "Tidewater Labs")
		if i == 0 {
			c.EmploymentType, c.Company = listings.Contract, "Quayside"
		}
		b.live(t, board, c)
	}
	b.live(t, rival, content("Engineer elsewhere", "Rival"))
	seen, path, pages := map[string]bool{}, "/api/v1/jobs?limit=2&q=engineer", 0
	for path != "" && pages < 9 {
		page := decode[api.JobList](t, b.get(t, board, path), http.StatusOK)
		for _, j := range page.Jobs {
			seen[j.ID] = true
			if j.DescriptionHTML != "" || j.Title == "" || j.Salary == nil {
				t.Errorf("a listed job is %+v", j)
			}
		}
		if page.Total != 5 || page.Pages != 3 || page.Limit != 2 {
			t.Errorf("total %d, pages %d, limit %d; want 5, 3, 2", page.Total, page.Pages, page.Limit)
		}
		pages++
		path = strings.TrimPrefix(page.Links.Next, "https://harbor.localhost")
	}
	if len(seen) != 5 || pages != 3 {
		t.Errorf("saw %d jobs on %d pages, want 5 on 3", len(seen), pages)
	}
	for query, want := range map[string]int{"": 5, "type=contract": 1, "type=contract&type=full_time": 5, "company=quayside": 1,
		"salary_min=100000": 5, "salary_min=130000": 0, "country=PT": 5, "workplace=remote": 0, "category=none": 0,
		"since=" + time.Now().Add(time.Hour).UTC().Format(time.RFC3339): 0} {
		if got := decode[api.JobList](t, b.get(t, board, "/api/v1/jobs?"+query), http.StatusOK); got.Total != want || got.Jobs == nil {
			t.Errorf("%q finds %d, want %d", query, got.Total, want)
		}
	}
	all := decode[api.JobList](t, b.get(t, board, "/api/v1/jobs?type=contract"), http.StatusOK)
	if want := []api.FacetValue{{Value: "full_time", Text: "Full-time", Count: 4}, {Value: "contract", Text: "Contract", Count: 1, On: true}}; !slices.Equal(all.Facets.Type, want) {
		t.Errorf("facet %+v, want %+v", all.Facets.Type, want)
	}
	cos := decode[api.CompanyList](t, b.get(t, board, "/api/v1/companies?limit=1&page=2"), http.StatusOK)
	if cos.Total != 2 || len(cos.Companies) != 1 || cos.Companies[0].Name != "Tidewater Labs" || cos.Companies[0].OpenJobs != 4 || cos.Links.Next != "" {
		t.Errorf("companies %+v", cos)
	}
	if past := decode[api.CompanyList](t, b.get(t, board, "/api/v1/companies?page=9"), http.StatusOK); past.Total != 2 || past.Companies == nil {
		t.Errorf("past the end %+v", past)
	}
	co := decode[api.Company](t, b.get(t, board, "/api/v1/companies/tidewater-labs"), http.StatusOK)
	if co.OpenJobs != 4 || co.Website != "https://tidewater.example" {
		t.Errorf("company %+v", co)
	}
	if got := b.get(t, rival, "/api/v1/companies/tidewater-labs").Code; got != http.StatusNotFound {
		t.Errorf("the rival's view of a company: %d, want 404", got)
	}
	bd := decode[api.Board](t, b.get(t, board, "/api/v1/board"), http.StatusOK)
	if bd.Counts.Jobs != 5 || bd.Counts.Companies != 2 || bd.URL != "https://harbor.localhost/" {
		t.Errorf("board %+v", bd)
	}
	decode[api.SuggestionList](t, b.get(t, board, "/api/v1/suggest?q=engi"), http.StatusOK)
	decode[api.CategoryList](t, b.get(t, board, "/api/v1/categories"), http.StatusOK)
}

func TestSparseFields(t *testing.T) {
	t.Parallel()
	b := start(t)
	board := b.Board(t, "harbor")
	l := b.live(t, board, content("Backend <i>engineer", "Tidewater & Sons"))
	list := decode[struct{ Jobs []map[string]any }](t, b.get(t, board, "/api/v1/jobs?fields=title,company,description_text,category"), http.StatusOK)
	keys := func(m map[string]any) string {
		var out []string
		for k := range m {
			out = append(out, k)
		}
		slices.Sort(out)
		return strings.Join(out, " ")
	}
	if len(list.Jobs) != 1 || keys(list.Jobs[0]) != "company description_text id title" || list.Jobs[0]["title"] != "Backend <i>engineer" {
		t.Errorf("listed %v", list.Jobs)
	}
	one := decode[map[string]any](t, b.get(t, board, "/api/v1/jobs/"+l.PublicID+"?fields=url"), http.StatusOK)
	if keys(one) != "id url" {
		t.Errorf("one job has %s", keys(one))
	}
}

func TestMistakesAreNamed(t *testing.T) {
	t.Parallel()
	b := start(t)
	board := b.Board(t, "harbor")
	for path, want := range map[string]string{
		"/jobs?limit=101": "query.limit", "/jobs?page=0": "query.page", "/jobs?fields=titel": "query.fields", "/jobs?type=fulltime": "query.type",
		"/jobs?categories=x": "query.categories", "/jobs?sort=new": "query.sort", "/jobs?country=Portugal": "query.country",
		"/jobs?since=yesterday": "query.since", "/jobs?category=No%20Slug": "query.category", "/suggest": "query.q",
	} {
		p := decode[struct {
			Errors []struct{ Location, Message string }
		}](t, b.get(t, board, "/api/v1"+path), http.StatusUnprocessableEntity)
		if len(p.Errors) != 1 || !strings.HasPrefix(p.Errors[0].Location, want) || p.Errors[0].Message == "" {
			t.Errorf("%s: %+v, want one error at %s", path, p.Errors, want)
		}
	}
}

func TestNotModified(t *testing.T) {
	t.Parallel()
	b := start(t)
	board := b.Board(t, "harbor")
	b.live(t, board, content("First", "Tidewater Labs"))
	tag := b.get(t, board, "/api/v1/jobs").Header().Get("ETag")
	if tag == "" {
		t.Fatal("no ETag")
	}
	rec := b.get(t, board, "/api/v1/jobs", "If-None-Match", `"other", `+tag)
	if rec.Code != http.StatusNotModified || rec.Body.Len() > 0 || rec.Header().Get("ETag") != tag || rec.Header().Get("Access-Control-Allow-Origin") != "*" {
		t.Errorf("status %d, %d bytes, headers %v; want 304 and none", rec.Code, rec.Body.Len(), rec.Header())
	}
	b.live(t, board, content("Second", "Tidewater Labs"))
	if rec := b.get(t, board, "/api/v1/jobs", "If-None-Match", tag); rec.Code != http.StatusOK || rec.Header().Get("ETag") == tag {
		t.Errorf("after a change: %d with %s", rec.Code, rec.Header().Get("ETag"))
	}
	if got := b.get(t, board, "/api/v1/jobs/nosuchjob11", "If-None-Match", "*").Code; got != http.StatusNotFound {
		t.Errorf("a star makes a missing job %d, want 404", got)
	}
	pre := b.send(t, http.MethodOptions, board, "/api/v1/jobs", "Origin", "https://elsewhere.example", "Access-Control-Request-Method", "GET")
	if pre.Code != http.StatusNoContent || !strings.Contains(pre.Header().Get("Access-Control-Allow-Headers"), "If-None-Match") {
		t.Errorf("preflight: %d %v", pre.Code, pre.Header())
	}
	if head := b.send(t, http.MethodHead, board, "/api/v1/board"); head.Code != http.StatusOK {
		t.Errorf("HEAD: %d", head.Code)
	}
}

func TestLimit(t *testing.T) {
	t.Parallel()
	b := start(t)
	board := b.Board(t, "harbor")
	stopped := clock()
	b.api.Limits = accounts.NewLimiter(nil, func() time.Time { return stopped })
	for range 600 {
		if err := b.api.Limits.Allow(t.Context(), accounts.LimitKey(board.ID, "api", "192.0.2.1"), accounts.Limit{N: 600, Period: time.Minute}); err != nil {
			t.Fatal(err)
		}
	}
	rec := b.get(t, board, "/api/v1/board")
	decode[map[string]any](t, rec, http.StatusTooManyRequests)
	if rec.Header().Get("Retry-After") != "1" || rec.Header().Get("Access-Control-Allow-Origin") != "*" || rec.Header().Get("Content-Type") != "application/problem+json" {
		t.Errorf("headers %v", rec.Header())
	}
}
