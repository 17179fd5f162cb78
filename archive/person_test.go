package archive_test

import (
	"archive/zip"
	"bytes"
	"context"
	"encoding/json"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/BurntSushi/toml"
	"github.com/uptrace/bun"

	"shingle/archive"
	"shingle/internal/fault"
	"shingle/internal/testkit"
)

func unzip(t *testing.T, raw []byte) map[string]string {
	t.Helper()
	z, err := zip.NewReader(bytes.NewReader(raw), int64(len(raw)))
	if err != nil {
		t.Fatal(err)
	}
	out := map[string]string{}
	for _, f := range z.File {
		r, err := f.Open()
		if err != nil {
			t.Fatal(err)
		}
		data, err := io.ReadAll(r)
		if err != nil {
			t.Fatal(err)
		}
		out[f.Name] = string(data)
	}
	return out
}

// tablesOf lists what a person's file holds, by table.
func tablesOf(t *testing.T, files map[string]string) map[string]int {
	t.Helper()
	var d struct {
		Data []struct {
			Table string
			Rows  []map[string]any
		}
	}
	if err := json.Unmarshal([]byte(files["data.json"]), &d); err != nil {
		t.Fatal(err)
	}
	out := map[string]int{}
	for _, s := range d.Data {
		out[s.Table] = len(s.Rows)
	}
	return out
}

func TestAPersonGetsAllThatIsTheirsAndNoMore(t *testing.T) {
	t.Parallel()
	p := newPlace(t)
	b := p.fill(t, "acme")
	rival := p.fill(t, "rival")
	get := func(email string) map[string]string {
		t.Helper()
		var out bytes.Buffer
		if _, err := p.Person(p.ctx(t, b), &out, email); err != nil {
			t.Fatal(err)
		}
		return unzip(t, out.Bytes())
	}
	ada := get("Ada@Seeker.example")
	have := tablesOf(t, ada)
	for table, n := range map[string]int{"people": 1, "applications": 1, "application_replies": 1, "alerts": 1, "reports": 1, "mails": 2, "mail_suppressions": 1, "audit_log": 1,
		"person_sessions": 1, "person_tokens": 1, "access_passes": 1, "held_forms": 1} {
		if have[table] != n {
			t.Errorf("the seeker's %s: %d rows, want %d", table, have[table], n)
		}
	}
	if len(have) != 12 {
		t.Errorf("the seeker's file has %v", have)
	}
	max := get(hirer)
	have = tablesOf(t, max)
	for table, n := range map[string]int{"people": 1, "companies": 1, "company_members": 1, "listings": 1, "listing_places": 1, "listing_revisions": 1, "orders": 1, "refunds": 1,
		"entitlements": 1, "application_replies": 1} {
		if have[table] != n {
			t.Errorf("the employer's %s: %d rows, want %d", table, have[table], n)
		}
	}
	if have["applications"] != 0 || strings.Contains(max["data.json"], seeker) {
		t.Error("an employer's file holds an applicant")
	}
	found := false
	for name, data := range ada {
		found = found || strings.HasPrefix(name, "files/cv/") && data == cv
		for _, bad := range []string{"open-sesame", "deadbeef", "cafe\"", "rival", rival.ID.String(), hirer} {
			if strings.Contains(data, bad) {
				t.Errorf("%s holds %q", name, bad)
			}
		}
	}
	if !found {
		t.Error("the CV is missing")
	}
	page := ada["index.html"]
	for _, want := range []string{"Your data at acme jobs", "Applications", "Hello", "Come in.", `href="files/cv/`} {
		if !strings.Contains(page, want) {
			t.Errorf("the page lacks %q", want)
		}
	}
	if strings.Contains(page, "<no value>") {
		t.Error("the page has a hole")
	}
	if dir := os.Getenv("SHINGLE_ARTIFACTS"); dir != "" {
		if err := os.WriteFile(filepath.Join(testkit.Artifacts(t), "person.html"), []byte(page), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	// In the reader's own language.
	if err := p.World.DB.Write(p.ctx(t, b), func(ctx context.Context, tx bun.IDB) error {
		_, err := tx.NewRaw(`UPDATE people SET locale = 'de' WHERE email = ?`, seeker).Exec(ctx)
		return err
	}); err != nil {
		t.Fatal(err)
	}
	if page := get(seeker)["index.html"]; !strings.Contains(page, "Ihre Daten bei acme jobs") || !strings.Contains(page, "Bewerbungen") {
		t.Error("the page is not in German")
	}
	for email, kind := range map[string]fault.Kind{"nobody@x.example": fault.NotFound, "no address": fault.Invalid, "%@seeker.example": fault.NotFound} {
		if _, err := p.Person(p.ctx(t, b), &bytes.Buffer{}, email); !fault.Is(err, kind) {
			t.Errorf("%s: %v, want %s", email, err, kind)
		}
	}
}

func TestPersonsWordsAreComplete(t *testing.T) {
	t.Parallel()
	got := map[string]map[string]any{}
	for _, lang := range []string{"en", "de"} {
		var m map[string]any
		if _, err := toml.DecodeFile("words/"+lang+".toml", &m); err != nil {
			t.Fatal(err)
		}
		flat := map[string]any{}
		for k, v := range m {
			if in, ok := v.(map[string]any); ok {
				for k2, v := range in {
					flat[k+"."+k2] = v
				}
			} else {
				flat[k] = v
			}
		}
		got[lang] = flat
		for k, v := range flat {
			if v == "" {
				t.Errorf("%s: %s is empty", lang, k)
			}
		}
		for _, x := range slices.Concat(archive.Tables, archive.PersonLeft) {
			if x.Person != "" && flat["tables."+x.Name] == nil {
				t.Errorf("%s has no title for %s", lang, x.Name)
			}
		}
	}
	for k := range got["en"] {
		if got["de"][k] == nil {
			t.Errorf("de lacks %s", k)
		}
	}
	if len(got["en"]) != len(got["de"]) {
		t.Errorf("%d words in English, %d in German", len(got["en"]), len(got["de"]))
	}
}
