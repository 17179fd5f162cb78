package certs

import (
	"context"
	"crypto/tls"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"
)

const (
	// identityFor is how long an authority's names are kept, askDirectoryAgain how
	// long a directory that did not tell is left alone.
	identityFor, askDirectoryAgain = 24 * time.Hour, 10 * time.Minute
	askDirectory                   = 5 * time.Second
	maxDirectory                   = 256 << 10
)

// wellKnown is what CAA records call authorities whose directories do not say,
// or do not answer: by a part of the directory's address.
var wellKnown = []struct{ part, name string }{
	{"letsencrypt.org", "letsencrypt.org"}, {"zerossl.com", "sectigo.com"}, {"pki.goog", "pki.goog"}, {"buypass.com", "buypass.com"},
}

// WellKnown are the names of directories that are known without a question.
func WellKnown(directories ...string) (names []string) {
	for _, d := range directories {
		for _, w := range wellKnown {
			if strings.Contains(d, w.part) {
				names = append(names, w.name)
			}
		}
	}
	return names
}

// identities are the names that the authorities' directories gave.
type identities struct {
	mu sync.Mutex // held while a directory is asked: one question is enough
	by map[string]identity
}

type identity struct {
	names []string
	till  time.Time
}

// Identities are the authorities' names in CAA records, the first authority's
// first: what each directory says in its meta.caaIdentities (RFC 8555, 7.1.1),
// or what is well known of it. It may ask the directories, for a few seconds;
// their answers are kept.
func (c *Certs) Identities(ctx context.Context) (names []string) {
	c.ids.mu.Lock()
	defer c.ids.mu.Unlock()
	if c.ids.by == nil {
		c.ids.by = map[string]identity{}
	}
	now := time.Now()
	for _, a := range c.o.Authorities {
		kept := c.ids.by[a.Directory]
		if now.After(kept.till) {
			said, err := c.directoryNames(ctx, a.Directory)
			switch {
			case err == nil:
				kept = identity{said, now.Add(identityFor)}
			case ctx.Err() == nil:
				c.o.Log.Warn("an authority's directory does not tell its names", "directory", a.Directory, "error", err)
				kept.till = now.Add(askDirectoryAgain) // the names of before hold
			}
			c.ids.by[a.Directory] = kept
		}
		of := kept.names
		if len(of) == 0 {
			of = WellKnown(a.Directory)
		}
		for _, n := range of {
			if !slices.Contains(names, n) {
				names = append(names, n)
			}
		}
	}
	return names
}

func (c *Certs) directoryNames(ctx context.Context, directory string) ([]string, error) {
	ctx, cancel := context.WithTimeout(ctx, askDirectory)
	defer cancel()
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, directory, http.NoBody)
	if err != nil {
		return nil, err
	}
	tr := &http.Transport{Proxy: http.ProxyFromEnvironment, DisableKeepAlives: true, TLSClientConfig: &tls.Config{RootCAs: c.o.Roots, MinVersion: tls.VersionTLS12}}
	res, err := (&http.Client{Transport: tr}).Do(r)
	if err != nil {
		return nil, err
	}
	defer func() { _ = res.Body.Close() }()
	if res.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("it answers %d", res.StatusCode)
	}
	var d struct {
		Meta struct {
			Identities []string `json:"caaIdentities"`
		} `json:"meta"`
	}
	if err := json.NewDecoder(io.LimitReader(res.Body, maxDirectory)).Decode(&d); err != nil {
		return nil, err
	}
	var names []string
	for _, n := range d.Meta.Identities {
		// It is shown to people to paste: a host name and nothing else.
		if n = strings.ToLower(strings.TrimSuffix(strings.TrimSpace(n), ".")); n != "" && len(n) <= 253 && strings.Trim(n, "abcdefghijklmnopqrstuvwxyz0123456789.-") == "" {
			names = append(names, n)
		}
	}
	return names, nil
}
