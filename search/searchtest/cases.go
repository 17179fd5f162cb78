package searchtest

import (
	"fmt"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/uuid"

	"shingle/search"
)

func signs(t *testing.T, s Setup) {
	f := s.fixture(t, "en")
	f.put(Doc(1, "C++ Developer"), Doc(2, "C# Developer"), Doc(3, ".NET Developer"), Doc(4, "C Developer"),
		Doc(5, "Node.js Developer"), Doc(6, "R&D Chemist"), Doc(7, "Developer (C/C++)"))
	f.holds(text("c++"), 1, 7)
	f.holds(text("C++ developer"), 1, 7)
	f.holds(text("c#"), 2)
	f.holds(text(".net"), 3)
	f.holds(text("node.js"), 5)
	f.holds(text("r&d"), 6)
}

func german(t *testing.T, s Setup) {
	f := s.fixture(t, "de")
	f.put(
		Doc(1, "Pflegefachkraft (m/w/d)", func(d *search.Document) {
			d.Places, d.Countries = []search.Place{{Country: "DE", City: "München"}}, []string{"DE"}
		}),
		Doc(2, "Straßenbauer"),
		Doc(3, "Entwickler für Webanwendungen", func(d *search.Document) { d.Company = "Bäckerei Öllinger" }),
	)
	f.holds(text("Pflegefachkraft"), 1)
	f.holds(text("pflegefach"), 1)
	f.holds(text("strassenbauer"), 2)
	f.holds(text("Straßenbauer"), 2)
	f.holds(text("backerei"), 3)
	f.holds(text("Bäckerei Öllinger"), 3)
	f.holds(text("Entwickler für Webanwendungen"), 3)
	f.holds(search.Query{Location: "munchen"}, 1)
	f.holds(search.Query{Location: "München"}, 1)
	f.holds(search.Query{Location: "Deutschland"}, 1)
}

func suggest(t *testing.T, s Setup) {
	f := s.fixture(t, "en")
	f.put(Doc(1, "Senior Engineer"), Doc(2, "Senior Engineer"), Doc(3, "Senior Nurse"), Doc(4, "Cook", func(d *search.Document) { d.Company, d.CompanySlug = "Senova", "senova" }))
	at := func(typed string, want ...string) {
		t.Helper()
		got, err := f.Engine.Suggest(f.at(), typed, 8)
		if err != nil {
			t.Errorf("suggest %q: %v", typed, err)
		}
		texts := map[string]bool{}
		for _, g := range got {
			texts[search.Fold(g.Text)] = true
		}
		for _, w := range want {
			if !texts[w] {
				t.Errorf("suggest %q: %v lacks %q", typed, got, w)
			}
		}
		if len(want) == 0 && len(got) > 0 {
			t.Errorf("suggest %q: %v, want nothing", typed, got)
		}
	}
	at("sen", "senior engineer", "senior nurse", "senova")
	at("Senior e", "senior engineer")
	at("senior n", "senior nurse")
	at("zzz")
	at("")
	at("'; DROP TABLE x; --`")
	if got, err := f.Engine.Suggest(f.at(), "sen", 1); err != nil || len(got) != 1 {
		t.Errorf("one suggestion: %v, %v", got, err)
	}
}

func isolation(t *testing.T, s Setup) {
	a, b := s.fixture(t, "en"), s.fixture(t, "en")
	a.put(Doc(1, "Secret Engineer"), Doc(2, "Shared Nurse", func(d *search.Document) { d.Company, d.CompanySlug = "Alpha", "alpha" }))
	b.put(Doc(3, "Open Engineer"), Doc(2, "Other Nurse", func(d *search.Document) { d.Company, d.CompanySlug = "Beta", "beta" }))
	a.holds(text("engineer"), 1)
	b.holds(text("engineer"), 3)
	b.holds(text("secret"))
	b.holds(search.Query{Companies: []string{"alpha"}})
	if r := b.holds(search.Query{}, 2, 3); counts(r, "company")["alpha"] != 0 {
		t.Errorf("a rival's company is counted: %v", r.Facets["company"])
	}
	if got, err := b.Engine.Suggest(b.at(), "secr", 5); err != nil || len(got) != 0 {
		t.Errorf("a rival's words are suggested: %v, %v", got, err)
	}
	// The same listing id on two boards is two listings.
	if err := b.Engine.Delete(b.at(), search.Ref{ID: ID(2), Version: 9}, search.Ref{ID: ID(1), Version: 9}); err != nil {
		t.Fatal(err)
	}
	a.holds(search.Query{}, 1, 2)
	b.holds(search.Query{}, 3)
	if err := b.Engine.Rebuild(b.at(), batches()); err != nil {
		t.Fatal(err)
	}
	a.holds(search.Query{}, 1, 2)
	got, err := a.Engine.Versions(a.at())
	if err != nil || len(got) != 2 {
		t.Errorf("versions %v, %v; want two", got, err)
	}
}

func versions(t *testing.T, s Setup) {
	f := s.fixture(t, "en")
	at := func(v int64, title string) search.Document {
		return Doc(1, title, func(d *search.Document) { d.Version = v })
	}
	f.put(at(3, "Third"))
	f.put(at(2, "Second"))
	f.put(at(1, "First"))
	f.holds(text("third"), 1)
	f.holds(text("second"))
	f.put(at(4, "Fourth"), Doc(2, "Neighbour"))
	f.holds(text("fourth"), 1)
	f.holds(text("third"))
	// The same version again is taken: its company may have a new name.
	f.put(Doc(1, "Fourth", func(d *search.Document) { d.Version = 4; d.Company = "Renamed" }))
	f.holds(text("renamed"), 1)
	got, err := f.Engine.Versions(f.at())
	if diff := cmp.Diff(map[uuid.UUID]int64{ID(1): 4, ID(2): 1}, got); err != nil || diff != "" {
		t.Errorf("versions: %v (-want +got)\n%s", err, diff)
	}
	var wg sync.WaitGroup
	for v := range int64(8) {
		wg.Go(func() {
			if err := f.Engine.Upsert(f.at(), at(10+v, fmt.Sprintf("Racer number%d", v))); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	f.holds(text("number7"), 1)
}

func deletes(t *testing.T, s Setup) {
	f := s.fixture(t, "en")
	f.put(Doc(1, "Porter"), Doc(2, "Porter"))
	if err := f.Engine.Delete(f.at(), search.Ref{ID: ID(1), Version: 2}); err != nil {
		t.Fatal(err)
	}
	r := f.holds(text("porter"), 2)
	if n := counts(r, "type")["full_time"]; n != 1 {
		t.Errorf("the facet counts %d after the delete, want 1", n)
	}
	// Twice, and one that never was.
	if err := f.Engine.Delete(f.at(), search.Ref{ID: ID(1), Version: 2}, search.Ref{ID: ID(99), Version: 1}); err != nil {
		t.Errorf("deleting what is not there: %v", err)
	}
	f.put(Doc(1, "Porter", func(d *search.Document) { d.Version = 3 }))
	f.holds(text("porter"), 1, 2)
}

// Hostile is what strangers type; no engine may fail on it, or find more by it.
var Hostile = []string{"'", `"`, `\`, "`", "*", "&&", "||", "(", ")", "!", ":", "%", "_", "?", "a:*", "!!a", "-engineer", `"engineer`,
	"` || featured:=1", "x`] && company:=[`acme", "'; DROP TABLE search_documents; --", "\x00", "\xff\xfe", "engineer\x00nurse",
	"🦄", "{}", "[1,2]", "$1", "?0", "%s%n", "<script>", "../..", "a b c d e f g h i j k l m n o p q r s t u v w x y z",
	"ＥＮＧＩＮＥＥＲ", "مهندس", "工程师"}

func hostile(t *testing.T, s Setup) {
	f := s.fixture(t, "en")
	f.put(Doc(1, "Plumber", func(d *search.Document) { d.Featured = true }), Doc(2, "Carpenter"))
	for _, h := range Hostile {
		f.search(text(h))
		f.search(search.Query{Text: "plumber", Location: h})
		if _, err := f.Engine.Suggest(f.at(), h, 5); err != nil {
			t.Errorf("suggest %q: %v", h, err)
		}
		// Facet values reach the engine as they are when code, not a URL, asks.
		if r := f.search(search.Query{Categories: []string{h}, Companies: []string{h}, Types: []string{h}}); r.Total != 0 {
			t.Errorf("the filter %q found %d", h, r.Total)
		}
	}
	weird := Doc(3, "Odd `one`, [really] && more", func(d *search.Document) { d.CompanySlug = "a,b`c] && x:=[`y" })
	f.put(weird)
	f.holds(text("odd"), 3)
	f.holds(search.Query{}, 1, 2, 3)
}

// batches yields documents in one batch, or none.
func batches(docs ...search.Document) search.Documents {
	return func(yield func([]search.Document, error) bool) {
		if len(docs) > 0 {
			yield(docs, nil)
		}
	}
}

func rebuild(t *testing.T, s Setup) {
	f := s.fixture(t, "en")
	var kept []search.Document
	for n := range 60 {
		kept = append(kept, Doc(n, "Baker"))
	}
	f.put(kept...)
	f.put(Doc(100, "Baker")) // no longer in the table: the rebuild drops it

	stop := make(chan struct{})
	var watch sync.WaitGroup
	watch.Go(func() {
		for {
			select {
			case <-stop:
				return
			default:
			}
			r, err := f.Engine.Search(f.at(), search.Query{Text: "baker", PerPage: 100})
			if err != nil {
				t.Errorf("searching during a rebuild: %v", err)
				return
			}
			if len(r.Hits) < 60 {
				t.Errorf("a search during the rebuild found %d of 60", len(r.Hits))
				return
			}
		}
	})
	wrote := false
	all := func(yield func([]search.Document, error) bool) {
		for i := 0; i < len(kept); i += 20 {
			if !yield(kept[i:i+20], nil) {
				return
			}
			if i == 20 && !wrote {
				// Somebody publishes, and somebody edits, while it runs.
				wrote = true
				f.put(Doc(200, "Baker"), Doc(5, "Pastry Baker", func(d *search.Document) { d.Version = 2 }))
			}
		}
	}
	if err := f.Engine.Rebuild(f.at(), all); err != nil {
		t.Fatalf("rebuild: %v", err)
	}
	close(stop)
	watch.Wait()
	got, err := f.Engine.Versions(f.at())
	if err != nil {
		t.Fatal(err)
	}
	if got[ID(5)] != 2 {
		t.Errorf("the edit during the rebuild is at version %d, want 2", got[ID(5)])
	}
	if _, ok := got[ID(200)]; !ok {
		t.Error("what was published during the rebuild is missing")
	}
	if _, ok := got[ID(100)]; ok {
		t.Error("what is no longer live is still there")
	}
	f.holds(text("pastry"), 5)
	if r := f.search(text("baker")); r.Total != 61 {
		t.Errorf("%d after the rebuild, want 61", r.Total)
	}
}

func health(t *testing.T, s Setup) {
	f := s.fixture(t, "en")
	if err := f.Engine.Health(f.at()); err != nil {
		t.Errorf("health: %v", err)
	}
}

func noBoard(t *testing.T, s Setup) {
	ctx := t.Context()
	if _, err := s.Engine.Search(ctx, search.Query{}); err == nil {
		t.Error("a search without a board answered")
	}
	if err := s.Engine.Upsert(ctx, Doc(1, "x")); err == nil {
		t.Error("an upsert without a board worked")
	}
	if _, err := s.Engine.Suggest(ctx, "en", 3); err == nil {
		t.Error("a suggestion without a board answered")
	}
}
