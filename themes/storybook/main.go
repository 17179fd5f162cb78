// Command storybook writes every public page of every pack as static files, to
// be looked at without a database. It serves nothing and changes nothing else.
//
//	go run ./themes/storybook -dir /tmp/storybook
package main

import (
	"bytes"
	"context"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"shingle/themes"
	"shingle/themes/sample"
)

func main() {
	dir := flag.String("dir", "storybook", "where to write")
	preset := flag.String("preset", "", "preset of each pack; its first when empty")
	dark := flag.Bool("dark", false, "print the dark tokens as the light ones")
	flag.Parse()
	if err := run(*dir, *preset, *dark); err != nil {
		fmt.Fprintln(os.Stderr, "storybook:", err)
		os.Exit(1)
	}
}

func run(dir, preset string, dark bool) error {
	packs, err := themes.Load()
	if err != nil {
		return err
	}
	var index strings.Builder
	for _, pack := range packs.List() {
		tokens := pack.Preset(preset).Tokens
		if dark {
			tokens.Light = tokens.Dark
		}
		for _, locale := range packs.Locales() {
			out := filepath.Join(dir, pack.Key, locale)
			if err := os.MkdirAll(filepath.Join(out, "assets"), 0o755); err != nil {
				return err
			}
			css := bytes.ReplaceAll(tokens.CSS(), []byte("url(/assets/"), []byte("url(assets/"))
			if err := os.WriteFile(filepath.Join(out, "theme.css"), css, 0o644); err != nil {
				return err
			}
			for _, name := range []string{pack.Key + ".css", pack.Key + ".seek.css", pack.Key + ".listing.css", pack.Key + ".forms.css", "site.js", "post.js", "editor.js", "editor.css", "trix.js", "trix.css", "inter.woff2", "instrument-sans.woff2", "newsreader.woff2", "source-serif.woff2"} {
				url, err := packs.AssetURL(name)
				if err != nil {
					return err
				}
				a, _ := packs.Asset(strings.TrimPrefix(url, "/assets/"))
				if err := os.WriteFile(filepath.Join(out, "assets", a.Name), a.Body, 0o644); err != nil {
					return err
				}
			}
			for _, shot := range sample.Shots(locale) {
				var b bytes.Buffer
				if err := packs.Render(context.Background(), &b, pack.Key, shot.Page, shot.Data); err != nil {
					return err
				}
				html := strings.NewReplacer(`"/assets/`, `"assets/`, `"/theme.css"`, `"theme.css"`).Replace(b.String())
				file := filepath.Join(out, shot.Name+".html")
				if err := os.WriteFile(file, []byte(html), 0o644); err != nil {
					return err
				}
				fmt.Fprintf(&index, "<li><a href=%q>%s · %s · %s</a></li>\n", filepath.ToSlash(filepath.Join(pack.Key, locale, shot.Name+".html")), pack.Key, locale, shot.Name)
			}
		}
	}
	return os.WriteFile(filepath.Join(dir, "index.html"), []byte("<!doctype html><title>Storybook</title><ul>"+index.String()+"</ul>"), 0o644)
}
