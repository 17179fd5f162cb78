package console

import (
	"bytes"
	"compress/gzip"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"html/template"
	"io/fs"
	"mime"
	"net/http"
	"path"
	"strconv"
	"strings"
	"sync"

	"github.com/gin-gonic/gin"

	"shingle/themes"
)

// Assets are files under /assets/console/<hash>/, kept for ever by browsers and
// compressed once, when first asked for.
type Assets struct {
	byURL map[string]*asset
	urls  map[string]string
	icons map[string]template.HTML
}

type asset struct {
	kind  string
	plain []byte
	gzip  func() []byte
}

// AssetPath is the route of the consoles' files.
const AssetPath = "/assets/console/*file"

// LoadAssets reads the embedded files.
func LoadAssets() (*Assets, error) {
	a := &Assets{byURL: map[string]*asset{}, urls: map[string]string{}, icons: map[string]template.HTML{}}
	err := fs.WalkDir(assetFiles, "assets", func(p string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		raw, err := assetFiles.ReadFile(p)
		if err != nil {
			return err
		}
		name := path.Base(p)
		if path.Dir(p) == "assets/icons" {
			a.icons[strings.TrimSuffix(name, ".svg")] = template.HTML(raw) // #nosec G203 -- embedded
			return nil
		}
		return a.add(name, raw)
	})
	for _, name := range sharedScripts {
		if err != nil {
			return nil, err
		}
		var raw []byte
		if raw, err = themes.Script(name); err == nil {
			err = a.add(name, raw)
		}
	}
	for _, name := range landingFonts {
		if err != nil {
			return nil, err
		}
		var raw []byte
		if raw, err = themes.FontFile(name); err == nil {
			err = a.add(name, raw)
		}
	}
	return a, err
}

// sharedScripts are those that boards' pages have, too.
var sharedScripts = []string{"types.js", "proof.js"}

// landingFonts are the typefaces of the platform's own page, and of the boards
// that it shows.
var landingFonts = []string{"instrument-sans.woff2", "inter.woff2", "newsreader.woff2", "source-serif.woff2"}

// add keeps a file under its hashed address; one of an unknown kind is left out.
func (a *Assets) add(name string, raw []byte) error {
	kind := mime.TypeByExtension(path.Ext(name))
	if path.Ext(name) == ".woff2" {
		kind = "font/woff2" // some machines do not know it
	}
	if kind == "" {
		return nil
	}
	sum := sha256.Sum256(raw)
	url := "/assets/console/" + hex.EncodeToString(sum[:6]) + "/" + name
	// Squeezed when first asked for: nobody waits for it while starting.
	a.byURL[url] = &asset{kind: kind, plain: raw, gzip: sync.OnceValue(func() []byte { return squeeze(raw) })}
	a.urls[name] = url
	return nil
}

func squeeze(raw []byte) []byte {
	var b bytes.Buffer
	w, err := gzip.NewWriterLevel(&b, gzip.BestCompression)
	if err != nil {
		w = gzip.NewWriter(&b)
	}
	_, _ = w.Write(raw) // a bytes.Buffer takes everything
	_ = w.Close()
	return b.Bytes()
}

// URL is where a file is served; an unknown name is an error in the template.
func (a *Assets) URL(name string) (string, error) {
	if u := a.urls[name]; u != "" {
		return u, nil
	}
	return "", fmt.Errorf("no asset %s", name)
}

// Icon is an icon's SVG.
func (a *Assets) Icon(name string) (template.HTML, error) {
	if i, ok := a.icons[name]; ok {
		return i, nil
	}
	return "", fmt.Errorf("no icon %s", name)
}

// Serve answers AssetPath.
func (a *Assets) Serve(c *gin.Context) {
	f := a.byURL[c.Request.URL.Path]
	if f == nil {
		c.Status(http.StatusNotFound)
		return
	}
	h := c.Writer.Header()
	h.Set("Cache-Control", "public, max-age=31536000, immutable")
	zip := f.kind != "font/woff2" // which is squeezed as it comes
	if zip {
		h.Set("Vary", "Accept-Encoding")
	}
	body := f.plain
	if zip && strings.Contains(c.GetHeader("Accept-Encoding"), "gzip") {
		h.Set("Content-Encoding", "gzip")
		body = f.gzip()
	}
	h.Set("Content-Length", strconv.Itoa(len(body)))
	c.Data(http.StatusOK, f.kind, body)
}
