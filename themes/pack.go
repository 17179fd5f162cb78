package themes

import (
	"bytes"
	"embed"
	"html/template"
	"io/fs"
	"path"
	"regexp"
	"slices"
	"sort"
	"strings"
	"sync"

	"github.com/BurntSushi/toml"
	"golang.org/x/text/language"

	"shingle/internal/fault"
)

//go:embed packs assets
var shipped embed.FS

// Packs are all theme packs of this process, parsed and checked.
type Packs struct {
	packs   map[string]*Pack
	words   map[string]*words
	locales []string
	matcher language.Matcher
	tags    []string
	matched sync.Map // locale asked for → locale we have
	assets  map[string]*Asset
	urls    map[string]string // "site.js" → "/assets/site.<hash>.js"
}

// Pack is one theme: its manifest and its templates, one set per language.
type Pack struct {
	Manifest
	Key  string
	sets map[string]func() (*template.Template, error)
}

// Manifest is theme.toml.
type Manifest struct {
	Title   string              `toml:"title"`
	Line    string              `toml:"line"`
	Extends string              `toml:"extends"`
	Styles  map[string][]string `toml:"styles"` // by sheet: base, seek, listing, forms
	Hidden  bool                `toml:"hidden"` // only there to be extended
	Presets []Preset            `toml:"preset"`
}

// Preset is a named set of tokens; a pack's first one is its default.
type Preset struct {
	Key    string `toml:"key"`
	Title  string `toml:"title"`
	Tokens Tokens `toml:"tokens"`
}

// LoadOption changes what Load reads.
type LoadOption func(*loading)

type loading struct {
	pseudo bool
	dirs   []fs.FS
}

// WithPseudo adds the made-up language en-XA, for tests.
func WithPseudo() LoadOption { return func(l *loading) { l.pseudo = true } }

// WithPacks adds packs from disk: each folder with a theme.toml. A folder named
// like a shipped pack replaces it. Their template code is trusted.
func WithPacks(dir fs.FS) LoadOption { return func(l *loading) { l.dirs = append(l.dirs, dir) } }

// Load parses every pack in every language. It is called once per process; any
// broken template, stylesheet or catalogue is an error here and not on a page.
func Load(opts ...LoadOption) (*Packs, error) {
	var l loading
	for _, o := range opts {
		o(&l)
	}
	ws, locales, err := loadWords(l.pseudo)
	if err != nil {
		return nil, err
	}
	p := &Packs{packs: map[string]*Pack{}, words: ws, locales: locales, assets: map[string]*Asset{}, urls: map[string]string{}}
	tags := []language.Tag{language.English}
	p.tags = []string{"en"}
	for _, loc := range locales {
		if loc != "en" && loc != pseudo {
			tags, p.tags = append(tags, language.MustParse(loc)), append(p.tags, loc)
		}
	}
	p.matcher = language.NewMatcher(tags)

	if err := p.loadAssets(shipped, "assets"); err != nil {
		return nil, err
	}
	folders := map[string]fs.FS{}
	root, err := fs.Sub(shipped, "packs")
	if err != nil {
		return nil, fault.Wrap(err, fault.Internal, "packs")
	}
	for _, dir := range append([]fs.FS{root}, l.dirs...) {
		found, err := fs.Glob(dir, "*/theme.toml")
		if err != nil {
			return nil, fault.Wrap(err, fault.Internal, "packs")
		}
		for _, f := range found {
			if folders[path.Dir(f)], err = fs.Sub(dir, path.Dir(f)); err != nil {
				return nil, fault.Wrap(err, fault.Internal, "packs")
			}
		}
	}
	for key := range folders {
		if err := p.loadPack(key, folders); err != nil {
			return nil, err
		}
	}
	return p, nil
}

var packKey = regexp.MustCompile(`^[a-z][a-z0-9-]{0,30}$`)

func (p *Packs) loadPack(key string, folders map[string]fs.FS) error {
	if !packKey.MatchString(key) {
		return fault.New(fault.Invalid, "pack %q: a folder's name is lower-case letters and digits", key)
	}
	pack := &Pack{Key: key, sets: map[string]func() (*template.Template, error){}}
	if err := readManifest(folders[key], &pack.Manifest); err != nil {
		return fault.Wrap(err, fault.Invalid, "pack %s", key)
	}
	// From the ground up: what a pack defines again wins.
	chain := []string{key}
	for up := pack.Manifest.Extends; up != ""; {
		if folders[up] == nil || slices.Contains(chain, up) {
			return fault.New(fault.Invalid, "pack %s extends %q, which can't be had", key, up)
		}
		chain = append([]string{up}, chain...)
		var m Manifest
		if err := readManifest(folders[up], &m); err != nil {
			return fault.Wrap(err, fault.Invalid, "pack %s", up)
		}
		up = m.Extends
	}
	set := template.New(key).Funcs(p.funcs(p.words["en"], key))
	css := map[string]*bytes.Buffer{}
	for _, name := range sheetNames {
		css[name] = new(bytes.Buffer)
	}
	for _, step := range chain {
		var m Manifest
		if err := readManifest(folders[step], &m); err != nil {
			return fault.Wrap(err, fault.Invalid, "pack %s", step)
		}
		for sheet, names := range m.Styles {
			if css[sheet] == nil {
				return fault.New(fault.Invalid, "pack %s has styles for %q: sheets are %s", step, sheet, strings.Join(sheetNames, ", "))
			}
			for _, f := range names {
				raw, err := fs.ReadFile(folders[step], f)
				if err != nil {
					return fault.Wrap(err, fault.Invalid, "pack %s", step)
				}
				css[sheet].Write(raw)
				css[sheet].WriteByte('\n')
			}
		}
		files, err := templateFiles(folders[step])
		if err != nil {
			return fault.Wrap(err, fault.Invalid, "pack %s", step)
		}
		for _, f := range files {
			raw, err := fs.ReadFile(folders[step], f)
			if err != nil {
				return fault.Wrap(err, fault.Invalid, "pack %s", step)
			}
			if _, err := set.New(step + "/" + f).Parse(string(raw)); err != nil {
				return fault.Wrap(err, fault.Invalid, "pack %s", step)
			}
		}
	}
	for _, name := range sheetNames {
		if err := p.addMinified(sheetFile(key, name), css[name].Bytes()); err != nil {
			return fault.Wrap(err, fault.Invalid, "pack %s, styles %s", key, name)
		}
	}
	if pack.Hidden {
		return nil
	}
	if len(pack.Presets) == 0 {
		return fault.New(fault.Invalid, "pack %s has no preset", key)
	}
	for i, preset := range pack.Presets {
		if err := preset.Tokens.Check(); err != nil {
			return fault.Wrap(err, fault.Invalid, "pack %s, preset %s", key, preset.Key)
		}
		pack.Presets[i].Tokens = preset.Tokens.DefaultsFrom(pack.Presets[0].Tokens)
	}
	for page := range pageTypes {
		if set.Lookup("page/"+page) == nil {
			return fault.New(fault.Invalid, "pack %s has no page %q", key, page)
		}
	}
	// A language that no board shows costs nothing.
	for _, locale := range p.locales {
		pack.sets[locale] = sync.OnceValues(func() (*template.Template, error) {
			clone, err := set.Clone()
			if err != nil {
				return nil, fault.Wrap(err, fault.Internal, "pack %s", key)
			}
			return clone.Funcs(p.funcs(p.words[locale], key)), nil
		})
	}
	p.packs[key] = pack
	return nil
}

func readManifest(dir fs.FS, m *Manifest) error {
	raw, err := fs.ReadFile(dir, "theme.toml")
	if err != nil {
		return err
	}
	meta, err := toml.Decode(string(raw), m)
	if err != nil {
		return err
	}
	if extra := meta.Undecoded(); len(extra) > 0 {
		return fault.New(fault.Invalid, "theme.toml: %s is not a setting", extra[0])
	}
	return nil
}

func templateFiles(dir fs.FS) ([]string, error) {
	var out []string
	err := fs.WalkDir(dir, ".", func(p string, d fs.DirEntry, err error) error {
		if err == nil && !d.IsDir() && strings.HasSuffix(p, ".html") {
			out = append(out, p)
		}
		return err
	})
	sort.Strings(out)
	return out, err
}

// List is every pack that a board can choose, by title.
func (p *Packs) List() []*Pack {
	var out []*Pack
	for _, pack := range p.packs {
		out = append(out, pack)
	}
	slices.SortFunc(out, func(a, b *Pack) int { return strings.Compare(b.Title, a.Title) })
	return out
}

// Get finds a pack, or answers the first one for a name that is gone.
func (p *Packs) Get(key string) *Pack {
	if pack, ok := p.packs[key]; ok {
		return pack
	}
	return p.List()[0]
}

// Preset finds a preset, or answers the pack's first.
func (k *Pack) Preset(key string) Preset {
	for _, preset := range k.Presets {
		if preset.Key == key {
			return preset
		}
	}
	return k.Presets[0]
}
