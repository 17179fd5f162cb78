package themes

import (
	"bytes"
	"compress/gzip"
	"io"
	"io/fs"
	"mime"
	"net/http"
	"path"
	"strings"
	"sync"

	"github.com/andybalholm/brotli"
	"github.com/tdewolff/minify/v2"
	"github.com/tdewolff/minify/v2/css"
	"github.com/tdewolff/minify/v2/js"

	"shingle/internal/fault"
)

// Asset is a file under /assets/, the same for all boards.
type Asset struct {
	Name        string
	ContentType string
	Body        []byte
	ETag        string
	once        sync.Once
	br, gz      []byte
}

func (p *Packs) loadAssets(fsys fs.FS, root string) error {
	return fs.WalkDir(fsys, root, func(name string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		switch path.Ext(name) {
		case ".js", ".css", ".woff2", ".svg", ".png":
		default:
			return nil
		}
		raw, err := fs.ReadFile(fsys, name)
		if err != nil {
			return fault.Wrap(err, fault.Internal, "asset %s", name)
		}
		// What others made comes as small as they ship it.
		if path.Base(path.Dir(name)) == "js" {
			return p.addMinified(path.Base(name), raw)
		}
		p.addAsset(path.Base(name), raw)
		return nil
	})
}

// addAsset keeps a file under its hashed name. Fonts keep their own: tokens'
// stylesheets name them, and a new cut has a new name.
func (p *Packs) addAsset(name string, body []byte) {
	ext := path.Ext(name)
	kind := mime.TypeByExtension(ext)
	switch ext {
	case ".js":
		kind = "text/javascript; charset=utf-8"
	case ".css":
		kind = "text/css; charset=utf-8"
	case ".woff2":
		kind = "font/woff2"
	}
	hash := Hash(body)
	stored := strings.TrimSuffix(name, ext) + "." + hash + ext
	if ext == ".woff2" {
		stored = name
	}
	p.assets[stored] = &Asset{Name: stored, ContentType: kind, Body: body, ETag: `"` + hash + `"`}
	p.urls[name] = "/assets/" + stored
}

// minifier takes the space and the comments out of our own styles and scripts.
var minifier = func() *minify.M {
	m := minify.New()
	m.AddFunc(".css", css.Minify)
	m.AddFunc(".js", js.Minify)
	return m
}()

func (p *Packs) addMinified(name string, body []byte) error {
	small, err := minifier.Bytes(path.Ext(name), body)
	if err != nil {
		return fault.Wrap(err, fault.Invalid, "asset %s", name)
	}
	p.addAsset(name, small)
	return nil
}

// Script is one of our scripts that pages share which are no board's. Kind:
// fault.NotFound.
func Script(name string) ([]byte, error) {
	raw, err := shipped.ReadFile("assets/js/" + name)
	if err != nil {
		return nil, fault.Wrap(err, fault.NotFound, "script %s", name)
	}
	return minifier.Bytes(".js", raw)
}

// AssetURL is the address of "site.js", "harbor.css" and the like. Kind:
// fault.NotFound.
func (p *Packs) AssetURL(name string) (string, error) {
	if u, ok := p.urls[name]; ok {
		return u, nil
	}
	return "", fault.New(fault.NotFound, "no asset %q", name)
}

// Asset finds a file by its stored name: what follows /assets/.
func (p *Packs) Asset(stored string) (*Asset, bool) {
	a, ok := p.assets[stored]
	return a, ok
}

// ServeAsset answers /assets/<stored>, or reports false and writes nothing.
func (p *Packs) ServeAsset(w http.ResponseWriter, r *http.Request, stored string) bool {
	a, ok := p.assets[stored]
	if !ok {
		return false
	}
	h := w.Header()
	h.Set("Content-Type", a.ContentType)
	h.Set("Cache-Control", "public, max-age=31536000, immutable")
	h.Set("ETag", a.ETag)
	h.Set("X-Content-Type-Options", "nosniff")
	body := a.Body
	if !strings.HasPrefix(a.ContentType, "font/") {
		h.Set("Vary", "Accept-Encoding")
		a.once.Do(func() { a.br, a.gz = compress(a.Body, true) })
		switch PickEncoding(r.Header.Get("Accept-Encoding")) {
		case Brotli:
			body = a.br
			h.Set("Content-Encoding", "br")
			h.Set("ETag", a.ETag[:len(a.ETag)-1]+`-br"`)
		case Gzip:
			body = a.gz
			h.Set("Content-Encoding", "gzip")
			h.Set("ETag", a.ETag[:len(a.ETag)-1]+`-gz"`)
		}
	}
	if matches(r.Header.Get("If-None-Match"), h.Get("ETag")) {
		w.WriteHeader(http.StatusNotModified)
		return true
	}
	h.Set("Content-Length", itoa(len(body)))
	w.WriteHeader(http.StatusOK)
	if r.Method != http.MethodHead {
		_, _ = w.Write(body) // a reader who hung up is no error of ours
	}
	return true
}

// squeezers are kept: each holds over a megabyte of tables.
var squeezers = [2]sync.Pool{}

type squeezer struct {
	br *brotli.Writer
	gz *gzip.Writer
	b  bytes.Buffer
}

// compress squeezes hard for what is kept for long, and fast for pages.
func compress(body []byte, hard bool) (br, gz []byte) {
	pool, level := &squeezers[0], 4
	if hard {
		pool, level = &squeezers[1], 9
	}
	s, ok := pool.Get().(*squeezer)
	if !ok {
		z, err := gzip.NewWriterLevel(io.Discard, level)
		if err != nil {
			z = gzip.NewWriter(io.Discard)
		}
		s = &squeezer{br: brotli.NewWriterLevel(io.Discard, level), gz: z}
	}
	defer pool.Put(s)
	run := func(w interface {
		io.WriteCloser
		Reset(io.Writer)
	}) []byte {
		s.b.Reset()
		w.Reset(&s.b)
		_, _ = w.Write(body) // a bytes.Buffer takes everything
		_ = w.Close()
		return bytes.Clone(s.b.Bytes())
	}
	return run(s.br), run(s.gz)
}

var unzippers = sync.Pool{New: func() any { return new(gzip.Reader) }}

// unzip writes what compress squeezed.
func unzip(w io.Writer, gz []byte) error {
	z := unzippers.Get().(*gzip.Reader)
	defer unzippers.Put(z)
	if err := z.Reset(bytes.NewReader(gz)); err != nil {
		return err
	}
	_, err := io.Copy(w, z) // #nosec G110 -- our own page
	return err
}
